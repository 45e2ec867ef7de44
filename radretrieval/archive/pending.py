"""Claims of pending images: batch after batch, each in a transaction of its own."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from radretrieval.archive import codes, connections
from radretrieval.archive.codes import Pending

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]


class Claims:
    """One pass over the images without a code of an encoder, from the smallest id on.

    A context manager; what is still held at its end is rolled back, for another worker or the next pass to take.

    Parameters
    ----------
    limit : images of one batch. since, again : see `codes.claim`.
    """

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
        """The next batch and the connection whose transaction holds it; None when nothing is left, or not now.

        While another batch is held, a lock is not waited for: who has it may be waiting for that batch.
        """
        from psycopg.errors import LockNotAvailable

        if not self._free:
            self._free.append(connections.connect(self._url))
            self._all.append(self._free[-1])
        connection = self._free.pop()
        holding = len(self._all) > len(self._free) + 1
        pending: list[Pending] = []
        try:
            codes.be_patient(connection, 0.2 if holding else None)
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
            codes.be_patient(connection, None)  # the batch is written later in this transaction, whatever it waits for
        except LockNotAvailable:
            pending = []
        if not pending:
            connection.rollback()
            self.give_back(connection)
            return None
        return connection, pending

    def give_back(self, connection: Connection) -> None:
        """The transaction of this connection has ended; it serves another batch."""
        self._free.append(connection)
