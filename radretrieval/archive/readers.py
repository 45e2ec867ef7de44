"""Readers: standbys that searches are read from, while they follow the primary closely enough."""

from __future__ import annotations

from typing import NamedTuple

from radretrieval.archive.connections import Connection, is_pooled
from radretrieval.archive.queries import sql
from radretrieval.errors import EnvironmentUnusable

# A standby that keeps up is milliseconds behind, one that waits for a read or replays a large load some seconds; more
# is a fault. So long may an answer lack a new image, or know an old label.
LAG_SECONDS = 10.0


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
    there, here = (one.execute(sql("reader_identity")).fetchone() for one in (reader, primary))
    assert there is not None, "one row"
    assert here is not None, "one row"
    if there["cluster"] != here["cluster"] or there["database"] != here["database"]:
        raise EnvironmentUnusable("it is a standby of another server or has another database than the primary")
    if there["timeline"] != here["timeline"]:
        raise EnvironmentUnusable(
            f"it follows timeline {there['timeline']}, and the primary writes timeline {here['timeline']}, as after a "
            "failover that it has not taken part in yet"
        )
