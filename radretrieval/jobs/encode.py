"""Archive → codes → archive: the worker.

A round claims pending images batch by batch, each batch in a transaction of its own. Decoding processes work ahead:
while the device encodes one batch, the next is being read. Any number of workers share an archive; a worker that is
killed loses its open transactions and nothing else.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import codes, connections, encoders
from radretrieval.archive.connections import Database
from radretrieval.archive.pending import Claims
from radretrieval.archive.search.anchor_hints import Near
from radretrieval.config import Reading, Settings
from radretrieval.errors import DatabaseUnavailable, EmbeddedServerError, EnvironmentUnusable, NoEncoder
from radretrieval.files.uris import printable, shown
from radretrieval.storage.worker_pool import Decoders

if TYPE_CHECKING:
    import psycopg

    from radretrieval.coding.cnnc import Coder

    Connection = psycopg.Connection[dict[str, Any]]

log = logging.getLogger(__name__)

POLL_SECONDS = 60.0  # a notice may be lost with its connection; nothing waits longer than this
RETRY_SECONDS = (1.0, 60.0)  # first and longest pause while the database is away


@dataclass
class WorkReport:
    """What a worker did; without `once`, failures are counted but not listed."""

    encoded: int = 0
    failed: int = 0
    left: int = 0  # with `once`: images that other workers held, or that came meanwhile
    failures: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def images_per_second(self) -> float:
        """Rate over the whole run."""
        return self.encoded / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Prepared:
    """What a decoding process makes of an image: float32 inputs of the network and of the barcode (None: has one)."""

    network_input: NDArray[np.float32]
    barcode_input: NDArray[np.float32] | None


@dataclass(frozen=True)
class Task:
    """One image for the decoding processes."""

    pending: codes.Pending
    network_size: int
    barcode_size: int


def prepare(task: Task, reading: Reading) -> Prepared:
    """Read and resample one image, in a decoding process.

    Raises ImageError when the file is gone, is not the one that was ingested, or cannot be decoded.
    """
    from radretrieval.imaging.resample import resample
    from radretrieval.storage.source import read_original

    pixels = read_original(task.pending.uri, task.pending.sha256, reading).pixels
    square = None if task.pending.barcoded else resample(pixels, task.barcode_size)
    return Prepared(resample(pixels, task.network_size), square)


def work(
    database: Database,
    settings: Settings,
    *,
    once: bool = True,
    device: str = "auto",
    batch: int = 64,
    workers: int | None = None,
    encoder_id: int | None = None,
    advance: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
) -> WorkReport:
    """Encode what has no code yet; with `once` until nothing is left, else for ever.

    Parameters
    ----------
    batch : images of one transaction.
    workers : decoding processes; None for one a core.
    encoder_id : fill this encoder; None for the active one (and, without `once`, whichever becomes active later).
    advance : called with the number of images that were finished.
    stop : when set, the worker ends after the batch that it is encoding.

    Raises
    ------
    NoEncoder : there is nothing to encode with (with `once`; else it waits for one).
    DatabaseUnavailable : the database went away (with `once`; else it waits until it is back).
    """
    started = time.monotonic()
    job = partial(prepare, reading=settings.reading)
    processes = workers or os.cpu_count() or 1
    stop = stop or threading.Event()
    with Decoders(processes, job, timeout=settings.decode_seconds, megabytes=settings.decode_megabytes) as decoders:
        worker = _Worker(
            database, settings, decoders, once, device, batch, encoder_id, advance or (lambda count: None), stop
        )
        if once:
            worker.rounds()
            worker.report.left = pending(database, encoder_id) - worker.report.failed
        else:
            worker.serve()
    worker.report.seconds = time.monotonic() - started
    return worker.report


class _Worker:
    def __init__(
        self,
        database: Database,
        settings: Settings,
        decoders: Decoders[Task, Prepared],
        once: bool,
        device: str,
        batch: int,
        encoder_id: int | None,
        advance: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        self.database = database
        self.settings = settings
        self.decoders = decoders
        self.once = once
        self.device = device
        self.batch = batch
        self.encoder_id = encoder_id
        self.advance = advance
        self.stop = stop
        self.report = WorkReport()
        self.coder: Coder | None = None
        self.encoder: encoders.Encoder | None = None
        self.since: datetime | None = None
        self.near = Near()

    def serve(self) -> None:
        """Rounds for ever: woken by notices, patient while the database is away or has no encoder yet."""
        pause = RETRY_SECONDS[0]
        while not self.stop.is_set():
            try:
                with connections.translated(self.database.url):
                    listener = connections.connect(self.database.url, autocommit=True)
                    with listener:
                        codes.listen(listener)
                        while not self.stop.is_set():
                            self._round_if_encoder()
                            pause = RETRY_SECONDS[0]
                            self._sleep(listener)
            except DatabaseUnavailable as error:
                log.warning("%s; trying again in %.0f s", error, pause)
                self.stop.wait(pause)
                pause = min(pause * 2, RETRY_SECONDS[1])
                self._restart_embedded()

    def _restart_embedded(self) -> None:
        """The embedded server has nobody but its users to start it again."""
        if not self.database.embedded or self.stop.is_set():
            return
        from radretrieval.archive.embedded import shared_server

        try:
            shared_server.start(self.settings.home, self.settings.embedded_start_seconds)
        except EmbeddedServerError as error:
            log.warning("%s", error)

    def _round_if_encoder(self) -> None:
        try:
            self.rounds()
        except NoEncoder as error:
            log.warning("%s (waiting for one)", error)

    def _sleep(self, listener: Connection) -> None:
        until = time.monotonic() + POLL_SECONDS
        while not self.stop.is_set() and time.monotonic() < until:
            if any(True for _ in listener.notifies(timeout=1.0, stop_after=1)):
                return

    def rounds(self) -> None:
        """Rounds until one finds nothing: what another worker held at first may be free at last."""
        with self.database.connection() as connection:
            self._load(connection)
            # what failed before this worker began is tried once more; what fails under it waits, longer each time
            self.since = self.since or codes.now(connection)
        while not self.stop.is_set() and self._round(self.since):
            pass

    def _load(self, connection: Connection) -> None:
        """The encoder to work with; its network comes with the first batch, for a round may find nothing to do."""
        from radretrieval.coding.radon import bins

        encoder = encoders.get(connection, self.encoder_id)
        if self.encoder is None or self.encoder.id != encoder.id:
            self.coder = None
        self.encoder = encoder
        shape = encoder.profile.barcode
        self.geometry = codes.geometry_id(connection, shape.size, shape.angles, bins(shape.size), shape.rule)

    def _round(self, since: datetime) -> int:
        """One pass over the pending images; the number of images that were finished."""
        assert self.encoder is not None
        finished = 0
        ahead: deque[_Batch] = deque()
        with (
            connections.translated(self.database.url),
            Claims(self.database.url, self.encoder.id, self.geometry, self.batch, since, not self.once) as claims,
        ):
            try:
                while not self.stop.is_set():
                    while len(ahead) < 2 and (claimed := claims.next()):
                        ahead.append(self._decoding(*claimed))
                    if not ahead:
                        break
                    batch = ahead.popleft()
                    finished += self._finish(batch.connection, batch.results())
                    claims.give_back(batch.connection)
            finally:  # what is claimed is given up with its connection: another worker or the next run takes it
                for batch in ahead:
                    batch.cancel()
        return finished

    def _decoding(self, connection: Connection, claimed: list[codes.Pending]) -> _Batch:
        """Set the decoding processes to work on a batch."""
        assert self.encoder is not None
        sizes = self.encoder.profile.network.input_size, self.encoder.profile.barcode.size
        return _Batch(connection, [(pending, self.decoders.submit(Task(pending, *sizes))) for pending in claimed])

    def _coder(self, connection: Connection) -> Coder:
        """The network on its device."""
        if self.coder is None:
            from radretrieval.coding.cnnc import Coder

            assert self.encoder is not None
            weights = encoders.weights(connection, self.encoder, self.settings.home / "weights")
            self.coder = Coder(weights, self.encoder.profile, self.device)
        return self.coder

    def _finish(self, connection: Connection, group: list[tuple[codes.Pending, Prepared | Exception]]) -> int:
        """Encode a batch and commit it."""
        assert self.encoder is not None
        from radretrieval.coding.radon import barcode

        good = [(pending.image_id, result) for pending, result in group if isinstance(result, Prepared)]
        shape = self.encoder.profile.barcode
        if good:
            packed = self._coder(connection).codes(np.stack([result.network_input for _, result in good]))
            bits = self.encoder.profile.network.code_bits
            codes.write_cnnc(connection, self.encoder.id, [image for image, _ in good], packed, bits, self.near)
        squares = [(image, result.barcode_input) for image, result in good if result.barcode_input is not None]
        if squares:
            bars = barcode(np.stack([square for _, square in squares]), shape.size, shape.angles)
            codes.write_barcodes(connection, self.geometry, [image for image, _ in squares], bars)
        bad = [(pending, result) for pending, result in group if isinstance(result, Exception)]
        for pending, error in bad:
            codes.keep_failure(
                connection, self.encoder.id, pending.image_id, type(error).__name__, printable(str(error))
            )
        connection.commit()
        for pending, error in bad:
            path = shown(pending.uri)
            log.warning("image %d, %s: %s", pending.image_id, path, printable(str(error)))
            if self.once:  # a worker that runs for years has its log, and the table coding_failure
                self.report.failures.append({"path": path, "error": type(error).__name__, "message": str(error)})
        self.report.encoded += len(good)
        self.report.failed += len(bad)
        self.advance(len(group))
        return len(group)


@dataclass
class _Batch:
    """A batch that decoding processes work on, and the connection whose transaction holds its images."""

    connection: Connection
    jobs: list[tuple[codes.Pending, Future[Prepared]]]

    def results(self) -> list[tuple[codes.Pending, Prepared | Exception]]:
        """Each image with its inputs or the reason why it has none."""
        return [(pending, _outcome(job)) for pending, job in self.jobs]

    def cancel(self) -> None:
        for _, job in self.jobs:
            job.cancel()


def _outcome(job: Future[Prepared]) -> Prepared | Exception:
    try:
        return job.result()
    except EnvironmentUnusable:  # no process can be started: no fault of this image
        raise
    except Exception as error:
        return error


def pending(database: Database, encoder_id: int | None = None) -> int:
    """How many images wait for a code; raises NoEncoder when there is nothing to encode with."""
    with database.connection() as connection:
        return codes.pending_count(connection, encoders.get(connection, encoder_id).id)
