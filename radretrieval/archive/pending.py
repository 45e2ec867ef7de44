"""Batches of pending images, each claimed in a transaction of its own."""

from __future__ import annotations

from datetime import datetime

from radretrieval.archive import codes, connections
from radretrieval.archive.codes import Pending
from radretrieval.archive.connections import Connection


class Claims:
    """One pass over the images without a code of an encoder, from the smallest id on.

    A context manager; transactions still open at its end are rolled back, and their images stay pending.

    Parameters
    ----------
    limit : images of one batch. since, again : see `codes.claim`.

    Attributes
    ----------
    ahead : how many batches may be claimed at a time. Behind a pooler one: two workers that each hold a connection of a
        small pool and wait for a second would wait for each other.
    """

    ahead = 2

    def __init__(
        self, url: str, encoder_id: int, geometry: int, limit: int, since: datetime, again: bool = False
    ) -> None:
        self._url = url
        self._encoder_id = encoder_id
        self._geometry = geometry
        self._limit = limit
        self._since = since
        self._again = again
        self._after = 0
        self._all: list[Connection] = []
        self._free: list[Connection] = []

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._all:
            connection.close()

    def next(self) -> tuple[Connection, list[Pending]] | None:
        """The next batch and the connection whose transaction locked it; None when nothing is left or can be locked.

        While another batch is locked, lock_timeout is short: the other worker may be waiting for that batch (deadlock).
        """
        from psycopg.errors import LockNotAvailable

        if not self._free:
            self._free.append(connections.connect(self._url))
            self._all.append(self._free[-1])
            if connections.is_pooled(self._free[-1]):
                self.ahead = 1
        connection = self._free.pop()
        holding = len(self._all) > len(self._free) + 1
        pending: list[Pending] = []
        try:
            codes.set_lock_timeout(connection, 0.2 if holding else None)
            while not pending:
                pending, reached = codes.claim(
                    connection,
                    self._encoder_id,
                    self._geometry,
                    after=self._after,
                    limit=self._limit,
                    since=self._since,
                    again=self._again,
                )
                if reached == self._after:
                    break
                self._after = reached
            codes.set_lock_timeout(
                connection, None
            )  # the same transaction writes the batch later, without a time limit
        except LockNotAvailable:
            pending = []
        if not pending:
            connection.rollback()
            self.give_back(connection)
            return None
        return connection, pending

    def give_back(self, connection: Connection) -> None:
        """Reuse a connection whose transaction has ended."""
        self._free.append(connection)
