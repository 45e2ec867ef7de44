"""The table `audit`: who did what."""

from __future__ import annotations

from typing import Any

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql


def record(connection: Connection, who: str, action: str, detail: dict[str, Any]) -> None:
    """Add a row.

    Parameters
    ----------
    action : `search`, `feedback`, …. detail : to what and how, as JSON; no pixels and nothing of a header.

    Raises psycopg's errors, InsufficientPrivilege and ReadOnlySqlTransaction among them: see `writable`.
    """
    from psycopg.types.json import Jsonb

    connection.execute(sql("audit_add"), {"who": who, "action": action, "detail": Jsonb(detail)})


def writable(connection: Connection) -> bool:
    """Whether this role, on this server, may add rows: not one that only reads, and not on a standby."""
    row = connection.execute(sql("audit_writable")).fetchone()
    return row is not None and bool(row["writable"])


def note(connection: Connection, who: str, action: str, detail: dict[str, Any]) -> bool:
    """Add a row where this session may; returns whether it did."""
    may = writable(connection)
    if may:
        record(connection, who, action, detail)
    return may
