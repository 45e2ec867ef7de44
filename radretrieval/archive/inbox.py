"""Files that came from peers: told of once they are on the disk, taken when they are images or have failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from radretrieval.archive.queries import sql

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Arrival:
    """A file in the store that is not an image yet.

    Attributes
    ----------
    sha256 : of the file; its name in the store.
    uri : what the image will have as its own: `store:…`, or the WADO-RS URL by which its peer gives it again.
    origin : AE title or URL of the peer. sop_instance_uid : as the peer named it.
    """

    sha256: bytes
    uri: str
    origin: str | None = None
    sop_instance_uid: str | None = None
    id: int = 0


def hold(connection: Connection, *sha256: bytes) -> None:
    """Until this transaction ends nobody else puts files of these contents into the store, or takes them from there.

    Who brings a file in holds it, has it in the store, tells of it (`add`) and commits: while it is held, a file that
    is there stays.
    """
    keys = [int.from_bytes(one[:8], "big", signed=True) for one in sha256]
    connection.execute(sql("arrival_hold"), {"keys": keys})


def add(connection: Connection, *arrivals: Arrival) -> set[bytes]:
    """Tell of files; one that was told of already, or whose content is an image, is told of once.

    Returns the SHA-256 of those that are new.
    """
    columns = ("sha256", "uri", "origin", "sop_instance_uid")
    rows = connection.execute(sql("arrival_add"), {name: [getattr(a, name) for a in arrivals] for name in columns})
    return {row["sha256"] for row in rows}


def unneeded(connection: Connection, sha256: Sequence[bytes]) -> list[bytes]:
    """Those of these contents, which the caller holds, that neither an arrival, an image nor a failure needs the
    store to keep.
    """
    return [row["sha256"] for row in connection.execute(sql("arrival_unneeded"), {"sha256": list(sha256)})]


def take(connection: Connection, limit: int) -> list[Arrival]:
    """The oldest arrivals that no other process holds; held until this transaction ends."""
    rows = connection.execute(sql("arrival_take"), {"limit": limit}).fetchall()
    return [Arrival(**row) for row in rows]


def done(connection: Connection, ids: Sequence[int]) -> None:
    """These are images now, or have failed."""
    connection.execute(sql("arrival_done"), {"ids": list(ids)})


def count(connection: Connection) -> int:
    """How many wait."""
    row = connection.execute(sql("arrival_count")).fetchone()
    assert row is not None
    return int(row["count"])
