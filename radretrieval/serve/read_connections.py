"""Connections of requests that only read: kept, for to connect takes a hundred times as long as to read a row."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from radretrieval.archive.connections import Connection, Database, connect, database_errors, with_restart
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable

T = TypeVar("T")


class ReadConnections:
    """Runs what reads the archive, each on a connection that nobody else uses meanwhile.

    Parameters
    ----------
    most : connections that are kept; more are opened where more read at once, and closed afterwards.
    """

    def __init__(self, database: Database, settings: Settings, most: int = 4) -> None:
        self._database, self._settings, self._most = database, settings, most
        self._lock = threading.Lock()
        self._kept: list[Connection] = []

    def __call__(self, read: Callable[[Connection], T]) -> T:
        """What `read` returns; it is called once more, on a new connection, where a kept one was lost.

        Raises DatabaseUnavailable where the server cannot be reached.
        """
        with self._lock:
            kept = self._kept.pop() if self._kept else None
        if kept is not None:
            with suppress(DatabaseUnavailable):  # it was lost: a new one is made below
                return self._read(kept, read)
        return self._read(with_restart(self._database, self._settings, self._connected), read)

    def _connected(self) -> Connection:
        with database_errors(self._database.url):
            return connect(self._database.url, autocommit=True)

    def _read(self, connection: Connection, read: Callable[[Connection], T]) -> T:
        """What `read` returns; the connection is kept, or closed after an error."""
        try:
            with database_errors(self._database.url):
                found = read(connection)
        except BaseException:
            with suppress(Exception):  # it was lost
                connection.close()
            raise
        with self._lock:
            if keep := len(self._kept) < self._most:
                self._kept.append(connection)
        if not keep:
            connection.close()
        return found

    def close(self) -> None:
        """Close the connections that are kept, and keep none any more."""
        with self._lock:
            self._most, kept, self._kept = 0, self._kept, []
        for connection in kept:
            connection.close()
