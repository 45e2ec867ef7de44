"""A folder of phantoms with the labels that `ingest` reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from radretrieval.errors import UsageError
from radretrieval.phantom.layouts import LAYOUTS, release_size
from radretrieval.phantom.radiographs import CODES
from radretrieval.phantom.writing import renamed, write_images

_PARAMETERS = ".phantom.json"
_FORM = 2  # raised when equal parameters give other pictures


def write_archive(
    folder: Path | str,
    images: int | None = None,
    classes: int | None = None,
    seed: int = 0,
    layout: str = "csv",
    size: int = 256,
    progress: Callable[[int], None] | None = None,
    processes: int = 1,
) -> Path:
    """Make a folder of synthetic radiographs, PNG with 8-bit grey, and the labels beside them.

    Layout `csv`: the split is by patient, about 80 % train and 20 % test; each class has at least two images in
    train and one in test. Layout `imageclef`: the files, names and class sizes of the ImageCLEF 2009 medical
    annotation release; fewer or more images are both its splits in proportion, each class with at least one image
    to train. Equal parameters give equal files. What a broken-off call left is completed: every file is written
    under a temporary name and renamed, the labels last.

    Parameters
    ----------
    folder : where; made if missing. It must be empty, or hold what a call with the same parameters left.
    images : how many; at least three a class (`csv`, default 480) or one a class (`imageclef`, default as many as
        the release has of those classes: 14,410 of all).
    classes : how many, 1 to 193. `csv`: the first of `CODES`, default 12. `imageclef`: the largest, default 193.
    seed : 0 or more.
    layout : `csv` or `imageclef`.
    size : side of the images in pixels.
    progress : called with the number of images that are done, after each.
    processes : how many make images beside each other. They are started afresh, so that a script that asks for more
        than one must not do its work on import.

    Returns
    -------
    Where the labels are: the CSV for `ingest --labels`; for `imageclef` the folder, which `ingest` recognises.

    Raises
    ------
    UsageError : a parameter is out of its range, or the folder holds something else or cannot be written.
    """
    folder = Path(folder)
    images, classes = archive_size(images, classes, layout)
    _check(classes, seed, size)
    plan = LAYOUTS[layout].plan(images, classes, seed)
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
        write_images(folder, plan, seed, size, processes, progress)
        return LAYOUTS[layout].labels(folder, plan)
    except OSError as error:
        raise UsageError(
            f"cannot write phantoms into {folder}: {error.strerror or error}; "
            "name a folder that you may write, on a disk with room"
        ) from error


def archive_size(images: int | None, classes: int | None, layout: str) -> tuple[int, int]:
    """How many images and classes `write_archive` makes when it is asked for these."""
    if layout not in LAYOUTS:
        raise UsageError(f"layout {layout!r} cannot be written; the layouts are: {', '.join(LAYOUTS)}")
    usual = LAYOUTS[layout]
    classes = usual.classes if classes is None else classes
    if images is None:
        images = release_size(classes) if layout == "imageclef" else usual.images
    return images, classes


def _check(classes: int, seed: int, size: int) -> None:
    if not 1 <= classes <= len(CODES):
        raise UsageError(f"{classes} classes cannot be made; phantoms have 1 to {len(CODES)} classes")
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
    with renamed(mark) as temporary:
        temporary.write_text(json.dumps(parameters) + "\n", encoding="utf-8")
