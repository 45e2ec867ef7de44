"""A pull: lists the images of a source and retrieves those that the archive does not have.

A retrieved file is stored and its row committed before the next one; a worker thread makes images of them meanwhile. A
pull that is killed loses only the files in transfer: the next one lists the same studies again and retrieves the rest.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any
from urllib.parse import unquote

from radretrieval.archive import pull_state
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.pull_state import Mark
from radretrieval.config import Settings
from radretrieval.dicom.pull import listing
from radretrieval.dicom.pull.deletions import INTERVAL, reconcile
from radretrieval.dicom.pull.download import Downloader
from radretrieval.dicom.pull.orthanc import OrthancApi
from radretrieval.dicom.pull.own_arrivals import OwnArrivals
from radretrieval.dicom.pull.query import PullQuery, date_windows
from radretrieval.dicom.pull.report import PullReport
from radretrieval.dicom.pull.source import Instance, NotListed, PullSource, Study, no_uid
from radretrieval.dicom.sop_classes import OTHER_MODALITIES, RADIOGRAPHS
from radretrieval.errors import EnvironmentUnusable, NotFetched
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.problem import Problem
from radretrieval.ingest.store_check import check_store
from radretrieval.storage.content_store import ContentStore

STUDIES = 64  # whose instances are listed at once
INSTANCES = 256  # looked up in the archive at once
MOST_RETRIED = 10_000
FEW_STUDIES, MOST_DAYS = 100, 3650


def pull(
    database: Database,
    settings: Settings,
    source: PullSource,
    query: PullQuery,
    *,
    workers: int = 4,
    orthanc: OrthancApi | None = None,
    deletions: bool | None = None,
    advance: Callable[[int], None] | None = None,
) -> PullReport:
    """Bring the images of a source that the archive does not have into the archive.

    Parameters
    ----------
    workers : files that are retrieved at a time.
    orthanc : the source's list of changes, if it has one: followed instead of study dates after the first pull.
    deletions : whether to look for images that the source no longer has; None does once a day.
    advance : called with the number of instances that are done.

    Raises
    ------
    EnvironmentUnusable : the source cannot be reached; what had come is in the archive, the next pull goes on there.
    DatabaseUnavailable : as for other commands.
    """
    started = time.monotonic()
    report, count_done = PullReport(), advance or (lambda count: None)
    with (
        ThreadPoolExecutor(workers, thread_name_prefix="pull") as pool,
        database.connection() as connection,
        _own_arrivals(connection, source, InboxWorker(database, settings), report, pool) as own,
    ):
        store = ContentStore(settings.store_folder, settings.store_group)
        check_store(connection, store)
        downloader = Downloader(connection, source, store, own, pool, workers, report, count_done, query.again)
        run = PullRun(query, downloader)
        if orthanc is not None and not query.rolling and query.until is None:
            run.by_changes(orthanc)
        else:
            run.by_date()
        run.retry_failures()
        if deletions or (deletions is None and run.reconciliation_is_due()):
            try:
                report.gone, report.back, moved = reconcile(database, source, pool, count_done)
                downloader.changed(moved)
            except NotListed as error:
                report.fail(source.origin, error)
    report.seconds = time.monotonic() - started
    return report


@contextlib.contextmanager
def _own_arrivals(
    connection: Connection, source: PullSource, worker: InboxWorker, report: PullReport, pool: ThreadPoolExecutor
) -> Iterator[OwnArrivals]:
    """Make images of the inbox in a thread while the block runs, and of the rest after it, also where it raised.

    Where the source sends its files to `radretrieval receive`, that process makes them.
    """
    own = OwnArrivals(connection, source.origin, worker, report)
    if source.moves:
        yield own
        return
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,), name="intake", daemon=True)
    thread.start()
    try:
        yield own
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        stop.set()
        if isinstance(error, Exception):
            worker.wake()
            thread.join()
            with contextlib.suppress(EnvironmentUnusable):  # the first error is the one to report
                own.finish()
        raise
    stop.set()
    worker.wake()
    thread.join()
    own.finish()


class PullRun:
    """One pull: lists studies and instances, and keeps the mark from which the next pull goes on."""

    def __init__(self, query: PullQuery, downloader: Downloader) -> None:
        self.query, self.downloader = query, downloader
        self.connection, self.source, self.pool = downloader.connection, downloader.source, downloader.pool
        self.report, self.advance = downloader.report, downloader.advance
        self.today = date.today()
        self.newest: date | None = None
        self.unlisted = self.studies = 0
        self.days = self.source.window_days
        self.mark = pull_state.mark(self.connection, self.source.origin, query.mark_key)
        self.connection.commit()

    def retry_failures(self) -> None:
        """Retrieve instances that earlier pulls failed to retrieve, and this one did not list."""
        locations = pull_state.failed(self.connection, self.source.origin, NotFetched.__name__, MOST_RETRIED)
        self.connection.commit()
        for part in _batches(filter(None, map(_instance_at, locations)), INSTANCES):
            self.downloader.retry(part)

    def by_date(self) -> None:
        """Pull studies by their dates, from the mark on."""
        seen = 0
        start = self.query.first_date(self.mark, self.today)
        for first, last in date_windows(start, self.query.until, self.today, lambda: self.days):
            with _list_required():
                days, filters = (first, last), self.query.filters
                self._pull_studies(listing.studies(self.source, filters, days, self.today, self._may_be_cut))
            # where there are few studies, more days at once: an archive may begin long ago
            few = self.studies - seen < FEW_STUDIES
            self.days = min(self.days * 2, MOST_DAYS) if few else self.source.window_days
            seen = self.studies
            if not self.unlisted and not self.query.rolling:
                self._keep_mark(study_date=self.query.next_mark(self.mark, self.newest, last, self.today))

    def by_changes(self, orthanc: OrthancApi) -> None:
        """Pull the studies that changed since the last pull; without a last pull all of them, by date."""
        with _list_required():
            last, change = orthanc.last_change(), self.mark.change
            if change is None or change > last or self.query.again:  # greater: Orthanc's database is a new one
                self.mark = replace(self.mark, study_date=None)
                self.by_date()
                if not self.unlisted:
                    self._keep_mark(change=last)
                return
            done = False
            while not done:
                changes = orthanc.changes_after(change)
                changed = orthanc.studies(changes.instances, self.pool)
                self._pull_studies(self._matching(list(changed)), frozenset().union(*changed.values()))
                if self.unlisted:
                    return
                change, done = changes.last, changes.done
                self._keep_mark(change=change)

    def reconciliation_is_due(self) -> bool:
        """Whether deletions were looked for a day ago or more. The first day begins with the first pull."""
        last = pull_state.mark(self.connection, self.source.origin, "").reconciled_at
        now = datetime.now(UTC)
        if last is None or last > now:
            pull_state.keep_mark(self.connection, self.source.origin, "", Mark(reconciled_at=now))
        self.connection.commit()
        return last is not None and last <= now - INTERVAL

    def _matching(self, uids: list[str]) -> Iterator[Study]:
        """Those of these studies that match the query."""
        filters, since = self.query.filters, self.query.since
        for uid in uids if "StudyInstanceUID" not in filters else set(uids) & {filters["StudyInstanceUID"]}:
            for study in self.source.studies({**filters, "StudyInstanceUID": uid}, since, None):
                yield replace(study, uid=uid)  # also where it cannot be listed: its instances may be

    def _keep_mark(self, **new: Any) -> None:
        pull_state.keep_mark(self.connection, self.source.origin, self.query.mark_key, Mark(**new))
        self.connection.commit()
        self.mark = replace(self.mark, **{name: value for name, value in new.items() if value is not None})

    def _may_be_cut(self, count: int, day: date) -> None:
        message = (
            f"it lists exactly {count} studies for {day}, which may be its limit; raise the limit there, or pull "
            "parts of them: --query ModalitiesInStudy=CR"
        )
        self.report.note(Problem(self.source.origin, "ListMayBeCut", message))

    def _pull_studies(self, studies: Iterable[Study], changed: Set[str] = frozenset()) -> None:
        """List the instances of studies and download them; those of `changed` also where the archive has them."""
        for batch in _batches(studies, STUDIES):
            self.studies += len(batch)
            dates = [study.date for study in batch if study.date is not None]
            self.newest = max(dates if self.newest is None else [*dates, self.newest], default=None)
            wanted = [study for study in batch if not self._skipped(study)]
            for study, instances in zip(wanted, self.pool.map(self._list, wanted), strict=True):
                if isinstance(instances, NotListed):
                    self._not_listed(instances)
                    continue
                listed = [one for one in instances if one.uid]
                if len(listed) < len(instances):
                    self._not_listed(no_uid(self.source.origin, f"instances of the study {study.uid}"))
                for part in _batches(listed, INSTANCES):
                    self.downloader.download(self._radiographs(part), changed=changed)

    def _not_listed(self, error: NotListed) -> None:
        self.unlisted += 1
        self.report.fail(self.source.origin, error)

    def _list(self, study: Study) -> list[Instance] | NotListed:
        try:
            return self.source.instances(study)
        except NotListed as error:
            return error

    def _skipped(self, study: Study) -> bool:
        """Whether a study has no radiographs, by its modalities; counts its instances, where their number is known."""
        if self.query.every_class or not study.modalities or not OTHER_MODALITIES.issuperset(study.modalities):
            return False
        self._skip(study.instances or 0)
        self.report.seen += study.instances or 0
        return True

    def _radiographs(self, instances: list[Instance]) -> list[Instance]:
        """Those of the classes of the query; the others are counted."""
        wanted = [one for one in instances if self.query.every_class or _is_radiograph(one)]
        self.report.seen += len(instances)
        self._skip(len(instances) - len(wanted))
        return wanted

    def _skip(self, count: int) -> None:
        self.report.skipped += count
        self.advance(count)


@contextlib.contextmanager
def _list_required() -> Iterator[None]:
    """End the pull where the list of studies, or of changes, cannot be had: nothing can go on without it."""
    try:
        yield
    except NotListed as error:
        raise EnvironmentUnusable(str(error)) from error


def _is_radiograph(instance: Instance) -> bool:
    if instance.sop_class is not None:
        return instance.sop_class in RADIOGRAPHS
    return instance.modality not in OTHER_MODALITIES


def _instance_at(location: str) -> Instance | None:
    """The instance of a `PullSource.location`, which ends with its UIDs: in a URL each behind a name, else alone."""
    parts = location.split("/")
    uids = parts[-5::2] if parts[-2] == "instances" else parts[-3:]
    return Instance(*map(unquote, uids)) if len(uids) == 3 and all(uids) else None


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
