"""A store that goes away while it is written to: another folder then has its name, that of the mount point as a rule.

What was written there would be hidden as soon as the store is back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from radretrieval.errors import StoreUnavailable


@dataclass(frozen=True)
class _LastWrite:
    """Device and inode of a store at this process's last write, and the folder in it that was written to."""

    identity: tuple[int, int]
    folder: Path


_last: dict[Path, _LastWrite] = {}


@contextmanager
def same_store(store: Path, path: Path) -> Iterator[None]:
    """While `path` in the store is written: raise StoreUnavailable where the store is not that of the last write.

    Looked at before, so that nothing is made in a mount point, and after, before anybody is told that the file is kept.
    A store that was mounted again may have another device: it is known by the folder that was written to last.
    """
    require_same_store(store)
    try:
        yield
    except OSError:
        require_same_store(store)  # which says more
        raise
    identity = require_same_store(store)
    if identity is not None:
        _last[store] = _LastWrite(identity, path.parent)


def require_same_store(store: Path) -> tuple[int, int] | None:
    """Raise StoreUnavailable where the store is not that of this process's last write.

    Returns device and inode of its folder; None where there is none, and none was written to.
    """
    last, found = _last.get(store), None
    try:
        now = os.stat(store)
        found = now.st_dev, now.st_ino
    except FileNotFoundError:
        pass
    if last is not None and found != last.identity and not last.folder.exists():
        raise StoreUnavailable(
            f"the store {store} went away, or was moved: what this process wrote last is not in it. Mount it there; "
            "until then no file is taken. If it is lost, start this process again"
        )
    return found
