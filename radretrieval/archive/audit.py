"""The table `audit`: who did what."""

from __future__ import annotations

import json
import select
from collections.abc import Callable
from enum import Enum, auto
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from radretrieval.archive import connections
from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql


def record(connection: Connection, who: str, action: str, detail: dict[str, Any]) -> None:
    """Add a row, as the last statement of a transaction: until that ends, nobody else adds one.

    Parameters
    ----------
    action : `search`, `feedback`, …. detail : to what and how, as JSON; no pixels and nothing of a header.

    Raises psycopg's errors, InsufficientPrivilege and ReadOnlySqlTransaction among them: see `note`.
    """
    from psycopg.types.json import Jsonb

    connection.execute(sql("audit_add"), {"who": who, "action": action, "detail": Jsonb(detail)})


def note(connection: Connection, who: str, action: str, detail: dict[str, Any], *, wait: bool = False) -> bool:
    """Add a row where this session may; returns whether it did. It is the last statement of its transaction.

    Parameters
    ----------
    wait : whether the commit waits for the disk, which takes half as long as a search; else a crash of the server may
        lose the rows of its last half second.
    """
    from psycopg import errors
    from psycopg.types.json import Jsonb

    statement = sql("audit_add" if wait else "audit_note")
    try:  # a statement that asked first would double the time
        connection.execute(statement, {"who": who, "action": action, "detail": Jsonb(detail)})
    except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction):
        return False
    return True


def holders(connection: Connection) -> list[int]:
    """The sessions for which no row can be added: one is, and taken back. Ends the transaction of the connection."""
    from psycopg import errors

    try:
        note(connection, "", "health", {})
        return []
    except errors.LockNotAvailable:
        connection.rollback()
        return [row["pid"] for row in connection.execute(sql("audit_holders"))]
    finally:
        connection.rollback()


class Outcome(Enum):
    """What became of a row that was begun."""

    ADDED = auto()
    STALE = auto()  # the answer was found with what is not so any more, see `Asked` and `Read`: there is no row
    NOT_ALLOWED = auto()
    READ_ONLY = auto()  # the server takes no writes


def begin(
    connection: Connection, who: str, action: str, detail: dict[str, Any], asked: Asked | Read | None = None
) -> Callable[[], Outcome]:
    """Do what `note` does in two steps: the statement is sent, and what is returned waits until its row is committed.

    Meanwhile the caller may prepare an answer, which takes the server's time off it, and does not use the connection.
    It is in autocommit mode: the row is committed also where this process is killed before the second step. The
    statement is prepared once a connection, and sent by libpq itself: that takes a third of the time of `note`.

    Parameters
    ----------
    asked : there is a row only while what the answer was found with is so still; None: in any case.
    """
    server, (name, statement) = connection.pgconn, _statement(asked is None, isinstance(asked, Read))
    values: list[bytes | None] = [who.encode(), action.encode(), json.dumps(detail).encode()]
    values += [None if value is None else str(value).encode() for value in asked or ()]
    own = _sessions.get(connection)
    if own is not None and name in own.prepared:
        server.send_query_prepared(name, values)
    elif connections.is_pooled(connection):  # a prepared statement would stay with another's connection
        own = _Session.of(connection)
        server.send_query_params(statement, values)
    else:
        own = _sessions.setdefault(connection, _Session.of(connection))
        server.send_prepare(name, statement)
        if (refused := _finish(connection, own)) in (Outcome.NOT_ALLOWED, Outcome.READ_ONLY):
            return lambda: refused
        own.prepared.add(name)
        server.send_query_prepared(name, values)
    while server.flush():  # 1: the socket takes no more yet
        pass
    return lambda: _finish(connection, own)


class Asked(NamedTuple):
    """The encoder that a search asked for (None: the active one), and its state when the searcher read it."""

    encoder_id: int | None
    state: str


class Read(NamedTuple):
    """What an answer was read from on a standby: the encoder as in `Asked`, its images, how far it had replayed.

    Attributes
    ----------
    images : an array as PostgreSQL writes one. replayed, replayed_at : as `readers.Position`.
    seconds : how far the standby may be behind. followed : whether it had all within these seconds.
    """

    encoder_id: int | None
    state: str
    images: str
    replayed: str
    replayed_at: float
    seconds: float
    followed: bool


def stale(connection: Connection, read: Read) -> str | None:
    """Why an answer must not be shown: `encoder`, `image` or `lag`; None where the primary confirms it."""
    statement = sql("stale").replace("{encoder}", sql("encoder_one"))
    row = connection.execute(statement, {"id": read.encoder_id, **read._asdict()}).fetchone()
    return None if row is None else row["stale"]


class _Session(NamedTuple):
    """What a connection keeps from row to row: the statements that it has prepared, and what tells of an answer."""

    prepared: set[bytes]
    arrived: select.poll  # of any number of descriptors, which `select.select` is not

    @classmethod
    def of(cls, connection: Connection) -> _Session:
        arrived = select.poll()
        arrived.register(connection.pgconn.socket, select.POLLIN)
        return cls(set(), arrived)


_sessions: WeakKeyDictionary[Connection, _Session] = WeakKeyDictionary()


@cache
def _statement(in_any_case: bool, confirmed: bool) -> tuple[bytes, bytes]:
    """The name of the statement, and its text with its parameters as libpq has them."""
    if in_any_case:
        name, statement = b"radretrieval_audit_note", sql("audit_note")
    elif confirmed:
        name, statement = b"radretrieval_audit_confirmed", sql("audit_confirmed").replace("{stale}", sql("stale"))
    else:
        name, statement = b"radretrieval_audit_search", sql("audit_search")
    statement = statement.replace("{encoder}", sql("encoder_one"))
    parameters = ("who", "action", "detail", "id", "state", *Read._fields[2:])
    for place, parameter in enumerate(parameters, start=1):
        statement = statement.replace(f"%({parameter})s", f"${place}")
    return name, statement.encode()


def _finish(connection: Connection, own: _Session) -> Outcome:
    """Wait for what was sent, and for what became of it; with the interpreter's lock released, as `get_result` is not.

    The row waits for whoever has added one and not committed, which may be another thread of this process.
    """
    server = connection.pgconn
    failed, added = None, False
    while True:
        while server.is_busy():
            own.arrived.poll()
            server.consume_input()
        result = server.get_result()
        if result is None:
            break
        if result.status not in (1, 2):  # COMMAND_OK, TUPLES_OK
            failed = result
        added = added or result.ntuples > 0
    if failed is None:
        return Outcome.ADDED if added else Outcome.STALE
    from psycopg import OperationalError, errors

    problem = errors.error_from_result(failed, connection.info.encoding)
    if isinstance(problem, errors.InsufficientPrivilege):
        return Outcome.NOT_ALLOWED
    if isinstance(problem, errors.ReadOnlySqlTransaction):
        return Outcome.READ_ONLY
    # without a SQLSTATE it is libpq's own: the connection was lost
    raise problem if problem.sqlstate else OperationalError(str(problem))
