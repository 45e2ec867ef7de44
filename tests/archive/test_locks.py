"""Locks of writers: only who may write can take them, a wait is logged with who has the lock, and db check sees it."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anchored import asking, far_codes, new_images, refused, rows
from nodes import until
from tiny import add_encoder

from radretrieval.archive import codes, connections, encoders, images, inbox, locks, migrations
from radretrieval.archive.connections import Database
from radretrieval.archive.images import NewImage
from radretrieval.archive.inbox import Arrival
from radretrieval.archive.search import exact_index, hnsw
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, UsageError
from radretrieval.ingest.register import register_images

CONTENTS = [hashlib.sha256(bytes([i])).digest() for i in range(50)]


def image(n: int) -> NewImage:
    return NewImage(hashlib.sha256(f"{n}".encode()).digest(), f"file:///{n}", "png", 4, 5, 8, "M")


@pytest.fixture
def reader(database: Database) -> Iterator[Any]:
    """A connection of a role that may read everything, and nothing else."""
    name = f"reader_{secrets.token_hex(4)}"
    with asking(database.url) as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'reads'; GRANT USAGE ON SCHEMA radretrieval TO {name}")
        owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA radretrieval TO {name}")
        try:
            with connections.connect(database.url, user=name, password="reads", autocommit=True) as made:
                yield made
        finally:
            owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is long elsewhere is a moment here."""
    monkeypatch.setattr(locks, "SECONDS", 0.2)


def beside(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def test_field_21_a_role_that_only_reads_stops_no_writer(database: Database, reader: Any) -> None:
    # what held the turns of ingestion, of graphs and of contents
    held = [7266320150, 7266320151, int.from_bytes(image(1).sha256[:8], "big", signed=True)]
    for key in held:
        reader.execute("SELECT pg_advisory_lock(%s)", (key,))
    reader.execute("SELECT pg_advisory_lock(726632015, 1)")
    assert "permission denied" in refused(reader, "SELECT lock_named('ingestion', 5)")
    assert "permission denied" in refused(reader, "SELECT lock_contents(%s, 5)", (CONTENTS[:1],))
    assert "permission denied" in refused(reader, "SELECT FROM write_lock FOR KEY SHARE")
    assert "permission denied" in refused(reader, "LOCK TABLE neighbour IN SHARE UPDATE EXCLUSIVE MODE")
    with database.connection() as made:
        made.execute("SET statement_timeout = '5s'")
        inbox.hold(made, image(1).sha256)
        assert [one.outcome for one in register_images(made, Settings(), [image(1)])] == ["added"]
        number = add_encoder(made)
        codes.write_cnnc(made, number, [1], far_codes(1), 1000)
        encoder = encoders.get(made)
    with asking(database.url) as made:
        made.execute("SET statement_timeout = '5s'")
        made.execute("CALL fill_neighbours(3)")
    exact_index.build(database, encoder, 16)


def test_field_21_an_idle_reader_neither_stops_builders_nor_makes_searches_wait(
    database: Database, reader: Any, soon: None, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that read codes and indexes, and is idle, keeps locks of their tables."""
    monkeypatch.setattr(exact_index, "READER_SECONDS", 1.0)
    with database.connection() as made:
        new_images(made, 60)
        number = add_encoder(made)
        codes.write_cnnc(made, number, list(range(1, 51)), far_codes(50), 1000)
        encoder = encoders.get(made)
        hnsw.build(made, encoder)
    exact_index.build(database, encoder, 16)
    with reader.transaction():
        reader.execute(f"SELECT FROM exact_1, cnnc_{number} LIMIT 1")
        assert exact_index.build(database, encoder, 16).index_id == 2
        has = f"used by process {reader.info.backend_pid} (role "
        assert f"waiting to lock exact_1 for 2 s; {has}" in caplog.text
        caplog.clear()
        building = beside(lambda: build_graph(database, encoder))
        deadline = time.monotonic() + 20
        while f"waiting to lock radretrieval.cnnc_{number} for 2 s; {has}" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with asking(database.url) as made:
            made.execute("SET statement_timeout = '5s'")
            assert len(rows(made, "SELECT * FROM similar(1, 5)")) == 5
    building.join(20)
    assert not building.is_alive()
    exact_index.build(database, encoder, 16)
    with database.connection() as made:
        assert rows(made, "SELECT to_regclass('exact_1'), to_regclass('exact_2')") == [(None, None)]


def build_graph(database: Database, encoder: Any) -> None:
    with database.connection() as made:
        hnsw.build(made, encoder)


@pytest.mark.parametrize("first", [True, False])
def test_field_21_a_wait_is_logged_with_who_has_the_lock(
    database: Database, soon: None, caplog: Any, first: bool
) -> None:
    if not first:
        write(database, 0)
    with connections.connect(f"{database.url}&application_name=the%20other") as other:
        images.lock_ingestion(other)
        pid = other.info.backend_pid
        writing = beside(lambda: write(database, 1))
        deadline = time.monotonic() + 20
        while not caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        other.commit()
    writing.join(20)
    assert "waiting for the lock 'ingestion' of the archive for 0 s; it is held by process" in caplog.text
    assert f"process {pid} (role " in caplog.text
    assert "the other, idle in transaction, in a transaction since" in caplog.text
    with database.connection() as made:
        assert rows(made, "SELECT count(*) FROM image") == [(1 if first else 2,)]
        assert rows(made, "SHOW lock_timeout") == [("0",)]


def write(database: Database, n: int) -> None:
    with database.connection() as made:
        register_images(made, Settings(), [image(n)])
        assert rows(made, "SHOW lock_timeout") == [("0",)]


def test_field_21_locks_of_contents_exclude_each_other_and_leave_nothing(
    database: Database, soon: None, caplog: Any
) -> None:
    got: list[float] = []

    def hold() -> None:
        with database.connection() as made:
            inbox.hold(made, *CONTENTS[10:20])
            got.append(time.monotonic())

    with connections.connect(database.url) as other:
        inbox.hold(other, *CONTENTS[:11])
        pid = other.info.backend_pid
        with database.connection() as third:  # other contents are free
            inbox.hold(third, *CONTENTS[20:30])
            inbox.hold(third, *CONTENTS[20:31], CONTENTS[20])  # its own too
        holding = beside(hold)
        time.sleep(1)
        assert not got
        ended = time.monotonic()
        other.commit()
    holding.join(20)
    assert got[0] >= ended
    assert f"the lock of a file's content for 0 s; it is held by process {pid} " in caplog.text
    with database.connection() as made:
        assert rows(made, "SELECT name FROM write_lock WHERE length(name) = 64") == []


def test_contents_are_locked_in_one_order(database: Database) -> None:
    failures: list[BaseException] = []

    def hold(contents: list[bytes]) -> None:
        try:
            for _ in range(40):
                with database.connection() as made:
                    inbox.hold(made, *contents)
        except BaseException as error:
            failures.append(error)

    threads = [beside(lambda order=order: hold(CONTENTS[::order])) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_arrivals_are_put_once_their_lock_is_free(
    database: Database, soon: None, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[set[bytes]] = []

    def put() -> None:
        with database.connection() as made:
            found.append(inbox.put(made, [Arrival(one, f"store:{one.hex()}") for one in CONTENTS[:2]], CONTENTS[2:4]))
            other_waits = connections.connect(database.url, autocommit=True)
            with other_waits:
                row = other_waits.execute("SELECT lock_contents(%s, 0.1) AS taken", (CONTENTS[3:4],)).fetchone()
                assert row == {"taken": False}, "the others are locked too"

    with connections.connect(database.url) as other:
        inbox.hold(other, CONTENTS[3])
        inbox.add(other, Arrival(CONTENTS[0], f"store:{CONTENTS[0].hex()}"))
        thread = beside(put)
        until(lambda: "waiting for the lock of a file's content" in caplog.text, "the wait is logged")
        other.commit()
    thread.join(20)
    assert found == [{CONTENTS[1]}]
    with database.connection() as made:
        assert inbox.put(made, [Arrival(CONTENTS[5], "store:5")]) == {CONTENTS[5]}
        assert inbox.count(made) == 3


def test_a_limit_of_the_site_ends_the_wait(database: Database) -> None:
    with connections.connect(database.url) as other, database.connection() as made:
        images.lock_ingestion(other)
        inbox.hold(other, CONTENTS[0])
        made.execute("SET lock_timeout = '100ms'")
        assert "lock timeout" in refused(made, "SELECT lock_named('ingestion', 5)")
        assert "lock timeout" in refused(made, "SELECT lock_contents(%s, 5)", (CONTENTS[:1],))
        assert not locks.try_lock(made, locks.INGESTION)
        assert locks.try_lock(made, "another")


def test_field_21_db_check_sees_a_writer_that_waits(database: Database, soon: None) -> None:
    with asking(database.url) as made, connections.connect(database.url) as other:
        new_images(made, 1)
        locks.check(made)
        other.execute("LOCK TABLE image IN SHARE MODE")
        writing = beside(lambda: write(database, 2))
        deadline, told = time.monotonic() + 20, ""
        while not told:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            try:
                locks.check(made)
            except DatabaseUnavailable as error:
                told = str(error)
        blocked = f"process {other.info.backend_pid} (role "
        assert told.startswith("writers wait: process ")
        assert f" s for {blocked}" in told
        assert f"SELECT pg_terminate_backend({other.info.backend_pid});" in told
        other.commit()
        writing.join(20)
        locks.check(made)


def test_field_21_a_second_builder_is_told_who_builds(database: Database) -> None:
    with database.connection() as made:
        number = add_encoder(made)
        encoder = encoders.get(made, number)
    with connections.connect(database.url) as other:
        other.execute("SELECT pg_advisory_lock(726632015, %s)", (number,))
        with pytest.raises(UsageError, match=rf"end that process: process {other.info.backend_pid} \(role "):
            exact_index.drop(database, encoder)
    exact_index.drop(database, encoder)


def test_field_21_an_upgrade_that_waits_says_for_whom(database: Database, soon: None, caplog: Any) -> None:
    with asking(database.url) as other:
        other.execute(f"SELECT pg_advisory_lock({migrations.LOCK})")
        upgrading = beside(lambda: migrations.upgrade(database.url))
        deadline = time.monotonic() + 20
        while f"is held by process {other.info.backend_pid} " not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    upgrading.join(30)
    assert not upgrading.is_alive()


def test_field_21_an_upgrade_that_a_reader_ends_names_the_reader(
    empty_database_url: str, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 1)
    migrations.upgrade(empty_database_url, "0007")
    with connections.connect(empty_database_url) as other:
        other.execute("SELECT FROM image")
        with pytest.raises(DatabaseUnavailable, match="in use by another transaction"):
            migrations.upgrade(empty_database_url)
        assert f"tables of the archive; used by process {other.info.backend_pid} (role " in caplog.text
    migrations.upgrade(empty_database_url)


def test_sessions_are_named_by_the_command(database: Database, inside: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.png").write_text("no image")
    with asking(database.url) as made:
        made.execute("CREATE TABLE seen (program text)")
        made.execute(
            "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO radretrieval.seen VALUES (current_setting('application_name')); RETURN NULL; END $$"
        )
        made.execute("CREATE TRIGGER see AFTER INSERT ON ingest_failure EXECUTE FUNCTION see()")
        inside("ingest", tmp_path / "one.png", check=False)
        inside("ingest", tmp_path / "two.png", check=False, PGAPPNAME="ours")
        assert rows(made, "SELECT program FROM seen") == [("radretrieval ingest",), ("ours",)]
