"""The files that one pull brought: counted when they are images or have failed, whichever process reads them."""

from __future__ import annotations

import time

from radretrieval.archive import inbox, pull_state
from radretrieval.archive.connections import Connection
from radretrieval.archive.inbox import Arrival
from radretrieval.dicom.pull.report import PullReport
from radretrieval.errors import EnvironmentUnusable
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.privacy.tombstones import Names, forgotten

STUCK_SECONDS = 3600.0  # without any progress; a batch whose files all time out takes less


class OwnArrivals:
    """Arrivals of one pull. The inbox has those of other pulls and of `receive` too, and any process may read them.

    Parameters
    ----------
    connection : only the caller's thread uses it. origin : of the images.
    worker : reads arrivals, anyone's. report : counts the outcomes of those of this pull.
    """

    def __init__(self, connection: Connection, origin: str, worker: InboxWorker, report: PullReport) -> None:
        self._connection, self._origin, self._worker, self._report = connection, origin, worker, report
        self.settings = worker.settings
        self._waiting: dict[bytes, Arrival] = {}
        self._progress = time.monotonic()

    def add(self, arrival: Arrival) -> None:
        """Insert an arrival and commit; count it as unchanged where its content has come already."""
        new = inbox.add(self._connection, arrival)
        self._connection.commit()
        if new:
            self._waiting[arrival.sha256] = arrival
            self._worker.wake()
        else:
            self._report.unchanged += 1

    def settled(self, most: int = 0) -> bool:
        """Count those that are read by now; whether at most so many are left.

        Raises EnvironmentUnusable after an hour without any progress, and what has ended the worker.
        """
        if self._worker.error is not None:
            raise self._worker.error
        outcomes = inbox.outcomes(self._connection, list(self._waiting.values())) if self._waiting else []
        when = forgotten(self._connection, self.settings, [Names(bytes(one["sha256"])) for one in outcomes])
        self._connection.commit()
        for one, at in zip(outcomes, when, strict=True):
            arrival = self._waiting.pop(bytes(one["sha256"]))
            if one["error"] is not None:
                self._report.fail(arrival.uri, one["error"], one["message"])
            else:
                self._report.count(one["outcome"] if at is None else "forgotten")
        if outcomes or not self._waiting:
            self._progress = time.monotonic()
        elif time.monotonic() - self._progress > STUCK_SECONDS:
            raise EnvironmentUnusable(
                f"{len(self._waiting)} retrieved files wait in the store, and none becomes an image; the log has the "
                "reason"
            )
        return len(self._waiting) <= most

    def finish(self) -> None:
        """Have the rest read, and list the problems of images of this source."""
        self._worker.finish(self.settled)
        problems = self._worker.report.problems
        own = pull_state.of_uris(self._connection, self._origin, [one["path"] for one in problems])
        self._connection.commit()
        for one in problems:
            if one["path"] in own:
                self._report.problems.add(one["path"], one["error"], one["message"])
