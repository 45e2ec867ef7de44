"""Instances → the store and the table of arrivals: fetched some at a time, kept one by one."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from radretrieval.archive import images, inbox, pull_state
from radretrieval.archive.images import Failure
from radretrieval.archive.inbox import Arrival
from radretrieval.dicom.pull.report import PullReport
from radretrieval.dicom.pull.source import Instance, NotFetched, NotThere, Peer
from radretrieval.errors import EnvironmentUnusable
from radretrieval.files.uris import printable
from radretrieval.ingest.inbox_worker import Intake
from radretrieval.storage.content_store import Store

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

WAITING = 512  # files that were fetched and are no images yet: as many may lie in the store
STUCK_SECONDS = 3600.0  # a batch of files that take all their time to decode takes long, but not so long


@dataclass
class Fetching:
    """Fetches instances from a peer that are not here.

    workers : files that are asked for at a time. intake : makes images of them meanwhile. report : what became of them.
    advance : called with the number of instances that were dealt with.
    """

    connection: Connection
    peer: Peer
    store: Store
    intake: Intake
    pool: Executor
    workers: int
    report: PullReport
    advance: Callable[[int], None]
    tried: set[str] = field(default_factory=set)

    def fetch(self, instances: Sequence[Instance], *, again: bool = False) -> None:
        """Fetch those that are not here; `again`: they were asked for in vain before, and are not asked for twice."""
        known = pull_state.known(self.connection, [one.uid for one in instances])
        self.connection.commit()
        wanted = [one for one in instances if one.uid not in known and one.uid not in self.tried]
        self.report.seen -= (repeated := sum(one.uid in self.tried for one in instances))  # they were counted then
        self.report.unchanged += len(instances) - len(wanted) - repeated
        self.advance(len(instances) - len(wanted))
        pending: deque[tuple[Instance, Future[bytes | None]]] = deque()
        for instance in wanted:  # kept in order, so that few are in memory
            pending.append((instance, self.pool.submit(self.peer.fetch, instance)))
            if len(pending) > self.workers:
                self._fetched(*pending.popleft(), again)
        while pending:
            self._fetched(*pending.popleft(), again)
        if again:
            self.tried.update(one.uid for one in wanted)
        self._wait_for_intake()

    def _fetched(self, instance: Instance, future: Future[bytes | None], again: bool) -> None:
        place = self.peer.place(instance)
        try:
            data = future.result()
        except NotThere as error:
            if again:  # it was deleted meanwhile
                images.forget_failures(self.connection, [place])
                self.report.skipped += 1
            else:
                self._failed(place, error)
        except NotFetched as error:
            self._failed(place, error)
        else:
            self._keep(instance, place, data)
        self.connection.commit()
        self.advance(1)

    def _keep(self, instance: Instance, place: str, data: bytes | None) -> None:
        """Bring a file to the disk, then tell of it: killed between the two, it is fetched again."""
        if data is None:
            if instance.uid in pull_state.known(self.connection, [instance.uid]):
                self.report.added += 1
            else:
                told = "the peer says that it has sent it, but no radretrieval receive of this archive has got it"
                self._failed(place, NotFetched(f"{told}; check which host and port the peer has for the AE title"))
            return
        sha256 = hashlib.sha256(data).digest()
        inbox.hold(self.connection, sha256)
        if images.known(self.connection, [sha256]):  # in the archive, though not by the UID that the peer lists
            self.report.unchanged += 1
        else:
            self.store.put(data)
            uri = self.peer.uri(instance, sha256)
            inbox.add(self.connection, Arrival(sha256, uri, self.peer.origin, instance.uid))
        images.forget_failures(self.connection, [place])
        self.connection.commit()
        self.intake.wake()

    def _failed(self, place: str, error: Exception) -> None:
        self.report.fail(place, error)
        images.keep_failures(self.connection, [Failure(place, None, NotFetched.__name__, printable(str(error)))])

    def _wait_for_intake(self) -> None:
        """So that the disk does not fill with what waits to become images."""
        least, since = None, time.monotonic()
        while (waiting := inbox.count(self.connection)) > WAITING:
            self.connection.commit()
            if least is None or waiting < least:
                least, since = waiting, time.monotonic()
            elif time.monotonic() - since > STUCK_SECONDS:
                raise EnvironmentUnusable(
                    f"{waiting} files that came wait in the store, and nothing becomes of them; the log says why"
                )
            time.sleep(0.2)
        self.connection.commit()
