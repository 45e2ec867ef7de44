"""The choice of the tests' database, and the databases that it gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from databases import (
    BackendMissingError,
    Server,
    choose,
    database_of,
    image_of_the_service,
    start,
    with_database,
)

ROOT = Path(__file__).parents[2]
GIVEN = "postgresql://somebody@db.example/postgres"


@pytest.mark.parametrize("engine", [True, False])
@pytest.mark.parametrize("named", ["", "url"])
def test_a_url_comes_first(engine: bool, named: str) -> None:
    environment = {"RADRETRIEVAL_TEST_DATABASE_URL": GIVEN, "RADRETRIEVAL_TEST_BACKEND": named}
    assert choose(environment, lambda: engine) == "url"


def test_an_engine_comes_before_the_embedded_server() -> None:
    assert choose({}, lambda: True) == "docker"
    assert choose({}, lambda: False) == "embedded"


def test_a_named_backend_is_taken_whatever_else_is_there() -> None:
    environment = {"RADRETRIEVAL_TEST_DATABASE_URL": GIVEN}
    assert choose(environment | {"RADRETRIEVAL_TEST_BACKEND": "docker"}, lambda: True) == "docker"
    assert choose(environment | {"RADRETRIEVAL_TEST_BACKEND": "embedded"}, lambda: True) == "embedded"


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("docker", "no container engine answers"),
        ("url", "RADRETRIEVAL_TEST_DATABASE_URL is not set"),
        ("podman", "it can be url, docker or embedded"),
    ],
)
def test_a_named_backend_that_is_missing_is_refused(named: str, reason: str) -> None:
    with pytest.raises(BackendMissingError, match=reason):
        choose({"RADRETRIEVAL_TEST_BACKEND": named}, lambda: False)


def test_a_url_that_does_not_answer_is_refused() -> None:
    environment = {"RADRETRIEVAL_TEST_DATABASE_URL": "postgresql:///postgres?host=/nonexistent"}
    with pytest.raises(BackendMissingError, match="does not answer"):
        start(environment)


@pytest.mark.parametrize("named", ["docker", "url"])
def test_a_run_whose_named_backend_is_missing_fails_and_falls_back_on_nothing(named: str) -> None:
    environment = os.environ | {
        "RADRETRIEVAL_TEST_BACKEND": named,
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
    }
    environment.pop("RADRETRIEVAL_TEST_DATABASE_URL", None)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/archive/test_databases.py::test_url"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == pytest.ExitCode.USAGE_ERROR, run.stdout + run.stderr
    assert f"RADRETRIEVAL_TEST_BACKEND is {named}, but" in run.stderr
    assert "passed" not in run.stdout


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://postgres:@/postgres?host=/tmp/rr/pgdata",
            "postgresql://postgres:@/x?host=/tmp/rr/pgdata",
        ),
        ("postgresql:///postgres?host=/tmp/rr", "postgresql:///x?host=/tmp/rr"),
        ("postgresql://u:p%2Fw@db:5433/postgres", "postgresql://u:p%2Fw@db:5433/x"),
        ("postgresql://db", "postgresql://db/x"),
    ],
)
def test_url(url: str, expected: str) -> None:
    assert with_database(url, "x") == expected
    assert database_of(expected) == "x"


def test_the_container_is_the_service() -> None:
    assert image_of_the_service().startswith("pgvector/pgvector:0.8.")


def test_the_header_names_both_versions_and_no_secret(server: Server) -> None:
    told = server.description()
    assert told.startswith(f"{server.backend}, PostgreSQL 1")
    assert ", pgvector 0." in told
    assert "://" not in told


def test_an_empty_database_is_empty_and_goes_away(server: Server) -> None:
    with server.database() as url, psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert found == (0,)
        # A connection that a test forgot keeps no database alive.
        name = database_of(url)
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None


def test_a_forgotten_connection_keeps_no_database_alive(server: Server) -> None:
    with server.database() as url:
        forgotten = psycopg.connect(url)
    with pytest.raises(psycopg.OperationalError):
        forgotten.execute("SELECT 1")
    forgotten.close()


def test_an_archive_is_a_migrated_copy_of_its_own(archive_url: str, server: Server, migrated_template: str) -> None:
    assert database_of(archive_url) != migrated_template
    with psycopg.connect(archive_url) as connection:
        assert connection.execute("SELECT count(*) FROM radretrieval.image").fetchone() == (0,)
        connection.execute("CREATE TABLE left_behind ()")
    with server.database(template=migrated_template) as other, psycopg.connect(other) as connection:
        assert connection.execute("SELECT to_regclass('left_behind')").fetchone() == (None,)
