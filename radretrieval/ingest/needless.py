"""Files in the store that no row needs any more."""

from __future__ import annotations

from collections.abc import Sequence

from radretrieval.archive import images, inbox, tombstones
from radretrieval.archive.connections import Connection
from radretrieval.storage.content_store import ContentStore


def drop_needless(connection: Connection, store: ContentStore, hashes: Sequence[bytes]) -> None:
    """Delete from the store those of these contents that no row needs, in a transaction of its own.

    It takes the locks of the contents, so that no receiver has written the file and not yet committed its row.
    They are not taken in the transaction that locked the arrivals' rows: a receiver takes them in the other order,
    which would deadlock. A kill in between leaves a file that no row names (`verify --tidy` deletes it).
    """
    if idle := inbox.unneeded(connection, hashes):
        inbox.hold(connection, *idle)  # a receiver of the same content has committed, or writes the file anew
        for sha256 in inbox.unneeded(connection, idle):
            store.take(sha256)
        named = images.named(connection, idle)
        for sha256 in idle:
            if sha256 not in named:
                store.take_reduced(sha256)
        tombstones.finished(connection, [sha256 for sha256 in idle if sha256 not in named])
    connection.commit()
