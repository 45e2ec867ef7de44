"""Where received files are taken in for good: on the disk, told of in the archive, and only then answered."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from radretrieval.archive import inbox
from radretrieval.archive.connections import Database, connect, restart_embedded, translated
from radretrieval.archive.inbox import Arrival
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable
from radretrieval.files.uris import store_uri
from radretrieval.storage.content_store import Store

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger(__name__)

LARGEST_GROUP = 64
RETRY_SECONDS = 1.0


@dataclass
class _Entry:
    arrival: Arrival
    data: bytes
    done: Future[None] = field(default_factory=Future)


class Depot:
    """Takes files in, from any number of threads.

    Each thread brings its own file to the disk; one thread of the depot tells the archive of all that came meanwhile in
    one transaction. While the database is away files are refused before they are written, and it is looked for.

    Parameters
    ----------
    arrived : called when files have been committed.
    """

    def __init__(self, database: Database, settings: Settings, arrived: Callable[[], None]) -> None:
        self._archive, self._settings, self._arrived = database, settings, arrived
        self._store = Store(settings.store_folder)
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._connection: psycopg.Connection[dict[str, Any]] | None = None
        self._away: str | None = None  # why the database cannot be used
        self._loose: set[bytes] = set()  # files on the disk that no row may tell of, for a commit failed
        self._thread = threading.Thread(target=self._run, name="depot")
        self._thread.start()

    def close(self) -> None:
        """Take in what was brought, then end."""
        self._entries.put(None)
        self._thread.join()

    def take_in(self, data: bytes, origin: str, sop_instance_uid: str) -> None:
        """Have a file on the disk, under its SHA-256, and a row that tells of it committed.

        A content that is there already, as an arrival or an image, is left as it is.

        Raises
        ------
        EnvironmentUnusable : the disk or (DatabaseUnavailable) the database does not take it; no row tells of it.
        """
        if self._away is not None:
            raise DatabaseUnavailable(self._away)
        sha256 = self._store.put(data)
        entry = _Entry(Arrival(sha256, store_uri(sha256), origin, sop_instance_uid), data)
        self._entries.put(entry)
        entry.done.result()

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._next()
            if group or self._away is not None:
                self._attempt(group)
        self._disconnect()

    def _next(self) -> tuple[list[_Entry], bool]:
        """What has come, after a wait; and whether more may come."""
        group: list[_Entry] = []
        try:
            entry = self._entries.get(timeout=RETRY_SECONDS)
            while entry is not None:
                group.append(entry)
                if len(group) == LARGEST_GROUP:
                    return group, True
                entry = self._entries.get_nowait()
        except queue.Empty:
            return group, True
        return group, False

    def _attempt(self, group: list[_Entry]) -> None:
        """Commit these and let their threads go on; without any, see whether the database is back."""
        try:
            self._commit_again_if_stale(group)
        except Exception as error:
            self._disconnect()
            self._loose.update(entry.arrival.sha256 for entry in group)
            for entry in group:
                entry.done.set_exception(error)
            if isinstance(error, EnvironmentUnusable):
                if self._away is None:
                    log.warning("%s (files are refused until then)", error)
                self._away = str(error)
                restart_embedded(self._archive, self._settings)
            else:
                log.exception("files cannot be taken in")
            return
        if self._away is not None:
            log.warning("the database can be used again: files are taken")
            self._away = None
        for entry in group:
            entry.done.set_result(None)
        if group:
            self._arrived()

    def _commit_again_if_stale(self, group: list[_Entry]) -> None:
        """Commit; once more on a new connection if the old one is of a server that has restarted since."""
        stale = self._connection is not None
        try:
            self._commit(group)
        except DatabaseUnavailable:
            if not stale:
                raise
            self._disconnect()
            self._commit(group)  # what the first attempt committed after all is told of once

    def _commit(self, group: list[_Entry]) -> None:
        with translated(self._archive.url):
            if self._connection is None:
                self._connection = connect(self._archive.url)
            connection = self._connection
            loose = list(self._loose)[:LARGEST_GROUP]
            hashes = [*(entry.arrival.sha256 for entry in group), *loose]
            inbox.hold(connection, *hashes)
            for entry in group:
                if not self._store.path(entry.arrival.sha256).exists():  # an intake had no more use for its twin
                    self._store.put(entry.data)
            new = inbox.add(connection, *(entry.arrival for entry in group))
            if idle := [sha256 for sha256 in hashes if sha256 not in new]:
                for sha256 in inbox.unneeded(connection, idle):
                    self._store.take(sha256)
            connection.commit()
            self._loose.difference_update(loose)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
