"""Servers that trials met: standbys, read-only primaries, databases of another encoding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from answering import Made
from conftest import Run, clean_environment
from databases import Server, with_database
from inside import run_inside
from psycopg import sql
from standby import standby

from radretrieval.archive.connections import Database
from radretrieval.errors import DatabaseUnavailable

STANDBY = "is a standby: it answers searches, and nothing can be written to it; what writes needs the primary"


def test_field_22_a_standby_answers_searches_and_is_called_a_standby(
    server: Server, answers: Made, tmp_path: Path
) -> None:
    with standby(server, answers.url) as url:

        def run(*arguments: object) -> Run:
            return run_inside(arguments, clean_environment(tmp_path / "home", url), tmp_path, check=False)

        checked = run("db", "check", "--json")
        assert (checked.returncode, checked.json["standby"], STANDBY in checked.stderr) == (0, True, True)
        assert answers.run("db", "check", "--json").json["standby"] is False
        for read in (
            ("search", "id:1", "--json"),
            ("search", answers.folder / "new.png", "--device", "cpu"),
            ("search", "--all", "--out", tmp_path / "hits.csv"),
            ("status",),
            ("encoder", "list"),
            ("export", tmp_path / "exported"),
        ):
            done = run(*read)
            assert done.returncode == 0, (read, done.stderr)
        for write in (
            ("ingest", answers.folder / "new.png"),
            ("work", "--once", "--device", "cpu"),
            ("train", "--device", "cpu"),
            ("index", "build"),
            ("index", "build", "--kind", "hnsw"),
            ("encoder", "activate", "1"),
            ("verify",),
            ("db", "upgrade"),
        ):
            done = run(*write)
            assert (done.returncode, STANDBY in done.stderr) == (3, True), (write, done.stderr)


def test_field_22_a_standby_of_an_older_archive_names_the_primary(server: Server, archive_url: str, cli: Any) -> None:
    with psycopg.connect(archive_url) as connection:
        connection.execute("UPDATE radretrieval.alembic_version SET version_num = '0007'")
    with standby(server, archive_url) as url:
        done = cli("status", url=url, check=False)
    assert done.returncode == 3
    assert "run: radretrieval db upgrade (with the primary's database URL)" in done.stderr


def test_field_22_a_primary_that_takes_no_writes_is_not_called_a_standby(archive_url: str) -> None:
    def write() -> None:
        with Database(archive_url).connection() as connection:
            connection.execute("SET default_transaction_read_only = on")
            connection.commit()
            connection.execute("INSERT INTO geometry (size, angles, bins, rule) VALUES (1, 1, 1, 'x')")

    with pytest.raises(DatabaseUnavailable, match="is read-only at present: .*default_transaction_read_only = off"):
        write()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_field_20_a_database_of_another_encoding_is_refused_before_anything_is_made(
    server: Server, inside: Callable[..., Run], encoding: str
) -> None:
    name = f"radretrieval_test_{encoding.lower()}"
    made = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE_PROVIDER libc LOCALE 'C'")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(made.format(sql.Identifier(name), encoding))
        try:
            url = with_database(server.url, name)
            for command in (("db", "check"), ("db", "upgrade"), ("db", "upgrade", "--sql"), ("status",)):
                done = inside(*command, url=url, check=False)
                assert done.returncode == 3, command
                assert f"has the encoding {encoding}, and UTF8 is needed" in done.stderr, done.stderr
                assert "TEMPLATE template0 ENCODING 'UTF8'" in done.stderr
                assert done.stdout == ""
            with psycopg.connect(url) as there:
                found = there.execute(
                    "SELECT to_regnamespace('radretrieval') IS NULL, (SELECT count(*) FROM pg_extension)"
                ).fetchone()
            assert found == (True, 1)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
