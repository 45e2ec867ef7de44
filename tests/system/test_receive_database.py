"""The database goes away while files are received, and comes back: nothing half-stored, nothing to be done by hand."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from databases import Server, database_of
from killing import kill_embedded
from nodes import Receiving, a_file, storescu, until
from PIL import Image
from programs import needs_program

from radretrieval.api.archive import Archive
from radretrieval.archive import migrations
from radretrieval.archive.connections import Database
from radretrieval.archive.embedded import shared_server
from radretrieval.config import Settings
from radretrieval.errors import NoEncoder
from radretrieval.ingest import watch_folder
from radretrieval.serve.read_connections import ReadConnections
from radretrieval.serve.searchers import Searchers


def refused(node: Receiving, path: Path) -> None:
    told = storescu(node.port, path, check=False)
    assert told.returncode == 0xA7, told.stderr  # storescu ends with the first byte of the status
    node.logged("SENDER at 127.0.0.1: .*: answered 0xA700: the database")


def test_a_database_that_goes_away_and_comes_back(archive_url: str, server: Server, tmp_path: Path) -> None:
    needs_program("storescu")
    paths = [tmp_path / f"{number}.dcm" for number in range(4)]
    for number, path in enumerate(paths):
        a_file(path, number)

    def administer(*statements: str) -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    name = database_of(archive_url)
    with Receiving(tmp_path / "home", archive_url, "--workers", 1) as node:
        storescu(node.port, paths[0])
        node.settled()
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", end)
        refused(node, paths[1])
        refused(node, paths[2])
        administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        node.logged("the database can be used again: files are accepted")
        storescu(node.port, paths[2], paths[3])
        # one that is restarted while nothing is sent is not even noticed
        administer(end)
        storescu(node.port, paths[0], paths[3])
        node.settled()
        there = {row["sha256"].hex() for row in node.rows("SELECT sha256 FROM image")}
        assert len(there) == 3
        until(lambda: node.files() == there, f"{node.files()} are in the store, of {there}")
        assert node.stop() == 0


@pytest.fixture
def home() -> Iterator[Path]:
    """The home of an embedded server of this test's own, that may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="rr-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shared_server.stop(folder, force=True)
        shared_server.release(folder)
        shutil.rmtree(folder, ignore_errors=True)


def test_an_embedded_server_that_is_killed_is_started_by_each_of_its_users(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=home, database_url=None)
    database = Database(shared_server.start(home), embedded=True)
    migrations.upgrade(database.url)
    kill_embedded(home)
    read = ReadConnections(database, settings)
    assert read(lambda connection: connection.execute("SELECT 1 AS one").fetchone()) == {"one": 1}
    read.close()
    kill_embedded(home)
    searchers = Searchers(database, settings, 1)
    with pytest.raises(NoEncoder), searchers.one():
        pass
    kill_embedded(home)
    with Archive(settings) as archive, pytest.raises(NoEncoder):
        archive.search(1)
    monkeypatch.setattr(watch_folder, "RETRY_SECONDS", 0.1)
    (tmp_path / "in").mkdir()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "in" / "x.png")
    kill_embedded(home)
    stop = threading.Event()
    options = watch_folder.WatchOptions(0.0, 0.05, workers=1)
    total = watch_folder.watch(database, settings, [tmp_path / "in"], options, stop, lambda report: stop.set())
    assert total.added == 1


def test_an_embedded_server_that_is_killed_is_started_again(home: Path, tmp_path: Path) -> None:
    needs_program("storescu")
    url = shared_server.start(home)
    migrations.upgrade(url)
    for number in range(2):
        a_file(tmp_path / f"{number}.dcm", number)
    with Receiving(home, None, "--workers", 1, store=tmp_path / "store") as node:
        node.url = url
        storescu(node.port, tmp_path / "0.dcm")
        kill_embedded(home)
        until(lambda: storescu(node.port, tmp_path / "1.dcm", check=False).returncode == 0, "it stays away")
        node.settled()
        assert len(node.rows("SELECT FROM image")) == 2
        assert node.stop() == 0
