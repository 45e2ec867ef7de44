"""Rows of the audit for what an archive's methods do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from radretrieval.errors import RadretrievalError, UsageError
from radretrieval.logs import Log

if TYPE_CHECKING:
    from radretrieval.archive.connections import Database

log = Log(__name__)


def operator() -> str:
    """Who runs this process, as the operating system knows them; for the audit."""
    import pwd

    try:  # not getpass.getuser: that believes the environment, in which anybody may be named
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        return f"uid {os.getuid()}"


def figures(report: object) -> dict[str, Any]:
    """The counts of a report that are not 0, for the audit: no names of files, nor what failed of which."""
    return {name: value for name, value in vars(report).items() if isinstance(value, int | float) and value}


def note(database: Database, action: str, detail: Mapping[str, Any]) -> None:
    """Add a row to the audit of what was done; where none can be added, the log has it."""
    from radretrieval.archive import audit

    added = False
    with suppress(RadretrievalError), database.connection() as connection:
        added = audit.note(connection, operator(), action, dict(detail), wait=True)
    if not added:
        log.warning(
            "audit_row", "audit: %(who)s %(action)s %(detail)s", who=repr(operator()), action=action, detail=detail
        )


@contextmanager
def noted(database: Database, action: str, **detail: Any) -> Iterator[dict[str, Any]]:
    """Do something of which the audit gets a row, also when an error ends it, but for one in the request.

    What the block puts into the dictionary that it gets is in the row too.
    """
    try:
        yield detail
    except UsageError:
        raise
    except BaseException as error:
        note(database, action, detail | {"error": type(error).__name__})
        raise
    note(database, action, detail)
