"""pgbouncer in transaction mode before the archive, with a pool of two: every command works, or names what it needs."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from answering import film
from conftest import Run
from databases import Server
from filled import fill
from pooler import pgbouncer

import radretrieval as rr
from radretrieval.archive import codes, connections
from radretrieval.archive import pooled as pooled_connections
from radretrieval.archive.connections import Database
from radretrieval.archive.pooled import PooledConnection
from radretrieval.config import Settings
from radretrieval.jobs.encode import EncodeOptions, encode

SESSION = (
    "need a session, and work is notified in one; name PostgreSQL itself for them with RADRETRIEVAL_DIRECT_DATABASE"
)


@pytest.fixture
def pooled(server: Server, database: Database) -> Iterator[str]:
    """The URL of an archive of 40 coded images through pgbouncer in transaction mode, two connections to the server."""
    with database.connection() as connection:
        fill(connection, 40)
    with pgbouncer(server, database.url) as url:
        yield url


def films(folder: Path, count: int) -> Path:
    rng = np.random.default_rng(5)
    folder.mkdir()
    for number in range(count):
        film(number, rng.integers(0, 256, (40, 48), np.uint8)).save_as(
            folder / f"{number}.dcm", enforce_file_format=True
        )
    return folder


def left_in_sessions(url: str) -> dict[str, Any]:
    """What commands left in the connections of the pool to the server."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        row = connection.execute(
            "SELECT current_setting('search_path'), current_setting('default_transaction_isolation'),"
            " (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels()),"
            " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            "  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),"
            " (SELECT count(*) FROM pg_class WHERE relpersistence = 't')"
        ).fetchone()
    assert row is not None
    return dict(zip(("path", "isolation", "prepared", "listening", "locks", "temporary"), row, strict=True))


NOTHING = {
    "path": '"$user", public',
    "isolation": "read committed",
    "prepared": 0,
    "listening": 0,
    "locks": 0,
    "temporary": 0,
}


def test_field_19_commands_work_through_a_pooler_in_transaction_mode(
    pooled: str, database: Database, inside: Callable[..., Run], tmp_path: Path
) -> None:
    checked = inside("db", "check", "--json", url=pooled)
    assert (checked.json["pooler"], SESSION in checked.stderr) == (True, True)
    hits = inside("search", "id:7", "--json", url=pooled).json["hits"]
    assert hits == inside("search", "id:7", "--json").json["hits"]
    for command in (
        ("status",),
        ("search", "--all", "--out", tmp_path / "hits.csv"),
        ("ingest", films(tmp_path / "films", 2)),
        ("work", "--once", "--device", "cpu"),
        ("index", "build", "--kind", "hnsw"),
        ("index", "audit"),
        ("index", "drop", "--kind", "hnsw"),
        ("encoder", "activate", 1),
    ):
        inside(*command, url=pooled)
    assert inside("status", "--json", url=pooled).json["images"] == 42
    assert left_in_sessions(pooled) == NOTHING


def test_no_command_keeps_one_connection_and_asks_for_a_second(
    server: Server, database: Database, inside: Callable[..., Run], tmp_path: Path
) -> None:
    """Two that did would wait for one another in a pool of two; in a pool of one, one is refused."""
    with database.connection() as connection:
        fill(connection, 40)
    with pgbouncer(server, database.url, size=1, query_wait_timeout=20) as url:
        for command in (
            ("health", "--only", "database"),
            ("status",),
            ("search", "id:7"),
            ("search", "--all", "--out", tmp_path / "hits.csv"),
            ("ingest", films(tmp_path / "films", 2)),
            ("encoder", "report"),
            ("encoder", "export", tmp_path / "encoder.safetensors"),
            ("encoder", "import", tmp_path / "encoder.safetensors"),
            ("audit", "verify"),
            ("audit", "labels"),
        ):
            told = inside(*command, url=url).stderr
            assert "no connection free" not in told, (command, told)


def test_field_19_what_needs_a_session_names_the_setting_and_leaves_no_lock(
    pooled: str, database: Database, inside: Callable[..., Run]
) -> None:
    for command in (("db", "upgrade"), ("index", "build"), ("index", "drop"), ("encoder", "delete", 2)):
        done = inside(*command, url=pooled, check=False)
        assert (done.returncode, "is behind a pooler in transaction mode" in done.stderr) == (3, True), done.stderr
        assert SESSION in done.stderr
        assert left_in_sessions(pooled) == NOTHING
    direct = {"RADRETRIEVAL_DIRECT_DATABASE_URL": database.url}
    for command in (("db", "upgrade"), ("index", "build"), ("index", "check"), ("encoder", "delete", 2)):
        inside(*command, url=pooled, **direct)
    assert inside("db", "check", url=pooled, **direct).stderr == ""
    done = inside("db", "check", url=pooled, check=False, RADRETRIEVAL_DIRECT_DATABASE_URL=pooled)
    assert (done.returncode, "is behind a pooler in transaction mode" in done.stderr) == (3, True)


def test_field_19_a_pool_in_session_mode_does_all_of_it(
    server: Server, database: Database, inside: Callable[..., Run]
) -> None:
    with database.connection() as connection:
        fill(connection, 40)
    with pgbouncer(server, database.url, "session", 3) as url:
        for command in (("db", "upgrade"), ("index", "build"), ("index", "check"), ("search", "id:7")):
            inside(*command, url=url)


@pytest.mark.parametrize("in_turn", [0, 1])
@pytest.mark.parametrize("clients", [0, 1])
def test_a_pool_in_transaction_mode_is_never_taken_for_one_of_sessions(
    server: Server, database: Database, in_turn: int, clients: int
) -> None:
    with pgbouncer(server, database.url, size=2 + clients, server_round_robin=in_turn) as url, ExitStack() as stack:
        for _ in range(clients):  # that hold one of the connections now and then
            stack.enter_context(busy(url))
        assert [pooled_connections.keeps_sessions(url) for _ in range(20)] == [False] * 20


def test_two_at_once_do_not_wait_for_one_another_to_tell_how_a_pool_is_kept(server: Server, database: Database) -> None:
    with pgbouncer(server, database.url, query_wait_timeout=5) as url, ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda _: pooled_connections.keeps_sessions(url), range(200)))
    assert not any(kept)


@contextmanager
def busy(url: str) -> Iterator[None]:
    """A client whose transactions follow one another at random."""
    stop = threading.Event()

    def ask() -> None:
        rng = random.Random(1)
        with psycopg.connect(url, prepare_threshold=None) as connection:
            while not stop.wait(rng.random() / 100):
                connection.execute("SELECT pg_sleep(0.001)")
                connection.rollback()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_field_19_workers_share_a_small_pool_and_are_not_notified_through_it(
    pooled: str, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(home=tmp_path / "home", database_url=pooled)
    with rr.open_archive(settings=settings) as archive:
        archive.ingest(films(tmp_path / "films", 12))
    stop = threading.Event()
    encoded: list[int] = []

    def work() -> None:
        options = EncodeOptions(once=False, device="cpu", workers=1, batch=2)
        encoded.append(encode(Database(pooled), settings, options, stop=stop).encoded)

    threads = [threading.Thread(target=work) for _ in range(2)]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        until = time.monotonic() + 180
        with database.connection() as connection:
            connection.autocommit = True
            while codes.pending_count(connection, 1) and time.monotonic() < until:
                time.sleep(0.05)
        stop.set()
        for thread in threads:
            thread.join()
    assert sum(encoded) == 12
    assert "looking for new images every 10 s" in caplog.text
    assert left_in_sessions(pooled) == NOTHING


def test_field_19_a_search_says_what_it_waits_for(
    server: Server,
    database: Database,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pooled_connections, "WAITING_SECONDS", 0.2)
    with database.connection() as connection:
        fill(connection, 40)
    with (
        pgbouncer(server, database.url, size=1) as url,
        rr.open_archive(url, home=tmp_path / "home") as archive,
        psycopg.connect(url) as other,
        caplog.at_level(logging.WARNING),
    ):
        archive.search(7)
        other.execute("SELECT 1")  # its transaction holds the only connection to the server
        threading.Timer(1.0, other.rollback).start()
        assert archive.search_many().write(tmp_path / "hits.csv").answered == 40
    assert "a pooler has none free (its pool is small, or other clients hold it)" in caplog.text


def test_field_19_transactions_of_a_pooled_connection_begin_with_our_settings(database: Database) -> None:
    with PooledConnection.to(database.url, "it", autocommit=True) as connection:

        def path() -> Any:
            return psycopg.Cursor(connection).execute("SHOW search_path").fetchone()

        assert connection.execute("SELECT count(*) FROM image").fetchone() == (0,)
        assert path() == ('"$user", public',)
        with connection.transaction():
            assert path() == ("radretrieval, public",)
            with connection.transaction():
                pass
            assert path() == ("radretrieval, public",)
        with connection.transaction():
            connections.snapshot(connection)
            assert connection.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
        connection.autocommit = False
        with connection.cursor() as cursor, cursor.copy("COPY (SELECT id FROM image) TO STDOUT") as copy:
            assert list(copy.rows()) == []
        assert path() == ("radretrieval, public",)
        connection.rollback()
        assert path() == ('"$user", public',)
        connection.rollback()
