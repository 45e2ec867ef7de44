"""The state of pulls: where the next one continues, and which images their origin no longer has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql


@dataclass(frozen=True)
class Mark:
    """Where the next pull of one query from one peer continues.

    Attributes
    ----------
    change : number of the last change in Orthanc's list that was processed. study_date : studies before it are
        complete in the archive.
    reconciled_at : when deletions were last looked for.
    """

    change: int | None = None
    study_date: date | None = None
    reconciled_at: datetime | None = None


def mark(connection: Connection, url: str, query: str) -> Mark:
    """The mark of the pulls of `query` from `url`; an empty one where there was none."""
    row = connection.execute(sql("pull_mark"), {"url": url, "query": query}).fetchone()
    return Mark() if row is None else Mark(row["change"], row["study_date"], row["reconciled_at"])


def keep_mark(connection: Connection, url: str, query: str, new: Mark) -> None:
    """Store a mark; fields that are None keep their value."""
    connection.execute(sql("pull_keep"), {"url": url, "query": query, **vars(new)})


@dataclass(frozen=True)
class Listed:
    """An instance as its source lists it: its UIDs, and the URI that names it there."""

    uid: str
    study: str
    series: str
    location: str


def as_listed(connection: Connection, origin: str, instances: Sequence[Listed], *, before: bool = True) -> set[str]:
    """SOP Instance UIDs of those instances that are arrivals, or images that lie where the source `origin` lists them.

    Parameters
    ----------
    before : take an instance that is listed in a study and series which its image had before a correction for one that
        was not moved: its source knows nothing of the correction.
    """
    columns = {name: [getattr(one, name) for one in instances] for name in ("uid", "study", "series", "location")}
    rows = connection.execute(sql("sop_as_listed"), {**columns, "origin": origin, "before": before})
    return {row["uid"] for row in rows}


def contents(connection: Connection, uids: Sequence[str]) -> dict[str, set[bytes]]:
    """SHA-256 of the images and arrivals that have these SOP Instance UIDs."""
    found: dict[str, set[bytes]] = {}
    for row in connection.execute(sql("sop_contents"), {"uids": list(uids)}):
        found.setdefault(row["sop_instance_uid"], set()).add(bytes(row["sha256"]))
    return found


def of_origin(connection: Connection, origin: str, after: int, limit: int) -> list[dict[str, Any]]:
    """Images that came from a peer: id, sop_instance_uid, study_instance_uid, gone_at; the first with ids after one."""
    asked = {"origin": origin, "after": after, "limit": limit}
    return connection.execute(sql("images_of_origin"), asked).fetchall()


def of_uris(connection: Connection, origin: str, uris: Sequence[str]) -> set[str]:
    """Those of these URIs that are images of one peer."""
    asked = {"origin": origin, "uris": list(uris)}
    return {row["uri"] for row in connection.execute(sql("images_of_uris"), asked)}


def failed(connection: Connection, origin: str, error: str, limit: int) -> list[str]:
    """URIs of a peer's instances that failed with an error of this name (`images.keep_failures`)."""
    asked = {"origin": origin, "error": error, "limit": limit}
    return [row["uri"] for row in connection.execute(sql("pull_failed"), asked).fetchall()]


def found_gone(connection: Connection, ids: Sequence[int], gone: bool, uris: Sequence[str] | None = None) -> int:
    """Set `gone_at` of images, or reset it (`gone` False); returns how many rows changed.

    `uris` are those that were looked at: an image that has another file by now is left as it is.
    """
    given = {"ids": list(ids), "gone": gone, "uris": None if uris is None else list(uris)}
    return connection.execute(sql("images_gone"), given).rowcount
