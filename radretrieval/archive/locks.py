"""Locks that only a role which may write can take: rows of the table write_lock, until the transaction ends.

An advisory lock would do as well, but any role may take one, and stop every writer with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.errors import DatabaseUnavailable
from radretrieval.logs import Log

log = Log(__name__)
T = TypeVar("T")

SECONDS = 5.0
"""A wait that is longer is logged, and `db check` reports it."""

LONGEST_PAUSE = 5.0  # seconds between attempts to lock tables

INGESTION = "ingestion"

_NAME, _CONTENT = "RowShareLock", "RowExclusiveLock"  # how pg_locks shows that a session has one


def lock(connection: Connection, name: str) -> None:
    """Take the lock of this name; a wait of more than `SECONDS` is logged with who has it."""
    _wait(connection, sql("lock_named"), {"name": name}, f"the lock {name!r} of the archive", _NAME)


def try_lock(connection: Connection, name: str) -> bool:
    """Take the lock of this name without waiting; returns whether it was taken."""
    row = connection.execute(sql("lock_named"), {"name": name, "seconds": 0}).fetchone()
    return row is not None and bool(row["taken"])


def lock_contents(connection: Connection, sha256: Sequence[bytes]) -> None:
    """Take the lock of each SHA-256; a wait of more than `SECONDS` is logged with who may have one of them."""
    _wait(connection, sql("lock_contents"), {"sha256": list(sha256)}, "the lock of a file's content", _CONTENT)


def limit_waits(connection: Connection, seconds: float) -> None:
    """Let statements of this transaction fail with LockNotAvailable where they wait for a lock for so long."""
    connection.execute(sql("lock_timeout"), {"milliseconds": str(round(1000 * seconds))})


def holder(connection: Connection, mode: str = _NAME) -> str:
    """Which sessions may have the lock that another one has; for messages."""
    return shown(connection, [row["pid"] for row in connection.execute(sql("lock_holders"), {"mode": mode})])


def advisory_holder(connection: Connection, key: int) -> str:
    """Which session has the advisory lock of this key, for messages."""
    return shown(connection, [row["pid"] for row in connection.execute(sql("advisory_holder"), {"key": key})])


def while_locked(
    connection: Connection,
    tables: Sequence[str],
    action: Callable[[], T],
    readers: bool = False,
    most: float = math.inf,
) -> T:
    """Run `action`, which locks tables, in a transaction, or in a savepoint of the one that is open.

    The locks are requested with a timeout and again after a pause, so that waiting for them blocks no other
    transaction. A wait of more than `SECONDS` is logged with the sessions that use these tables.

    Parameters
    ----------
    readers : whether the lock conflicts with those of sessions that only read.
    most : seconds after which psycopg.errors.LockNotAvailable is raised.
    """
    from psycopg.errors import DeadlockDetected, LockNotAvailable

    pause, told, begun = 0.05, SECONDS, time.monotonic()
    while True:
        try:
            with connection.transaction():
                limit_waits(connection, 2.0)
                return action()
        except (LockNotAvailable, DeadlockDetected):
            waited = time.monotonic() - begun
            if waited >= told:
                told = 2 * waited
                found = connection.execute(sql("table_users"), {"tables": list(tables), "readers": readers}).fetchall()
                has = shown(connection, [row["pid"] for row in found])
                log.warning(
                    "waiting_for_lock",
                    "waiting to lock %(what)s for %(seconds).0f s; used by %(sessions)s",
                    what=", ".join(tables),
                    seconds=waited,
                    sessions=has,
                )
            if waited >= most:
                raise
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


@dataclass(frozen=True)
class Waits:
    """Sessions that have waited for a lock for more than `SECONDS`: how many, which and for whom, and what ends it."""

    sessions: int
    text: str
    repair: str


def waits(connection: Connection) -> Waits | None:
    """The sessions that have waited for a lock for more than `SECONDS`; None where there is none."""
    rows = connection.execute(sql("blocked"), {"seconds": SECONDS}).fetchall()
    if not rows:
        return None
    told = [
        f"{shown(connection, [row['pid']])} has waited for {row['seconds']:.0f} s for {shown(connection, row['by'])}"
        for row in rows
    ]
    repair = f"wait for that transaction too, or have the DBA end it: SELECT pg_terminate_backend({rows[-1]['by'][0]});"
    return Waits(len(rows), f"writers wait: {'; '.join(told)}", repair)


def check(connection: Connection) -> None:
    """Raise DatabaseUnavailable where a session has waited for a lock for more than `SECONDS`: which, and for whom."""
    found = waits(connection)
    if found is not None:
        raise DatabaseUnavailable(f"{found.text}; {found.repair}")


def _wait(connection: Connection, statement: str, values: dict[str, Any], what: str, mode: str) -> None:
    waited, told = 0.0, SECONDS
    while True:
        row = connection.execute(statement, values | {"seconds": SECONDS}).fetchone()
        if row is not None and row["taken"]:
            return
        waited += SECONDS
        if waited >= told:
            told *= 2
            has = holder(connection, mode)
            log.warning(
                "waiting_for_lock",
                "waiting for %(what)s for %(seconds).0f s; it is held by %(sessions)s",
                what=what,
                seconds=waited,
                sessions=has,
            )


def shown(connection: Connection, pids: Sequence[int]) -> str:
    """Sessions for messages: process, role, program, host, state and the begin of the transaction."""
    told = []
    for row in connection.execute(sql("sessions"), {"pids": list(pids)}):
        parts = [f"role {row['role']}", row["program"], row["host"], row["state"]]
        parts += [row["since"] and f"in a transaction since {row['since']:%H:%M:%S}"]
        told.append(f"process {row['pid']} ({', '.join(filter(None, parts))})")
    told += ["a prepared transaction (pg_prepared_xacts)"] if 0 in pids else []
    return " or ".join(told) or "a session that has ended since"
