"""A folder of limited size, from which the files that were used least recently are deleted first."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from radretrieval.files.atomic import make_folders, write_bytes
from radretrieval.logs import Log

log = Log(__name__)

_KEPT = 0.9  # of the limit, when files are deleted: so that not each new file has the folder listed


class FilmCache:
    """Files by name, in folders by the first two characters; several threads and processes may use one folder.

    Parameters
    ----------
    folder : whose files, in all folders below it, are counted. version : the folder in it that this process uses.
    limit : of the size of all files, in bytes.
    """

    def __init__(self, folder: Path, version: str, limit: int) -> None:
        self._folder, self._version, self._limit = folder, version, limit
        self._lock = threading.Lock()
        self._size: int | None = None

    def path(self, name: str) -> Path:
        """The path of a file, whether it exists or not."""
        return self._folder / self._version / name[:2] / name

    def get(self, name: str) -> bytes | None:
        """The content of a file, which now is the one used last; None where there is none."""
        path = self.path(name)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)
        return data

    def put(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all; where the disk refuses, a warning is logged."""
        path = self.path(name)
        try:
            make_folders(path.parent, lambda folder: folder.mkdir(0o700))
            write_bytes(path, data, mode=0o600)
        except OSError as error:
            log.warning(
                "film_cache_full",
                "the cache of films %(folder)s cannot take a file (%(reason)s)",
                folder=self._folder,
                reason=error.strerror or error,
            )
            return
        with self._lock:
            if self._size is not None:
                self._size += len(data)
            if self._size is None or self._size > self._limit:
                self._shrink()

    def _shrink(self) -> None:
        """Measure the folder, and delete files, oldest use first, until it is below its limit."""
        found = []
        for path in self._folder.rglob("*"):
            with suppress(OSError):
                status = path.lstat()
                if path.is_file():
                    found.append((status.st_mtime_ns, status.st_size, path))
        size = sum(one for _, one, _ in found)
        if size > self._limit:
            for _, one, path in sorted(found):
                if size <= _KEPT * self._limit:
                    break
                with suppress(OSError):
                    path.unlink()
                    size -= one
        self._size = size
