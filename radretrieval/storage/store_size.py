"""How much of a disk the store takes, without reading every name in it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_FOLDERS = 256  # `00` … `ff`: names are SHA-256, so that files are spread evenly over them


@dataclass(frozen=True)
class StoreSize:
    """What is in a store.

    Attributes
    ----------
    files, bytes : how many, and what they take. exact : False where they were extrapolated from a part.
    """

    files: int
    bytes: int
    exact: bool


def store_size(folder: Path, most: int = 20_000) -> StoreSize:
    """The size of a store; one with many more files than `most` is extrapolated from the first of its 256 folders."""
    files = size = seen = 0
    for number in range(_FOLDERS):
        found, taken = _size(folder / f"{number:02x}")
        files, size, seen = files + found, size + taken, seen + 1
        if files >= most:
            break
    return StoreSize(files * _FOLDERS // seen, size * _FOLDERS // seen, seen == _FOLDERS)


def _size(folder: Path) -> tuple[int, int]:
    files = size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(place, name)).st_size
                files += 1
            except FileNotFoundError:  # an intake deleted it meanwhile
                continue
    return files, size


@dataclass(frozen=True)
class Room:
    """Room on the disk of a folder, in bytes."""

    free: int
    total: int


def room(folder: Path) -> Room | None:
    """The room where a folder is, or will be made; None where that cannot be seen."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return Room(usage.free, usage.total)
