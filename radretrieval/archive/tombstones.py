"""The table `tombstone`: what was forgotten, as keyed hashes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql

_BATCH = 10_000

Digest = tuple[str, bytes]  # kind (patient, study, sop, sha256) and 16 bytes


class Tombstone(NamedTuple):
    """A row: kind and digest, when it was forgotten, and the SHA-256 of a file that the store may still have."""

    digest: Digest
    at: datetime
    content: bytes | None = None


def any_there(connection: Connection) -> bool:
    """Whether anything was forgotten."""
    row = connection.execute(sql("tombstone_any")).fetchone()
    return row is not None and bool(row["there"])


def find(connection: Connection, digests: Collection[Digest]) -> dict[Digest, datetime]:
    """Those of these digests that were forgotten, and when."""
    rows = connection.execute(sql("tombstone_find"), _columns(digests))
    return {(row["kind"], bytes(row["digest"])): row["at"] for row in rows}


def add(connection: Connection, rows: Sequence[Tombstone]) -> None:
    """Add tombstones; one that is there keeps its time."""
    given = _columns([row.digest for row in rows])
    given |= {"at": [row.at for row in rows], "contents": [row.content for row in rows]}
    connection.execute(sql("tombstone_add"), given)


def unfinished(connection: Connection, after: bytes, limit: int) -> list[bytes]:
    """SHA-256 of forgotten files of which the store may still have something, from a place on."""
    rows = connection.execute(sql("tombstone_unfinished"), {"after": after, "limit": limit})
    return [bytes(row["content"]) for row in rows]


def finished(connection: Connection, contents: Sequence[bytes]) -> None:
    """Note that the store has nothing of these files any more."""
    connection.execute(sql("tombstone_finished"), {"contents": list(contents)})


def remove(connection: Connection, digests: Collection[Digest]) -> int:
    """Delete these, and what was forgotten at the same time; returns how many rows."""
    return connection.execute(sql("tombstone_remove"), _columns(digests)).rowcount


def replace(connection: Connection, next_of: Callable[[str], str]) -> None:
    """Replace each digest, in hexadecimal digits, in the caller's transaction: the key was rotated."""
    connection.execute(sql("tombstone_staging"))
    with connection.cursor(name="tombstones") as cursor:
        cursor.execute(sql("tombstone_digests"))
        while rows := cursor.fetchmany(_BATCH):
            with connection.cursor() as other, other.copy("COPY rekeyed_tombstone (old, new) FROM STDIN") as copy:
                for row in rows:
                    old = bytes(row["digest"])
                    copy.write_row((old, bytes.fromhex(next_of(old.hex()))))
    connection.execute(sql("tombstone_replace"))


def _columns(digests: Collection[Digest]) -> dict[str, list[object]]:
    return {"kinds": [kind for kind, _ in digests], "digests": [digest for _, digest in digests]}
