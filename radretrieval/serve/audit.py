"""Rows of the table audit for what is done by the page and the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from radretrieval.archive import audit
from radretrieval.archive.connections import Connection, Database
from radretrieval.logs import Log
from radretrieval.search.reading import begin_row
from radretrieval.search.recorded import recorded
from radretrieval.search.request import Answer
from radretrieval.search.searcher import Searcher
from radretrieval.serve.access.user import User

log = Log(__name__)


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
        log.warning("audit_row", "audit: %(who)s %(action)s %(detail)s", who=repr(who), action=action, detail=detail)


@contextmanager
def noted(searcher: Searcher, user: User, answer: Answer) -> Iterator[None]:
    """Add the row that says who searched for what, while the block prepares the answer; it is there when that ends.

    The block does not use the searcher's connection. Raises as `search.reading.begin_row`.
    """
    finish = begin_row(searcher, user.name, answer)
    try:
        yield
    finally:
        if finish() is not audit.Outcome.ADDED:
            detail = recorded(answer)
            log.warning("audit_row", "audit: %(who)s search %(detail)s", who=repr(user.name), detail=detail)
