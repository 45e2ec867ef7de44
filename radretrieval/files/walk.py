"""The files below folders in order of name, as a generator: a folder may hold millions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from radretrieval.errors import InputMissing

# Files that lie beside images and are none, in lower case: of systems that show folders, of DICOM media, and labels.
BESIDE_IMAGES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "dicomdir", "labels.csv"})


class FoundPaths(tuple[Path, ...]):
    """Files that were found in a watched folder, and not named by anyone."""


def is_beside_images(path: str) -> bool:
    """Whether a file is known by its name to be no image."""
    return os.path.basename(path).lower() in BESIDE_IMAGES


def walk(paths: Iterable[Path], skip: frozenset[str] = frozenset()) -> Iterator[str]:
    """Absolute paths of the files below these files and folders, in order of name.

    Hidden files and folders (`.…`) below them and the paths of `skip` are left out; links to folders are not followed.

    Raises InputMissing for a path that does not exist and for a named folder that cannot be listed.
    """
    for path in paths:
        start = os.path.abspath(path)
        if os.path.isdir(start):
            yield from (name for name in _below(start) if name not in skip)
        elif start in skip:
            continue
        elif os.path.exists(start):
            yield start
        else:
            raise InputMissing(f"{path} does not exist; name a radiograph or a folder of radiographs")


def _below(folder: str) -> Iterator[str]:
    """The files below a folder, and the folders below it that cannot be listed."""
    listings = [iter(_listed(folder))]
    while listings:
        entry = next(listings[-1], None)
        if entry is None:
            listings.pop()
        elif entry.is_dir(follow_symlinks=False):
            try:
                listings.append(iter(_listed(entry.path)))
            except InputMissing:
                yield entry.path
        elif not entry.is_dir():
            yield entry.path


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            visible = [entry for entry in listing if not entry.name.startswith(".")]
    except OSError as error:
        raise InputMissing(f"the folder {folder} cannot be listed: {error.strerror}") from None
    return sorted(visible, key=lambda entry: entry.name)
