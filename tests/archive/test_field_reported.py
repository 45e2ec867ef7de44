"""Public reports of PostgreSQL, pgvector, psycopg, Alembic and archives that stand on them, tried on this one.

Each test names its report; docs/field-reports.md lists them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg
import pytest
from answering import Made, film
from conftest import Run
from databases import Server, database_of, with_database
from filled import fill
from psycopg import sql

import radretrieval as rr
from radretrieval.archive import encoders, images
from radretrieval.archive.connections import Database
from radretrieval.archive.filters import Filter, parse
from radretrieval.archive.images import NewImage
from radretrieval.archive.search import hnsw, nearest
from radretrieval.errors import DatabaseUnavailable


def configured(server: Server, url: str, **settings: str) -> None:
    """ALTER DATABASE … SET, as a DBA or a provider does."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        for name, value in settings.items():
            statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
            connection.execute(statement.format(sql.Identifier(database_of(url)), sql.Identifier(name), value))


def test_a_graph_answers_with_as_many_as_were_asked_for_and_filters_pass_it_by(database: Database) -> None:
    """pgvector/pgvector#671, #684: an HNSW index gives fewer rows than LIMIT; #972: it misses an equal code."""
    with database.connection() as connection:
        filled = fill(connection, 400)
    with database.connection() as connection:
        encoder = encoders.get(connection)
        hnsw.build(connection, encoder)
        encoder = encoders.get(connection)
        code = filled.cnnc[0][6]
        found, path = nearest.candidates(connection, encoder, 1, code, 200)
        assert (path, len(found) >= 200) == ("hnsw", True)
        few = Filter(where=(parse("modality=DX"), parse("body_part=HAND")))
        found, path = nearest.candidates(connection, encoder, 1, code, 50, few)
        assert (path, len(found) >= 50) == ("exact-filter", True)
        same = connection.execute("SELECT image_id, distance FROM cnnc_nearest(code_of(7), 1)").fetchall()
        assert {"image_id": 7, "distance": 0} in same


def test_maintenance_runs_with_an_empty_search_path(database: Database) -> None:
    """immich-app/immich#5630, stac-utils/pgstac#64: functions in constraints and indexes are not found there."""
    with database.connection() as connection:
        fill(connection, 100)
    with psycopg.connect(database.url, autocommit=True, options="-c search_path=") as connection:
        for statement in (
            "REINDEX SCHEMA radretrieval",
            "VACUUM (FULL, ANALYZE) radretrieval.image",
            "CLUSTER radretrieval.image USING image_pkey",
            "UPDATE radretrieval.image SET irma_code = radretrieval.irma_normalise('1121120942700') WHERE id = 1",
            "SELECT * FROM radretrieval.similar(7)",
            "SELECT * FROM radretrieval.retrieve(7)",
            "SELECT * FROM radretrieval.near_duplicates(3)",
            "CALL radretrieval.fill_neighbours(3)",
            "SELECT * FROM radretrieval.coverage, radretrieval.irma_class",
        ):
            connection.execute(statement)


def test_a_password_with_percent_signs_upgrades(
    server: Server, empty_database_url: str, inside: Callable[..., Run]
) -> None:
    """sqlalchemy/alembic#1279, langflow-ai/langflow#1528: ConfigParser interpolates the URL."""
    user, _, rest = empty_database_url.partition("://")[2].partition("@")
    url = f"postgresql://{user.partition(':')[0]}:p%40ss%25%2Fword@{rest}"
    inside("db", "upgrade", url=url)
    inside("db", "check", url=url)


def test_idle_sessions_that_the_server_ends_are_opened_again(server: Server, answers: Made, tmp_path: Path) -> None:
    """alash3al/redix#43: idle_session_timeout ends connections that wait (57P05)."""
    configured(server, answers.url, idle_session_timeout="200ms")
    try:
        with rr.open_archive(answers.url, home=tmp_path / "home") as archive:
            first = archive.search(1)
            time.sleep(0.5)
            assert archive.search(1).hits == first.hits
    finally:
        configured(server, answers.url, idle_session_timeout="0")


def test_roles_whose_transactions_are_serializable_ingest_at_once(server: Server, archive_url: str) -> None:
    """orthanc-server/orthanc-builder#20: could not serialize access, in an archive with several writers."""
    configured(server, archive_url, default_transaction_isolation="serializable")
    failed: list[BaseException] = []

    def add(part: int) -> None:
        try:
            for n in range(5):
                with Database(archive_url).connection() as connection:
                    numbers = range(part * 1000 + n * 10, part * 1000 + n * 10 + 10)
                    new = [NewImage(i.to_bytes(32, "big"), f"file:///{i}", "png", 4, 5, 8, "M") for i in numbers]
                    images.add(connection, new)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=add, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with Database(archive_url).connection() as connection:
        assert connection.execute("SELECT count(*) AS n FROM image").fetchone() == {"n": 200}


def test_nul_bytes_in_headers_are_no_text(inside: Callable[..., Run], tmp_path: Path, database: Database) -> None:
    """deepset-ai/haystack#7592, langchain-ai/langchain#26033: text fields cannot contain NUL (0x00) bytes."""
    rng = np.random.default_rng(3)
    films = tmp_path / "films"
    films.mkdir()
    for number, value in enumerate(("GE\0MEDICAL\0", "\0", "\\u0000", "x\x1b[31m", "A\xed\xa0\x80B")):
        ds = film(number, rng.integers(0, 256, (40, 48), np.uint8), Manufacturer=value, StationName=value)
        ds.save_as(films / f"{number}.dcm", enforce_file_format=True)
    done = inside("ingest", films, "--json", RADRETRIEVAL_HEADER_MORE="StationName,Manufacturer")
    assert done.json["added"] == 5
    with database.connection() as connection:
        rows = connection.execute("SELECT manufacturer, header FROM image ORDER BY id").fetchall()
    assert all("\0" not in f"{row}" and "\x1b" not in f"{row}" for row in rows)


def test_a_server_without_room_is_told_as_that(database: Database) -> None:
    """pgvector/pgvector#453, als-apg/osprey#1026: a container's /dev/shm of 64 MB is "no space left on device"."""

    def build() -> None:
        with database.connection() as connection:
            connection.execute(
                """DO $$BEGIN RAISE USING ERRCODE = 'disk_full', MESSAGE =
                'could not resize shared memory segment "/PostgreSQL.1" to 63999360 bytes: No space left on device';
                END$$"""
            )

    with pytest.raises(DatabaseUnavailable, match="server has no room: could not resize shared memory.*--shm-size"):
        build()


def test_a_read_that_replication_cancels_is_told_as_that(database: Database) -> None:
    """onaio/onadata#906, nucleuscloud/neosync#2542: canceling statement due to conflict with recovery."""

    def read() -> None:
        with database.connection() as connection:
            connection.execute(
                """DO $$BEGIN RAISE USING ERRCODE = '40001',
                MESSAGE = 'canceling statement due to conflict with recovery'; END$$"""
            )

    with pytest.raises(DatabaseUnavailable, match="conflict with recovery; on a standby.*hot_standby_feedback.*again"):
        read()


def test_another_version_of_the_collation_is_told(server: Server, archive_url: str, inside: Callable[..., Run]) -> None:
    """solidtime-io/solidtime#862, getsentry/self-hosted#3167: unique indexes on text break with a new image."""
    name = sql.Identifier(f"{database_of(archive_url)}_c")
    made = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'en_US.utf8'")
    with psycopg.connect(server.url, autocommit=True) as dba:
        try:
            dba.execute(made.format(name))
        except psycopg.DatabaseError as error:
            pytest.skip(f"a database of en_US.utf8 cannot be made here: {error}")
        try:
            url = with_database(server.url, f"{database_of(archive_url)}_c")
            inside("db", "upgrade", url=url)
            assert "collation" not in inside("db", "check", url=url).stderr
            dba.execute("UPDATE pg_database SET datcollversion = '2.1' WHERE datname = %s", (database_of(url),))
            told = inside("db", "check", url=url).stderr
            assert "was made with version 2.1 of its collation" in told
            assert f"REINDEX DATABASE {database_of(url)}; ALTER DATABASE {database_of(url)} REFRESH COLLATION" in told
        finally:
            dba.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
