"""A backup becomes an archive again: in an empty database of any server, and in the store of this host.

Every file of the backup is compared with its SHA-256 before anything is changed. Then the store is filled, for a row
must not name a file that is not there; the database comes last, in one transaction.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from radretrieval.archive import connections, contents, migrations, pg_programs, urls
from radretrieval.archive.connections import Connection
from radretrieval.archive.requirements import server_facts
from radretrieval.archive.schema.revision import REVISION
from radretrieval.backup.keys import Keys
from radretrieval.backup.manifest import STORE, Manifest, listed, locked
from radretrieval.backup.store_backup import require_free
from radretrieval.backup.store_files import WrongContent, copy, key_of, sha256_of
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.files.failures import FailureList
from radretrieval.storage.content_store import ContentStore

Step = Callable[[int, int | None, str | None], None]
_NAMED = 5


@dataclass
class RestoreReport:
    """What came back.

    Attributes
    ----------
    images, tables : how many; rows and digests of all tables are those of the backup.
    revision : of the schema now. made_at : when the backup was made.
    store_files : of the backup; copied : those of them that the store had not.
    elsewhere : images whose files were not in the backup: they are looked for where they were found.
    failures : files of the store that are missing or damaged in the backup, and were left out.
    """

    images: int
    tables: int
    revision: str
    made_at: str
    store_files: int = 0
    copied: int = 0
    elsewhere: int = 0
    failures: FailureList = field(default_factory=FailureList.first_thousand)
    seconds: float = 0.0


def restore(
    url: str, settings: Settings, folder: Path, step: Step, *, keys: Keys | None = None, skip_damaged: bool = False
) -> RestoreReport:
    """Restore a backup into an empty database and into the store.

    Parameters
    ----------
    url : libpq's, of PostgreSQL itself, not of a pooler.
    keys : are put where the settings say, before the database: a run that is killed afterwards is not run again.
    skip_damaged : leave out files of the store that are missing or damaged in the backup.

    Raises
    ------
    UsageError : the folder holds no whole backup, a file of it is damaged, or the database is not empty.
    EnvironmentUnusable : a server, pgvector or program that does not fit, no room; nothing is in the database then.
    """
    started = time.monotonic()
    manifest = Manifest.read(folder)
    with locked(folder, writing=False):
        prepare(url, manifest)
        failures = check_files(folder, manifest, step)
        damaged = {failure["path"] for failure in failures}
        if fatal := [failure for failure in failures if key_of(failure["path"]) is None or not skip_damaged]:
            raise UsageError(_refusal(folder, fatal, skip=all(key_of(one["path"]) for one in failures)))
        store = ContentStore(settings.store_folder, settings.store_group)
        copied = _fill_store(folder, manifest, store, damaged, step)
        if keys is not None:
            keys.install(settings)
        step(0, None, "database")
        load(url, manifest, folder)
        migrations.upgrade(url)
        _settle(url)
    report = RestoreReport(
        images=manifest.images,
        tables=len(manifest.tables),
        revision=REVISION,
        made_at=manifest.made_at,
        store_files=manifest.store_files,
        copied=copied,
        elsewhere=manifest.elsewhere,
        failures=failures,
    )
    report.seconds = time.monotonic() - started
    return report


def prepare(url: str, manifest: Manifest) -> None:
    """Make sure that the database can take the backup; make pgvector's extension and an empty schema, if need be.

    Raises UsageError, EnvironmentUnusable.
    """
    if manifest.revision > REVISION:
        raise EnvironmentUnusable(
            f"the backup is of radretrieval {manifest.version} with revision {manifest.revision}, and this one knows "
            f"{REVISION}: upgrade radretrieval"
        )
    with connections.database_errors(url):
        migrations.prepare(url)
        with connections.connect(url, session=True) as connection:
            server = server_facts(connection)
            major = server["server_number"] // 10_000
            if major < manifest.server:
                raise EnvironmentUnusable(
                    f"the backup is of PostgreSQL {manifest.server_version}, and the server is of "
                    f"{server['server_version']}: PostgreSQL restores into the same version or a newer one"
                )
            pg_programs.for_restore(manifest.program, major)
            contents.require_pgvector(server, manifest.pgvector_schema)
            contents.require_empty(connection, f"the database at {urls.redacted(url)}")


def check_files(folder: Path, manifest: Manifest, step: Step) -> FailureList:
    """Compare every file of a backup with its SHA-256; the failures' paths are those in the list."""
    failures = FailureList()
    step(0, sum(1 for _ in listed(folder, manifest)), "checking")
    for digest, name in listed(folder, manifest):
        try:
            if sha256_of(folder / name) != digest:
                failures.add(name, "changed", "is damaged: its SHA-256 is not the one of the backup")
        except FileNotFoundError:
            failures.add(name, "gone", "is missing")
        except OSError as error:
            failures.add(name, error, f"cannot be read ({error.strerror})")
        step(1, None, None)
    return failures


def load(url: str, manifest: Manifest, folder: Path) -> None:
    """Restore the dump, and compare rows and digests of every table.

    Raises EnvironmentUnusable where pg_restore fails, or the tables are not those of the backup.
    """
    with connections.database_errors(url):
        with connections.connect(url) as connection:
            major = server_facts(connection)["server_number"] // 10_000
        pg_programs.restore(url, pg_programs.for_restore(manifest.program, major), major, folder / manifest.dump)
        with connections.connect(url, session=True) as connection:
            if other := _other_tables(connection, manifest):
                raise EnvironmentUnusable(
                    f"the tables {', '.join(other)} are not as in the backup; a program may have written to them "
                    "meanwhile: stop all services, drop the schema (psql -c 'DROP SCHEMA radretrieval CASCADE'), and "
                    "restore again"
                )


def _settle(url: str) -> None:
    """Forget the services of the archive before, and make the statistics that a dump does not have."""
    with connections.database_errors(url), connections.connect(url, session=True, autocommit=True) as connection:
        contents.settle(connection)


def _other_tables(connection: Connection, manifest: Manifest) -> list[str]:
    contents.begin(connection)
    found = contents.tables(connection)
    return [name for name in sorted({*found, *manifest.tables}) if found.get(name) != manifest.tables.get(name)]


def _fill_store(folder: Path, manifest: Manifest, store: ContentStore, damaged: set[str], step: Step) -> int:
    """Copy the files that the store has not; returns how many. They are on the disk then."""
    copied = 0
    try:
        wanted = [
            (digest, name)
            for digest, name in listed(folder, manifest)
            if key_of(name) is not None
            and name not in damaged
            and not _there(store.folder / name.removeprefix(f"{STORE}/"), digest)
        ]
        step(0, len(wanted), "store")
        if wanted:
            store.access.make_folders(store.folder, store.folder)
            require_free(store.folder, sum((folder / name).stat().st_size for _, name in wanted))
        for digest, name in wanted:
            target = store.folder / name.removeprefix(f"{STORE}/")
            store.access.make_folders(store.folder, target.parent)
            copy(folder / name, target, digest, store.access.open_private)
            copied += 1
            step(1, None, None)
        os.sync()
    except (OSError, WrongContent) as error:
        reason = getattr(error, "strerror", None) or "a file of the backup changed while it was read"
        raise EnvironmentUnusable(
            f"the store {store.folder} cannot be filled: {reason}; nothing is in the database yet; the {copied} files "
            "that were copied are whole and stay: mend that, and run it again"
        ) from error
    return copied


def _there(target: Path, digest: str) -> bool:
    return target.exists() and sha256_of(target) == digest


def _refusal(folder: Path, failures: list[dict[str, str]], skip: bool) -> str:
    named = ", ".join(f"{one['path']} {one['message']}" for one in failures[:_NAMED])
    more = f" and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
    way = "; --skip-damaged restores all but them" if skip else ""
    return f"the backup in {folder} is damaged: {named}{more}; nothing was restored; name another backup{way}"
