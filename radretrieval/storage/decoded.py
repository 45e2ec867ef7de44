"""Films at the size of a network's input, decoded once and kept in one file on disk, which training maps into memory.

The file is a row of records of equal length, appended as films are decoded: a run that is killed leaves those that it
has read. Each record names its film by the hash of its file and has a checksum; the file's name has the size and a hash
of the code that decodes, so that other code decodes anew.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import EnvironmentUnusable
from radretrieval.files.atomic import make_folders, replacing
from radretrieval.files.uris import frame_of
from radretrieval.files.versions import code_digest
from radretrieval.logs import Log
from radretrieval.storage.source import SourceFile

log = Log(__name__)

_SOURCES = ("imaging", "storage/prepare.py", "storage/decoded.py")
_LIBRARIES = ("numpy", "pillow", "tifffile", "imagecodecs", "pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls")
_SIZE = re.compile("films-([0-9]+)-")
_BLOCK = 64  # records that are read or copied at a time


class MappedFilms:
    """Films on disk, mapped into memory: pages are read when they are used.

    Attributes
    ----------
    pixels : float16 (n, size, size), 0…1, in the order that was asked for.
    """

    def __init__(self, file: int, record: np.dtype[Any], count: int) -> None:
        # copy on write: torch wants memory that may be written
        self._map = mmap.mmap(file, count * record.itemsize, flags=mmap.MAP_PRIVATE)
        records: NDArray[Any] = np.frombuffer(self._map, record, count)
        self.pixels: NDArray[np.float16] = records["pixels"]

    def release(self) -> None:
        """Take the pages that were read out of this process's memory; they stay in the system's file cache."""
        self._map.madvise(mmap.MADV_DONTNEED)


class DecodedFilms:
    """The films that are kept, while `open_decoded` has them locked.

    Parameters
    ----------
    path : the file; made where it is missing. size : side of the films in pixels.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.record = np.dtype([("key", "V36"), ("checksum", "<u4"), ("pixels", "<f2", (size, size))])
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._places: dict[bytes, int] = {}
        self._order: list[bytes] = []  # the key of each record
        self._index()

    def close(self) -> None:
        """Close the file; `MappedFilms` stay."""
        os.close(self._file)

    def __contains__(self, film: SourceFile) -> bool:
        return _key(film) in self._places

    def add(self, film: SourceFile, pixels: NDArray[np.floating[Any]]) -> None:
        """Append a film, in 0…1; raises EnvironmentUnusable when the disk is full."""
        record = np.zeros(1, self.record)
        record["key"], record["pixels"] = np.void(_key(film)), pixels
        record["checksum"] = _checksum(record[0])
        with self._refused():
            left = memoryview(record.tobytes())
            end = len(self._order) * self.record.itemsize
            while left:
                written = os.pwrite(self._file, left, end)
                left, end = left[written:], end + written
        self._note(_key(film))

    def films(self, wanted: Sequence[SourceFile]) -> MappedFilms:
        """These films, in this order, mapped; others that the file had are dropped. All were added before."""
        order = [_key(film) for film in wanted]
        with self._refused():
            if order != self._order:
                self._rewrite(order)
            os.fsync(self._file)
        return MappedFilms(self._file, self.record, len(order))

    def drop_unknown(self, known: Callable[[list[bytes]], Collection[bytes]]) -> int:
        """Drop films of no image; returns how many. `known` gives those of some SHA-256 that are files of images."""
        there = set(known(sorted({_sha256(key) for key in self._order})))
        left = [key for key in self._order if _sha256(key) in there]
        dropped = len(self._order) - len(left)
        if dropped:
            with self._refused():
                self._rewrite(left)
        return dropped

    def _rewrite(self, order: list[bytes]) -> None:
        size = self.record.itemsize
        draft = self._path.with_suffix(".part")  # what a killed run left of it is overwritten
        with replacing(self._path, draft=draft), draft.open("wb") as new:
            os.fchmod(new.fileno(), 0o600)
            for key in order:
                new.write(os.pread(self._file, size, self._places[key] * size))
        os.close(self._file)
        self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        self._order, self._places = order, {key: place for place, key in enumerate(order)}

    def _index(self) -> None:
        """Find the records; the first one that is not whole, and what follows, is left out."""
        with open(self._file, "rb", closefd=False) as file:
            while records := file.read(_BLOCK * self.record.itemsize):
                whole = len(records) // self.record.itemsize
                for record in np.frombuffer(records, self.record, whole):
                    if record["checksum"] != _checksum(record):
                        whole = 0
                        break
                    self._note(record["key"].tobytes())
                if whole < _BLOCK:
                    break
        if os.fstat(self._file).st_size > len(self._order) * self.record.itemsize:
            # into another file: a training that has mapped this one would end with SIGBUS, were it cut off
            self._rewrite(self._order)

    def _note(self, key: bytes) -> None:
        self._places[key] = len(self._order)
        self._order.append(key)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EnvironmentUnusable(
                f"the films that are learnt cannot be kept in {self._path.parent} ({error.strerror or error}): each "
                f"takes {self.record.itemsize} bytes there; make room, or name another folder with RADRETRIEVAL_HOME"
            ) from error


@contextmanager
def open_decoded(folder: Path, size: int) -> Iterator[DecodedFilms]:
    """The films of that size that are kept in a folder, locked against other processes until the block ends.

    Files of the same size that other code has decoded are removed.

    Raises EnvironmentUnusable when the folder cannot be written.
    """
    path = folder / f"films-{size}-{code_digest(_SOURCES, _LIBRARIES)}.bin"
    try:
        make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder / f"films-{size}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EnvironmentUnusable(
            f"{folder}, where training keeps films, cannot be written ({error.strerror or error}); name another folder "
            "with RADRETRIEVAL_HOME"
        ) from error
    try:
        _take(lock, folder)
        for other in folder.glob(f"films-{size}-*"):
            if other != path:
                with suppress(OSError):
                    other.unlink()
        films = DecodedFilms(path, size)
        try:
            yield films
        finally:
            films.close()
    finally:
        os.close(lock)  # and so unlocked


def drop_unknown(folder: Path, known: Callable[[list[bytes]], Collection[bytes]]) -> int:
    """Drop films of no image from every file of a folder, as `DecodedFilms.drop_unknown`; returns how many.

    Waits for a training that reads its films. One that has read them keeps them in memory until it ends.
    """
    dropped = 0
    for size in sorted({int(found[1]) for path in folder.glob("films-*.bin") if (found := _SIZE.match(path.name))}):
        with open_decoded(folder, size) as films:
            dropped += films.drop_unknown(known)
    return dropped


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.warning(
            "waiting_for_training",
            "another training reads its films into %(folder)s; waiting until it has read them",
            folder=folder,
        )
        fcntl.flock(lock, fcntl.LOCK_EX)


def _key(film: SourceFile) -> bytes:
    return film.sha256 + frame_of(film.uri).to_bytes(4, "little")


def _sha256(key: bytes) -> bytes:
    return key[:32]


def _checksum(record: np.void) -> int:
    return zlib.crc32(record["pixels"].tobytes(), zlib.crc32(record["key"].tobytes()))
