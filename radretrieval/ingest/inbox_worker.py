"""The inbox: files that were received or pulled become images.

Any number of inbox workers may run, on any host that has the store: each locks its arrivals with FOR UPDATE SKIP
LOCKED. A killed one loses its transaction and nothing else.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from radretrieval import metrics
from radretrieval.archive import images, inbox
from radretrieval.archive.connections import Connection, Database, restart_embedded
from radretrieval.archive.images import Failure, NewImage
from radretrieval.archive.inbox import Arrival
from radretrieval.config import Settings
from radretrieval.errors import (
    DatabaseUnavailable,
    EmbeddedServerError,
    EnvironmentUnusable,
    Forgotten,
    ImageError,
    InputMissing,
    WrongPatientKey,
)
from radretrieval.files.text import printable
from radretrieval.ingest.inspect_file import LONGEST_URI, File, InspectedFile, InspectOptions, inspect_file
from radretrieval.ingest.needless import drop_needless
from radretrieval.ingest.problem import Problem, of_issuers
from radretrieval.ingest.register import RegisteredImage, log_updates, register_images
from radretrieval.ingest.report import InboxReport
from radretrieval.ingest.store_check import MOST, check_store, log_unavailable
from radretrieval.logs import Log
from radretrieval.privacy.archive_key import ArchiveKey, archive_key
from radretrieval.privacy.tombstones import Names, forgotten, message, refuse
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.worker_pool import WorkerPool

log = Log(__name__)

BATCH = 64
IDLE_SECONDS = 1.0
BUSY_SECONDS = 0.1
RETRY_SECONDS = 5.0
LOST = "is not in the store any more; have it sent or pulled again"
BEFORE = ". It failed before: "


class InboxWorker:
    """Makes images of the arrivals: files in the store that were received or pulled.

    Attributes
    ----------
    report : outcomes so far; the first 1000 failures and problems are listed, all are logged.
    error : why `run` has ended by itself.
    """

    def __init__(self, database: Database, settings: Settings, workers: int | None = None) -> None:
        self.database = database
        self.settings = settings
        self.store = ContentStore(settings.store_folder, settings.store_group)
        self.report = InboxReport()
        self.error: WrongPatientKey | None = None
        self._workers = workers
        self._job = partial(inspect_file, options=InspectOptions.of(settings))
        self._woken = threading.Event()
        self._key: ArchiveKey | None = None

    def wake(self) -> None:
        """End the pause between two looks at the inbox: a file has arrived."""
        self._woken.set()

    def run(self, stop: threading.Event) -> None:
        """Process arrivals until `stop` is set; retries every RETRY_SECONDS while the database is unavailable.

        Ends, with `error`, where the key of the pseudonyms is not the archive's: only another start reads another key.
        """
        with self._pool() as pool:
            while not stop.is_set():
                self._woken.clear()
                try:
                    if not self._some(pool):
                        self._woken.wait(IDLE_SECONDS)
                except WrongPatientKey as error:
                    self.error = error
                    return
                except (DatabaseUnavailable, EmbeddedServerError, EnvironmentUnusable) as error:
                    log_unavailable(error, RETRY_SECONDS)
                    stop.wait(RETRY_SECONDS)
                    if not stop.is_set():
                        restart_embedded(self.database, self.settings)

    def finish(self, settled: Callable[[], bool] | None = None) -> InboxReport:
        """Process arrivals until none is left; with `settled` until it returns True, whoever processes them.

        Raises DatabaseUnavailable, EnvironmentUnusable.
        """
        with self._pool() as pool:
            while settled is None or not settled():
                if self._some(pool):
                    continue
                if settled is None:
                    break
                self._woken.wait(BUSY_SECONDS)  # another process has locked them
        return self.report

    def _pool(self) -> WorkerPool[File | str, InspectedFile]:
        return WorkerPool.of(self.settings, self._job, self._workers)

    def _some(self, pool: WorkerPool[File | str, InspectedFile]) -> int:
        """Process a batch of arrivals, one by one where the database refuses the batch; returns their number."""
        try:
            return self._batch(pool, BATCH)
        except EnvironmentUnusable:
            raise
        except Exception:
            log.debug(
                "batch_refused",
                "the database refused a batch of arrivals; they are processed one by one",
                exc_info=True,
            )
        return sum(self._batch(pool, 1) for _ in range(BATCH))

    def _batch(self, pool: WorkerPool[File | str, InspectedFile], limit: int) -> int:
        """Process up to `limit` arrivals in one transaction; returns their number."""
        report = InboxReport()
        with self.database.connection() as connection:
            taken = inbox.take(connection, limit)
            if not taken:
                return 0
            files = [File(str(self.store.path(a.sha256)), a.uri, a.origin, a.sha256) for a in taken]
            found = [outcome for _, outcome in pool.map(files)]
            if all(isinstance(outcome, Exception) for outcome in found):
                check_store(connection, self.store, inbox.newest(connection, MOST))
            try:
                written = self._write(connection, taken, found, report)
            except EnvironmentUnusable:
                raise
            except Exception as error:
                if limit > 1:
                    raise
                connection.rollback()
                written = self._write(connection, taken, [error], report := InboxReport())
            connection.commit()
            log_updates(written)
            self.report.add(report)
            for outcome in ("added", "unchanged", "updated", "forgotten", "failed"):
                metrics.count(metrics.TAKEN, getattr(report, outcome), outcome)
            replaced = [one.replaced for one in written if one.replaced is not None]
            drop_needless(connection, self.store, [*(arrival.sha256 for arrival in taken), *replaced])
        return len(taken)

    def _write(
        self,
        connection: Connection,
        taken: list[Arrival],
        found: Sequence[InspectedFile | Exception],
        report: InboxReport,
    ) -> list[RegisteredImage]:
        batch: list[NewImage] = []
        failed: list[tuple[Arrival, Exception]] = []
        for arrival, outcome in zip(taken, found, strict=True):
            if isinstance(outcome, EnvironmentUnusable):
                raise outcome
            if isinstance(outcome, Exception):
                failed.append((arrival, outcome))
                continue
            patient = self._patient(connection, outcome)
            batch += [replace(image, patient_key=patient) for image in outcome.images]
            for problem in outcome.problems:
                _note(report, problem, arrival.origin, arrival.sop_instance_uid)
        two = self._key.now_two(connection) if self._key is not None else {}
        written = register_images(connection, self.settings, batch)
        failures = self._failures(connection, failed, report)
        if self._key is not None:
            self._key.confirm(connection)
        for one in written:
            report.count(one.outcome)
            if one.forgotten_at is not None:
                _tell_forgotten(one.image.origin, one.forgotten_at)
            if one.problem:
                same = Problem(one.image.uri, "SameUid", one.problem)
                _note(report, same, one.image.origin, one.image.sop_instance_uid)
        by_uri = {one.image.uri: one.image for one in written}
        left = self._key.still_two(connection, two) if self._key is not None else {}
        for problem in of_issuers(left, by_uri.values()):
            _note(report, problem, by_uri[problem.path].origin, by_uri[problem.path].sop_instance_uid)
        images.forget_failures(connection, [one.image.uri for one in written])
        images.keep_failures(connection, failures)
        inbox.done(connection, [arrival.id for arrival in taken])
        return written

    def _failures(
        self, connection: Connection, failed: list[tuple[Arrival, Exception]], report: InboxReport
    ) -> list[Failure]:
        """The rows of `ingest_failure`; none for a file that was forgotten, nor for one whose row says more already."""
        names = [Names(arrival.sha256, arrival.sop_instance_uid) for arrival, _ in failed]
        failures: list[Failure] = []
        unread = [arrival for arrival, error in failed if isinstance(error, InputMissing)]
        before = inbox.reasons(connection, unread) if unread else {}  # of a run of `ingest --failed` that was killed
        for (arrival, error), at in zip(failed, refuse(connection, self.settings, names), strict=True):
            if at is not None:
                report.count("forgotten")
                images.forget_failures(connection, [arrival.uri[:LONGEST_URI]])
                _tell_forgotten(arrival.origin, at)
                continue
            if isinstance(error, InputMissing) and not self.store.path(arrival.sha256).exists():
                error = InputMissing(LOST)
            failure = _failure(arrival, error)
            kind, reason = failure.error, failure.message
            if (known := before.get(arrival.sha256)) is None:
                failures.append(failure)
            else:
                kind, reason = known[0], f"{error}{BEFORE}{known[1]}"
            report.fail(arrival.uri, kind, reason)
            log.warning("file_failed", "%(uri)s: %(reason)s", uri=arrival.uri, reason=reason, kind=kind)
        return failures

    def _patient(self, connection: Connection, found: InspectedFile) -> str | None:
        if found.patient_id is None:
            return None
        if self._key is None:
            self._key = archive_key(connection, self.settings)
        return self._key.pseudonym(found.patient_id, found.issuer)


def keep_file(database: Database, settings: Settings, data: bytes, origin: str) -> int | None:
    """Put a file into the store and make an image of it, or find the one that has its content.

    Parameters
    ----------
    origin : who brought it.

    Returns
    -------
    The image's id; None where the archive had its film already, or another process makes the image.

    Raises
    ------
    ImageError : the file is no radiograph that can be read, or (Forgotten) was forgotten. EnvironmentUnusable.
    """
    store, sha256 = ContentStore(settings.store_folder, settings.store_group), hashlib.sha256(data).digest()
    arrival = Arrival(sha256, f"store:{sha256.hex()}", origin)
    with database.connection() as connection:
        check_store(connection, store)
        inbox.hold(connection, sha256)
        store.put(data)
        inbox.add(connection, arrival)
    InboxWorker(database, settings, workers=1).finish()
    with database.connection() as connection:
        for row in inbox.outcomes(connection, [arrival]):
            if row["error"] is not None:
                raise ImageError(row["message"])
        known = images.known(connection, [sha256]).get(sha256)
        (at,) = forgotten(connection, settings, [Names(sha256)]) if known is None else [None]
    if at is not None:
        raise Forgotten(message(at))
    return None if known is None else int(known["id"])


def _tell_forgotten(origin: str | None, at: datetime) -> None:
    """Log that a file was not taken; nothing that names it."""
    log.warning(
        "file_forgotten",
        "a file from %(sender)s is not taken: it was forgotten on %(day)s",
        sender=origin or "a user",
        day=f"{at:%Y-%m-%d}",
    )


def _note(report: InboxReport, problem: Problem, origin: str | None, uid: str | None) -> None:
    """List and log a problem; its message names sender and UID."""
    problem = problem._replace(message=problem.message + _sender(problem.message, origin, uid))
    report.note(problem)
    log.warning("file_problem", "%(uri)s: %(reason)s", uri=problem.path, reason=problem.message, kind=problem.error)


def _failure(arrival: Arrival, error: Exception) -> Failure:
    """The row of `ingest_failure` for an arrival; its message names sender and UID."""
    kind = type(error).__name__
    message = str(error) or kind
    message += _sender(message, arrival.origin, arrival.sop_instance_uid)
    uri, uid = arrival.uri[:LONGEST_URI], arrival.sop_instance_uid
    return Failure(uri, arrival.sha256, kind, printable(message), arrival.origin, uid)


def _sender(message: str, origin: str | None, uid: str | None) -> str:
    """Who sent a file and its SOP Instance UID, in parentheses, as far as a message does not name them."""
    said = [
        f"from {origin}" if origin and origin not in message else "",
        f"SOP Instance UID {uid}" if uid and uid not in message else "",
    ]
    return f" ({', '.join(filter(None, said))})" if any(said) else ""
