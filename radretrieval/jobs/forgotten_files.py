"""Files of what was forgotten: in the store, and in the caches of this host."""

from __future__ import annotations

from collections.abc import Collection

from radretrieval.archive import images, tombstones
from radretrieval.archive.connections import Connection
from radretrieval.config import Settings
from radretrieval.ingest.needless import drop_needless
from radretrieval.storage import decoded, film_files
from radretrieval.storage.content_store import ContentStore

_BATCH = 200


def drop_stored(connection: Connection, settings: Settings) -> tuple[int, int]:
    """Delete from the store what tombstones say it may have; returns how many files are done, and how many are left.

    Each batch is a transaction: a run that was killed is finished by the next. What an intake reads just now is left to
    it, and everything where the store is not at hand.
    """
    store = ContentStore(settings.store_folder)
    done = left = 0
    after = b""
    while contents := tombstones.unfinished(connection, after, _BATCH):
        if store.folder.is_dir():
            drop_needless(connection, store, contents)
        still = set(contents).intersection(tombstones.unfinished(connection, after, _BATCH))  # the first of these
        after = contents[-1]
        done, left = done + len(contents) - len(still), left + len(still)
    connection.commit()
    return done, left


def drop_cached(connection: Connection, settings: Settings) -> int:
    """Delete films of no image from the caches of `serve` and of training on this host; returns how many files."""

    def known(hashes: list[bytes]) -> Collection[bytes]:
        found = images.known(connection, hashes).keys()
        connection.commit()
        return found

    films = film_files.drop_unknown(settings.home / "films", known)
    return films + decoded.drop_unknown(settings.training_folder, known)
