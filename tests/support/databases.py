"""Where the tests' databases come from.

RADRETRIEVAL_TEST_DATABASE_URL, else a container if an engine answers, else the embedded server.
RADRETRIEVAL_TEST_BACKEND=url|docker|embedded names one; one that is named and missing fails the run.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import psycopg
from psycopg import sql

BACKEND = "RADRETRIEVAL_TEST_BACKEND"
URL = "RADRETRIEVAL_TEST_DATABASE_URL"
_ROOM = 4 << 30  # bytes, for the servers of all test processes
COMPOSE = Path(__file__).parents[2] / "docker" / "compose.yaml"


class BackendMissingError(Exception):
    """The backend that was named, or that the URL names, is not there."""


def engine_answers() -> bool:
    """Whether a container engine runs; a docker client on the PATH says nothing about that."""
    try:
        import docker

        with closing(docker.from_env(timeout=2)) as client:
            client.ping()
    # Anything: no SDK, no socket, no permission, broken DOCKER_HOST, TLS, …
    except Exception:
        return False
    return True


def choose(environment: Mapping[str, str], engine: Callable[[], bool] = engine_answers) -> str:
    """The backend to use: `url`, `docker` or `embedded`."""
    named = environment.get(BACKEND, "")
    if named not in ("", "url", "docker", "embedded"):
        raise BackendMissingError(f"{BACKEND} is {named!r}; it can be url, docker or embedded")
    if named == "url" and not environment.get(URL):
        raise BackendMissingError(f"{BACKEND} is url, but {URL} is not set")
    if named == "docker" and not engine():
        raise BackendMissingError(f"{BACKEND} is docker, but no container engine answers")
    if named:
        return named
    if environment.get(URL):
        return "url"
    return "docker" if engine() else "embedded"


@dataclass(frozen=True)
class Server:
    """One running server, for one test session.

    Attributes
    ----------
    backend : `url`, `docker` or `embedded`.
    url : libpq URL of a database of a role that may create databases and, for `vector`, extensions.
    stop : ends what was started for the session; nothing for a server that was there before.
    """

    backend: str
    url: str
    stop: Callable[[], None]

    def description(self) -> str:
        """Backend and versions, for the report header; never the URL, which may hold a password."""
        with psycopg.connect(self.url, connect_timeout=10) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'),"
                " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
            ).fetchone()
        assert row is not None
        server, pgvector = row
        return f"{self.backend}, PostgreSQL {server}, pgvector {pgvector or 'not available'}"

    @contextmanager
    def database(self, template: str | None = None, strategy: str | None = None) -> Iterator[str]:
        """The URL of a new database, a copy of `template` made by this strategy, that is dropped afterwards."""
        # Unique: runs of several people may share one server.
        name = f"radretrieval_test_{secrets.token_hex(6)}"
        create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            create += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
            if strategy is None and self.backend == "embedded":
                strategy = "file_copy"  # half the time of the log's way, where checkpoints wait for no disk
        if strategy is not None:
            create += sql.SQL(" STRATEGY {}").format(sql.Identifier(strategy))
        self._execute(create)
        try:
            yield with_database(self.url, name)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement)


def start(environment: Mapping[str, str]) -> Server:
    """The server of the chosen backend, started if need be."""
    backend = choose(environment)
    if backend == "url":
        return _given(environment[URL])
    return _container() if backend == "docker" else _embedded()


def wait_for(url: str, process: subprocess.Popen[Any], log: Path | None = None, seconds: float = 60) -> None:
    """Wait until a server that was started answers; fails with its log where it ends, or takes longer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text() if log is not None else "the server does not start") from None
            time.sleep(0.05)


def with_database(url: str, name: str) -> str:
    """The libpq URL with another database name; host and parameters stay."""
    server, mark, parameters = url.partition("?")
    scheme, _, rest = server.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{name}{mark}{parameters}"


def database_of(url: str) -> str:
    """The database name in a libpq URL that `with_database` made."""
    return url.partition("?")[0].rpartition("/")[2]


def as_role(url: str, role: str) -> str:
    """The libpq URL for connections that take another role at once: it needs no password, nor pg_hba.conf."""
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-crole={role}')}"


def image_of_the_service() -> str:
    """The database image of docker/compose.yaml: the tests run on what the service runs on."""
    found = re.search(r"image: (pgvector/pgvector:\S+)", COMPOSE.read_text())
    assert found is not None, f"{COMPOSE} names no pgvector image"
    return found[1]


def _given(url: str) -> Server:
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        raise BackendMissingError(f"{URL} does not answer: {error}") from error
    return Server("url", url, stop=lambda: None)


def _container() -> Server:
    # Not testcontainers.postgres (deprecated); driver=None gives a libpq URL.
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(image_of_the_service(), driver=None).start()
    return Server("docker", container.get_connection_url(), stop=container.stop)


def _memory() -> Path | None:
    """A file system in memory that has room for the servers of several test processes; None where there is none.

    An archive that is copied and dropped takes 0.05 s of a core there, on ext4 0.1 s to 0.35 s.
    """
    folder = Path("/dev/shm")
    try:
        return folder if shutil.disk_usage(folder).free > _ROOM and os.access(folder, os.W_OK | os.X_OK) else None
    except OSError:
        return None


def _embedded() -> Server:
    from radretrieval.archive.embedded import cluster, shared_server

    # Not pytest's basetemp: a socket's path has 107 bytes at most. As root the server runs as another user,
    # who must be able to enter.
    home = Path(tempfile.mkdtemp(prefix="rr-", dir=_memory()))
    home.chmod(0o755)

    def stop() -> None:
        shared_server.release(home)
        shutil.rmtree(home, ignore_errors=True)

    try:
        with patch.dict(cluster._SETTINGS, wal_level="logical"):  # for tests of logical replication
            server = Server("embedded", shared_server.start(home), stop)
        with psycopg.connect(server.url, autocommit=True) as connection:
            # hundreds of databases come and go, and nobody pulls this server's plug: those that do have their own
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET max_wal_size = '256MB'")  # in memory, where there is some
            connection.execute("SELECT pg_reload_conf()")
        return server
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
