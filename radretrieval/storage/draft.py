"""Files on their way into the store: written piece by piece, and locked until they are in it or discarded."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from contextlib import suppress
from io import BufferedRandom, BytesIO
from pathlib import Path

from radretrieval.files.atomic import DRAFT_SUFFIX
from radretrieval.storage.store_access import StoreAccess, store_errors

IN_MEMORY = 2**20  # bytes: a larger one is written to the disk as it comes


class Draft:
    """A file that is written piece by piece, with the SHA-256 of what was written so far.

    Above IN_MEMORY it is a file in the folder of drafts, with an advisory lock (flock) as long as it is open: one
    without a lock was left by a process that was killed.

    Attributes
    ----------
    path : where it is until it is renamed into its place; None while it is in memory.
    """

    def __init__(self, store: Path, folder: Path, access: StoreAccess) -> None:
        self._store, self._folder, self._access = store, folder, access
        self._digest = hashlib.sha256()
        self._file: BufferedRandom | BytesIO = BytesIO()
        self.path: Path | None = None

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of its content."""
        return self._digest.digest()

    @property
    def content(self) -> bytes | None:
        """What was written, while it is in memory."""
        return self._file.getvalue() if isinstance(self._file, BytesIO) else None

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises EnvironmentUnusable where it cannot be written."""
        if self.path is None and self._file.tell() + len(data) > IN_MEMORY:
            with store_errors(self._store):
                self._to_disk()
        with store_errors(self._store):
            self._file.write(data)
        self._digest.update(data)

    def write_to(self, place: Path) -> None:
        """Make sure that a file has its content; `path` has it, unless it was renamed and deleted. Raises OSError."""
        self._file.flush()
        if place != self.path or not place.exists():
            with open(place, "xb", opener=self._access.open_private) as file:
                self._file.seek(0)
                shutil.copyfileobj(self._file, file, IN_MEMORY)

    def close(self) -> None:
        """Delete it, unless it was renamed."""
        with suppress(OSError):
            self._file.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def __del__(self) -> None:
        with suppress(OSError):
            self.close()

    def _to_disk(self) -> None:
        self._access.make_folders(self._store, self._folder)
        path = self._folder / f".{secrets.token_hex(8)}{DRAFT_SUFFIX}"
        file = open(path, "x+b", opener=self._access.open_private)  # noqa: SIM115
        self.path, begun, self._file = path, self._file, file
        with suppress(OSError):  # a file system without locks: `delete_abandoned` deletes nothing there
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        begun.seek(0)
        shutil.copyfileobj(begun, file)


def delete_abandoned(folder: Path) -> None:
    """Delete the drafts of processes that were killed: nobody has them locked."""
    for path in folder.glob(f".*{DRAFT_SUFFIX}"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
