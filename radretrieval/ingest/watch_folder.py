"""A watched folder: files that no longer change are ingested, and by option moved away.

The folder is polled, since network shares deliver no inotify events. A file is ingested once its size and modification
time stayed the same for `settle` seconds: no half-written file is read. A failed file is retried when it changes.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from radretrieval.archive import images
from radretrieval.archive.connections import Database, restart_embedded
from radretrieval.config import Settings
from radretrieval.errors import (
    DatabaseUnavailable,
    EmbeddedServerError,
    EnvironmentUnusable,
    InputMissing,
    UsageError,
    WrongPatientKey,
)
from radretrieval.files.atomic import make_folders, replacing, sync_file
from radretrieval.files.uris import to_uri
from radretrieval.files.walk import FoundPaths, is_beside_images, walk
from radretrieval.ingest.labels_csv import Labels
from radretrieval.ingest.report import IngestReport
from radretrieval.ingest.run import ingest
from radretrieval.ingest.store_check import log_unavailable
from radretrieval.logs import Log

log = Log(__name__)

MOST = 1000  # files of one round, so that results are committed and files moved before more are begun
RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class WatchOptions:
    """How folders are watched.

    Attributes
    ----------
    settle : seconds for which a file must not have changed.
    every : seconds between two scans; None for half of `settle`, 0.1 to 2.
    move_to : where ingested files are moved, under their path below the watched folder; None leaves them in place.
        Failed files stay where they are.
    labels, split, workers : as `ingest` takes them.
    """

    settle: float = 5.0
    every: float | None = None
    move_to: Path | None = None
    labels: Labels | None = None
    split: str | None = None
    workers: int | None = None


@dataclass(frozen=True)
class State:
    """What shows that a file was written to: its size in bytes and its modification time in ns."""

    size: int
    changed: int


class FolderScan:
    """Repeated scans of folders.

    Parameters
    ----------
    folders : each is walked recursively.
    settle : seconds for which a file must not have changed.
    """

    def __init__(self, folders: Sequence[Path], settle: float) -> None:
        self._folders = folders
        self._settle = settle
        self._seen: dict[str, tuple[State, float]] = {}  # state, and since when on the monotonic clock
        self._done: dict[str, State] = {}

    def settled(self, skip: frozenset[str] = frozenset()) -> Iterator[str]:
        """Scan once: files that did not change for `settle` seconds and are not done; at most `MOST`."""
        now = time.monotonic()
        there: set[str] = set()
        found = 0
        for path in walk(self._folders, skip):
            there.add(path)
            state = None if is_beside_images(path) else _state(path)
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

    def mark_done(self, path: str) -> None:
        """Leave a file out of later scans until it changes."""
        if path in self._seen:
            self._done[path] = self._seen.pop(path)[0]


def watch(
    database: Database,
    settings: Settings,
    folders: Sequence[Path],
    options: WatchOptions,
    stop: threading.Event,
    on_round: Callable[[IngestReport], None] | None = None,
) -> IngestReport:
    """Ingest files that appear in folders until `stop` is set; retries while the database is unavailable.

    Parameters
    ----------
    on_round : called with the report of each round that found files.

    Returns the sum of the rounds. Raises InputMissing for a folder that does not exist, UsageError for a `move_to`
    inside a watched folder, WrongPatientKey where the key of the pseudonyms is not the archive's.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputMissing(f"--watch: {folder} is no folder; name a folder that files come into")
        if options.move_to is not None and options.move_to.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"--move-to: {options.move_to} lies in the watched folder {folder}; name one outside of it"
            )
    scan = FolderScan(folders, options.settle)
    every = min(2.0, max(options.settle / 2, 0.1)) if options.every is None else options.every
    skip = frozenset(options.labels.sources) if options.labels else frozenset[str]()
    total = IngestReport.bounded()
    while not stop.is_set():
        try:
            paths = list(scan.settled(skip))
            if paths:
                report = _round(database, settings, folders, options, scan, paths)
                total.add(report)
                if on_round is not None:
                    on_round(report)
                if len(paths) == MOST:
                    continue
        except WrongPatientKey:  # only another start reads another key
            raise
        except (DatabaseUnavailable, EmbeddedServerError, EnvironmentUnusable) as error:
            log_unavailable(error, RETRY_SECONDS)
            if not stop.wait(RETRY_SECONDS):
                restart_embedded(database, settings)
        stop.wait(every)
    return total


def _round(
    database: Database,
    settings: Settings,
    folders: Sequence[Path],
    options: WatchOptions,
    scan: FolderScan,
    paths: Sequence[str],
) -> IngestReport:
    """Ingest settled files, mark them done, and move those that did not fail."""
    report = ingest(
        database,
        settings,
        FoundPaths(Path(path) for path in paths),
        labels=options.labels,
        split=options.split,
        workers=options.workers,
    )
    failed = {failure["path"] for failure in report.failures}
    for path in paths:
        scan.mark_done(path)
        if options.move_to is not None and path not in failed:
            _move(database, path, folders, options.move_to, settings.path_key_file)
    return report


def _state(path: str) -> State | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # deleted meanwhile
    return State(status.st_size, status.st_mtime_ns)


def _move(database: Database, path: str, folders: Sequence[Path], target: Path, key_file: Path | None) -> None:
    """Move an ingested file: copy, update its URI, delete; at every moment the archive names a file that exists."""
    folder = next(f for f in map(os.path.abspath, folders) if path.startswith(f + os.sep))
    place = target / os.path.relpath(path, folder)
    try:
        place = _free(place, path)
        if place.exists():
            sync_file(place)
        else:
            make_folders(place.parent, partial(_make_like, Path(folder), target))
            with replacing(place, parents=True) as draft:  # on the disk before the other place is given up
                draft.touch(0o600)  # copy2 sets the permissions of the file last
                shutil.copy2(path, draft)
        with database.connection() as connection:
            images.moved_from(connection, to_uri(path, key_file), to_uri(place, key_file))
            connection.commit()
        os.unlink(path)
    except OSError as error:
        log.warning(
            "file_not_moved",
            "a file of %(folder)s is in the archive, but cannot be moved to %(target)s: %(reason)s",
            folder=folder,
            target=target,
            reason=error.strerror,
        )


def _make_like(folder: Path, target: Path, place: Path) -> None:
    """Make a folder; below `target` with the permissions of the one in the watched folder that it stands for."""
    if target not in (place, *place.parents):
        place.mkdir()
        return
    place.mkdir(0o700)
    place.chmod(stat.S_IMODE((folder / place.relative_to(target)).stat().st_mode))


def _free(place: Path, path: str) -> Path:
    """A free name: numbered before the suffix where a file with other content has it."""
    import filecmp

    number, free = 1, place
    while free.exists() and not filecmp.cmp(free, path, shallow=False):
        number += 1
        free = place.with_name(f"{place.stem}-{number}{place.suffix}")
    return free
