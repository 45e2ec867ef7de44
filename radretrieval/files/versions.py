"""Which code made a file: what other code would make differently is not taken up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def code_digest(sources: Iterable[str], distributions: Iterable[str]) -> str:
    """A hash of Python sources and of the versions of libraries, 16 hexadecimal digits.

    Parameters
    ----------
    sources : files as `profile.py`, or folders as `imaging`, of radretrieval.
    distributions : names of libraries, as `numpy`; one that is not installed counts too.
    """
    found = hashlib.sha256()
    for name in sources:
        place = _PACKAGE / name
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            found.update(f"{file.relative_to(_PACKAGE)}\0".encode() + file.read_bytes())
    for name in distributions:
        try:
            found.update(f"\0{name} {version(name)}".encode())
        except PackageNotFoundError:
            found.update(f"\0{name} absent".encode())
    return found.hexdigest()[:16]
