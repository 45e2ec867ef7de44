"""The chain of the audit: any change of any row is found, writers do not break it, and old months can go."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from databases import Server
from test_field_restore import dumped, restored

from radretrieval.archive import audit, audit_trail, connections
from radretrieval.archive.connections import Connection, Database

COPY = (
    "INSERT INTO audit SELECT {}, at + interval '1 microsecond', who, db_role, action, detail, hash FROM audit "
    "WHERE id = {}"
)
COLUMNS = {
    "id": "id + 100",
    "at": "at + interval '1 microsecond'",
    "who": "who || ' '",
    "db_role": "NULL",
    "action": "upper(action)",
    "detail": """detail || '{"n": -1}'""",
    "hash": "sha256(hash)",
}
OTHERS = [
    ("DELETE FROM audit WHERE id = 1", "missing", "rows before 2 are missing"),
    ("DELETE FROM audit WHERE id IN (5, 6)", "missing", "rows 5 to 6 are missing"),
    ("DELETE FROM audit WHERE id = 9", "missing", "row 9 is missing"),
    ("DELETE FROM audit WHERE id > 10", "truncated", "rows 11 to 12"),
    ("TRUNCATE audit", "truncated", "rows 1 to 12"),
    (COPY.format(4, 4), "inserted", "two rows 4"),
    (COPY.format(13, 12), "inserted", "row 13 was inserted"),
    ("UPDATE audit SET id = 15 - id WHERE id IN (7, 8)", "reordered", "row 7 is not between"),
    ("UPDATE audit_head SET hash = ''", "changed", "row 12, the last"),
    ("UPDATE audit_head SET at = now()", "changed", "row 12, the last"),
    ("UPDATE audit_head SET last_id = 11", "inserted", "row 12 was inserted"),
    ("DELETE FROM audit_head", "changed", "audit_head"),
    # the owner computes the hash of a row anew: the row after it shows it
    (
        "UPDATE audit a SET detail = '{}', hash = audit_hash(b.hash, a.id, a.at, a.who, a.db_role, a.action, '{}') "
        "FROM audit b WHERE a.id = 6 AND b.id = 5",
        *("changed", "row 7 does not follow from row 6"),
    ),
]


def add_months(connection: Connection) -> None:
    """Twelve rows, four a month: the clock is never before the last row, so the last row sets it."""
    for number in range(12):
        connection.execute("UPDATE audit_head SET at = %s", (datetime(2101, 1 + number // 4, 1 + number, tzinfo=UTC),))
        audit.record(connection, f"Ü{number}", "search", {"n": number, "x": 1.50, "none": None})


@pytest.fixture(scope="module")
def chained(server: Server, migrated_template: str) -> Iterator[Database]:
    """An archive with such rows and no trigger that protects them, for tests that roll back."""
    with server.database(template=migrated_template) as url:
        with connections.connect(url) as connection:
            add_months(connection)
            for name in ("audit", "audit_2101_01", "audit_2101_02", "audit_2101_03"):
                connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER append_only")
        yield Database(url)


def found(database: Database, statement: str) -> audit_trail.ChainVerdict:
    """The verdict after a change, which is rolled back."""
    with connections.connect(database.url) as connection:
        connection.execute(statement)  # type: ignore[arg-type]
        verdict = judged(connection)
        connection.rollback()
    return verdict


def judged(connection: Connection) -> audit_trail.ChainVerdict:
    """`verify`, in a transaction that has written already."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(connections, "snapshot", lambda connection: None)
        return audit_trail.verify(connection)


def test_a_chain_as_it_was_written_is_whole(chained: Database) -> None:
    with chained.connection() as connection:
        verdict = audit_trail.verify(connection)
        assert (verdict.finding, verdict.rows, verdict.first_id, verdict.last_id) == (None, 12, 1, 12)
        last = connection.execute("SELECT hash FROM audit WHERE id = 12").fetchone()
        assert last is not None
        assert verdict.last_hash == last["hash"].hex()


@pytest.mark.parametrize("column", COLUMNS)
def test_a_change_of_any_column_of_any_row_is_found(chained: Database, column: str) -> None:
    for number in range(1, 13):
        verdict = found(chained, f"UPDATE audit SET {column} = {COLUMNS[column]} WHERE id = {number}")
        assert verdict.finding is not None, (column, number)
        assert verdict.last_hash is None
        if column in ("who", "db_role", "action", "detail"):
            assert (verdict.finding, verdict.id) == ("changed", number)


@pytest.mark.parametrize(("statement", "finding", "message"), OTHERS)
def test_rows_that_are_missing_inserted_or_reordered_are_found(
    chained: Database, statement: str, finding: str, message: str
) -> None:
    verdict = found(chained, statement)
    assert (verdict.finding, message in verdict.message) == (finding, True), verdict


def test_an_archive_without_its_end_goes_on_from_the_last_row(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("DELETE FROM audit_head")
        audit.record(connection, "a", "search", {})
    with database.connection() as connection:
        audit.record(connection, "b", "search", {})
        connection.execute("DELETE FROM audit_head")
        audit.record(connection, "c", "search", {})
    with database.connection() as connection:
        assert audit_trail.verify(connection).finding is None
        assert audit_trail.exported(connection, "a") is None


def test_months_are_made_at_their_turn_in_utc_while_a_reader_reads(database: Database) -> None:
    with connections.connect(database.url) as reader:
        reader.execute("SELECT count(*) FROM audit")  # its lock stays until the end
        with database.connection() as connection:
            connection.execute("SET TimeZone = 'Asia/Tokyo'")
            for moment in ("2101-12-31 23:59:59.999999+00", "2102-01-01 00:00+00"):
                connection.execute("UPDATE audit_head SET at = %s::timestamptz", (moment,))
                audit.record(connection, "a", "search", {})
        with database.connection() as connection:
            connection.execute("SELECT audit_partition('2101-12-05'), audit_partition('2102-01-31 23:59:59+00')")
            names = connection.execute("SELECT tableoid::regclass::text AS name FROM audit ORDER BY id").fetchall()
            assert [row["name"] for row in names] == ["audit_2101_12", "audit_2102_01"]
            for name in ("audit_2101_12", "audit_2102_01"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(f"TRUNCATE {name}")


def test_writers_at_once_make_one_chain(database: Database) -> None:
    def write(number: int) -> None:
        with connections.connect(database.url, autocommit=True) as connection:
            for each in range(200):
                assert audit.note(connection, f"writer {number}", "search", {"n": each})

    with connections.connect(database.url) as elsewhere:  # a long transaction that has read the audit
        elsewhere.execute("SELECT count(*) FROM audit, image")
        elsewhere.execute("INSERT INTO pull (url, query) VALUES ('a', '')")
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, range(8)))
    with database.connection() as connection:
        verdict = audit_trail.verify(connection)
        assert (verdict.finding, verdict.rows, verdict.last_id) == (None, 1600, 1600)


def test_a_row_that_is_not_committed_leaves_no_gap_and_keeps_the_others_waiting(database: Database) -> None:
    with connections.connect(database.url) as first:
        audit.record(first, "a", "search", {})
        waited: list[float] = []

        def second() -> None:
            begun = time.monotonic()
            with database.connection() as connection:
                audit.record(connection, "b", "search", {})
            waited.append(time.monotonic() - begun)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        first.rollback()
        thread.join(10)
    assert waited
    with database.connection() as connection:
        assert audit_trail.verify(connection).finding is None
        assert connection.execute("SELECT id, who FROM audit").fetchall() == [{"id": 1, "who": "b"}]


def test_old_months_go_and_the_chain_goes_on(database: Database) -> None:
    with database.connection() as connection:
        add_months(connection)
    with database.connection() as connection:
        assert audit_trail.prune(connection, datetime(2101, 1, 31, tzinfo=UTC), "me").months == []
        done = audit_trail.prune(connection, datetime(2101, 3, 1, tzinfo=UTC), "me")
    assert (done.months, done.rows, done.last_id) == (["2101-01", "2101-02"], 8, 8)
    with database.connection() as connection:
        verdict = audit_trail.verify(connection)
        assert (verdict.finding, verdict.first_id, verdict.last_id, verdict.rows) == (None, 9, 13, 5)
        (batch,) = audit_trail.rows(database, audit_trail.AuditFilter(action="audit prune"))
        assert [(row.who, row.detail) for row in batch] == [
            ("me", {"months": ["2101-01", "2101-02"], "rows": 8, "last_id": 8, "last_hash": done.last_hash})
        ]
        connection.rollback()
        connection.execute("ALTER TABLE audit DISABLE TRIGGER append_only")
        connection.execute("DELETE FROM audit WHERE id = 9")
        assert judged(connection).message == "rows before 10 are missing, and audit prune did not drop them"
        connection.rollback()
        again = audit_trail.prune(connection, datetime(2101, 3, 1, tzinfo=UTC), "me")
        assert again.rows == 0
        audit_trail.prune(connection, datetime(2101, 4, 1, tzinfo=UTC), "me")
    with database.connection() as connection:
        verdict = audit_trail.verify(connection)
        assert (verdict.finding, verdict.first_id, verdict.rows) == (None, 14, 1)


def test_a_month_whose_numbers_are_not_the_smallest_stays(database: Database) -> None:
    """Rows of before revision 0011 have the times of the begin of their transactions."""
    with database.connection() as connection:
        add_months(connection)
        connection.execute("ALTER TABLE audit_2101_01 DISABLE TRIGGER append_only")
        connection.execute("ALTER TABLE audit_2101_02 DISABLE TRIGGER append_only")
        connection.execute("UPDATE audit_2101_01 SET id = 6 WHERE id = 4")
    with database.connection() as connection:
        assert audit_trail.prune(connection, datetime(2101, 2, 1, tzinfo=UTC), "me").months == []
        assert audit_trail.prune(connection, datetime(2101, 3, 1, tzinfo=UTC), "me").months == ["2101-01", "2101-02"]


def test_a_dump_keeps_the_chain(server: Server, database: Database, tmp_path: Path) -> None:
    with database.connection() as connection:
        add_months(connection)
    dump = dumped(server, database.url, tmp_path)
    with server.database() as url:
        with psycopg.connect(url) as made:
            made.execute("CREATE EXTENSION IF NOT EXISTS vector")
        assert restored(server, url, dump).returncode == 0
        with Database(url).connection() as connection:
            assert audit_trail.verify(connection).last_id == 12
        with Database(url).connection() as connection:
            audit.record(connection, "a", "search", {})
        with Database(url).connection() as connection:
            verdict = audit_trail.verify(connection)
            assert (verdict.finding, verdict.rows) == (None, 13)
