"""Into the archive: what is written of images that were examined, and of files that peers sent.

An image is known by its content. Where a SOP Instance UID comes a second time, the pixels decide: with the same pixels
it is the same image in another encoding and gets no second row; with others both are kept, and the second is flagged.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from radretrieval.archive import connections, images, inbox, patient_keys
from radretrieval.archive.connections import Database
from radretrieval.archive.images import Failure, NewImage
from radretrieval.archive.inbox import Arrival
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, EmbeddedServerError, EnvironmentUnusable
from radretrieval.files.uris import printable, shown
from radretrieval.ingest.inspect_file import LONGEST_URI, Examined, Examining, File, examine
from radretrieval.ingest.problem import Problem
from radretrieval.privacy.pseudonyms import check_value, load_secret, patient_key
from radretrieval.storage.content_store import Store
from radretrieval.storage.worker_pool import Decoders

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

log = logging.getLogger(__name__)

BATCH = 64
IDLE_SECONDS = 1.0
RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class Written:
    """What became of one image.

    outcome : `added`; `unchanged`, its content is there; or `same`, its UID is, with the same pixels.
    other : the image (id, uri) whose UID it has, where the pixels differ (it was added) or are the same.
    """

    image: NewImage
    outcome: str
    other: dict[str, Any] | None = None

    @property
    def problem(self) -> str | None:
        """What a person should look at, in words."""
        if self.outcome != "added" or self.other is None:
            return None
        place = shown(self.other["uri"])
        other = place if self.other["id"] is None else f"image {self.other['id']} ({place})"
        return (
            f"its SOP Instance UID {self.image.sop_instance_uid} is that of {other}, whose pixels differ: "
            f"both are kept, this one is flagged (same_uid); find out "
            "which is right, and withdraw the other"
        )


def write_images(connection: Connection, batch: Sequence[NewImage]) -> list[Written]:
    """Add images in order, in the caller's transaction, each once; tells what became of each."""
    images.take_turn(connection)
    seen: dict[tuple[str, int], list[dict[str, Any]]] = {}
    uids = [image.sop_instance_uid for image in batch if image.sop_instance_uid is not None]
    for row in images.by_sop_instance(connection, uids) if uids else ():
        seen.setdefault((row["sop_instance_uid"], row["frame"]), []).append(row)
    there = images.known(connection, [image.sha256 for image in batch])
    wanted: list[NewImage] = []
    written: list[Written] = []
    for image in batch:
        others = seen.setdefault((image.sop_instance_uid or "", image.frame), []) if image.sop_instance_uid else []
        pixels = image.pixels_sha256
        twin = next((o for o in others if pixels is not None and o["pixels_sha256"] == pixels), None)
        if image.sha256 in there or any(w.sha256 == image.sha256 and w.frame == image.frame for w in wanted):
            written.append(Written(image, "unchanged"))
        elif twin is not None:
            if twin["uri"] == image.uri and twin["id"] is not None:
                images.changed(connection, twin["id"], image.sha256)  # somebody edited its header where it lies
            written.append(Written(image, "same", twin))
        else:
            image = replace(image, same_uid=bool(others))
            written.append(Written(image, "added", others[0] if others else None))
            wanted.append(image)
            others.append({"id": None, "uri": image.uri, "pixels_sha256": pixels})
    images.add(connection, wanted)
    return written


@dataclass
class IntakeReport:
    """What became of files that came from peers: added + unchanged + failed."""

    added: int = 0
    unchanged: int = 0
    failed: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)  # path, error, message; the first thousand
    problems: list[dict[str, str]] = field(default_factory=list)

    def fail(self, path: str, error: Exception, sender: str = "") -> Failure:
        """This file was not taken, why, and in brackets whose it was."""
        kind, message = type(error).__name__, printable(f"{str(error) or type(error).__name__}{sender}")
        self.failed += 1
        log.warning("%s: %s", printable(path), message)
        if len(self.failures) < 1000:
            self.failures.append({"path": printable(path), "error": kind, "message": message})
        return Failure(path[:LONGEST_URI], None, kind, message)

    def add(self, other: IntakeReport) -> None:
        """And what that one tells."""
        self.added += other.added
        self.unchanged += other.unchanged
        self.failed += other.failed
        self.failures += other.failures[: 1000 - len(self.failures)]
        self.problems += other.problems[: 1000 - len(self.problems)]

    def note(self, problem: Problem) -> None:
        """Something is amiss, though no file fails of it."""
        log.warning("%s: %s", printable(problem.path), problem.message)
        if len(self.problems) < 1000:
            self.problems.append(
                {"path": printable(problem.path), "error": problem.error, "message": printable(problem.message)}
            )


class Intake:
    """Makes images of the files that came from peers and lie in the store.

    Any number of them may run, on any host that has the store: each takes what no other holds. A killed one loses its
    transaction and nothing else.
    """

    def __init__(self, database: Database, settings: Settings, workers: int | None = None) -> None:
        self.database = database
        self.settings = settings
        self.store = Store(settings.store_folder)
        self.report = IntakeReport()
        self._workers = workers or os.cpu_count() or 1
        self._job = partial(examine, examining=Examining.of(settings))
        self._woken = threading.Event()
        self._secret: bytes | None = None

    def wake(self) -> None:
        """Something has arrived: no need to wait for the next look."""
        self._woken.set()

    def run(self, stop: threading.Event) -> None:
        """Take what arrives until told to stop; a database that is away is waited for."""
        with self._decoders() as decoders:
            while not stop.is_set():
                self._woken.clear()
                try:
                    if not self._some(decoders):
                        self._woken.wait(IDLE_SECONDS)
                except (DatabaseUnavailable, EmbeddedServerError, EnvironmentUnusable) as error:
                    log.warning("%s (trying again in %d s)", error, RETRY_SECONDS)
                    stop.wait(RETRY_SECONDS)
                    if not stop.is_set():
                        connections.restart_embedded(self.database, self.settings)

    def finish(self) -> IntakeReport:
        """Take what has arrived until nothing is left. Raises DatabaseUnavailable, EnvironmentUnusable."""
        with self._decoders() as decoders:
            while self._some(decoders):
                pass
        return self.report

    def _decoders(self) -> Decoders[File | str, Examined]:
        settings = self.settings
        return Decoders(self._workers, self._job, timeout=settings.decode_seconds, megabytes=settings.decode_megabytes)

    def _some(self, decoders: Decoders[File | str, Examined]) -> int:
        """Some arrivals become images, or fail; how many. One that the database does not take fails alone."""
        try:
            return self._batch(decoders, BATCH)
        except EnvironmentUnusable:
            raise
        except Exception:
            log.debug("a batch of arrivals was not taken; they are tried one by one", exc_info=True)
        return sum(self._batch(decoders, 1) for _ in range(BATCH))

    def _batch(self, decoders: Decoders[File | str, Examined], limit: int) -> int:
        """One transaction: some arrivals become images, or fail."""
        report = IntakeReport()
        with self.database.connection() as connection:
            taken = inbox.take(connection, limit)
            if not taken:
                return 0
            files = [File(str(self.store.path(a.sha256)), a.uri, a.origin, kept=True) for a in taken]
            found = [outcome for _, outcome in decoders.map(files)]
            try:
                self._write(connection, taken, found, report)
            except EnvironmentUnusable:
                raise
            except Exception as error:
                if limit > 1:
                    raise
                connection.rollback()
                self._write(connection, taken, [error], report := IntakeReport())
            connection.commit()
            self.report.add(report)
            self._tidy(connection, [arrival.sha256 for arrival in taken])
        return len(taken)

    def _tidy(self, connection: Connection, hashes: list[bytes]) -> None:
        """Take files that nothing needs from the store, in a transaction of its own.

        Not in the one that made images of them: who waited for a content's hold there, while whoever held it waited
        for its row to go, would wait for ever. A kill in between leaves a file that nobody needs, and loses none.
        """
        if idle := inbox.unneeded(connection, hashes):
            inbox.hold(connection, *idle)  # who receives one of them again has told of it by now, or writes it anew
            for sha256 in inbox.unneeded(connection, idle):
                self.store.take(sha256)
        connection.commit()

    def _write(
        self,
        connection: Connection,
        taken: list[Arrival],
        found: Sequence[Examined | Exception],
        report: IntakeReport,
    ) -> None:
        batch: list[NewImage] = []
        failures: list[Failure] = []
        for arrival, outcome in zip(taken, found, strict=True):
            if isinstance(outcome, EnvironmentUnusable):
                raise outcome
            if isinstance(outcome, Exception):
                failure = report.fail(arrival.uri, outcome, _sender(arrival))
                failures.append(replace(failure, sha256=arrival.sha256))
                continue
            patient = self._patient(outcome.patient_id)
            batch += [replace(image, patient_key=patient) for image in outcome.images]
            if outcome.for_processing:
                report.note(for_processing(arrival.uri))
        written = write_images(connection, batch)
        if self._secret is not None:
            patient_keys.require(connection, check_value(self._secret))
        for one in written:
            report.added += one.outcome == "added"
            report.unchanged += one.outcome != "added"
            if one.problem:
                report.note(Problem(one.image.uri, "SameUid", one.problem))
        images.forget_failures(connection, [one.image.uri for one in written])
        images.keep_failures(connection, failures)
        inbox.done(connection, [arrival.id for arrival in taken])

    def _patient(self, patient_id: str | None) -> str | None:
        if patient_id is None:
            return None
        if self._secret is None:
            self._secret = load_secret(self.settings)
        return patient_key(self._secret, patient_id)


def _sender(arrival: Arrival) -> str:
    """Whose file it was, for whoever must ask them."""
    said = [
        f"from {arrival.origin}" if arrival.origin else "",
        f"SOP Instance UID {arrival.sop_instance_uid}" if arrival.sop_instance_uid else "",
    ]
    return f" ({', '.join(filter(None, said))})" if any(said) else ""


def for_processing(path: str) -> Problem:
    """What is told of an image that no film shows."""
    message = (
        "holds raw values of the detector (FOR PROCESSING): it is searchable as it is, but looks like no film; send "
        "the image FOR PRESENTATION instead"
    )
    return Problem(path, "ForProcessing", message)
