"""A backup is proven: restored into a scratch server, its tables, answers and indexes compared with what they were."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from radretrieval.archive import connections, contents, encoders, migrations
from radretrieval.archive.connections import Database
from radretrieval.archive.search import exact_check
from radretrieval.backup import answers, restore
from radretrieval.backup.manifest import Manifest, listed, locked
from radretrieval.backup.store_files import key_of
from radretrieval.config import Settings
from radretrieval.errors import RadretrievalError
from radretrieval.files.failures import FailureList

_INDEX_QUERIES = 20

Step = Callable[[int, int | None, str | None], None]


@dataclass
class Verification:
    """What a restore of a backup has shown; it is sound where there are no failures.

    Attributes
    ----------
    files : that were read and compared with their SHA-256. tables, rows : that were restored and compared.
    queries : whose answers were compared: images, both distances and order. indexes : exact ones that were proven.
    failures : by file, table, query or encoder.
    """

    files: int = 0
    tables: int = 0
    rows: int = 0
    queries: int = 0
    indexes: int = 0
    failures: FailureList = field(default_factory=FailureList.first_thousand)
    seconds: float = 0.0


def verify(settings: Settings, folder: Path, step: Step, scratch: str | None = None) -> Verification:
    """Restore a backup into a scratch server, and compare. No archive and no store is touched.

    Parameters
    ----------
    scratch : URL of an empty database for it, which is left empty; None for an embedded server of its own.

    Raises
    ------
    UsageError : the folder holds no whole backup, or `scratch` is not empty.
    EnvironmentUnusable : no program fits, or the scratch server cannot be used.
    """
    started = time.monotonic()
    manifest = Manifest.read(folder)
    found = Verification()
    with locked(folder, writing=False):
        found.files = sum(1 for _ in listed(folder, manifest))
        found.failures.merge(restore.check_files(folder, manifest, step))
        if all(key_of(failure["path"]) is not None for failure in found.failures):
            step(0, None, "database")
            with _scratch(settings, scratch) as url:
                _compare(url, manifest, folder, found)
    found.seconds = time.monotonic() - started
    return found


@contextmanager
def _scratch(settings: Settings, url: str | None) -> Iterator[str]:
    """The URL of an empty database."""
    if url is not None:
        yield url
        return
    from radretrieval.archive.embedded.scratch import scratch_server

    with scratch_server(settings.home, settings.embedded_start_seconds) as url:
        yield url


def _compare(url: str, manifest: Manifest, folder: Path, found: Verification) -> None:
    restore.prepare(url, manifest)
    try:
        try:
            restore.load(url, manifest, folder)
            migrations.upgrade(url)
        except RadretrievalError as error:
            found.failures.add(manifest.folder, error)
            return
        found.tables = len(manifest.tables)
        found.rows = sum(table["rows"] for table in manifest.tables.values())
        _compare_answers(Database(url), manifest, found)
        _prove_indexes(Database(url), found)
    finally:
        with connections.database_errors(url), connections.connect(url) as connection:
            contents.remove_restored(connection)


def _compare_answers(database: Database, manifest: Manifest, found: Verification) -> None:
    with database.connection() as connection:
        again = answers.ask(connection, [int(one) for one in manifest.answers])
    found.queries = len(manifest.answers)
    for one, hits in manifest.answers.items():
        if again.get(one) != hits:
            found.failures.add(f"id:{one}", "answer", "the answer to this image is not the one of the archive")


def _prove_indexes(database: Database, found: Verification) -> None:
    with database.connection() as connection:
        chosen = [encoders.get(connection, row["encoder_id"]) for row in encoders.listed(connection)]
    for encoder in chosen:
        if encoder.exact is None:
            continue
        found.indexes += 1
        if not exact_check.check(database, encoder, _INDEX_QUERIES, answers.CANDIDATES).sound:
            found.failures.add(f"encoder {encoder.id}", "index", "its exact index is not sound")
