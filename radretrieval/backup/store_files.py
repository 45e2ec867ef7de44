"""Files of the store, copied into a backup and back: each is hashed while it is copied.

A file has its name when it is whole. `os.sync` brings all of them to the disk at once, before whatever names them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from radretrieval.archive.contents import StoredFile
from radretrieval.backup.manifest import STORE
from radretrieval.files.atomic import DRAFT_SUFFIX
from radretrieval.files.regular import open_regular
from radretrieval.storage.content_store import ContentStore

_CHUNK = 2**20


class WrongContent(Exception):
    """A file does not have the content that it should have."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file. Raises OSError."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(source: Path, target: Path, expected: str | None, opener: Callable[[str, int], int]) -> str:
    """Copy a file, whose folder exists, with its time; returns the SHA-256.

    Parameters
    ----------
    expected : the SHA-256 that it must have; None for any.

    Raises WrongContent for a file with another SHA-256, and OSError; there is no new file then.
    """
    draft = target.with_name(f".{secrets.token_hex(8)}{DRAFT_SUFFIX}")
    digest = hashlib.sha256()
    try:
        with open_regular(source) as read, open(draft, "xb", opener=opener) as written:
            while chunk := read.read(_CHUNK):
                digest.update(chunk)
                written.write(chunk)
            times = os.fstat(read.fileno())
        if expected is not None and digest.hexdigest() != expected:
            raise WrongContent
        os.utime(draft, ns=(times.st_atime_ns, times.st_mtime_ns))
        draft.replace(target)
    finally:
        with suppress(OSError):
            draft.unlink()
    return digest.hexdigest()


def private(path: str, flags: int) -> int:
    """Open a new file that only its owner can read, as an `opener` of `open`."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def place_of(store: ContentStore, file: StoredFile) -> Path:
    """Where a store has a file."""
    return store.reduced_path(file.sha256, file.frame) if file.frame else store.path(file.sha256)


def key_of(name: str) -> tuple[str, int] | None:
    """SHA-256 and frame (0: the file itself) of a path in the list of a backup; None for one outside its store."""
    if not name.startswith(f"{STORE}/"):
        return None
    content, _, rest = name.rpartition("/")[2].partition(".")
    return content, int(rest.removesuffix(".png") or 0)


class Listed:
    """The files of the backup before, asked for in the order of the list."""

    def __init__(self, lines: Iterator[tuple[str, str]]) -> None:
        self._lines = lines
        self._digest: str | None = None
        self._key: tuple[str, int] | None = ("", 0)

    def digest(self, file: StoredFile) -> str | None:
        """The SHA-256 that the list has of a file; None where it is not in it."""
        wanted = file.sha256.hex(), file.frame
        while self._key is not None and self._key < wanted:
            self._digest, name = next(self._lines, (None, ""))
            self._key = key_of(name)
        return self._digest if self._key == wanted else None


def same_size(source: Path, target: Path) -> bool:
    """Whether a file is there that has the size and time of another. Raises OSError where that is not there."""
    one = source.stat()
    try:
        two = target.stat()
    except FileNotFoundError:
        return False
    return (one.st_size, one.st_mtime_ns) == (two.st_size, two.st_mtime_ns)


def prune(folder: Path, lines: Iterator[tuple[str, str]]) -> int:
    """Delete the files of a backup's store that are not in its list; returns how many."""
    store = ContentStore(folder / STORE)
    removed = 0
    following = (name for _, name in lines if name.startswith(f"{STORE}/"))
    name = next(following, None)
    for place in sorted(store.folder.glob("??/??")):
        if place.is_symlink() or place.parent.is_symlink():  # it leads elsewhere
            continue
        kept = set()
        parent = place.relative_to(folder).as_posix()
        while name is not None and name.rpartition("/")[0] <= parent:
            kept.add(name.rpartition("/")[2])
            name = next(following, None)
        for path in place.iterdir():
            if path.name not in kept:
                path.unlink()
                removed += 1
    return removed
