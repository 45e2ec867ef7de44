"""Do probabilities hold, and is what nothing resembles named? Over ../shared/data/radiographs.

    python benchmarks/calibration.py [--profile NAME] [--epochs N] [--left-out N] [--field NAME] [--picture PNG]

Trains as `train` does, a tenth of the films held out (from the profile `paper` too, which `train` does not), calibrates
on them, and asks about the test films and about the CT and MR slices. With --left-out N the first N of the classes with
at least 20 films are each left out of training and archive in turn: N trainings more, all of them with --left-out 99.
AUC: how often a film of the class that was left out is farther from everything than a test film of the others.
The last table has the threshold of "nothing similar" and what is flagged by it, when the archive is a part of the films
that were learnt, and when it has grown from that part to all of them.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import RADIOGRAPHS, machine, skip, table
from numpy.typing import NDArray

from radretrieval.coding.backbone import backbone_weights
from radretrieval.coding.calibration import Calibration, Ranked, fit
from radretrieval.coding.cnnc import Coder
from radretrieval.coding.holdout import hold_out
from radretrieval.coding.radon import barcode
from radretrieval.coding.training import TrainingSet, train_network
from radretrieval.evaluation.reliability import Reliability, calibration_error, in_bins
from radretrieval.imaging import read_image
from radretrieval.imaging.resample import resample
from radretrieval.jobs.calibrate import ranked
from radretrieval.profile import BackboneNetwork, Profile, by_name
from radretrieval.report.reliability_picture import write_reliability

LARGEST_ERROR, FLAGGED, FOUND, AUC = 0.03, 0.02, 0.99, 0.95  # issue 13
DRAWS = 4  # of a part of the films that were learnt
SIZE_HEAD = [
    "archive",
    "threshold of its own",
    *(
        f"{what}, {by}"
        for by in ("threshold of all", "its own", "its own, grown to all")
        for what in ("films", "slices")
    ),
]


@dataclass(frozen=True)
class Films:
    """The corpus: inputs of network and barcode codes, IRMA codes, patients and splits; one a film."""

    inputs: NDArray[np.float16]
    barcodes: NDArray[np.uint8]
    codes: NDArray[Any]
    patients: list[str | None]
    split: NDArray[Any]

    @classmethod
    def read(cls, profile: Profile, field: str) -> Films:
        """Decode all of them."""
        with (RADIOGRAPHS / "metadata.csv").open() as file:
            rows = list(csv.DictReader(file))
        inputs, squares = [], []
        shape = profile.barcode
        for row in rows:
            pixels = read_image(RADIOGRAPHS / row["file"]).pixels
            inputs.append(resample(pixels, profile.network.input_size).astype(np.float16))
            squares.append(barcode(resample(pixels, shape.size)[None], shape.size, shape.angles)[0])
        columns = (np.array([row[name] for row in rows]) for name in (field, "split"))
        codes, split = columns
        return cls(np.stack(inputs), np.stack(squares), codes, [row["patient_id"] or None for row in rows], split)


@dataclass(frozen=True)
class Trained:
    """Codes of all films by a network that learnt some, and the calibration by those that it did not."""

    cnnc: NDArray[np.uint8]
    learnt: NDArray[np.intp]
    held: NDArray[np.intp]
    calibration: Calibration


def trained(films: Films, profile: Profile, epochs: int, left_out: str | None = None) -> Trained:
    """Train without a class, hold out a tenth, calibrate."""
    every = np.flatnonzero((films.split == "train") & (films.codes != left_out))
    held = hold_out(films.codes[every].tolist(), [films.patients[place] for place in every.tolist()])
    learnt, asked = every[~held], every[held]
    classes = sorted(set(films.codes[learnt].tolist()))
    labels = np.searchsorted(classes, films.codes[learnt]).astype(np.int64)
    start = backbone_weights(None) if isinstance(profile.network, BackboneNetwork) else None
    network = train_network(
        TrainingSet(films.inputs[learnt], labels, classes),
        profile,
        epochs=epochs,
        backbone=start.tensors if start else None,
    )
    coder = Coder(network.weights, profile)
    blocks = [films.inputs[place : place + 64].astype(np.float32) for place in range(0, len(films.inputs), 64)]
    cnnc = np.concatenate([coder.codes(block) for block in blocks])
    calibration = fit(answers(films, cnnc, asked, learnt, profile), films.codes[asked].tolist())
    assert calibration is not None
    return Trained(cnnc, learnt, asked, calibration)


def answers(
    films: Films, cnnc: NDArray[np.uint8], asked: NDArray[np.intp], learnt: NDArray[np.intp], profile: Profile
) -> list[Ranked]:
    """The answers to some films among those that were learnt."""
    codes = films.codes[learnt].tolist()
    return ranked(cnnc[asked], films.barcodes[asked], cnnc[learnt], films.barcodes[learnt], codes, profile)


def reliability(made: Trained, found: list[Ranked], codes: list[str]) -> Reliability:
    """Stated probabilities of the hits against what they are."""
    stated, right, first = [], [], []
    for answer, code in zip(found, codes, strict=True):
        for place, (own, likely) in enumerate(zip(answer.codes, made.calibration.likelihoods(answer), strict=True)):
            if likely is not None:
                stated.append(likely.code)
                right.append(own == code)
                first.append(place == 0)
    p, truth, leading = np.array(stated), np.array(right, float), np.array(first)
    bins, leaders = in_bins(p, truth), in_bins(p[leading], truth[leading])
    return Reliability(bins, calibration_error(bins), calibration_error(leaders), flagged(made.calibration, found))


def flagged(calibration: Calibration, found: list[Ranked]) -> float:
    """The share of answers with nothing similar."""
    return float(np.mean([calibration.nothing_similar(answer.distance) for answer in found]))


def auc(near: list[Ranked], far: list[Ranked]) -> float:
    """How often one of `far` is farther than one of `near`; ties count half."""
    a, b = (np.array([answer.distance for answer in found]) for found in (near, far))
    return float(((b[:, None] > a).mean() + (b[:, None] >= a).mean()) / 2)


def without(films: Films, profile: Profile, epochs: int, left_out: str) -> dict[str, Any]:
    """A class that is in neither training nor archive: how far its films are."""
    made = trained(films, profile, epochs, left_out)
    known = set(films.codes[made.learnt].tolist())
    test = np.flatnonzero((films.split == "test") & np.isin(films.codes, list(known)))
    odd = np.flatnonzero(np.isin(films.split, ("train", "test")) & (films.codes == left_out))
    near, far = (answers(films, made.cnnc, asked, made.learnt, profile) for asked in (test, odd))
    found = {"class": left_out, "films": len(odd), "auc": auc(near, far), "flagged": flagged(made.calibration, far)}
    print(json.dumps(found), file=sys.stderr, flush=True)  # a run of hours that is broken off has shown these
    return found


def by_size(films: Films, made: Trained, profile: Profile) -> list[list[str]]:
    """Rows of the last table, means over draws of a part of the films that were learnt."""
    asked = [np.flatnonzero(films.split == name) for name in ("test", "distractor")]
    whole = [answers(films, made.cnnc, each, made.learnt, profile) for each in asked]
    rows = []
    for part in (8, 4, 2, 1):
        draws = []
        for seed in range(DRAWS if part > 1 else 1):
            some = made.learnt[np.random.default_rng(seed).random(len(made.learnt)) < 1 / part]
            own = fit(answers(films, made.cnnc, made.held, some, profile), films.codes[made.held].tolist())
            assert own is not None
            small = [answers(films, made.cnnc, each, some, profile) for each in asked]
            of_all, of_part = ([flagged(one, found) for found in small] for one in (made.calibration, own))
            draws.append([own.far, *of_all, *of_part, *(flagged(own, found) for found in whole)])
        far, *shares = np.mean(draws, axis=0)
        rows.append([f"1/{part}", f"{far:.4f}", *(f"{100 * share:.1f} %" for share in shares)])
    return rows


def main() -> None:
    """Train, print the tables, write figures and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="strong")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--left-out", type=int, default=0, metavar="N", help="leave so many classes out in turn")
    parser.add_argument("--field", default="irma_code", help="the column of metadata.csv that is learnt")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="write the reliability diagram there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if not (RADIOGRAPHS / "metadata.csv").exists():
        skip("../shared/data/radiographs is absent")
    profile = by_name(arguments.profile)
    epochs = arguments.epochs or profile.training.epochs
    films = Films.read(profile, arguments.field)
    made = trained(films, profile, epochs)
    test, slices = (np.flatnonzero(films.split == name) for name in ("test", "distractor"))
    found = reliability(made, answers(films, made.cnnc, test, made.learnt, profile), films.codes[test].tolist())
    far = flagged(made.calibration, answers(films, made.cnnc, slices, made.learnt, profile))
    sizes = Counter(films.codes[np.isin(films.split, ("train", "test"))].tolist())
    large = sorted(code for code, count in sizes.items() if count >= 20)[: arguments.left_out]
    rows = [without(films, profile, epochs, code) for code in large]
    print(f"{profile.name}, {epochs} epochs, {len(made.learnt)} films learnt, {made.calibration.films} held out")
    print(machine("torch", "numpy"))
    verdicts = [
        ("calibration error, all hits", found.calibration_error, found.calibration_error <= LARGEST_ERROR),
        ("calibration error, first hits", found.first_hit_error, found.first_hit_error <= LARGEST_ERROR),
        ("radiographs with nothing similar", found.nothing_similar, found.nothing_similar <= FLAGGED),
        ("CT and MR slices with nothing similar", far, far >= FOUND),
        *((f"AUC without {row['class']} ({row['films']} films)", row["auc"], row["auc"] >= AUC) for row in rows),
    ]
    table(
        ["what", "measured", ""],
        [[what, f"{value:.4f}", "reached" if good else "MISSED"] for what, value, good in verdicts],
    )
    print("nothing similar, by the size of the archive")
    table(SIZE_HEAD, by_size(films, made, profile))
    if arguments.picture:
        write_reliability(arguments.picture, found, f"{profile.name}, {epochs} epochs, {len(test)} test films")
    if arguments.json:
        arguments.json.write_text(json.dumps({**asdict(found), "slices": far, "left_out": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
