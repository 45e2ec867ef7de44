"""A queue that stores received files and commits their rows in groups."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from radretrieval.archive import inbox
from radretrieval.archive.connections import Connection, Database, connect, database_errors, restart_embedded
from radretrieval.archive.inbox import Arrival
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable
from radretrieval.files.uris import store_uri
from radretrieval.logs import Log
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.draft import Draft

log = Log(__name__)

LARGEST_GROUP = 64
RETRY_SECONDS = 1.0
GATHER_SECONDS = 0.01  # that a group waits for files that are being brought to the disk: further groups would cost more


@dataclass
class _Entry:
    """A file in the store whose row is not committed yet; `done` is resolved by the commit, or by its error."""

    arrival: Arrival
    draft: Draft
    done: Future[None] = field(default_factory=Future)


class ReceiveQueue:
    """Stores files, from any number of threads.

    Each calling thread brings its file to the disk; one thread of the queue commits the rows of all files that came
    meanwhile, or will within `GATHER_SECONDS`, in one transaction. While the database is unavailable files are refused
    before they are written, and the thread tries to connect again.

    Parameters
    ----------
    on_commit : called when files have been committed.
    """

    def __init__(self, database: Database, settings: Settings, on_commit: Callable[[], None]) -> None:
        self._database, self._settings, self._on_commit = database, settings, on_commit
        self._store = ContentStore(settings.store_folder, settings.store_group)
        self._store.delete_abandoned_drafts()
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._connection: Connection | None = None
        self._unavailable: str | None = None  # why the database cannot be used
        self._coming: set[Draft] = set()  # which are being brought to the disk
        self._all_in = threading.Event()  # none is
        self._orphans: set[bytes] = set()  # SHA-256 of files whose commit failed: they may have no row
        self._thread = threading.Thread(target=self._run, name="receive-queue")
        self._thread.start()

    def close(self) -> None:
        """Commit what was stored, then end."""
        self._entries.put(None)
        self._thread.join()

    def draft(self) -> Draft:
        """A file of the store to be written, and then to be stored or closed.

        Raises
        ------
        EnvironmentUnusable : the store or (DatabaseUnavailable) the database cannot be written.
        """
        if self._unavailable is not None:
            raise DatabaseUnavailable(self._unavailable)
        return self._store.draft()

    def store_draft(self, draft: Draft, origin: str, sop_instance_uid: str) -> None:
        """Move a draft to where its SHA-256 says in the store, and commit its row; returns after both.

        A content that has a row already, as an arrival or an image, gets no second one.

        Raises
        ------
        EnvironmentUnusable : the store or (DatabaseUnavailable) the database cannot be written; no row is committed.
        """
        if self._unavailable is not None:
            raise DatabaseUnavailable(self._unavailable)
        self._coming.add(draft)
        self._all_in.clear()
        try:
            self._store.keep(draft)
            sha256 = draft.sha256
            entry = _Entry(Arrival(sha256, store_uri(sha256), origin, sop_instance_uid), draft)
            self._coming.discard(draft)  # before the thread wakes, which would wait for it
            self._entries.put(entry)
        finally:
            self._coming.discard(draft)
            if not self._coming:
                self._all_in.set()
        entry.done.result()

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._next_group()
            if group or self._unavailable is not None:
                try:
                    self._finish(group)
                except Exception as error:  # the thread goes on: without it each request would wait for ever
                    log.error("after_commit_failed", "after a commit", exc_info=True)
                    for entry in group:
                        if not entry.done.done():
                            entry.done.set_exception(error)
        self._disconnect()

    def _next_group(self) -> tuple[list[_Entry], bool]:
        """Wait for entries, and return all that are queued or soon will be; and whether more may come."""
        group: list[_Entry] = []
        try:
            entry = self._entries.get(timeout=RETRY_SECONDS)
            if self._coming:  # waits for the last of them: to wake at each costs more than to commit it
                self._all_in.wait(GATHER_SECONDS)
            while entry is not None:
                group.append(entry)
                if len(group) == LARGEST_GROUP:
                    return group, True
                entry = self._entries.get_nowait()
        except queue.Empty:
            return group, True
        return group, False

    def _finish(self, group: list[_Entry]) -> None:
        """Commit a group and resolve its entries; an empty group tests whether the database is available again."""
        try:
            self._commit_or_reconnect(group)
        except Exception as error:
            self._disconnect()
            if len(group) > 1 and not isinstance(error, EnvironmentUnusable):
                for entry in group:  # one of them is the reason: the others are committed
                    self._finish([entry])
                return
            self._orphans.update(entry.arrival.sha256 for entry in group)
            for entry in group:
                entry.done.set_exception(error)
            if isinstance(error, EnvironmentUnusable):
                if self._unavailable is None:
                    log.warning("database_unavailable", "%(reason)s (files are refused until then)", reason=error)
                self._unavailable = str(error)
                restart_embedded(self._database, self._settings)
            else:
                log.error("file_not_stored", "files cannot be stored", exc_info=True)
            return
        if self._unavailable is not None:
            log.warning("database_available", "the database can be used again: files are accepted")
            self._unavailable = None
        for entry in group:
            entry.done.set_result(None)
        if group:
            self._on_commit()

    def _commit_or_reconnect(self, group: list[_Entry]) -> None:
        """Commit; once more on a new connection if the old one failed: the server may have restarted since."""
        reused = self._connection is not None
        try:
            self._commit(group)
        except DatabaseUnavailable:
            if not reused:
                raise
            self._disconnect()
            self._commit(group)  # rows that the first attempt committed after all are not inserted again

    def _commit(self, group: list[_Entry]) -> None:
        with database_errors(self._database.url):
            if self._connection is None:
                self._connection = connect(self._database.url)
            connection = self._connection
            orphans = list(self._orphans)[:LARGEST_GROUP]
            hashes = [*(entry.arrival.sha256 for entry in group), *orphans]
            new = inbox.put(connection, [entry.arrival for entry in group], orphans)
            for entry in group:
                if not self._store.path(entry.arrival.sha256).exists():  # removed with an earlier copy's last use
                    self._store.keep(entry.draft)
            if idle := [sha256 for sha256 in hashes if sha256 not in new]:
                for sha256 in inbox.unneeded(connection, idle):
                    self._store.take(sha256)
            connection.commit()
            self._orphans.difference_update(orphans)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
