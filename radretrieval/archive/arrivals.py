"""Files that came from peers: told of once they are on the disk, taken when they are images or have failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from radretrieval.archive.statements import sql

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


def hold(connection: Connection, sha256: bytes) -> None:
    """Until this transaction ends nobody else puts a file of this content into the store, or takes it from there.

    Who brings a file in holds it, puts it into the store, tells of it (`add`) and commits, in this order.
    """
    connection.execute(sql("arrival_hold"), {"key": int.from_bytes(sha256[:8], "big", signed=True)})


def add(connection: Connection, arrival: Arrival) -> None:
    """Tell of a file; one that was told of already, or whose content is an image, is told of once."""
    connection.execute(sql("arrival_add"), vars(arrival))


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
