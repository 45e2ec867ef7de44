"""The table `audit`: who did what."""

from __future__ import annotations

import json
import select
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

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


def begin(connection: Connection, who: str, action: str, detail: dict[str, Any]) -> Callable[[], bool]:
    """Do what `note` does in two steps: the statement is sent, and what is returned waits until its row is committed.

    Meanwhile the caller may prepare an answer, which takes the server's time off it, and does not use the connection.
    It is in autocommit mode: the row is committed also where this process is killed before the second step. The
    statement is prepared once a connection, and sent by libpq itself: that takes a third of the time of `note`.
    """
    server = connection.pgconn
    values = [who.encode(), action.encode(), json.dumps(detail).encode()]
    pooled = connections.is_pooled(connection)  # a prepared statement would stay with another's connection
    if not pooled and connection not in _prepared:
        server.send_prepare(_STATEMENT, _note_statement())
        if not _finish(connection):
            return lambda: False
        _prepared.add(connection)
    if pooled:
        server.send_query_params(_note_statement(), values)
    else:
        server.send_query_prepared(_STATEMENT, values)
    while server.flush():  # 1: the socket takes no more yet
        pass
    return lambda: _finish(connection)


_STATEMENT = b"radretrieval_audit_note"
_prepared: WeakSet[Connection] = WeakSet()  # connections that have the statement


@cache
def _note_statement() -> bytes:
    """The statement of `note` with its parameters as libpq has them."""
    statement = sql("audit_note")
    for place, parameter in enumerate(("who", "action", "detail"), start=1):
        statement = statement.replace(f"%({parameter})s", f"${place}")
    return statement.encode()


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


def _finish(connection: Connection) -> bool:
    """Wait for what was sent; whether this session may do it."""
    from psycopg import OperationalError, errors
    from psycopg.pq import ExecStatus

    problem = None
    while (result := _result(connection.pgconn)) is not None:
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            problem = errors.error_from_result(result, connection.info.encoding)
    if isinstance(problem, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return False
    if problem is not None:  # without a SQLSTATE it is libpq's own: the connection was lost
        raise problem if problem.sqlstate else OperationalError(str(problem))
    return True
