"""A backup: dump, counts, digests and answers of one snapshot, then the store, then the manifest.

A killed run leaves the backup before as it was: the dump has a folder of its own until the manifest names it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from radretrieval import __version__
from radretrieval.archive import connections, contents, pg_programs
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.requirements import server_facts
from radretrieval.backup import answers, store_backup
from radretrieval.backup.manifest import DUMP, FILES, NAME, Manifest, is_dump_folder, listed, locked, prepare
from radretrieval.backup.store_files import prune, sha256_of
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.files.failures import FailureList
from radretrieval.storage.content_store import ContentStore

Step = Callable[[int, int | None, str | None], None]


@dataclass
class BackupReport:
    """What was saved.

    Attributes
    ----------
    folder : of the dump, in the folder of the backup. images, tables : how many.
    database_bytes, store_files, store_bytes : size of the dump; number and size of the store's files.
    copied, copied_bytes : of these, what the backup before had not. removed : files that it had, and that went.
    elsewhere : images whose files are not in the store, and so not in the backup.
    failures : files that the archive needs and the store has not. seconds : in all.
    """

    folder: str
    images: int
    tables: int
    database_bytes: int
    store_files: int
    store_bytes: int
    copied: int
    copied_bytes: int
    removed: int
    elsewhere: int
    failures: FailureList = field(default_factory=FailureList)
    seconds: float = 0.0


def back_up(database: Database, settings: Settings, folder: Path, jobs: int, step: Step) -> BackupReport:
    """Save the archive into a folder, or renew the backup that it holds.

    Parameters
    ----------
    jobs : tables that are dumped at a time. step : as `api.base.Progress`.

    Raises
    ------
    UsageError : the folder holds something else, or the backup of another archive.
    EnvironmentUnusable : no programs that fit, a full disk, a missing right; the backup before is as it was.
    """
    started = time.monotonic()
    _require_apart(folder, settings.store_folder)
    before = prepare(folder)
    with locked(folder, writing=True):
        _remove_dumps(folder, before)
        run = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        if before is not None and run == before.folder:
            time.sleep(1)
            run = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        try:
            report, manifest = _saved(database, settings, folder, before, run, jobs, step)
            os.sync()
            manifest.write(folder)
        except BaseException as error:
            shutil.rmtree(folder / run, ignore_errors=True)
            if isinstance(error, OSError):
                raise EnvironmentUnusable(
                    f"the backup cannot be written to {error.filename or folder}: {error.strerror}; make room or name "
                    "another folder; a backup that was there before is as it was"
                ) from error
            raise
        _remove_dumps(folder, manifest)
        report.removed = prune(folder, listed(folder, manifest))
    report.seconds = time.monotonic() - started
    return report


def _require_apart(folder: Path, store: Path) -> None:
    one, two = folder.resolve(), store.resolve()
    if one == two or one in two.parents or two in one.parents:
        raise UsageError(f"{folder} and the store {store} lie in one another; name a folder apart, on another disk")


def _remove_dumps(folder: Path, manifest: Manifest | None) -> None:
    """Remove the dumps that the manifest does not name: of earlier backups, and of killed runs."""
    for path in folder.iterdir():
        if is_dump_folder(path.name) and (manifest is None or path.name != manifest.folder):
            shutil.rmtree(path)


def _saved(
    database: Database, settings: Settings, folder: Path, before: Manifest | None, run: str, jobs: int, step: Step
) -> tuple[BackupReport, Manifest]:
    """Write dump, store and list of files; the manifest is not written yet."""
    store = ContentStore(settings.store_folder)
    step(0, None, "database")
    with tempfile.TemporaryFile(dir=folder) as spool:
        facts, files = _dumped(database, store, folder, before, run, jobs, spool)
        step(0, files.count, "store")
        with _Listing(folder / run / FILES) as listing:
            old = listed(folder, before) if before is not None else iter(())
            kept = store_backup.back_up(store, files, folder, old, listing.add, lambda count: step(count, None, None))
            size = 0
            for path in sorted((folder / run / DUMP).iterdir()):
                listing.add(sha256_of(path), path.relative_to(folder).as_posix())
                size += path.stat().st_size
        manifest = Manifest(
            **facts,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            version=__version__,
            folder=run,
            files_sha256=listing.digest.hexdigest(),
            database_bytes=size,
            store_files=kept.files,
            store_bytes=kept.bytes,
        )
    report = BackupReport(
        folder=run,
        images=manifest.images,
        tables=len(manifest.tables),
        database_bytes=size,
        store_files=kept.files,
        store_bytes=kept.bytes,
        copied=kept.copied,
        copied_bytes=kept.copied_bytes,
        removed=0,
        elsewhere=manifest.elsewhere,
        failures=kept.failures,
    )
    return report, manifest


def _dumped(
    database: Database,
    store: ContentStore,
    folder: Path,
    before: Manifest | None,
    run: str,
    jobs: int,
    spool: IO[bytes],
) -> tuple[dict[str, Any], store_backup.Spool]:
    """Dump the database, and meanwhile describe it by the same snapshot."""
    url = database.session_url
    with connections.database_errors(url), connections.connect(url, session=True) as connection:
        snapshot = contents.begin(connection)
        archive = contents.identity(connection)
        if before is not None and before.archive != archive:
            raise UsageError(f"{folder} holds the backup of another archive ({folder / NAME}); name a new folder")
        server = server_facts(connection)
        programs = pg_programs.for_dump(server["server_number"] // 10_000)
        (folder / run).mkdir(mode=0o700)
        with contents.reading_all(), pg_programs.dumping(url, programs, snapshot, folder / run / DUMP, jobs):
            files = store_backup.Spool(spool, contents.stored_files(connection))
            store_backup.require_room(store, files, folder)
            facts = _described(connection, server)
        return {**facts, "archive": archive, "program": programs.major}, files


def _described(connection: Connection, server: dict[str, Any]) -> dict[str, Any]:
    return {
        "revision": contents.revision(connection),
        "server": server["server_number"] // 10_000,
        "server_version": server["server_version"],
        "pgvector_version": server["pgvector_version"],
        "pgvector_schema": server["pgvector_schema"],
        "tables": contents.tables(connection),
        "encoders": contents.encoders(connection),
        "answers": answers.ask(connection),
        "elsewhere": contents.elsewhere(connection),
    }


class _Listing:
    """The list of a backup's files, as sha256sum writes and checks it, with its own digest."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digest = hashlib.sha256()

    def __enter__(self) -> _Listing:
        self._file = self._path.open("xb")
        return self

    def __exit__(self, *problem: object) -> None:
        self._file.close()

    def add(self, digest: str, name: str) -> None:
        """Add a file."""
        line = f"{digest}  {name}\n".encode()
        self.digest.update(line)
        self._file.write(line)
