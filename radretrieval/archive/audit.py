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

    Raises psycopg's errors, InsufficientPrivilege and ReadOnlySqlTransaction among them: see `note`.
    """
    from psycopg.types.json import Jsonb

    connection.execute(sql("audit_add"), {"who": who, "action": action, "detail": Jsonb(detail)})


def note(connection: Connection, who: str, action: str, detail: dict[str, Any]) -> bool:
    """Add a row where this session may; returns whether it did.

    The commit does not wait for the disk, which would take half as long as a search: a crash of the server may lose the
    rows of its last half second.
    """
    from psycopg import errors
    from psycopg.types.json import Jsonb

    try:  # a statement that asked first would double the time
        connection.execute(sql("audit_note"), {"who": who, "action": action, "detail": Jsonb(detail)})
    except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction):
        return False
    return True
