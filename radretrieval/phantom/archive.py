"""A folder of phantoms with the labels CSV that `ingest --labels` reads."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from radretrieval.errors import UsageError
from radretrieval.phantom.radiographs import CODES, phantom_class, radiograph

LAYOUTS = ("csv",)
COLUMNS = ("file", "irma_code", "split", "patient_id", "modality", "body_part", "view_position", "laterality")

_PARAMETERS = ".phantom.json"
_FORM = 1  # raised when equal parameters give other pictures
_PER_FOLDER = 1000
_TEST_SHARE = 0.2
_MOST_PER_PATIENT = 4
_RUN_LENGTHS = 3  # zlib's Z_RLE: on noisy grey a third faster than its default, and smaller
_PLAN, _PATIENT, _IMAGE = range(3)  # streams of random numbers, apart so that any image can be made alone


class _Item(NamedTuple):
    number: int
    file: str
    code: str
    split: str
    patient: int


def write_archive(
    folder: Path | str,
    images: int,
    classes: int = 12,
    seed: int = 0,
    layout: str = "csv",
    size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Make a folder of synthetic radiographs, PNG with 8-bit grey, and the labels CSV beside them.

    The split is by patient, about 80 % train and 20 % test; each class has at least two images in train and
    one in test. Equal parameters give equal files. What a broken-off call left is completed: every file is
    written under a temporary name and renamed, the labels last.

    Parameters
    ----------
    folder : where; made if missing. It must be empty, or hold what a call with the same parameters left.
    images : how many, at least three a class.
    classes : how many of `CODES`, 1 to 16.
    seed : 0 or more.
    layout : `csv`.
    size : side of the images in pixels.
    progress : called with the number of images that are done, after each.

    Returns
    -------
    The labels CSV, with the columns `COLUMNS`.

    Raises
    ------
    UsageError : a parameter is out of its range, or the folder holds something else or cannot be written.
    """
    folder = Path(folder)
    _check(images, classes, seed, layout, size)
    parameters = {
        "form": _FORM,
        "images": images,
        "classes": classes,
        "seed": seed,
        "layout": layout,
        "size": size,
    }
    try:
        _claim(folder, parameters)
        plan = _plan(images, classes, seed)
        for done, item in enumerate(plan, start=1):
            target = folder / item.file
            if not target.exists():
                _write_image(target, item, seed, size)
            if progress is not None:
                progress(done)
        return _write_labels(folder / "labels.csv", plan)
    except OSError as error:
        raise UsageError(
            f"cannot write phantoms into {folder}: {error.strerror or error}; "
            "name a folder that you may write, on a disk with room"
        ) from error


def _check(images: int, classes: int, seed: int, layout: str, size: int) -> None:
    if layout not in LAYOUTS:
        raise UsageError(f"layout {layout!r} cannot be written; the layouts are: {', '.join(LAYOUTS)}")
    if not 1 <= classes <= len(CODES):
        raise UsageError(f"{classes} classes cannot be made; phantoms have 1 to {len(CODES)} classes")
    if images < 3 * classes:
        raise UsageError(
            f"{images} images are too few for {classes} classes (two to train and one to test each); "
            f"ask for at least {3 * classes} images or for fewer classes"
        )
    if seed < 0:
        raise UsageError(f"seed {seed} is negative; a seed is 0 or more")
    if not 16 <= size <= 4096:
        raise UsageError(f"size {size} is out of range; phantoms have 16 to 4096 pixels a side")


def _claim(folder: Path, parameters: dict[str, object]) -> None:
    """Make the folder ours, or see that it already is."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the phantoms")
    mark = folder / _PARAMETERS
    if mark.is_file():
        try:
            found = json.loads(mark.read_text(encoding="utf-8"))
        except ValueError:
            found = {}
        if found == parameters:
            return
        wanted = ", ".join(
            f"{name} {found.get(name)} instead of {value}"
            for name, value in parameters.items()
            if found.get(name) != value
        )
        raise UsageError(
            f"{folder} holds phantoms made with other parameters ({wanted}); use the same ones or another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if any(entry.name != f".{_PARAMETERS}.part" for entry in folder.iterdir()):
        raise UsageError(f"{folder} is not empty and holds no phantoms; name an empty or a new folder")
    with _renamed(mark) as temporary:
        temporary.write_text(json.dumps(parameters) + "\n", encoding="utf-8")


def _plan(images: int, classes: int, seed: int) -> list[_Item]:
    """Which class, split and patient each image has."""
    rng = np.random.default_rng([seed, _PLAN])
    in_test = np.zeros(images, bool)
    for first in range(classes):
        members = np.arange(first, images, classes)
        in_test[rng.choice(members, max(1, round(_TEST_SHARE * members.size)), replace=False)] = True
    patient = np.empty(images, int)
    next_patient = 0
    for split in (True, False):
        for group in _groups(rng.permutation(np.flatnonzero(in_test == split)), rng):
            patient[group] = next_patient
            next_patient += 1
    return [
        _Item(
            index,
            f"images/{index // _PER_FOLDER:04d}/{index:07d}.png",
            CODES[index % classes],
            "test" if in_test[index] else "train",
            int(patient[index]),
        )
        for index in range(images)
    ]


def _groups(members: np.typing.NDArray[np.intp], rng: np.random.Generator) -> Iterator[np.typing.NDArray[np.intp]]:
    start = 0
    while start < members.size:
        end = start + int(rng.integers(1, _MOST_PER_PATIENT + 1))
        yield members[start:end]
        start = end


def _write_image(target: Path, item: _Item, seed: int, size: int) -> None:
    from PIL import Image  # heavy; only who makes phantoms needs it

    rng = np.random.default_rng([seed, _IMAGE, item.number])
    patient = np.random.default_rng([seed, _PATIENT, item.patient])
    grey = radiograph(item.code, rng, size, patient)
    grey *= 255
    grey += 0.5
    target.parent.mkdir(parents=True, exist_ok=True)
    with _renamed(target) as temporary:
        Image.fromarray(grey.astype(np.uint8)).save(temporary, "PNG", compress_level=1, compress_type=_RUN_LENGTHS)


def _write_labels(target: Path, plan: list[_Item]) -> Path:
    with _renamed(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for item in plan:
            kind = phantom_class(item.code)
            described = (kind.modality, kind.body_part, kind.view_position, kind.laterality)
            writer.writerow((item.file, item.code, item.split, f"P{item.patient:07d}", *described))
    return target


@contextmanager
def _renamed(target: Path) -> Iterator[Path]:
    """A temporary name beside the target, which it gets when all is written."""
    temporary = target.with_name(f".{target.name}.part")
    yield temporary
    os.replace(temporary, target)
