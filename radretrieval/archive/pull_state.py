"""How far pulls from peers have come, and what was found gone there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from radretrieval.archive.queries import sql

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Mark:
    """How far the pulls of one query from one peer have come.

    Attributes
    ----------
    change : Orthanc's number of the last change that was followed. study_date : studies before it are complete here.
    reconciled_at : when deletions were looked for last.
    """

    change: int | None = None
    study_date: date | None = None
    reconciled_at: datetime | None = None


def mark(connection: Connection, url: str, query: str) -> Mark:
    """Where the pulls of `query` from `url` stand; an empty mark where there was none."""
    row = connection.execute(sql("pull_mark"), {"url": url, "query": query}).fetchone()
    return Mark() if row is None else Mark(row["change"], row["study_date"], row["reconciled_at"])


def keep_mark(connection: Connection, url: str, query: str, new: Mark) -> None:
    """A pull has come so far; what is None in the new mark stays as it was."""
    connection.execute(sql("pull_keep"), {"url": url, "query": query, **vars(new)})


def known(connection: Connection, uids: Sequence[str]) -> set[str]:
    """Which of these SOP Instance UIDs are images already, or have come and wait."""
    return {row["sop_instance_uid"] for row in connection.execute(sql("sop_known"), {"uids": list(uids)})}


def of_origin(connection: Connection, origin: str, after: int, limit: int) -> list[dict[str, Any]]:
    """Images that came from a peer: id, sop_instance_uid, study_instance_uid, gone_at; the first with ids after one."""
    asked = {"origin": origin, "after": after, "limit": limit}
    return connection.execute(sql("images_of_origin"), asked).fetchall()


def failed(connection: Connection, origin: str, error: str, limit: int) -> list[str]:
    """Places of a peer's instances that failed with an error of this name, as `images.keep_failures` noted them."""
    asked = {"origin": origin, "error": error, "limit": limit}
    return [row["uri"] for row in connection.execute(sql("pull_failed"), asked).fetchall()]


def found_gone(connection: Connection, ids: Sequence[int], gone: bool) -> int:
    """Note that images are gone where they came from, or (`gone` False) are there again; how many that changed."""
    return connection.execute(sql("images_gone"), {"ids": list(ids), "gone": gone}).rowcount
