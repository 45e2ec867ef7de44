"""The table audit: rows are added, and stay as they are."""

from __future__ import annotations

import psycopg
import pytest

from radretrieval.archive import audit
from radretrieval.archive.connections import Database

CHANGES = ("UPDATE audit SET who = 'b'", "DELETE FROM audit WHERE id = 1", "TRUNCATE audit")


def test_rows_are_added_and_never_changed(database: Database) -> None:
    with database.connection() as connection:
        audit.record(connection, "Dr. Ä", "search", {"query": {"image_id": 7}, "hits": [1, 2]})
        for change in CHANGES:
            refused = pytest.raises(psycopg.errors.InsufficientPrivilege, match="not changed or deleted")
            with refused, connection.transaction():
                connection.execute(change)  # type: ignore[arg-type]
        row = connection.execute("SELECT who, action, detail, at > now() - interval '1 hour' AS now FROM audit")
        assert row.fetchall() == [
            {"who": "Dr. Ä", "action": "search", "detail": {"query": {"image_id": 7}, "hits": [1, 2]}, "now": True}
        ]
        connection.execute("SET TRANSACTION READ ONLY")
        assert not audit.note(connection, "a", "search", {})
