"""The four tasks of the quality benchmark: films with codes, in a training part, a validation part and a test part."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import RADIOGRAPHS
from numpy.typing import NDArray

from radretrieval.coding.radon import barcode
from radretrieval.imaging import read_image
from radretrieval.imaging.resample import resample
from radretrieval.phantom import archive_size, write_archive
from radretrieval.phantom.layouts import LAYOUTS
from radretrieval.profile import PAPER

QUERIES = ("validation", "test", "distractor")
PARTS = ("train", *QUERIES)
VALIDATION_SHARE, VALIDATION_SEED = 0.15, 13
LEVEL = 64  # pixels a side to which task (c) brings every film first


class Film(NamedTuple):
    """One image: its file, its code, whose it is, and in which of `PARTS` it is."""

    file: Path
    code: str
    patient: str
    part: str


@dataclass(frozen=True)
class Task:
    """Films and where what is made of them is kept.

    Attributes
    ----------
    name : a letter. title : what it is, in a few words.
    films : of all parts. level : every film is brought to so many pixels a side first; None for none.
    folder : keeps the inputs of networks and barcodes.
    """

    name: str
    title: str
    films: tuple[Film, ...]
    level: int | None
    folder: Path

    @cached_property
    def digest(self) -> str:
        """Names the films, their codes and their parts: 12 hexadecimal digits."""
        named = [(film.file.name, film.code, film.part) for film in self.films]
        return hashlib.sha256(json.dumps([named, self.level]).encode()).hexdigest()[:12]

    def codes(self, part: str) -> list[str]:
        """The IRMA codes of a part's films."""
        return [film.code for film in self.films if film.part == part]

    def patients(self, part: str) -> list[str]:
        """The patients of a part's films."""
        return [film.patient for film in self.films if film.part == part]

    @cached_property
    def classes(self) -> list[str]:
        """The codes of the training part, in order."""
        return sorted(set(self.codes("train")))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The class number of each training film."""
        return np.array([self.classes.index(code) for code in self.codes("train")], np.int64)

    def images(self, part: str, side: int) -> NDArray[np.float32]:
        """The films of a part, float32 (n, side, side), 0…1; memory-mapped."""
        return self._kept(f"images-{part}-{side}", lambda: self._read(part, side))

    def barcodes(self, part: str) -> NDArray[np.uint8]:
        """The Radon barcodes of a part's films."""
        shape = PAPER.barcode
        return self._kept(f"barcodes-{part}", lambda: barcode(self._read(part, shape.size), shape.size, shape.angles))

    def _read(self, part: str, side: int) -> NDArray[np.float32]:
        chosen = [film.file for film in self.films if film.part == part]
        found = np.empty((len(chosen), side, side), np.float32)
        for place, file in enumerate(chosen):
            pixels = read_image(file).pixels
            found[place] = resample(pixels if self.level is None else resample(pixels, self.level), side)
        return found

    def _kept(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        target = self.folder / f"{self.name}-{self.digest}" / f"{name}.npy"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}")  # ends with .npy, so that numpy adds nothing
            np.save(draft, make())
            draft.replace(target)
        kept: NDArray[Any] = np.load(target, mmap_mode="r")
        return kept

    def __str__(self) -> str:
        counts = Counter(film.part for film in self.films)
        return f"({self.name}) {self.title}: {len(self.classes)} codes in train; " + ", ".join(
            f"{counts[part]} {part}" for part in PARTS if counts[part]
        )


def tasks(names: str, folder: Path, phantoms: int | None) -> list[Task]:
    """The tasks of these letters; those whose films are not there are left out."""
    return [task for name in names if (task := _MAKERS[name](folder, phantoms)) is not None]


def _stand_in(folder: Path, phantoms: int | None) -> Task:
    """Phantoms of the 193 codes of ImageCLEF 2009, with its priors in train and test; `phantoms` for fewer images."""
    images, classes = archive_size(phantoms, None, "imageclef")
    where = folder / f"phantoms-{images}"
    write_archive(where, images, classes, layout="imageclef", processes=2)
    plan = LAYOUTS["imageclef"].plan(images, classes, 0)
    films = [Film(where / item.file, item.code, str(item.patient), item.split) for item in plan if not item.unlabelled]
    return Task("a", f"stand-in for ImageCLEF 2009, {images} phantoms", split_validation(films), None, folder)


def _radiographs(
    name: str, title: str, column: str, level: int | None, keep: Callable[[dict[str, str]], bool]
) -> Callable[[Path, int | None], Task | None]:
    def made(folder: Path, _: int | None) -> Task | None:
        listed = RADIOGRAPHS / "metadata.csv"
        if not listed.exists():
            return None
        with listed.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "distractor" or keep(row)]
        films = [Film(RADIOGRAPHS / row["file"], row[column], row["patient_id"], row["split"]) for row in rows]
        return Task(name, title, split_validation(films), level, folder)

    return made


def split_validation(films: Sequence[Film]) -> tuple[Film, ...]:
    """Move the films of some patients from train to validation, about `VALIDATION_SHARE` of the films."""
    counts = Counter(film.patient for film in films if film.part == "train")
    patients = sorted(counts)
    np.random.default_rng(VALIDATION_SEED).shuffle(patients)
    before = np.cumsum([0, *(counts[patient] for patient in patients)])[:-1]
    most = VALIDATION_SHARE * sum(counts.values())
    moved = {patient for patient, number in zip(patients, before, strict=True) if number < most}
    return tuple(
        film._replace(part="validation") if film.part == "train" and film.patient in moved else film for film in films
    )


_MAKERS: dict[str, Callable[[Path, int | None], Task | None]] = {
    "a": _stand_in,
    "b": _radiographs("b", "radiographs, coarse codes", "irma_code", None, lambda row: True),
    "c": _radiographs("c", f"radiographs at {LEVEL} px, fine codes", "irma_code_fine", LEVEL, lambda row: True),
    "d": _radiographs(
        "d", "long_tail_subset, coarse codes", "irma_code", None, lambda row: row["long_tail_subset"] == "1"
    ),
}  # fmt: skip
