"""How an archive of phantoms is laid out: which image of which class stands in which file, and where its label."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import UsageError
from radretrieval.irma.imageclef import ID_COLUMN, LABEL_COLUMN, NO_LABEL, PARTS, WITHDRAWN, classes
from radretrieval.phantom.radiographs import CODES, phantom_class
from radretrieval.phantom.writing import Item, renamed

COLUMNS = ("file", "irma_code", "split", "patient_id", "modality", "body_part", "view_position", "laterality")

_PER_FOLDER = 1000
_TEST_SHARE = 0.2
_MOST_PER_PATIENT = 4
_PLAN = 0  # its stream of random numbers; the images have others
_OF_WITHDRAWN = 2  # images of each withdrawn code in the release, all in train
_UNLABELLED = 1  # images without a code, in test


class Layout(NamedTuple):
    """One way to lay out an archive.

    Attributes
    ----------
    images, classes : how many without being asked.
    plan : (images, classes, seed) → every image.
    labels : (folder, plan) → writes what tells the codes, and returns where that is, see `write_archive`.
    """

    images: int
    classes: int
    plan: Callable[[int, int, int], list[Item]]
    labels: Callable[[Path, Sequence[Item]], Path]


def plan_csv(images: int, number: int, seed: int) -> list[Item]:
    """Classes in turn; about 20 % of each in test, by patient."""
    if images < 3 * number:
        raise UsageError(
            f"{images} images are too few for {number} classes (two to train and one to test each); "
            f"ask for at least {3 * number} images or for fewer classes"
        )
    rng = np.random.default_rng([seed, _PLAN])
    in_test = np.zeros(images, bool)
    for first in range(number):
        members = np.arange(first, images, number)
        in_test[rng.choice(members, max(1, round(_TEST_SHARE * members.size)), replace=False)] = True
    patient = _patients(in_test, rng)
    return [
        Item(
            index,
            f"images/{index // _PER_FOLDER:04d}/{index:07d}.png",
            CODES[index % number],
            "test" if in_test[index] else "train",
            int(patient[index]),
        )
        for index in range(images)
    ]


def label_csv(folder: Path, plan: Sequence[Item]) -> Path:
    """One labels CSV with the columns `COLUMNS`."""
    target = folder / "labels.csv"
    with renamed(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for item in plan:
            kind = phantom_class(item.code)
            described = (kind.modality, kind.body_part, kind.view_position, kind.laterality)
            writer.writerow((item.file, item.code, item.split, f"P{item.patient:07d}", *described))
    return target


def plan_imageclef(images: int, number: int, seed: int) -> list[Item]:
    """The release's classes and sizes, or their share; ids and classes in no order."""
    sizes = class_sizes(images, number)
    rng = np.random.default_rng([seed, _PLAN])
    cells = [(code, split) for (code, split), count in sizes.items() for _ in range(count)]
    order = rng.permutation(len(cells))
    ids = np.sort(rng.choice(2 * len(cells), len(cells), replace=False)) + 1
    patient = _patients(np.array([cells[place][1] == "test" for place in order]), rng)
    folders = {part.split: part.folder for part in PARTS}
    items = []
    for name, place, who in zip(ids, order, patient, strict=True):
        code, split = cells[place]
        shown = code if code != NO_LABEL else CODES[int(rng.integers(number))]
        items.append(Item(int(name), f"{folders[split]}/{name}.png", shown, split, int(who), code == NO_LABEL))
    return items


def class_sizes(images: int, number: int) -> dict[tuple[str, str], int]:
    """How many images each code has in train and in test, by (code, split).

    The `number` largest classes in the release's sizes; with all 193 also the six images of the withdrawn codes and
    the one that has no code (`NO_LABEL`). If that is not `images`, both splits shrink or grow in proportion, by
    largest remainders, but every class keeps an image to train.
    """
    release = {(known.irma_code, "train"): known.train for known in classes()[:number]}
    release |= {(known.irma_code, "test"): known.test for known in classes()[:number]}
    least = {cell: int(cell[1] == "train") for cell in release}
    if number == len(classes()):
        release |= {(code, "train"): _OF_WITHDRAWN for code in WITHDRAWN} | {(NO_LABEL, "test"): _UNLABELLED}
    if images < number:
        raise UsageError(
            f"{images} images are too few for {number} classes (one to train each); ask for at least {number} images "
            "or for fewer classes"
        )
    scale = Fraction(images, sum(release.values()))
    exact = {cell: count * scale for cell, count in release.items()}
    sizes = {cell: max(least.get(cell, 0), int(share)) for cell, share in exact.items()}
    missing = images - sum(sizes.values())
    order = sorted(exact, key=lambda cell: exact[cell] - sizes[cell], reverse=missing > 0)
    while missing:
        for cell in order:
            if missing > 0:
                sizes[cell] += 1
                missing -= 1
            elif missing < 0 and sizes[cell] > max(least.get(cell, 0), 0):
                sizes[cell] -= 1
                missing += 1
    return sizes


def label_imageclef(folder: Path, plan: Sequence[Item]) -> Path:
    """The codes of train and of test as the release has them; the folder of both is returned."""
    for part in PARTS:
        target = folder / part.codes
        with renamed(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=";", lineterminator="\n")
            writer.writerow(part.columns)
            for item in plan:
                if item.split == part.split:
                    code = NO_LABEL if item.unlabelled else item.code
                    told = {ID_COLUMN: str(item.number), "irma_code": code, LABEL_COLUMN: code}
                    writer.writerow([told.get(column, NO_LABEL) for column in part.columns])
    return folder


def release_size(number: int) -> int:
    """How many images the release has of its `number` largest classes."""
    extra = _OF_WITHDRAWN * len(WITHDRAWN) + _UNLABELLED if number == len(classes()) else 0
    return sum(known.train + known.test for known in classes()[:number]) + extra


def _patients(in_test: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int_]:
    """A patient for each image, never in both splits; many have several images."""
    patient = np.empty(in_test.size, int)
    next_patient = 0
    for split in (True, False):
        for group in _groups(rng.permutation(np.flatnonzero(in_test == split)), rng):
            patient[group] = next_patient
            next_patient += 1
    return patient


def _groups(members: NDArray[np.intp], rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    start = 0
    while start < members.size:
        end = start + int(rng.integers(1, _MOST_PER_PATIENT + 1))
        yield members[start:end]
        start = end


LAYOUTS = {
    "csv": Layout(480, 12, plan_csv, label_csv),
    "imageclef": Layout(release_size(len(classes())), len(classes()), plan_imageclef, label_imageclef),
}
