"""The films that `serve` keeps in files: what they are called, and which of them are of no image any more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

_OF_FILM = re.compile(r"([0-9a-f]{64})\.[0-9]+\.(json|png)")
_PIXELS = re.compile(r"([0-9a-f]{64})\.[0-9]+\.gz")
_BATCH = 1000


def film_name(sha256: bytes, frame: int) -> str:
    """The name, without its suffix, of the description (.json) and the thumbnail (.png) of a frame of a file."""
    return f"{sha256.hex()}.{frame}"


def pixels_name(key: str, level: int) -> str:
    """The name of the pixels of a level; films with equal pixels share them."""
    return f"{key}.{level}.gz"


def drop_unknown(folder: Path, known: Callable[[list[bytes]], Collection[bytes]]) -> int:
    """Delete films of no image, and pixels that no description names; returns how many files.

    Parameters
    ----------
    folder : of the cache. known : those of some SHA-256 that are files of images.
    """
    described, pixels = [], []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if match := _OF_FILM.fullmatch(path.name):
            described.append((path, bytes.fromhex(match[1])))
        elif match := _PIXELS.fullmatch(path.name):
            pixels.append((path, match[1]))
    there: set[bytes] = set()
    for start in range(0, len(described), _BATCH):
        there |= set(known([sha256 for _, sha256 in described[start : start + _BATCH]]))
    unknown = [path for path, sha256 in described if sha256 not in there]
    named = {_key(path) for path, sha256 in described if sha256 in there and path.suffix == ".json"}
    unknown += [path for path, key in pixels if key not in named]
    for path in unknown:
        path.unlink(missing_ok=True)
    return len(unknown)


def _key(path: Path) -> str | None:
    with suppress(OSError, ValueError, TypeError):
        return str(json.loads(path.read_bytes())["key"])
    return None
