"""The whole path over ../shared/data/radiographs: ingest, train, work, evaluate test against train.

    python benchmarks/corpus.py [--profile NAME] [--fine] [--epochs N] [--home DIR] [--encoder-weights FILE]
                                [--json FILE]

By the commands that people run; the codes of metadata.csv are the classes, with --fine its fine codes. Training takes
minutes (`strong`) to half an hour on two cores: this is no part of `make bench`, but `make bench-corpus` runs it. With
--home the archive stays there, and an encoder that it has already is used instead of training one. Skipped where the
data is absent.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _common import RADIOGRAPHS, database, machine, radretrieval, skip, table

from radretrieval.archive import encoders, images
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.profile import Profile, by_name

AGAINST = {"train": ["train"], "train and distractors": ["train", "distractor"]}
ACCURACY, FALL = {"paper": 0.93, "strong": 0.995}, 0.01  # at least, at most


def main() -> None:
    """Run the commands, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", type=by_name, default="strong", help="what is trained (default: strong)")
    parser.add_argument("--fine", action="store_true", help="mammograms have codes of density, severity, kind")
    parser.add_argument("--epochs", type=int, help="passes over the images (default: the profile's)")
    parser.add_argument("--home", type=Path, metavar="DIR", help="keep the archive in this folder")
    parser.add_argument(
        "--encoder-weights", type=Path, metavar="FILE", help="these weights (safetensors) instead of training"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if not (RADIOGRAPHS / "metadata.csv").exists():
        skip("../shared/data/radiographs is absent")

    with database(arguments.home) as (where, settings):
        figures: dict[str, Any] = {"ingest": ingest(settings, arguments.fine)}
        figures["encoder"] = encoder(where, settings, arguments.profile, arguments.encoder_weights, arguments.epochs)
        figures["work"] = radretrieval(settings, "work", "--once")
        figures["evaluate"] = {
            name: radretrieval(settings, "evaluate", *(word for split in splits for word in ("--against", split)))
            for name, splits in AGAINST.items()
        }
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def ingest(settings: Settings, fine: bool = False) -> dict[str, Any]:
    """Bring the radiographs, and the slices that are none, into the archive with their labels."""
    labels = RADIOGRAPHS / "metadata.csv"
    if fine:
        rows = list(csv.DictReader(labels.read_text(encoding="utf-8").splitlines()))
        settings.home.mkdir(parents=True, exist_ok=True)
        labels = settings.home / "fine.csv"
        with labels.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "irma_code", "split", "patient_id"])
            for row in rows:
                writer.writerow([RADIOGRAPHS / row["file"], row["irma_code_fine"], row["split"], row["patient_id"]])
    folders = [str(folder) for folder in sorted(RADIOGRAPHS.iterdir()) if folder.is_dir()]
    return radretrieval(settings, "ingest", *folders, "--labels", str(labels))


def encoder(
    where: Database, settings: Settings, profile: Profile, weights: Path | None = None, epochs: int | None = None
) -> dict[str, Any]:
    """The encoder that is evaluated: the archive's, or one with these weights, or one that is trained now."""
    listed = radretrieval(settings, "encoder", "list")["encoders"]
    if active := next((row for row in listed if row["active"]), None):
        return {"origin": "the archive's encoder", "profile": active["profile"]}
    if weights is not None:
        with where.connection() as connection:
            classes = sorted({row["irma_code"] for row in images.training(connection, "train")})
            encoders.add(connection, profile, weights.read_bytes(), classes, {})
        return {"origin": "given weights", "profile": profile.name}
    passes = ["--epochs", str(epochs)] if epochs else []
    trained = radretrieval(settings, "train", "--profile", profile.name, *passes)
    return {
        "origin": f"{trained['epochs']} epochs in {trained['seconds'] / 60:.0f} min on {trained['device']}",
        **trained,
    }


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    results: dict[str, dict[str, Any]] = figures["evaluate"]
    alone, mixed = results.values()
    profile = figures["encoder"]["profile"]
    print(f"{alone['queries']} queries of test; profile {profile}, {figures['encoder']['origin']}")
    print(machine("torch", "numpy"))
    head = ["first hit right (error), against", *(f"{name} ({result['against']})" for name, result in results.items())]
    rows = [[alone["ranking"], *map(cell, results.values())]]
    for place, row in enumerate(alone["ablations"]):
        rows.append([row["name"], *(cell(result["ablations"][place]) for result in results.values())])
    table(head, rows)
    low, high = alone["ci95"]
    print(f"error per image {alone['error_per_image']:.4f}; 95 % interval of the sum {low:.2f} to {high:.2f}")
    accuracy, fall = alone["first_hit_accuracy"], alone["first_hit_accuracy"] - mixed["first_hit_accuracy"]
    least = ACCURACY.get(profile, ACCURACY["paper"])
    print(f"first hit right at least {least}: {verdict(accuracy >= least)}")
    print(f"falls by {100 * fall:.2f} points with the distractors; at most {100 * FALL:.0f}: {verdict(fall <= FALL)}")
    print(rates(figures))


def cell(result: dict[str, Any]) -> str:
    """Accuracy and error of one ranking."""
    return f"{result['first_hit_accuracy']:.4f} ({result['error_score']:.2f})"


def verdict(good: bool) -> str:
    """One word."""
    return "reached" if good else "MISSED"


def rates(figures: dict[str, Any]) -> str:
    """How fast ingestion and the worker were, where they had anything to do."""
    parts: Sequence[tuple[str, int, float]] = [
        ("ingested", figures["ingest"]["added"], figures["ingest"]["seconds"]),
        ("encoded", figures["work"]["encoded"], figures["work"]["seconds"]),
    ]
    return ", ".join(f"{count} images {what} in {seconds:.0f} s" for what, count, seconds in parts)


if __name__ == "__main__":
    main()
