"""The table `image_history`: what newer files of the same pixels replaced in the rows of images."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql


def add(connection: Connection, image_id: int, origin: str | None, sha256: bytes, old: Mapping[str, Any]) -> None:
    """Note what a newer file replaces.

    Parameters
    ----------
    origin : AE title or URL of the peer that sent the newer file; None where it was found in a folder.
    sha256 : of the file that it replaces. old : the columns of the header that change, with their values before.
    """
    from psycopg.types.json import Jsonb

    values = {"image_id": image_id, "origin": origin, "sha256": sha256, "old": Jsonb(plain(old))}
    connection.execute(sql("history_add"), values)


def of(connection: Connection, image_id: int) -> list[tuple[datetime, dict[str, Any]]]:
    """When the header of an image changed, and the values before (as `plain`), the last change first."""
    rows = connection.execute(sql("history_of"), {"image_id": image_id})
    return [(row["changed_at"], row["old"]) for row in rows]


def replaced(connection: Connection, sha256: bytes) -> int | None:
    """The image whose file had this content before a correction; None where there is none."""
    row = connection.execute(sql("history_replaced"), {"sha256": sha256}).fetchone()
    return None if row is None else int(row["image_id"])


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of columns as JSON has them: dates become text, hashes hexadecimal digits."""
    return {
        name: value.isoformat() if isinstance(value, date) else value.hex() if isinstance(value, bytes) else value
        for name, value in values.items()
    }
