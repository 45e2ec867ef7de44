"""The table `heartbeat`: which services run, and when each was last heard of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql

EVERY_SECONDS = 15.0
ALIVE_SECONDS = 60.0
"""A service that was last heard of longer ago is taken for dead."""


@dataclass(frozen=True)
class Beat:
    """A service, as its row says.

    Attributes
    ----------
    program : its command, as `work`. host : its name of the machine. version : of radretrieval.
    seconds : since it was last heard of, by the database's clock.
    replaced : the same program was started later.
    """

    program: str
    host: str
    pid: int
    version: str
    started_at: datetime
    beat_at: datetime
    seconds: float
    replaced: bool

    @property
    def alive(self) -> bool:
        """Whether it was heard of in the last minute."""
        return self.seconds <= ALIVE_SECONDS


def beat(connection: Connection, row: int | None, program: str, host: str, pid: int, version: str) -> int:
    """Record that a service is alive; returns the id of its row, which is made where there is none yet.

    Making one deletes the rows of services that were not heard of for a day.

    Parameters
    ----------
    row : what the last call returned; None at first.
    """
    if row is not None and connection.execute(sql("heartbeat_beat"), {"id": row}).fetchone() is not None:
        return row
    values = {"program": program, "host": host, "pid": pid, "version": version}
    made = connection.execute(sql("heartbeat_add"), values).fetchone()
    assert made is not None
    return int(made["id"])


def end(connection: Connection, row: int) -> None:
    """Delete the row of a service that ends in order."""
    connection.execute(sql("heartbeat_end"), {"id": row})


def beats(connection: Connection) -> list[Beat]:
    """Every service that was heard of in the last day and has not ended in order."""
    return [Beat(**row) for row in connection.execute(sql("heartbeats")).fetchall()]
