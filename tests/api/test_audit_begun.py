"""What leaves the archive has its row in the audit before the first file does: a run that is killed has one too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filled import fill

import radretrieval as rr
from radretrieval.archive.connections import Database
from radretrieval.config import Settings


@pytest.mark.parametrize("action", ["export", "backup"])
def test_the_row_is_there_while_it_runs(database: Database, settings: Settings, tmp_path: Path, action: str) -> None:
    with database.connection() as connection:
        fill(connection, 3)
    settings.database_url = database.url
    seen: list[list[dict[str, Any]]] = []

    def progress(*_: object) -> None:
        with database.connection() as connection:
            rows = connection.execute("SELECT action, detail FROM audit ORDER BY id").fetchall()
        seen.append([row["detail"] for row in rows if row["action"] == action])

    with rr.open_archive(settings=settings) as archive:
        ways: dict[str, Callable[..., Any]] = {"export": archive.export, "backup": archive.back_up}
        ways[action](tmp_path / "out", progress=progress)
    assert seen
    assert all(len(rows) == 1 and rows[0]["begun"] for rows in seen)
    progress()
    assert [row.get("begun") for row in seen[-1]] == [True, None]
