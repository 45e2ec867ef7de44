"""Connections of requests that read are kept, and replaced where they were lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from nodes import until

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable
from radretrieval.serve.read_connections import ReadConnections


def backend(connection: Any) -> int:
    return int(connection.execute("SELECT pg_backend_pid() AS pid").fetchone()["pid"])


def alive(database: Database, backends: list[int]) -> int:
    with database.connection() as connection:
        row = connection.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE pid = ANY(%s)", (backends,)
        ).fetchone()
        assert row is not None
        return int(row["n"])


def test_connections_are_kept_and_replaced(database: Database, settings: Settings) -> None:
    reader = ReadConnections(database, settings, most=2)
    first = reader(backend)
    assert reader(backend) == first
    with pytest.raises(ZeroDivisionError):
        reader(lambda connection: 1 // 0)
    second = reader(backend)
    assert second != first
    with database.connection() as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (second,))
    assert reader(backend) not in (first, second)
    together = Barrier(4)
    with ThreadPoolExecutor(4) as threads:
        used = list(
            threads.map(lambda _: reader(lambda connection: (together.wait(10), backend(connection))[1]), range(4))
        )
    assert len(set(used)) == 4
    assert {reader(backend) for _ in range(4)} <= set(used)
    reader.close()
    until(lambda: not alive(database, used), "the connections are closed")


def test_a_server_that_is_not_there(settings: Settings) -> None:
    with pytest.raises(DatabaseUnavailable):
        ReadConnections(Database("postgresql://nobody@127.0.0.1:1/none"), settings)(backend)
