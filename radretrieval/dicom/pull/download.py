"""Instances into the store and the inbox: retrieved by several threads, stored and committed one by one."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from radretrieval.archive import images, inbox, pull_state
from radretrieval.archive.connections import Connection
from radretrieval.archive.images import Failure
from radretrieval.archive.inbox import Arrival
from radretrieval.dicom.pull.report import PullReport
from radretrieval.dicom.pull.source import Instance, PullSource
from radretrieval.errors import EnvironmentUnusable, NotFetched, NotThere
from radretrieval.files.text import printable
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.storage.content_store import ContentStore

MOST_WAITING = 512  # files in the inbox: so many may lie in the store before the next are retrieved
STUCK_SECONDS = 3600.0  # without any progress of the inbox; a batch whose files all time out takes less


@dataclass
class Downloader:
    """Retrieves instances that the archive does not have.

    Attributes
    ----------
    connection : only the caller's thread uses it. pool, workers : threads that retrieve, and how many files at a time.
    intake : makes images of the files meanwhile.
    report : counts the outcomes. advance : called with the number of instances that are done.
    retried : SOP Instance UIDs of failures of earlier pulls, which this one has tried.
    """

    connection: Connection
    source: PullSource
    store: ContentStore
    intake: InboxWorker
    pool: Executor
    workers: int
    report: PullReport
    advance: Callable[[int], None]
    retried: set[str] = field(default_factory=set)

    def download(self, instances: Sequence[Instance], *, retry: bool = False) -> None:
        """Retrieve the instances that the archive does not have; `retry`: those that failed in an earlier pull."""
        known = pull_state.known(self.connection, [one.uid for one in instances])
        self.connection.commit()
        wanted = [one for one in instances if one.uid not in known and one.uid not in self.retried]
        repeated = sum(one.uid in self.retried for one in instances)
        self.report.seen -= repeated  # they were counted as retries
        self.report.unchanged += len(instances) - len(wanted) - repeated
        self.advance(len(instances) - len(wanted))
        pending: deque[tuple[Instance, Future[bytes | None]]] = deque()
        for instance in wanted:  # stored in order, so that few files are in memory
            pending.append((instance, self.pool.submit(self.source.retrieve, instance)))
            if len(pending) > self.workers:
                self._finish(*pending.popleft(), retry)
        while pending:
            self._finish(*pending.popleft(), retry)
        if retry:
            self.retried.update(one.uid for one in wanted)
        self._wait_for_inbox()

    def _finish(self, instance: Instance, future: Future[bytes | None], retry: bool) -> None:
        """Wait for a file and store it, or record why it did not come."""
        location = self.source.location(instance)
        try:
            data = future.result()
        except NotThere as error:
            if retry:  # it was deleted since the earlier pull
                images.forget_failures(self.connection, [location])
                self.report.skipped += 1
            else:
                self._fail(location, error)
        except NotFetched as error:
            self._fail(location, error)
        else:
            if data is not None:
                self._store(instance, location, data)
            elif instance.uid in pull_state.known(self.connection, [instance.uid]):
                self.report.added += 1
            else:
                message = (
                    "the node reports that it has sent it, but no radretrieval receive of this archive has received "
                    "it; check which host and port the node has for the AE title"
                )
                self._fail(location, NotFetched(message))
        self.connection.commit()
        self.advance(1)

    def _store(self, instance: Instance, location: str, data: bytes) -> None:
        """Write a file to the store, then commit its row: a pull that is killed between the two retrieves it again."""
        sha256 = hashlib.sha256(data).digest()
        inbox.hold(self.connection, sha256)
        if images.known(self.connection, [sha256]):  # by its content; its UID is not the listed one
            self.report.unchanged += 1
        else:
            self.store.put(data)
            uri = self.source.image_uri(instance, sha256)
            inbox.add(self.connection, Arrival(sha256, uri, self.source.origin, instance.uid))
        images.forget_failures(self.connection, [location])
        self.connection.commit()
        self.intake.wake()

    def _fail(self, location: str, error: Exception) -> None:
        self.report.fail(location, error)
        images.keep_failures(self.connection, [Failure(location, None, NotFetched.__name__, printable(str(error)))])

    def _wait_for_inbox(self) -> None:
        """Wait while many files wait to become images, so that the disk does not fill."""
        least, since = None, time.monotonic()
        while (waiting := inbox.count(self.connection)) > MOST_WAITING:
            self.connection.commit()
            if least is None or waiting < least:
                least, since = waiting, time.monotonic()
            elif time.monotonic() - since > STUCK_SECONDS:
                raise EnvironmentUnusable(
                    f"{waiting} retrieved files wait in the store, and none becomes an image; the log has the reason"
                )
            time.sleep(0.2)
        self.connection.commit()
