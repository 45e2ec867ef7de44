"""A peer's images → archive: listed, fetched if they are not here, told of, and made images of meanwhile.

A file that was fetched is on the disk and told of before anything else is: a run that is killed loses what it was
fetching, and the next one lists the same again and fetches the rest.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from radretrieval.archive import pull_state
from radretrieval.archive.connections import Database
from radretrieval.archive.pull_state import Mark
from radretrieval.config import Settings
from radretrieval.dicom.pull.deletions import EVERY, reconcile
from radretrieval.dicom.pull.download import Fetching
from radretrieval.dicom.pull.orthanc import Orthanc
from radretrieval.dicom.pull.query import Asked, windows
from radretrieval.dicom.pull.report import PullReport
from radretrieval.dicom.pull.source import Instance, NotFetched, NotListed, Peer, PeerUnusable, Study
from radretrieval.dicom.sop_classes import OTHER_MODALITIES, RADIOGRAPHS
from radretrieval.errors import EnvironmentUnusable
from radretrieval.ingest.inbox_worker import Intake
from radretrieval.storage.content_store import Store

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

STUDIES = 64  # listed at once
INSTANCES = 256  # looked up at once
RETRIED = 10_000
FEW, MOST_DAYS = 100, 3650


def pull(
    database: Database,
    settings: Settings,
    peer: Peer,
    asked: Asked,
    *,
    workers: int = 4,
    orthanc: Orthanc | None = None,
    deletions: bool | None = None,
    advance: Callable[[int], None] | None = None,
) -> PullReport:
    """Bring what a peer has, and the archive has not, into the archive.

    Parameters
    ----------
    workers : files that are asked for at a time.
    orthanc : the peer's list of changes, if it has one: followed instead of study dates after the first pull.
    deletions : whether to look for them; None does once a day.
    advance : called with the number of instances that were dealt with.

    Raises
    ------
    PeerUnusable : the peer is away, or went away; what had come is in the archive, the next run goes on from there.
    DatabaseUnavailable, EnvironmentUnusable : as for other commands.
    """
    started = time.monotonic()
    report, done = PullReport(), advance or (lambda count: None)
    with (
        ThreadPoolExecutor(workers, thread_name_prefix="pull") as pool,
        database.connection() as connection,
        _taking(Intake(database, settings), report, pool, peer.sends) as intake,
    ):
        store = Store(settings.store_folder)
        fetching = Fetching(connection, peer, store, intake, pool, workers, report, done)
        run = _Run(connection, peer, asked, pool, fetching)
        run.ask_again()
        if orthanc is not None and not asked.rolling and asked.until is None:
            run.by_changes(orthanc)
        else:
            run.by_date()
        if deletions or (deletions is None and run.is_due()):
            try:
                report.gone, report.back = reconcile(database, peer, pool, done)
            except NotListed as error:
                report.fail(peer.origin, error)
    report.seconds = time.monotonic() - started
    return report


@contextlib.contextmanager
def _taking(intake: Intake, report: PullReport, pool: ThreadPoolExecutor, elsewhere: bool) -> Iterator[Intake]:
    """Make images of what arrives while the block runs, and of the rest when it has ended, well or not.

    elsewhere : another process does.
    """
    if elsewhere:
        yield intake
        return
    stop = threading.Event()
    beside = threading.Thread(target=intake.run, args=(stop,), name="intake", daemon=True)
    beside.start()
    try:
        yield intake
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        stop.set()
        if isinstance(error, Exception):
            intake.wake()
            beside.join()
            with contextlib.suppress(EnvironmentUnusable):  # the first error is the one to tell
                intake.finish()
        raise
    stop.set()
    intake.wake()
    beside.join()
    report.take(intake.finish())


class _Run:
    """One pull: what is listed, and how far it has come."""

    def __init__(self, connection: Connection, peer: Peer, asked: Asked, pool: Executor, fetching: Fetching) -> None:
        self.connection, self.peer, self.asked, self.pool, self.fetching = connection, peer, asked, pool, fetching
        self.report, self.advance = fetching.report, fetching.advance
        self.today = date.today()
        self.newest: date | None = None
        self.unlisted = self.studies = 0
        self.days = peer.window_days
        self.mark = pull_state.mark(connection, peer.origin, asked.query)
        connection.commit()

    def ask_again(self) -> None:
        """Fetch what was not given when it was asked for last."""
        places = pull_state.failed(self.connection, self.peer.origin, NotFetched.__name__, RETRIED)
        self.connection.commit()
        for part in _parts(filter(None, map(_instance, places)), INSTANCES):
            self.report.seen += len(part)
            self.fetching.fetch(part, again=True)

    def by_date(self) -> None:
        """Take studies by their dates, from the mark on."""
        seen = 0
        start = self.asked.start(self.mark, self.today)
        for first, last in windows(start, self.asked.until, self.today, lambda: self.days):
            with _the_whole_list():
                self._take(self.peer.studies(self.asked.filters, first, last))
            # where there is little, more days at once: an archive may begin long ago
            self.days = min(self.days * 2, MOST_DAYS) if self.studies - seen < FEW else self.peer.window_days
            seen = self.studies
            if not self.unlisted and not self.asked.rolling:
                self._keep_mark(study_date=self.asked.complete_to(self.mark, self.newest, last, self.today))

    def by_changes(self, orthanc: Orthanc) -> None:
        """Take the studies that changed since the last pull; all there are where there was none."""
        with _the_whole_list():
            head, change = orthanc.head(), self.mark.change
            if change is None or change > head or self.asked.again:  # greater: its database is a new one
                self.mark = replace(self.mark, study_date=None)
                self.by_date()
                if not self.unlisted:
                    self._keep_mark(change=head)
                return
            done = False
            while not done:
                changes = orthanc.after(change)
                self._take(self._changed(orthanc.studies(changes.instances, self.pool)))
                if self.unlisted:
                    return
                change, done = changes.last, changes.done
                self._keep_mark(change=change)

    def is_due(self) -> bool:
        """Whether deletions were looked for a day ago or more. The first day begins with the first pull."""
        last = pull_state.mark(self.connection, self.peer.origin, "").reconciled_at
        now = datetime.now(UTC)
        if last is None or last > now:
            pull_state.keep_mark(self.connection, self.peer.origin, "", Mark(reconciled_at=now))
        self.connection.commit()
        return last is not None and last <= now - EVERY

    def _changed(self, uids: list[str]) -> Iterator[Study]:
        """Those of these studies that were asked for."""
        filters, since = self.asked.filters, self.asked.since
        for uid in uids if "StudyInstanceUID" not in filters else set(uids) & {filters["StudyInstanceUID"]}:
            yield from self.peer.studies({**filters, "StudyInstanceUID": uid}, since, None)

    def _keep_mark(self, **new: Any) -> None:
        pull_state.keep_mark(self.connection, self.peer.origin, self.asked.query, Mark(**new))
        self.connection.commit()
        self.mark = replace(self.mark, **{name: value for name, value in new.items() if value is not None})

    def _take(self, studies: Iterable[Study]) -> None:
        """List studies and fetch what is not here."""
        for batch in _parts(studies, STUDIES):
            self.studies += len(batch)
            dates = [study.date for study in batch if study.date is not None]
            self.newest = max(dates if self.newest is None else [*dates, self.newest], default=None)
            wanted = [study for study in batch if not self._skipped(study)]
            for instances in self.pool.map(self._list, wanted):
                if isinstance(instances, NotListed):
                    self.unlisted += 1
                    self.report.fail(self.peer.origin, instances)
                    continue
                for part in _parts(instances, INSTANCES):
                    self.fetching.fetch(self._radiographs(part))

    def _list(self, study: Study) -> list[Instance] | NotListed:
        try:
            return self.peer.instances(study)
        except NotListed as error:
            return error

    def _skipped(self, study: Study) -> bool:
        """Whether a study need not be listed; what it has is counted, where that is told."""
        if self.asked.every_class or not study.modalities or not OTHER_MODALITIES.issuperset(study.modalities):
            return False
        self._skip(study.instances or 0)
        self.report.seen += study.instances or 0
        return True

    def _radiographs(self, instances: list[Instance]) -> list[Instance]:
        """Those of the classes that were asked for; the others are counted."""
        wanted = [one for one in instances if self.asked.every_class or _is_radiograph(one)]
        self.report.seen += len(instances)
        self._skip(len(instances) - len(wanted))
        return wanted

    def _skip(self, count: int) -> None:
        self.report.skipped += count
        self.advance(count)


@contextlib.contextmanager
def _the_whole_list() -> Iterator[None]:
    """Without the list of studies, or of changes, there is nothing to go on with."""
    try:
        yield
    except NotListed as error:
        raise PeerUnusable(str(error)) from error


def _is_radiograph(instance: Instance) -> bool:
    if instance.sop_class is not None:
        return instance.sop_class in RADIOGRAPHS
    return instance.modality not in OTHER_MODALITIES


def _instance(place: str) -> Instance | None:
    """The instance of a `Peer.place`, which ends with its UIDs: in a URL each behind a name, else alone."""
    parts = place.split("/")
    uids = parts[-5::2] if parts[-2] == "instances" else parts[-3:]
    return Instance(*map(unquote, uids)) if len(uids) == 3 and all(uids) else None


def _parts(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
