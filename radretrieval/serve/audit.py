"""Rows of the table audit for what is done by the page and the API."""

from __future__ import annotations

import logging
from typing import Any

from radretrieval.archive import audit
from radretrieval.archive.connections import Connection, Database

log = logging.getLogger(__name__)


def note(database: Database, who: str, action: str, **detail: Any) -> None:
    """Add a row; where none can be written, on a standby or with a role that only reads, the log has it.

    Parameters
    ----------
    action, detail : as in `archive.audit.record`.
    """
    with database.connection() as connection:
        note_on(connection, who, action, **detail)


def note_on(connection: Connection, who: str, action: str, **detail: Any) -> None:
    """Do what `note` does, by a connection that is open."""
    if not audit.note(connection, who, action, detail):
        log.warning("audit: %r %s %s", who, action, detail)
