"""The table `arrival`: files that were received or pulled, in the store, until they are images or have failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from radretrieval.archive import locks
from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql


@dataclass(frozen=True)
class Arrival:
    """A file in the store that is not an image yet.

    Attributes
    ----------
    sha256 : of the file, which names it in the store.
    uri : what the image will have as its own: `store:…`, or its WADO-RS URL.
    origin : AE title or URL of the peer. sop_instance_uid : as the peer named it.
    """

    sha256: bytes
    uri: str
    origin: str | None = None
    sop_instance_uid: str | None = None
    id: int = 0


def hold(connection: Connection, *sha256: bytes) -> None:
    """Take the lock of each SHA-256 until the transaction ends.

    A receiver takes it, writes the file to the store, inserts the row (`add`) and commits; whoever deletes from the
    store takes it too: no file is deleted between its write and its row.
    """
    locks.lock_contents(connection, sha256)


def add(connection: Connection, *arrivals: Arrival) -> set[bytes]:
    """Insert arrivals, except those whose content is an arrival or an image already; returns the SHA-256 of the new.

    A content that waits moves behind other files of its SOP Instance UID that came after it; one that is an image is
    inserted where such a file waits: the last to come is the last to become the image's file.
    """
    return _added(_insert(connection, arrivals))


def put(connection: Connection, arrivals: Sequence[Arrival], others: Sequence[bytes] = ()) -> set[bytes]:
    """Do what `hold`, of these contents and of others, and then `add` do, with one answer of the server to wait for.

    It begins a transaction.
    """
    from psycopg.errors import DivisionByZero

    contents = [*(one.sha256 for one in arrivals), *others]
    try:
        with connection.pipeline():
            connection.execute(sql("lock_contents_or_fail"), {"sha256": contents, "seconds": locks.SECONDS})
            inserted = _insert(connection, arrivals)
        return _added(inserted)
    except DivisionByZero:
        connection.rollback()
    hold(connection, *contents)  # which tells who has a lock
    return add(connection, *arrivals)


def _insert(connection: Connection, arrivals: Sequence[Arrival]) -> Iterable[dict[str, Any]]:
    columns = ("sha256", "uri", "origin", "sop_instance_uid")
    return connection.execute(sql("arrival_add"), {name: [getattr(a, name) for a in arrivals] for name in columns})


def _added(inserted: Iterable[dict[str, Any]]) -> set[bytes]:
    return {row["sha256"] for row in inserted}


def failing(connection: Connection) -> list[tuple[Arrival, str, str]]:
    """What came before and failed, with error and message: the last to have been tried is the last.

    Not those of whose SOP Instance UID a file that came later is an image, or waits: they would replace it.
    """
    rows = connection.execute(sql("arrival_failing")).fetchall()
    return [
        (Arrival(row["sha256"], row["uri"], row["origin"], row["sop_instance_uid"]), row["error"], row["message"])
        for row in rows
    ]


def again(connection: Connection, arrivals: Sequence[Arrival]) -> None:
    """Insert what came before and failed as arrivals once more, in order; some may wait, of a run that was killed."""
    columns = ("sha256", "uri", "origin", "sop_instance_uid")
    given = {name: [getattr(one, name) for one in arrivals] for name in columns}
    connection.execute(sql("arrival_again"), given)


def reasons(connection: Connection, arrivals: Sequence[Arrival]) -> dict[bytes, tuple[str, str]]:
    """Error and message, by SHA-256, of those of these arrivals that have failed before."""
    asked = {"sha256": [one.sha256 for one in arrivals], "uri": [one.uri for one in arrivals]}
    rows = connection.execute(sql("arrival_reasons"), asked)
    return {bytes(row["sha256"]): (row["error"], row["message"]) for row in rows}


def newest(connection: Connection, limit: int) -> list[bytes]:
    """SHA-256 of the newest arrivals: the store must have them, or it is another one."""
    return [bytes(row["sha256"]) for row in connection.execute(sql("arrival_newest"), {"limit": limit})]


def unneeded(connection: Connection, sha256: Sequence[bytes]) -> list[bytes]:
    """Those of these contents, locked by the caller, whose file in the store no arrival, image or failure needs."""
    return [row["sha256"] for row in connection.execute(sql("arrival_unneeded"), {"sha256": list(sha256)})]


def take(connection: Connection, limit: int) -> list[Arrival]:
    """Lock the oldest arrivals that no other transaction has locked (FOR UPDATE SKIP LOCKED), one of each UID."""
    rows = connection.execute(sql("arrival_take"), {"limit": limit}).fetchall()
    return [Arrival(**row) for row in rows]


def done(connection: Connection, ids: Sequence[int]) -> None:
    """Delete arrivals that are images now, or have failed."""
    connection.execute(sql("arrival_done"), {"ids": list(ids)})


def outcomes(connection: Connection, arrivals: Sequence[Arrival]) -> list[dict[str, Any]]:
    """What became of those of these arrivals that are none any more: rows (sha256, outcome, error, message).

    `error` is None but of those that failed. `outcome` is `added`; `updated`, the file of an image with a history; or
    `unchanged`: what neither failed nor is the file of an image shows one that the archive had.
    """
    asked = {"sha256": [one.sha256 for one in arrivals], "uri": [one.uri for one in arrivals]}
    return connection.execute(sql("arrival_outcomes"), asked).fetchall()


def count(connection: Connection) -> int:
    """The number of arrivals."""
    row = connection.execute(sql("arrival_count")).fetchone()
    assert row is not None
    return int(row["count"])
