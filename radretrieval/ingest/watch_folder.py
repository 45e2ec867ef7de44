"""A watched folder: files that lie still are ingested, and by option moved away.

Polled, for changes on a network share are announced to nobody. A file is taken once its size and time of change were
the same for a while: who is still writing it is not disturbed, and a file that failed is tried again when it changes.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from radretrieval.archive import images
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import (
    DatabaseUnavailable,
    EmbeddedServerError,
    EnvironmentUnusable,
    InputMissing,
    UsageError,
)
from radretrieval.files.atomic import replacing
from radretrieval.files.uris import printable, to_uri
from radretrieval.files.walk import walk
from radretrieval.ingest.labels_csv import Labels
from radretrieval.ingest.report import IngestReport
from radretrieval.ingest.run import ingest

log = logging.getLogger(__name__)

MOST = 1000  # files of one round: what is done is seen, and moved, before more are begun
RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class State:
    """What tells whether a file was written to: its size in bytes and its time of change in ns."""

    size: int
    changed: int


class Watch:
    """Folders that are looked through again and again.

    Parameters
    ----------
    folders : each is walked whole, whatever lies below it.
    settle : seconds for which a file must have lain still.
    """

    def __init__(self, folders: Sequence[Path], settle: float) -> None:
        self._folders = folders
        self._settle = settle
        self._seen: dict[str, tuple[State, float]] = {}  # since when it is so, on the monotonic clock
        self._done: dict[str, State] = {}

    def still(self, skip: frozenset[str] = frozenset()) -> Iterator[str]:
        """Files that lie still and were not finished as they are; at most `MOST`."""
        now = time.monotonic()
        there: set[str] = set()
        found = 0
        for path in walk(self._folders, skip):
            there.add(path)
            state = _state(path)
            if state is None or self._done.get(path) == state:
                continue
            before = self._seen.get(path)
            if before is None or before[0] != state:
                self._seen[path] = (state, now)
            elif now - before[1] >= self._settle and found < MOST:
                found += 1
                yield path
        for known in (self._seen, self._done):
            for path in [path for path in known if path not in there]:
                del known[path]

    def finished(self, path: str) -> None:
        """A file was taken, or refused, as it was when it was last seen."""
        if path in self._seen:
            self._done[path] = self._seen.pop(path)[0]


def watch(
    database: Database,
    settings: Settings,
    folders: Sequence[Path],
    *,
    settle: float,
    every: float,
    stop: threading.Event,
    move_to: Path | None = None,
    labels: Labels | None = None,
    split: str | None = None,
    workers: int | None = None,
    tell: Callable[[IngestReport], None] | None = None,
) -> IngestReport:
    """Ingest what comes into folders until told to stop; a database that is away is waited for.

    Parameters
    ----------
    settle : seconds for which a file must have lain still. every : seconds between two looks.
    move_to : where files go that are in the archive, below the path that they had; None leaves them where they are.
        Those that failed stay, for someone to look at them.
    tell : called with the report of each round that found something.

    Returns the sum of the rounds. Raises UsageError for a folder that is none, or a target inside of one.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputMissing(f"--watch: {folder} is no folder; name a folder that files come into")
        if move_to is not None and move_to.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"--move-to: {move_to} lies in the watched folder {folder}; name one outside of it")
    looked = Watch(folders, settle)
    total = IngestReport()
    skip = frozenset(labels.sources) if labels else frozenset[str]()
    while not stop.is_set():
        try:
            paths = list(looked.still(skip))
            if paths:
                report = ingest(
                    database, settings, [Path(path) for path in paths], labels=labels, split=split, workers=workers
                )
                failed = {failure["path"] for failure in report.failures}
                for path in paths:
                    looked.finished(path)
                    if move_to is not None and path not in failed:
                        _move(database, path, folders, move_to)
                total.add(report)
                if tell is not None:
                    tell(report)
                if len(paths) == MOST:
                    continue
        except (DatabaseUnavailable, EmbeddedServerError, EnvironmentUnusable) as error:
            log.warning("%s (trying again in %d s)", error, RETRY_SECONDS)
            stop.wait(RETRY_SECONDS)
        stop.wait(every)
    return total


def _state(path: str) -> State | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # it went away meanwhile
    return State(status.st_size, status.st_mtime_ns)


def _move(database: Database, path: str, folders: Sequence[Path], target: Path) -> None:
    """Move a file that is in the archive: it is at both places until the archive knows the new one."""
    folder = next(f for f in map(os.path.abspath, folders) if path.startswith(f + os.sep))
    place = target / os.path.relpath(path, folder)
    try:
        place = _free(place, path)
        if not place.exists():
            with replacing(place, parents=True) as draft:  # on the disk before the other place is given up
                shutil.copy2(path, draft)
        with database.connection() as connection:
            images.moved_from(connection, to_uri(path), to_uri(place))
            connection.commit()
        os.unlink(path)
    except OSError as error:
        log.warning("%s is in the archive, but cannot be moved to %s: %s", printable(path), target, error.strerror)


def _free(place: Path, path: str) -> Path:
    """A name that no other file has: with a number before the suffix where needed; a copy of the file is no other."""
    import filecmp

    number, free = 1, place
    while free.exists() and not filecmp.cmp(free, path, shallow=False):
        number += 1
        free = place.with_name(f"{place.stem}-{number}{place.suffix}")
    return free
