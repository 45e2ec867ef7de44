"""Readers: standbys that searches are read from, while they follow the primary closely enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from radretrieval.archive.connections import Connection, Database, is_pooled
from radretrieval.archive.queries import sql
from radretrieval.archive.urls import hosts_of, redacted
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable
from radretrieval.logs import Log

log = Log(__name__)

T = TypeVar("T")

# A standby that keeps up is milliseconds behind, one that waits for a read or replays a large load some seconds; more
# is a fault. So long may an answer lack a new image, or know an old label.
LAG_SECONDS = 10.0
_SETTLED = (0.05, 0.15, 0.3)  # seconds to wait for a standby that is behind only by what was written just now


class Position(NamedTuple):
    """How far a standby has replayed: the place in the primary's log, and when the last transaction was committed.

    replayed_at : seconds since 1970, by the primary's clock; 0 where it has replayed none since it was started.
    """

    replayed: str
    replayed_at: float


def position(reader: Connection) -> Position:
    """How far this standby is; raises EnvironmentUnusable for a server that is none, as one that was promoted."""
    row = reader.execute(sql("reader_position")).fetchone()
    if row is None or not row["standby"]:
        raise EnvironmentUnusable("it is no standby: it is the primary, or was promoted")
    return Position(row["replayed"], row["replayed_at"])


def check(reader: Connection, primary: Connection) -> None:
    """Raise EnvironmentUnusable for a standby that has not what this primary has, however far it has replayed."""
    if is_pooled(reader):
        raise EnvironmentUnusable(
            "it is behind a pooler in transaction mode, which may ask another server each time; name the standbys "
            "themselves, or use a pool in session mode"
        )
    there, here = _identity(reader), _identity(primary)
    if there["cluster"] != here["cluster"] or there["database"] != here["database"]:
        raise EnvironmentUnusable("it is a standby of another server or has another database than the primary")
    if there["timeline"] != here["timeline"]:
        raise EnvironmentUnusable(
            f"it follows timeline {there['timeline']}, and the primary writes timeline {here['timeline']}, as after a "
            "failover that it has not taken part in yet"
        )


def _identity(server: Connection) -> dict[str, Any]:
    row = server.execute(sql("reader_identity")).fetchone()
    assert row is not None, "it is one row"
    return row


@dataclass(frozen=True)
class State:
    """How a server is that searches may be read from.

    Attributes
    ----------
    server : its URL, without a password. standby : None where that is not known.
    lag_seconds, lag_bytes : how far it is behind the primary; None where that is not known, and of the primary itself.
    problem : why it is not read from; None where it is, or would be if no standby answered.
    """

    server: str
    standby: bool | None = None
    lag_seconds: float | None = None
    lag_bytes: int | None = None
    problem: str | None = None

    @property
    def words(self) -> str:
        """How it is, for people."""
        if self.problem is not None:
            return f"searches are not read from {self.server}: {self.problem}"
        how = f"{self.lag_seconds:.1f} s behind" if self.standby else "the primary, where no standby answers"
        return f"searches are read from {self.server}: {how}"

    @property
    def repair(self) -> str | None:
        """What to do; None where nothing has to be done."""
        return self.problem and "see that it runs and follows the primary, as its view pg_stat_wal_receiver tells"


def states(database: Database, primary: Connection) -> list[State]:
    """How each server of RADRETRIEVAL_READ_URL is, in its order; none where the setting is not set."""
    return [state for _, state in _servers(database, primary)]


def read_whole(database: Database, read: Callable[[Database], T]) -> T:
    """What `read` makes of a standby that has all that the primary has written by now; else, or where it is lost, of
    the primary.
    """
    with database.connection() as primary:
        servers = _servers(database, primary)
    for server, state in servers:
        if state.standby and state.lag_seconds == 0 and state.problem is None:
            try:
                return read(server)
            except DatabaseUnavailable as error:
                message = "%(reader)s is left, everything is read again from the primary: %(reason)s"
                log.warning("reader_left_out", message, reader=state.server, reason=reason(error))
                break
    return read(database)


def _servers(database: Database, primary: Connection) -> list[tuple[Database, State]]:
    """Each server of RADRETRIEVAL_READ_URL, and how it is."""
    if database.reader is None:
        return []
    here, patience = _identity(primary), database.reader.patience
    servers = [Database(one, patience=patience) for one in hosts_of(database.reader.url)]
    if here["standby"]:
        problem = "RADRETRIEVAL_DATABASE_URL does not lead to the primary, but to a standby"
        return [(one, State(redacted(one.url), problem=problem)) for one in servers]
    return [(one, _state(one, primary, here)) for one in servers]


def _state(server: Database, primary: Connection, here: dict[str, Any]) -> State:
    name = redacted(server.url)
    try:
        with server.connection() as reader:
            reader.autocommit = True
            there = _identity(reader)
            if not there["standby"]:
                problem = None if there["started"] == here["started"] else "it is no standby, and not the primary"
                return State(name, standby=False, problem=problem)
            check(reader, primary)
            seconds, lacking = lag(reader, primary)
    except EnvironmentUnusable as error:
        return State(name, problem=reason(error))
    problem = None
    if seconds is None:
        problem = f"it lacks {lacking} bytes of the primary's log, and has replayed nothing since it was started"
    elif seconds > LAG_SECONDS:
        problem = f"it is {seconds:.0f} s behind the primary, more than {LAG_SECONDS:.0f} s"
    return State(name, True, seconds, lacking, problem)


def lag(reader: Connection, primary: Connection) -> tuple[float | None, int]:
    """Seconds and bytes that a standby is behind; seconds are None where it cannot tell.

    It is waited for, for half a second, to have what the primary has written by now; then it is not behind.
    """
    flushed = primary.execute(sql("wal_flushed")).fetchone()
    row: dict[str, Any] | None = None
    for pause in (*_SETTLED, 0):
        row = primary.execute(sql("reader_lag"), {**(flushed or {}), **position(reader)._asdict()}).fetchone()
        if row is not None and row["seconds"] == 0:
            break
        time.sleep(pause)
    assert row is not None, "it is one row"
    return row["seconds"], row["bytes"]


def reason(error: Exception) -> str:
    """Why a standby is of no use, in a line: the database's own words where there are any."""
    return str(error.__cause__ or error).strip().partition("\n")[0]
