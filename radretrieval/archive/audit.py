"""The table `audit`: who did what."""

from __future__ import annotations

import json
import select
from collections.abc import Callable
from enum import Enum, auto
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from radretrieval.archive import connections
from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult


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
    OTHER_ENCODER = auto()  # the state of the encoder is not the one that the answer was found with: there is no row
    NOT_ALLOWED = auto()


def begin(
    connection: Connection, who: str, action: str, detail: dict[str, Any], asked: Asked | None = None
) -> Callable[[], Outcome]:
    """Do what `note` does in two steps: the statement is sent, and what is returned waits until its row is committed.

    Meanwhile the caller may prepare an answer, which takes the server's time off it, and does not use the connection.
    It is in autocommit mode: the row is committed also where this process is killed before the second step. The
    statement is prepared once a connection, and sent by libpq itself: that takes a third of the time of `note`.

    Parameters
    ----------
    asked : there is a row only while the encoder that was asked for has the state that it had; None: in any case.
    """
    server, (name, statement) = connection.pgconn, _statement(asked is None)
    values: list[bytes | None] = [who.encode(), action.encode(), json.dumps(detail).encode()]
    if asked is not None:
        values += [None if asked.encoder_id is None else str(asked.encoder_id).encode(), asked.state.encode()]
    pooled = connections.is_pooled(connection)  # a prepared statement would stay with another's connection
    if not pooled and name not in _prepared.setdefault(connection, set()):
        server.send_prepare(name, statement)
        if _finish(connection) is Outcome.NOT_ALLOWED:
            return lambda: Outcome.NOT_ALLOWED
        _prepared[connection].add(name)
    if pooled:
        server.send_query_params(statement, values)
    else:
        server.send_query_prepared(name, values)
    while server.flush():  # 1: the socket takes no more yet
        pass
    return lambda: _finish(connection)


class Asked(NamedTuple):
    """The encoder that a search asked for (None: the active one), and its state when the searcher read it."""

    encoder_id: int | None
    state: str


_prepared: WeakKeyDictionary[Connection, set[bytes]] = WeakKeyDictionary()  # the statements that a connection has


@cache
def _statement(in_any_case: bool) -> tuple[bytes, bytes]:
    """The name of the statement, and its text with its parameters as libpq has them."""
    statement = sql("audit_note") if in_any_case else sql("audit_search").replace("{encoder}", sql("encoder_one"))
    for place, parameter in enumerate(("who", "action", "detail", "id", "state"), start=1):
        statement = statement.replace(f"%({parameter})s", f"${place}")
    return b"radretrieval_audit_note" if in_any_case else b"radretrieval_audit_search", statement.encode()


def _result(server: PGconn) -> PGresult | None:
    """The next result; waits with the interpreter's lock released, as `get_result` alone would not.

    The row waits for whoever has added one and not committed, which may be another thread of this process.
    """
    if server.is_busy():
        arrived = select.poll()  # of any number of descriptors, which `select.select` is not
        arrived.register(server.socket, select.POLLIN)
        while server.is_busy():
            arrived.poll()
            server.consume_input()
    return server.get_result()


def _finish(connection: Connection) -> Outcome:
    """Wait for what was sent, and for what became of it."""
    failed, added = None, False
    while (result := _result(connection.pgconn)) is not None:
        if result.status not in (1, 2):  # COMMAND_OK, TUPLES_OK
            failed = result
        added = added or result.ntuples > 0
    if failed is None:
        return Outcome.ADDED if added else Outcome.OTHER_ENCODER
    from psycopg import OperationalError, errors

    problem = errors.error_from_result(failed, connection.info.encoding)
    if isinstance(problem, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return Outcome.NOT_ALLOWED
    # without a SQLSTATE it is libpq's own: the connection was lost
    raise problem if problem.sqlstate else OperationalError(str(problem))
