"""Claims of pending images: batch after batch, each in a transaction of its own."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from radretrieval.archive import codes, engine
from radretrieval.archive.codes import Pending

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]


class Claims:
    """One pass over the images without a code of an encoder, from the smallest id on.

    A context manager; what is still held at its end is rolled back, for another worker or the next pass to take.

    Parameters
    ----------
    limit : images of one batch. since : images that failed after this moment wait (see `codes.claim`).
    """

    def __init__(self, url: str, encoder_id: int, geometry: int, limit: int, since: datetime) -> None:
        self._url = url
        self._encoder_id = encoder_id
        self._geometry = geometry
        self._limit = limit
        self._since = since
        self._after = 0
        self._all: list[Connection] = []
        self._free: list[Connection] = []

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._all:
            connection.close()

    def next(self) -> tuple[Connection, list[Pending]] | None:
        """The next batch and the connection whose transaction holds it; None when nothing is left."""
        if not self._free:
            self._free.append(engine.connect(self._url))
            self._all.append(self._free[-1])
        connection = self._free.pop()
        pending: list[Pending] = []
        while not pending:
            pending, reached = codes.claim(
                connection,
                self._encoder_id,
                self._geometry,
                after=self._after,
                limit=self._limit,
                since=self._since,
            )
            if reached == self._after:
                connection.rollback()
                self.give_back(connection)
                return None
            self._after = reached
        return connection, pending

    def give_back(self, connection: Connection) -> None:
        """The transaction of this connection has ended; it serves another batch."""
        self._free.append(connection)
