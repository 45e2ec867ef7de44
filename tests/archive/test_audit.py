"""The table audit: a hash chain by month to which rows are added, and which nobody else changes."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from filled import fill
from psycopg.rows import dict_row

from radretrieval.archive import audit, connections, encoders, migrations
from radretrieval.archive.audit import Asked, Outcome
from radretrieval.archive.connections import Database
from radretrieval.archive.pooled import PooledConnection
from radretrieval.errors import DatabaseUnavailable

MONTHS = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit'::regclass ORDER BY 1"


def test_rows_are_added_and_never_changed(database: Database) -> None:
    with database.connection() as connection:
        audit.record(connection, "Dr. Ä", "search", {"query": {"image_id": 7}, "hits": [1, 2]})
        (month,) = (row["name"] for row in connection.execute(MONTHS))
        for table in ("audit", month):
            for change in ("UPDATE {} SET who = 'b'", "DELETE FROM {} WHERE id = 1", "TRUNCATE {}"):
                refused = pytest.raises(psycopg.errors.InsufficientPrivilege, match="not changed or deleted")
                with refused, connection.transaction():
                    connection.execute(change.format(table))  # type: ignore[arg-type]
        row = connection.execute(
            "SELECT who, action, detail, db_role = session_user AS role, at > now() - interval '1 hour' AS now "
            "FROM audit"
        )
        assert row.fetchall() == [
            {
                "who": "Dr. Ä",
                "action": "search",
                "detail": {"query": {"image_id": 7}, "hits": [1, 2]},
                "role": True,
                "now": True,
            }
        ]
    with database.connection() as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        assert not audit.note(connection, "a", "search", {})


@pytest.fixture
def reader(archive_url: str) -> Iterator[Database]:
    """A role that may read, and nothing else; the database as it sees it."""
    name = "reader_of_the_audit"
    with psycopg.connect(archive_url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {name}")
        connection.execute(f"CREATE ROLE {name} LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA radretrieval TO {name}")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA radretrieval TO {name}")
        yield Database(f"{archive_url}{'&' if '?' in archive_url else '?'}options=-crole%3D{name}")
        connection.execute(f"DROP OWNED BY {name} CASCADE")
        connection.execute(f"DROP ROLE {name}")


def test_a_role_adds_rows_by_the_function_only_and_once_it_may(database: Database, reader: Database) -> None:
    with reader.connection() as connection:
        connection.autocommit = True
        assert not audit.note(connection, "a", "search", {})
        for statement in (
            "SELECT audit_partition(now())",
            "INSERT INTO audit VALUES (1, now(), 'a', 'a', 'a', '{}', '')",
            "UPDATE audit_head SET last_id = 7",
            "SELECT FROM audit_head FOR UPDATE",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[arg-type]
        with database.connection() as owner:
            owner.execute("GRANT EXECUTE ON FUNCTION audit_add(text, text, jsonb) TO reader_of_the_audit")
        # the function is not misled by objects of the caller
        connection.execute("CREATE TEMP TABLE audit_head (last_id bigint, at timestamptz, hash bytea)")
        connection.execute("SET search_path = pg_temp, radretrieval")
        connection.execute("SELECT radretrieval.audit_add('a', 'search', '{}')")
    with database.connection() as connection:
        assert connection.execute("SELECT id, who FROM audit").fetchall() == [{"id": 1, "who": "a"}]


def test_rows_of_the_revision_before_are_kept_and_chained(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url, "0010")
    name = "inserter_of_the_audit"
    with connections.connect(empty_database_url) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {name}")
        connection.execute(f"CREATE ROLE {name}")
        connection.execute(f"GRANT SELECT, INSERT ON audit TO {name}")
        connection.execute(
            "INSERT INTO audit (at, who, action, detail) SELECT "
            "timestamptz '2025-12-31 23:00+00' + n * interval '9 days', "
            "'Ü', 'search', jsonb_build_object('n', n) FROM generate_series(-3, 9) n"
        )
        before = connection.execute("SELECT id, at, who, action, detail FROM audit ORDER BY id").fetchall()
    migrations.upgrade(empty_database_url)
    try:
        with connections.connect(empty_database_url) as connection:
            assert connection.execute("SELECT id, at, who, action, detail FROM audit ORDER BY id").fetchall() == before
            assert [row["name"] for row in connection.execute(MONTHS)] == [
                *("audit_2025_12", "audit_2026_01", "audit_2026_02", "audit_2026_03")
            ]
            rights = connection.execute(
                "SELECT has_table_privilege(%(n)s, 'audit', 'SELECT') "
                "AND NOT has_table_privilege(%(n)s, 'audit', 'INSERT') "
                "AND has_function_privilege(%(n)s, 'audit_add(text, text, jsonb)', 'EXECUTE') AS kept",
                {"n": name},
            ).fetchone()
            assert rights == {"kept": True}
            audit.record(connection, "b", "search", {})
    finally:
        with connections.connect(empty_database_url) as connection:
            connection.execute(f"DROP OWNED BY {name}")
            connection.execute(f"DROP ROLE {name}")


BEGUN = """
import os, signal, sys
from radretrieval.archive import audit
from radretrieval.archive.connections import connect
with connect(sys.argv[1], autocommit=True) as connection:
    audit.begin(connection, "killed", "search", {"hits": [1]})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_row_that_is_begun_is_there_though_the_process_is_killed(database: Database) -> None:
    for _ in range(3):
        killed = subprocess.run([sys.executable, "-c", BEGUN, database.url], check=False)
        assert killed.returncode == -signal.SIGKILL
    deadline, counted = time.monotonic() + 10, 0
    while counted < 3 and time.monotonic() < deadline:
        with database.connection() as connection:
            row = connection.execute("SELECT count(*) AS n FROM audit WHERE who = 'killed'").fetchone()
        counted = 0 if row is None else row["n"]
    assert counted == 3


def test_a_row_that_is_begun_is_there_when_it_is_finished(database: Database) -> None:
    with database.connection() as connection:
        connection.autocommit = True
        detail = {"hits": [3, 4], "parameters": {"where": ["body_part=$1 %s 'x'"]}}
        assert audit.begin(connection, "Dr. Ä", "search", detail)() is Outcome.ADDED
        row = connection.execute("SELECT who, action, detail FROM audit").fetchone()
        assert row == {"who": "Dr. Ä", "action": "search", "detail": detail}
        with pytest.raises(psycopg.errors.UntranslatableCharacter):
            audit.begin(connection, "a", "search", {"text": "\0"})()
        connection.execute("SET default_transaction_read_only = on")
        assert audit.begin(connection, "a", "search", {})() is Outcome.READ_ONLY
        connection.execute("SELECT 1")  # the connection can be used again


def test_rows_are_begun_by_a_statement_that_is_prepared_once_and_never_behind_a_pooler(database: Database) -> None:
    named = "SELECT count(*) AS n FROM pg_prepared_statements WHERE name = 'radretrieval_audit_note'"
    with connections.connect(database.url, autocommit=True) as connection:
        for number in range(3):
            assert audit.begin(connection, "own", "search", {"n": number})() is Outcome.ADDED
        assert connection.execute(named).fetchone() == {"n": 1}
    url = f"{database.url}{'&' if '?' in database.url else '?'}options=-csearch_path%3Dpublic"
    with PooledConnection.to(url, "pooled", autocommit=True, row_factory=dict_row) as pooled:
        assert audit.begin(pooled, "pooled", "search", {})() is Outcome.ADDED
        assert pooled.execute(named).fetchone() == {"n": 0}
    with database.connection() as connection:
        rows = connection.execute("SELECT who FROM audit ORDER BY id").fetchall()
        assert [row["who"] for row in rows] == ["own", "own", "own", "pooled"]


CHANGES = (
    "UPDATE encoder SET active = false",
    "UPDATE encoder SET calibration = '{}'",
    "INSERT INTO exact_index (encoder_id, live, live_at) SELECT id, true, now() FROM encoder WHERE active",
    "INSERT INTO hnsw_audit (encoder_id, recall, recall_worst, sample, codes) "
    "SELECT id, 1, 1, 1, 1 FROM encoder WHERE active",
    "CREATE INDEX ON {partition} USING hnsw (code bit_hamming_ops)",
)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pooled", [False, True])
def test_an_answer_has_a_row_only_while_its_encoder_is_as_it_was_read(
    database: Database, change: str, pooled: bool
) -> None:
    with database.connection() as other:
        fill(other, 3)
        encoder = encoders.get(other).id
    bare = f"{database.url}{'&' if '?' in database.url else '?'}options=-csearch_path%3Dpublic"
    opened = (
        PooledConnection.to(bare, "pooled", autocommit=True, row_factory=dict_row)
        if pooled
        else connections.connect(database.url, autocommit=True)
    )
    with opened as connection:
        for asked in (None, encoder):
            state = Asked(asked, encoders.get(connection, asked).state)
            assert audit.begin(connection, "before", "search", {}, state)() is Outcome.ADDED
        with database.connection() as other:
            other.execute(change.replace("{partition}", f"cnnc_{encoder}"))  # type: ignore[arg-type]
        assert audit.begin(connection, "after", "search", {}, state)() is Outcome.STALE
    with database.connection() as connection:
        rows = connection.execute("SELECT who FROM audit ORDER BY id").fetchall()
        assert [row["who"] for row in rows] == ["before", "before"]


def test_the_row_is_the_last_statement_of_its_transaction() -> None:
    """Until the commit nobody else adds one: what follows may not wait, nor take long."""
    package, writers = Path(audit.__file__).parents[1], 0
    for path in package.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            names = [(node.lineno, ast.unparse(node.func)) for node in calls]
            added = [line for line, name in names if name in ("audit.record", "audit.note")]
            later = [line for line, name in names if added and line > min(added) and name.endswith(".execute")]
            assert later == [], f"{path.name}: {function.name} goes on after the row of the audit"
            writers += bool(added)
    assert writers > 5


def test_a_thread_that_waits_for_the_row_of_another_leaves_it_the_interpreter(database: Database) -> None:
    """The first thread could not commit while the second waited in libpq with the lock of the interpreter."""
    added, committed = threading.Event(), threading.Event()

    def writer() -> None:
        with database.connection() as connection:
            audit.record(connection, "first", "withdraw", {})
            added.set()
            time.sleep(0.5)
            connection.commit()
            committed.set()

    thread = threading.Thread(target=writer, daemon=True)
    thread.start()
    assert added.wait(10)
    with contextlib.closing(connections.connect(database.url, autocommit=True)) as connection:
        assert audit.begin(connection, "second", "search", {})() is Outcome.ADDED
    assert committed.wait(5), "the session of the first was ended, since it did not go on"
    thread.join()


def test_a_connection_that_is_lost_while_a_row_is_added_is_a_database_that_is_away(database: Database) -> None:
    connection = connections.connect(database.url, autocommit=True)
    with database.connection() as other:  # the row waits for another's: else its answer may be here before the loss
        audit.record(other, "b", "search", {})
        finish = audit.begin(connection, "a", "search", {})
        with socket.socket(fileno=os.dup(connection.fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)
        with pytest.raises(DatabaseUnavailable), connections.database_errors(database.url):
            finish()
    connection.close()
