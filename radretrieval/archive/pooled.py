"""Connections through a pooler: what a session would keep is set anew in each transaction.

A pooler in transaction mode (pgbouncer, and what providers call a pooled or transaction URL) gives each transaction
whichever server connection is free. Nothing may stay in a session then: no setting, no prepared statement, no LISTEN,
no advisory lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import tuple_row

from radretrieval.archive.queries import sql
from radretrieval.logs import Log

log = Log(__name__)

WAITING_SECONDS = 5.0
ROUNDS = 6  # of questions by which a pooler in transaction mode is told from one in session mode


class PooledConnection(psycopg.Connection[Any]):
    """A connection that behind a pooler works as others do: each of its transactions begins with our settings.

    In autocommit mode each statement is a transaction of its own, with the settings before it.
    """

    name = ""

    @classmethod
    def to(cls, url: str, name: str, **options: Any) -> PooledConnection:
        """Connect; prepared statements are never used, for they stay with a server connection.

        Parameters
        ----------
        name : what the database is called in messages.
        """
        connection = cls.connect(url, cursor_factory=_Cursor, prepare_threshold=None, **options)
        connection.isolation_level = IsolationLevel.READ_COMMITTED
        connection.name = name
        return connection

    @contextmanager
    def transaction(self, *arguments: Any, **options: Any) -> Iterator[psycopg.Transaction]:
        """As psycopg's, with our settings at the beginning of the outermost."""
        if not self._is_idle():
            with super().transaction(*arguments, **options) as block:
                yield block
            return
        with ExitStack() as stack:
            with told_when_waiting(self.name):
                block = stack.enter_context(super().transaction(*arguments, **options))
                self._set()
            yield block

    @contextmanager
    def settled(self) -> Iterator[None]:
        """The settings for one statement, where it is the first of its transaction."""
        if not self._is_idle():
            yield
        elif self.autocommit:
            with self.transaction():
                yield
        else:
            with told_when_waiting(self.name):
                self._set()
            yield

    def _is_idle(self) -> bool:
        return self.info.transaction_status == psycopg.pq.TransactionStatus.IDLE

    def _set(self) -> None:
        plain = psycopg.Cursor(self)  # not ours, which would begin another transaction
        plain.execute(sql("pooled_path"))
        plain.execute(sql("pooled_timeout"))


class _Cursor(psycopg.Cursor[Any]):
    def execute(self, *arguments: Any, **options: Any) -> _Cursor:
        with self.connection.settled():  # type: ignore[attr-defined]
            super().execute(*arguments, **options)
        return self

    def executemany(self, *arguments: Any, **options: Any) -> None:
        with self.connection.settled():  # type: ignore[attr-defined]
            super().executemany(*arguments, **options)

    @contextmanager
    def copy(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        with self.connection.settled(), super().copy(*arguments, **options) as copy:  # type: ignore[attr-defined]
            yield copy


@contextmanager
def told_when_waiting(name: str) -> Iterator[None]:
    """Log a warning when a connection has not come, or a transaction has not begun, for some seconds.

    Parameters
    ----------
    name : what the database is called in messages.
    """
    message = (
        "waiting for a connection to %(database)s: the server does not answer, or a pooler has none free (its pool is "
        "small, or other clients hold it)"
    )
    timer = threading.Timer(WAITING_SECONDS, lambda: log.warning("waiting_for_connection", message, database=name))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def keeps_sessions(url: str, **options: Any) -> bool:
    """Whether a pooler gives each client a server connection of its own (session mode).

    In transaction mode another client is soon served by a connection that the first one has used, or the first by
    another one than before. One question would not tell: the pooler may give connections in turn, and other clients
    may hold those that are free. So each round asks once more than the last: none falls in with their turns for long.
    No transaction is left open meanwhile: two that ask at once would wait for one another for the last connections.
    """
    options |= {"autocommit": True, "prepare_threshold": None}
    with psycopg.connect(url, **options) as first, psycopg.connect(url, **options) as second:
        pid = _pid(first)
        return not any(
            _pid(second) == pid or any(_pid(first) != pid for _ in range(number)) for number in range(1, ROUNDS)
        )


def _pid(connection: psycopg.Connection[Any]) -> int:
    row = psycopg.Cursor(connection, row_factory=tuple_row).execute(sql("backend")).fetchone()
    assert row is not None
    return int(row[0])
