"""Instances into the store and the inbox: retrieved by several threads, stored and committed one by one."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from radretrieval.archive import images, inbox, pull_state
from radretrieval.archive.connections import Connection
from radretrieval.archive.images import Failure
from radretrieval.archive.inbox import Arrival
from radretrieval.archive.pull_state import Listed
from radretrieval.dicom.pull.own_arrivals import OwnArrivals
from radretrieval.dicom.pull.report import PullReport
from radretrieval.dicom.pull.source import Instance, PullSource
from radretrieval.errors import NotFetched, NotThere
from radretrieval.files.text import printable
from radretrieval.files.uris import file_uri
from radretrieval.privacy.tombstones import Names, forgotten
from radretrieval.storage.content_store import ContentStore

MOST_WAITING = 512  # files in the inbox: so many may lie in the store before the next are retrieved


@dataclass
class Downloader:
    """Retrieves instances that the archive does not have, or has from another study or series.

    Attributes
    ----------
    connection : only the caller's thread uses it. pool, workers : threads that retrieve, and how many files at a time.
    own : the files, of which images are made meanwhile.
    report : counts the outcomes. advance : called with the number of instances that are done.
    again : retrieve those too that the archive has.
    not_retrieved : SOP Instance UIDs that this pull has tried in vain.
    """

    connection: Connection
    source: PullSource
    store: ContentStore
    own: OwnArrivals
    pool: Executor
    workers: int
    report: PullReport
    advance: Callable[[int], None]
    again: bool = False
    not_retrieved: set[str] = field(default_factory=set)
    before: dict[str, set[bytes]] = field(default_factory=dict)  # contents of the instances that are retrieved just now

    def retry(self, instances: Sequence[Instance]) -> None:
        """Retrieve instances that earlier pulls failed to retrieve, except those that this one has tried."""
        left = [one for one in instances if one.uid not in self.not_retrieved]
        self.report.seen += len(left)
        self.download(left, retry=True)

    def changed(self, instances: Sequence[Instance]) -> None:
        """Retrieve instances that the source has in another place than the archive."""
        self.report.seen += len(instances)
        self.download(instances, changed={one.uid for one in instances})

    def download(self, instances: Sequence[Instance], *, retry: bool = False, changed: Set[str] = frozenset()) -> None:
        """Retrieve the instances that the archive does not have as they are listed.

        Parameters
        ----------
        retry : they failed in an earlier pull.
        changed : SOP Instance UIDs of those to retrieve in any case: they have changed in the source.
        """
        instances = self._not_forgotten(instances)
        listed = [Listed(one.uid, one.study, one.series, self.source.location(one)) for one in instances]
        known = pull_state.as_listed(self.connection, self.source.origin, listed) - changed
        if self.again and not retry:
            known = set()
        self.before = pull_state.contents(self.connection, [one.uid for one in instances])
        if retry:  # they came another way
            here = [self.source.location(one) for one in instances if one.uid in known]
            images.forget_failures(self.connection, here)
        self.connection.commit()
        wanted = [one for one in instances if one.uid not in known and one.uid not in self.not_retrieved]
        repeated = sum(one.uid in self.not_retrieved for one in instances)
        self.report.seen -= repeated  # listed twice, counted once
        self.report.unchanged += len(instances) - len(wanted) - repeated
        self.advance(len(instances) - len(wanted))
        pending: deque[tuple[Instance, Future[bytes | None]]] = deque()
        for instance in wanted:  # stored in order, so that few files are in memory
            pending.append((instance, self.pool.submit(self.source.retrieve, instance)))
            if len(pending) > self.workers:
                self._finish(*pending.popleft(), retry)
        while pending:
            self._finish(*pending.popleft(), retry)
        while not self.own.settled(MOST_WAITING):  # so that the disk does not fill
            time.sleep(0.2)

    def _not_forgotten(self, instances: Sequence[Instance]) -> list[Instance]:
        """Those that were not forgotten; the others are counted, and not retrieved."""
        when = forgotten(self.connection, self.own.settings, [Names(sop=one.uid, study=one.study) for one in instances])
        left = [one for one, at in zip(instances, when, strict=True) if at is None]
        self.report.forgotten += len(instances) - len(left)
        self.advance(len(instances) - len(left))
        return left

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
                self._fail(instance, error)
        except NotFetched as error:
            self._fail(instance, error)
        else:
            if data is not None:
                self._store(instance, location, data)
            elif outcome := self._sent(instance.uid):
                self.report.count(outcome)
            else:
                message = (
                    "the node reports that it has sent it, but no radretrieval receive of this archive has received "
                    "it; check which host and port the node has for the AE title"
                )
                self._fail(instance, NotFetched(message))
        self.connection.commit()
        self.advance(1)

    def _sent(self, uid: str) -> str | None:
        """The outcome of an instance that the source sent to `radretrieval receive`; None where it did not come."""
        there, before = (found.get(uid, set()) for found in (pull_state.contents(self.connection, [uid]), self.before))
        if not there:
            return None
        return "added" if not before else "updated" if there - before else "unchanged"

    def _store(self, instance: Instance, location: str, data: bytes) -> None:
        """Write a file to the store, then commit its row: a pull that is killed between the two retrieves it again."""
        sha256 = hashlib.sha256(data).digest()
        inbox.hold(self.connection, sha256)
        images.forget_failures(self.connection, [location])
        uri = self.source.image_uri(instance, sha256)
        row = images.known(self.connection, [sha256]).get(sha256)
        if row is not None and row["uri"].startswith(f"{self.source.origin}/"):
            self._moved(row, uri)
        if row is not None and (row["gone_at"] is None or not row["uri"].startswith("file:")):
            self.report.unchanged += 1
        else:
            self.store.put(data)
            self.own.add(Arrival(sha256, uri, self.source.origin, instance.uid))

    def _moved(self, row: Mapping[str, Any], uri: str) -> None:
        """The file of an image that is read from the source is at this URL now."""
        if file_uri(row["uri"]) != uri:
            images.lock_ingestion(self.connection)
            images.moved(self.connection, row["id"], uri)

    def _fail(self, instance: Instance, error: Exception) -> None:
        location = self.source.location(instance)
        self.not_retrieved.add(instance.uid)
        self.report.fail(location, error)
        images.keep_failures(self.connection, [Failure(location, None, NotFetched.__name__, printable(str(error)))])
