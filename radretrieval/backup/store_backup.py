"""The store into a backup: what the backup before has is not copied again."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from radretrieval.archive.contents import StoredFile
from radretrieval.backup.manifest import STORE
from radretrieval.backup.store_files import Listed, WrongContent, copy, place_of, private, same_size, sha256_of
from radretrieval.errors import EnvironmentUnusable
from radretrieval.files.atomic import make_folders
from radretrieval.files.failures import FailureList
from radretrieval.storage.content_store import ContentStore

_RECORD = struct.Struct(">32sI?")


class Spool:
    """The files that the store has to have, kept on the disk until the snapshot that named them is given back."""

    def __init__(self, file: IO[bytes], files: Iterable[StoredFile]) -> None:
        self._file = file
        self.count = 0
        for one in files:
            file.write(_RECORD.pack(one.sha256, one.frame, one.needed))
            self.count += 1

    def __iter__(self) -> Iterator[StoredFile]:
        self._file.seek(0)
        while record := self._file.read(_RECORD.size):
            yield StoredFile(*_RECORD.unpack(record))


@dataclass
class StoreReport:
    """What became of the files: files = copied + unchanged.

    bytes : of all of them; copied_bytes : of those that were copied.
    failures : files that the archive needs and the store has not, or not as they were.
    """

    files: int = 0
    bytes: int = 0
    copied: int = 0
    copied_bytes: int = 0
    failures: FailureList = field(default_factory=FailureList.first_thousand)


def require_room(store: ContentStore, files: Spool, target: Path) -> None:
    """Raise EnvironmentUnusable where there is no store, or no room for the files that a backup has not."""
    if files.count and not store.folder.is_dir():
        raise EnvironmentUnusable(
            f"the store {store.folder} is not here, and the archive has files in it: let RADRETRIEVAL_STORE name it, "
            "on a host that mounts it"
        )
    there = ContentStore(target / STORE)
    needed = 0
    for file in files:
        try:
            if not same_size(place_of(store, file), place_of(there, file)):
                needed += place_of(store, file).stat().st_size
        except OSError:  # it is told when it is copied
            continue
    require_free(target, needed)


def require_free(folder: Path, needed: int) -> None:
    """Raise EnvironmentUnusable where a folder's disk has not so many bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise EnvironmentUnusable(
            f"{folder} has {free / 1e9:.2f} GB free, and {needed / 1e9:.2f} GB of files are to be copied there: make "
            "room, or name another folder; nothing was changed"
        )


def back_up(
    store: ContentStore,
    files: Iterable[StoredFile],
    target: Path,
    before: Iterator[tuple[str, str]],
    write: Callable[[str, str], None],
    advance: Callable[[int], None],
) -> StoreReport:
    """Copy what is new, and list all.

    Parameters
    ----------
    before : the list of the backup before; a file in it is not read again if it has the store's size and time.
    write : is called with SHA-256 and path of each file of the backup.

    Raises OSError where the backup cannot be written.
    """
    report, there, listed = StoreReport(), ContentStore(target / STORE), Listed(before)
    for file in files:
        place = place_of(there, file)
        digest: str | None
        try:
            digest = _taken(place_of(store, file), place, file, listed.digest(file), report)
        except FileNotFoundError:
            digest = _kept(place, file, "is not in the store", report) if file.needed else None
        except WrongContent:
            digest = _kept(place, file, "is damaged in the store", report)
        if digest is not None:
            write(digest, place.relative_to(target).as_posix())
            report.files += 1
            report.bytes += place.stat().st_size
        advance(1)
    return report


def _taken(source: Path, place: Path, file: StoredFile, before: str | None, report: StoreReport) -> str:
    """The SHA-256 of a file of the backup, copied if need be. Raises FileNotFoundError where the store has it not."""
    expected = None if file.frame else file.sha256.hex()
    if same_size(source, place):
        if before is not None:
            return before
        found = sha256_of(place)  # a killed run left it
        if found == (expected or sha256_of(source)):
            return found
    make_folders(place.parent, lambda folder: folder.mkdir(0o700))
    digest = copy(source, place, expected, private)
    report.copied += 1
    report.copied_bytes += place.stat().st_size
    return digest


def _kept(place: Path, file: StoredFile, problem: str, report: StoreReport) -> str | None:
    """The SHA-256 of a file that an earlier backup has whole, and that the store has lost; None without one."""
    digest = sha256_of(place) if place.exists() else None
    sound = digest is not None and (file.frame > 0 or digest == file.sha256.hex())
    message = f"{problem}; " + ("the backup has it from before" if sound else "the backup lacks it")
    report.failures.add(place.name, "gone" if "not in" in problem else "changed", message)
    return digest if sound else None
