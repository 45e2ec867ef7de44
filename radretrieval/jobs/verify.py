"""Verification: the file of every image exists and is unchanged, every file in the store has a row and is private.

Threads read and hash the files; images that an older version ingested get the columns that it did not fill. Nothing is
deleted unless asked, and permissions are never changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from radretrieval.archive import images, inbox, pull_state
from radretrieval.archive.connections import Connection, Database
from radretrieval.config import Settings
from radretrieval.errors import ImageError
from radretrieval.files.failures import FailureList
from radretrieval.files.text import printable, shown
from radretrieval.files.uris import file_uri, is_hidden, to_path, to_uri
from radretrieval.ingest.inspect_file import File, InspectedFile, InspectOptions, inspect_file
from radretrieval.jobs.forgotten_files import drop_cached, drop_stored
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.reading import Reading
from radretrieval.storage.worker_pool import WorkerPool

BATCH = 200
MOST_NAMED = 1000
ORPHAN_SECONDS = 3600.0  # the row of a younger file in the store may not be committed yet


@dataclass
class VerifyReport:
    """What was found: images = sound + gone + changed + unreachable.

    gone : the file does not exist. changed : its content differs. unreachable : its server does not answer.
    hidden : paths that were stored before the setting `path_key_file`, and are hidden now.
    completed : images of an older version whose missing columns were filled.
    reduced : those not sound that have a reduced copy. orphans : files in the store that no image, arrival or failure
        names; removed : those deleted, older than an hour. orphan_files : their paths, the first 1000.
    wider : files and folders of the store that others may read or change than RADRETRIEVAL_STORE_GROUP says.
        wider_files : their paths, the first 1000. repair : the command that makes the store as private as it should be;
        None where it is.
    """

    images: int = 0
    sound: int = 0
    gone: int = 0
    changed: int = 0
    unreachable: int = 0
    reduced: int = 0
    completed: int = 0
    hidden: int = 0
    orphans: int = 0
    removed: int = 0
    orphan_files: list[str] = field(default_factory=list)
    wider: int = 0
    wider_files: list[str] = field(default_factory=list)
    repair: str | None = None
    failures: FailureList = field(default_factory=FailureList.first_thousand)
    seconds: float = 0.0

    @property
    def unsound(self) -> int:
        """The number of images with neither a sound file nor a reduced copy."""
        return self.images - self.sound - self.reduced


def verify(
    database: Database,
    settings: Settings,
    *,
    tidy: bool = False,
    workers: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Read the file of every image, and look through the store.

    Parameters
    ----------
    tidy : take orphans out of the store, but for those younger than an hour, and what is left of forgotten images.
    workers : files that are read at a time; None for two a core.
    advance : called with the number of images that were looked at.

    An image whose file is gone gets `gone_at`; one that is back loses it. Paths that were stored before the setting
    `path_key_file` are hidden.
    """
    started = time.monotonic()
    report = VerifyReport()
    reading = Reading.of(settings)
    store = ContentStore(settings.store_folder, settings.store_group)
    with ExitStack() as stack:
        connection = stack.enter_context(database.connection())
        threads = stack.enter_context(ThreadPoolExecutor(workers or 2 * (os.cpu_count() or 1)))
        pool = stack.enter_context(_pool(settings))
        after = 0
        while rows := images.after(connection, after, BATCH):
            connection.commit()  # nothing is held while files are read
            after = rows[-1]["id"]
            found = list(threads.map(lambda row: _look(row, reading), rows))
            _count(connection, report, rows, found, reading)
            sound = [row for row, (state, _) in zip(rows, found, strict=True) if state == "sound"]
            report.completed += _complete(connection, sound, pool, reading)
            report.hidden += _hide_paths(connection, [row["uri"] for row in rows], reading.path_key_file)
            connection.commit()
            if advance is not None:
                advance(len(rows))
        report.hidden += _hide_paths(connection, images.failed_uris(connection), reading.path_key_file)
        connection.commit()
        if tidy:
            drop_stored(connection, settings)  # what `forget` left, when it was killed
            drop_cached(connection, settings)
        _look_through_store(connection, report, store, tidy)
    report.seconds = time.monotonic() - started
    return report


def _hide_paths(connection: Connection, uris: list[str], key_file: Path | None) -> int:
    """Hide the paths that were stored before the site hid them; returns how many."""
    hidden = 0
    for uri in dict.fromkeys(map(file_uri, uris)):
        if key_file is not None and uri.startswith("file:") and not is_hidden(uri):
            images.hide_path(connection, uri, to_uri(to_path(uri), key_file), shown(uri))
            hidden += 1
    return hidden


def _look_through_store(connection: Connection, report: VerifyReport, store: ContentStore, tidy: bool) -> None:
    for path, sha256 in _orphans(connection, store):
        report.orphans += 1
        if report.orphans <= MOST_NAMED:
            report.orphan_files.append(printable(str(path)))
        if tidy and _old(path):
            inbox.hold(connection, sha256)
            if sha256 not in images.named(connection, [sha256]):
                path.unlink(missing_ok=True)
                report.removed += 1
            connection.commit()
    for path in store.access.wider(store.folder):
        report.wider += 1
        if report.wider <= MOST_NAMED:
            report.wider_files.append(printable(str(path)))
    if report.wider:
        report.repair = store.access.repair_command(store.folder)


def _look(row: dict[str, Any], reading: Reading) -> tuple[str, str]:
    """`sound`, or the state of the file and a message."""
    from radretrieval.storage.source import source_bytes

    try:
        source_bytes(row["uri"], bytes(row["sha256"]), reading)
    except ImageError as error:
        if "not the file that was ingested" in str(error):
            return "changed", str(error)
        if row["uri"].startswith(("http:", "https:")):
            return ("gone" if "answers 404" in str(error) else "unreachable"), str(error)
        return ("gone" if _missing(row["uri"], reading) else "unreachable"), str(error)
    return "sound", ""


def _missing(uri: str, reading: Reading) -> bool:
    try:
        return not uri.startswith("file:") or not os.path.lexists(to_path(uri, reading.path_key_file))
    except ImageError:  # hidden with another key
        return False


def _count(
    connection: Connection,
    report: VerifyReport,
    rows: list[dict[str, Any]],
    found: list[tuple[str, str]],
    reading: Reading,
) -> None:
    store = ContentStore(reading.store) if reading.store else None
    for row, (state, message) in zip(rows, found, strict=True):
        report.images += 1
        setattr(report, state, getattr(report, state) + 1)
        if state == "sound":
            continue
        kept = store is not None and store.reduced_path(bytes(row["sha256"]), row["frame"]).exists()
        report.reduced += kept
        message = f"{message}; its reduced copy is shown instead" if kept else message
        report.failures.add(shown(row["uri"], reading.path_key_file), state, message)
    for gone in (True, False):
        states = {"gone"} if gone else {"sound"}
        those = [row for row, (state, _) in zip(rows, found, strict=True) if state in states]
        pull_state.found_gone(connection, [row["id"] for row in those], gone, [row["uri"] for row in those])


def _pool(settings: Settings) -> WorkerPool[File | str, InspectedFile]:
    job = partial(inspect_file, options=replace(InspectOptions.of(settings), keep="reference", frames="each"))
    return WorkerPool.of(settings, job)


def _complete(
    connection: Connection,
    rows: list[dict[str, Any]],
    pool: WorkerPool[File | str, InspectedFile],
    reading: Reading,
) -> int:
    """Fill the columns that an older version did not, from the files; returns the number of images."""
    store = ContentStore(reading.store) if reading.store else None
    files: list[File | str] = []
    able = [row for row in rows if row["incomplete"] and row["uri"].startswith(("file:", "store:"))]
    for row in able:
        copy = store.path(bytes(row["sha256"])) if store is not None else None
        files.append(str(copy if copy is not None and copy.exists() else to_path(row["uri"], reading.path_key_file)))
    done = 0
    for row, (_, found) in zip(able, pool.map(files), strict=True):
        if isinstance(found, InspectedFile) and len(found.images) >= row["frame"]:
            images.complete(connection, row["id"], found.images[row["frame"] - 1])
            done += 1
    return done


def _old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > ORPHAN_SECONDS
    except FileNotFoundError:  # another process deleted it
        return False


def _orphans(connection: Connection, store: ContentStore) -> Iterator[tuple[Path, bytes]]:
    """Files of the store without a row, with their hashes; drafts of killed processes too."""
    waiting: list[tuple[Path, bytes]] = []

    def unnamed() -> list[tuple[Path, bytes]]:
        known = images.named(connection, [sha256 for _, sha256 in waiting])
        connection.commit()
        return [(path, sha256) for path, sha256 in waiting if sha256 not in known]

    for path, sha256 in store.files():
        waiting.append((path, sha256))
        if len(waiting) == BATCH:
            yield from unnamed()
            waiting.clear()
    yield from unnamed()
