"""Whether two versions give the same answers: each makes and dumps the same two archives, and the dumps are compared.

    python benchmarks/same_answers.py dump DIR --out before.json [--shared ../shared] [--encoders FILE]
    python benchmarks/same_answers.py compare before.json after.json [--except REGEX]

The version under test is what `python -m radretrieval` runs; PYTHONPATH names another checkout. It is used through its
command line and by SQL only, so that this script fits any version. In DIR, a new folder, it makes the archives `demo`,
of phantoms, and `shared`, of the radiographs, DICOM files and cases beside the repository. A dump leaves out times and
fresh UIDs, and nothing else. Training repeats to the bit on one machine but perhaps not on another: the weights are
kept beside the dump (before.encoders.zip), and --encoders FILE replaces the trained weights by those of another dump,
so that codes are compared byte for byte.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _same_archive import Archive, Dump
from _same_questions import (
    ANSWERS,
    BATCHES,
    ENCODERS,
    EVALUATIONS,
    EXPORTS,
    FACET,
    PRINTED,
    QUESTIONS,
    SEARCHES,
    TABLES,
)

SHOWN = 3  # differences of a kind that are printed
ABSENT = "(absent)"


def main() -> None:
    """Dump, or compare; ends with 1 where two dumps differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    dumping = actions.add_parser("dump", help="make the archives and write all that they answer")
    dumping.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    dumping.add_argument("--out", type=Path, required=True, metavar="FILE", help="the dump, a .json")
    dumping.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared", metavar="DIR")
    dumping.add_argument("--encoders", type=Path, metavar="FILE", help="the weights of another dump")
    comparing = actions.add_parser("compare", help="print what differs, by kind")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument(
        "--except", dest="left_out", metavar="REGEX", help="differences whose whole place is so, as '.*[.]message'"
    )
    arguments = parser.parse_args()
    if arguments.action == "dump":
        dump(arguments.folder, arguments.shared.resolve(), arguments.out, arguments.encoders)
    else:
        before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (arguments.before, arguments.after))
        sys.exit(compare(before, after, arguments.left_out))


def dump(folder: Path, shared: Path, out: Path, encoders: Path | None) -> None:
    """Make both archives, ask them everything, write the answers."""
    if not (shared / "data").is_dir():
        raise SystemExit(f"{shared / 'data'} is absent; name the folder of shared data with --shared")
    found: Dump = defaultdict(dict)
    folder.mkdir(parents=True)
    folder = folder.resolve()
    key = folder / "patient.key"
    key.write_text("a key that is no secret, for this alone\n")
    key.chmod(0o600)
    with zipfile.ZipFile(out.with_suffix(".encoders.zip"), "w") as kept:
        for name, fill in (("demo", fill_demo), ("shared", fill_shared)):
            with Archive(name, folder, shared, found).serving() as archive:
                fill(archive)
                train(archive, kept, encoders)
                encode(archive)
                ask(archive)
    out.write_text(json.dumps(found, indent=0, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def fill_demo(archive: Archive) -> None:
    """The phantoms of `radretrieval demo`, twice the same; those of a release come later."""
    films, release = archive.folder / "films", archive.folder / "release"
    archive.command("phantom", films, "--images", 480, "--classes", 12)
    archive.command("phantom", release, "--layout", "imageclef", "--images", 150, "--classes", 8, "--seed", 3)
    archive.command("phantom", archive.folder / "new", "--images", 36, "--classes", 12, "--seed", 9)
    for folder in (films, release):
        archive.files("phantom file", folder)
    for _ in range(2):
        archive.command("ingest", films, "--labels", films / "labels.csv", "--workers", 1)


def fill_shared(archive: Archive) -> None:
    """The radiographs with what metadata.csv says of them; DICOM files, sound and broken, kept as copies."""
    folder, labels = archive.shared / "data/radiographs", archive.folder / "labels.csv"
    columns = ("irma_code", "split", "patient_id", "modality", "body_region", "view")
    with (folder / "metadata.csv").open(newline="") as given, labels.open("w", newline="") as made:
        writer = csv.writer(made)
        writer.writerow(["file", "irma_code", "split", "patient_id", "modality", "body_part", "view_position"])
        for row in csv.DictReader(given):
            writer.writerow([folder / row["file"], *(row[column] for column in columns)])
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    archive.command("ingest", *folders, "--labels", labels, "--workers", 1)
    dicom = (archive.shared / "data/dicom", archive.shared / "cases")
    archive.command("ingest", *dicom, "--frames", "each", "--keep", "copy", "--workers", 1)


def train(archive: Archive, kept: zipfile.ZipFile, given: Path | None) -> None:
    """Train the archive's encoders and keep their weights; those of another dump, if given, take their place."""
    for words in ENCODERS[archive.name]:
        archive.command("train", *words.split(), "--device", "cpu")
    for row in archive.rows("SELECT * FROM encoder ORDER BY id"):
        archive.note("trained encoder", str(row["id"]), row)
        name = f"{archive.name}-{row['id']}.safetensors"
        kept.writestr(name, row["weights"])
        if given is not None:
            with zipfile.ZipFile(given) as other:
                weights = other.read(name)
            change = "UPDATE encoder SET weights = %b, weights_sha256 = %b WHERE id = %s"
            archive.rows(change, (weights, hashlib.sha256(weights).digest(), row["id"]))


def encode(archive: Archive) -> None:
    """Codes and an exact index of every encoder; in `demo` more images afterwards, into the live index."""
    encoders = range(1, len(ENCODERS[archive.name]) + 1)
    work = ("work", "--once", "--device", "cpu", "--workers", 1)
    for encoder in encoders:
        archive.command(*work, "--encoder", encoder)
        archive.command("index", "build", "--encoder", encoder)
    if archive.name == "demo":
        archive.command("ingest", archive.folder / "release", "--workers", 1)
    for encoder in encoders:
        archive.command(*work, "--batch", 16, "--encoder", encoder)
        archive.command("index", "check", "--sample", 20, "--encoder", encoder)
        archive.command("encoder", "report", "--encoder", encoder)


def ask(archive: Archive) -> None:
    """All that can be asked: by commands, in files for others, by SQL, and what the tables hold."""
    folder = archive.folder
    for text in SEARCHES[archive.name].splitlines():
        archive.command("search", *archive.words(text), "--device", "cpu", codes=(0, 2))
    for name, text in BATCHES[archive.name].items():
        archive.command("search", *archive.words(text), "--out", folder / name, "--device", "cpu")
        archive.csv("batch", folder / name)
    answers(archive)
    for number, text in enumerate(EVALUATIONS[archive.name]):
        out = folder / f"evaluation-{number}.csv"
        archive.command("evaluate", *archive.words(text), "--csv", out, "--device", "cpu")
        archive.csv("evaluation", out)
    (folder / "export.key").write_text("another key that is no secret\n")
    (folder / "export.key").chmod(0o600)
    for number, text in enumerate(EXPORTS[archive.name]):
        out = folder / f"export-{number}"
        archive.command("export", out, *archive.words(text), "--workers", 1)
        archive.files("export file", out)
    archive.command("verify", "--workers", 1)
    archive.command("status")
    for text in PRINTED:
        archive.printed(*archive.words(text))
    archive.rows("CALL fill_neighbours(k => 5)")
    for name, order in TABLES.items():
        archive.table(f"table {name}", f"SELECT * FROM {name} ORDER BY {order}", by=order.partition(",")[0])
    for row in archive.rows("SELECT id FROM exact_index ORDER BY id"):
        name = f"exact_{row['id']}"
        entries = (
            f"SELECT e.image_id, e.key, e.code, {FACET} FROM {name} e JOIN facet f ON f.id = e.facet_id ORDER BY 1"
        )
        archive.table(f"table {name}", entries)
    for name, statement in QUESTIONS.items():
        archive.table(f"sql {name}", statement)


def answers(archive: Archive) -> None:
    """The files that one search makes."""
    options = []
    for option in ANSWERS[archive.name]["options"].split():
        suffix = {"sr": "dcm", "sc": "dcm", "fhir": "json", "picture": "png"}.get(option, option)
        options += [f"--{option}", str(archive.folder / f"answer-{option}.{suffix}")]
    archive.command("search", *archive.words(ANSWERS[archive.name]["query"]), *options, "--device", "cpu")
    for path in sorted(archive.folder.glob("answer-*")):
        if path.suffix == ".dcm":
            archive.dicom("answer", path)
        elif path.suffix == ".csv":
            archive.csv("answer", path)
        elif path.suffix == ".json":
            archive.json("answer", path)
        else:
            archive.note("answer picture", path.name, path.read_bytes())


def compare(before: Dump, after: Dump, left_out: str | None) -> int:
    """Print what differs, by kind; returns the exit code."""
    values = differing = 0
    for kind in sorted({*before, *after}):
        old, new = before.get(kind, {}), after.get(kind, {})
        found = {}
        for key in sorted({*old, *new}):
            leaves = differences(old.get(key, ABSENT), new.get(key, ABSENT), f"{kind}: {key}")
            found[key] = [leaf for leaf in leaves if not (left_out and re.fullmatch(left_out, leaf[0]))]
        values += len(found)
        keys = [key for key, leaves in found.items() if leaves]
        differing += len(keys)
        if keys:
            print(f"{kind}: {len(keys)} of {len(found)} differ")
        for key in keys[:SHOWN]:
            print(f"  {key}")
            for place, was, now in found[key][:SHOWN]:
                print(
                    f"    {place.removeprefix(f'{kind}: {key}') or 'all of it'}: {str(was)[:200]}  ->  {str(now)[:200]}"
                )
        if len(keys) > SHOWN:
            print(f"  … and {len(keys) - SHOWN} more")
    print(f"{values} values of {len({*before, *after})} kinds compared: {differing} differ")
    return int(differing > 0)


def differences(old: Any, new: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Where two values differ, and by what."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key, ABSENT), new.get(key, ABSENT), f"{place}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (was, now) in enumerate(zip(old, new, strict=True)):
            yield from differences(was, now, f"{place}[{number}]")
    elif old != new:
        yield place, old, new


if __name__ == "__main__":
    main()
