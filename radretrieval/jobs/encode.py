"""Codes for the images of an archive that have none: the encoding worker.

A pass claims pending images batch by batch, each batch in a transaction of its own that locks its images. Decoding
processes prepare the next batch while the device encodes one. Any number of workers share an archive; a worker that is
killed loses its open transactions, and other workers take their images.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from radretrieval import metrics
from radretrieval.archive import codes, connections, encoders
from radretrieval.archive.coder import load_coder
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.pending import Claims
from radretrieval.archive.search.anchor_hints import AnchorHints
from radretrieval.coding import radon
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable, NoEncoder, StoreUnavailable
from radretrieval.files.failures import FailureList
from radretrieval.files.text import printable, shown, without_path
from radretrieval.ingest.store_check import check_store, log_unavailable
from radretrieval.jobs.pace import Pace
from radretrieval.logs import Log
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.prepare import PreparedImage, PrepareTask, prepare_pool
from radretrieval.storage.source import SourceFile
from radretrieval.storage.worker_pool import WorkerPool, outcome

if TYPE_CHECKING:
    from radretrieval.coding.cnnc import Coder


log = Log(__name__)

POOLED_SECONDS = 10.0  # behind a pooler, which passes no notification on
POLL_SECONDS = 60.0  # a notification can be lost with its connection; nothing waits longer than this
RETRY_SECONDS = (1.0, 20.0)  # first and longest pause while the database is away


@dataclass(frozen=True)
class EncodeOptions:
    """How images are encoded.

    Attributes
    ----------
    once : end when nothing is left; otherwise wait for more images until stopped.
    device : `auto`, `cpu`, `cuda`, …
    batch : images of one transaction.
    workers : decoding processes; None for one a core.
    encoder_id : the encoder; None for the active one (without `once`, whichever becomes active later).
    rate : images a second at most; None for as many as can be.
    """

    once: bool = True
    device: str = "auto"
    batch: int = 64
    workers: int | None = None
    encoder_id: int | None = None
    rate: float | None = None


@dataclass
class EncodeReport:
    """The result of a run; without `once`, failures are counted but not listed (the log has them).

    `left` is, with `once`, the number of images that other workers held or that were added meanwhile. `index_built`:
    the codes had no exact index, or one of far fewer codes, and it was built afterwards.
    """

    encoded: int = 0
    left: int = 0
    failures: FailureList = field(default_factory=FailureList)
    seconds: float = 0.0
    index_built: bool = False

    @property
    def failed(self) -> int:
        """How many images could not be encoded."""
        return self.failures.total

    @property
    def images_per_second(self) -> float:
        """Rate over the whole run."""
        return self.encoded / self.seconds if self.seconds else 0.0


def encode(
    database: Database,
    settings: Settings,
    options: EncodeOptions = EncodeOptions(),
    *,
    advance: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
) -> EncodeReport:
    """Compute and store the codes of images that have none.

    Parameters
    ----------
    advance : called with the number of images that were finished.
    stop : when set, the worker ends after the batch that it is encoding.

    Raises
    ------
    NoEncoder : the archive has no encoder (with `once`; otherwise the worker waits for one).
    DatabaseUnavailable : the database went away (with `once`; otherwise the worker waits until it is back).
    StoreUnavailable : the archive's store is not on this host (with `once`; otherwise the worker waits for it).
    """
    started = time.monotonic()
    with prepare_pool(settings, options.workers) as decoders:
        worker = _EncodeWorker(database, settings, options, decoders, advance or (lambda count: None), stop)
        if options.once:
            worker.encode_all()
            worker.report.left = pending(database, options.encoder_id) - worker.report.failed
        else:
            worker.serve()
    worker.report.seconds = time.monotonic() - started
    return worker.report


def pending(database: Database, encoder_id: int | None = None) -> int:
    """How many images have no code of an encoder (None: the active one); raises NoEncoder when there is none."""
    with database.connection() as connection:
        return codes.pending_count(connection, encoders.get(connection, encoder_id).id)


class _EncodeWorker:
    def __init__(
        self,
        database: Database,
        settings: Settings,
        options: EncodeOptions,
        decoders: WorkerPool[PrepareTask, PreparedImage],
        advance: Callable[[int], None],
        stop: threading.Event | None,
    ) -> None:
        self.database = database
        self.settings = settings
        self.options = options
        self.decoders = decoders
        self.advance = advance
        self.stop = stop or threading.Event()
        self.report = EncodeReport(failures=FailureList(limit=None if options.once else 0))
        self.encoder: Encoder | None = None
        self.coder: Coder | None = None
        self.since: datetime | None = None
        self.hints = AnchorHints()
        self.pace = Pace(options.rate)
        self.store = ContentStore(settings.store_folder)

    def serve(self) -> None:
        """Encode until stopped: woken by notifications; waits while the database is away or has no encoder."""
        pause = RETRY_SECONDS[0]
        while not self.stop.is_set():
            try:
                with connections.database_errors(self.database.url), self._listener() as listener:
                    while not self.stop.is_set():
                        self._encode_if_encoder()
                        pause = RETRY_SECONDS[0]
                        self._sleep(listener)
            except (DatabaseUnavailable, StoreUnavailable) as error:
                log_unavailable(error, pause)
                self.stop.wait(pause)
                pause = min(pause * 2, RETRY_SECONDS[1])
                if not self.stop.is_set():
                    connections.restart_embedded(self.database, self.settings)

    def _encode_if_encoder(self) -> None:
        try:
            self.encode_all()
        except NoEncoder as error:
            log.warning("no_encoder", "%(reason)s (waiting for one)", reason=error)

    @contextmanager
    def _listener(self) -> Iterator[Connection | None]:
        """A connection that is notified of new images; None where a pooler keeps no session."""
        try:
            listener = connections.connect(self.database.session_url, session=True, autocommit=True)
        except EnvironmentUnusable as error:
            log.warning(
                "no_notifications",
                "looking for new images every %(seconds).0f s: %(reason)s",
                seconds=POOLED_SECONDS,
                reason=error,
            )
            yield None
            return
        with listener:
            codes.listen(listener)
            yield listener

    def _sleep(self, listener: Connection | None) -> None:
        if listener is None:
            self.stop.wait(POOLED_SECONDS)
            return
        until = time.monotonic() + POLL_SECONDS
        while not self.stop.is_set() and time.monotonic() < until:
            if any(True for _ in listener.notifies(timeout=1.0, stop_after=1)):
                return

    def encode_all(self) -> None:
        """Pass after pass until one finds nothing: images that another worker held may be free in the next."""
        with self.database.connection() as connection:
            encoder = encoders.get(connection, self.options.encoder_id)
            check_store(connection, self.store)
            if self.encoder is None or self.encoder.id != encoder.id:
                self.coder = None  # loaded with the first batch: a pass may find nothing to encode
            self.geometry = codes.geometry_id(connection, *radon.geometry(encoder.profile.barcode))
            # failures from before the worker started are tried once more; its own wait, longer after each attempt
            self.since = self.since or codes.now(connection)
        self.encoder = encoder
        while not self.stop.is_set() and self._pass(encoder, self.since):
            pass

    def _pass(self, encoder: Encoder, since: datetime) -> int:
        """Encode the pending images once, by ascending id; returns how many were finished."""
        finished = 0
        ahead: deque[_ClaimedBatch] = deque()
        size, retry = self.pace.batch(self.options.batch), not self.options.once
        with (
            connections.database_errors(self.database.url),
            Claims(self.database.url, encoder.id, self.geometry, size, since, retry) as claims,
        ):
            try:
                while not self.stop.is_set():
                    while len(ahead) < claims.ahead and (claimed := claims.next()):
                        ahead.append(self._submit(encoder, *claimed))
                    if not ahead:
                        break
                    batch = ahead.popleft()
                    self.pace.wait(len(batch.jobs), self.stop)
                    begun = time.perf_counter()
                    results = batch.results()
                    decoded = time.perf_counter()
                    finished += self._finish(encoder, batch.connection, results)
                    metrics.observe(metrics.BATCH, decoded - begun, "pixels")
                    metrics.observe(metrics.BATCH, time.perf_counter() - decoded, "codes")
                    claims.give_back(batch.connection)
            finally:  # closing the connections rolls their claims back
                for batch in ahead:
                    batch.cancel()
        return finished

    def _submit(self, encoder: Encoder, connection: Connection, claimed: list[codes.Pending]) -> _ClaimedBatch:
        """Submit a batch to the decoding processes."""

        def task(image: codes.Pending) -> PrepareTask:
            square = None if image.barcoded else encoder.profile.barcode.size
            return PrepareTask(SourceFile(image.uri, image.sha256), encoder.profile.network.input_size, square)

        return _ClaimedBatch(connection, [(image, self.decoders.submit(task(image))) for image in claimed])

    def _finish(
        self,
        encoder: Encoder,
        connection: Connection,
        group: list[tuple[codes.Pending, PreparedImage | Exception]],
    ) -> int:
        """Encode a batch, write codes and failures, and commit."""
        good = [(image.image_id, result) for image, result in group if isinstance(result, PreparedImage)]
        bad = [(image, result) for image, result in group if isinstance(result, Exception)]
        if any(image.uri.startswith("store:") for image, _ in bad):
            check_store(connection, self.store)  # it may have gone meanwhile
        if good:
            self._write(encoder, connection, good)
        for image, error in bad:
            message = printable(str(error))
            codes.keep_failure(connection, encoder.id, image.image_id, type(error).__name__, message)
        connection.commit()
        metrics.count(metrics.ENCODED, len(good))
        for image, error in bad:
            metrics.count(metrics.NOT_ENCODED, 1, type(error).__name__)
            failure = self.report.failures.add(shown(image.uri, self.settings.path_key_file), error, str(error))
            log.warning(
                "image_not_encoded",
                "image %(image)d: %(reason)s",
                image=image.image_id,
                reason=without_path(failure["message"], failure["path"]),
            )
        self.report.encoded += len(good)
        self.advance(len(group))
        return len(group)

    def _write(self, encoder: Encoder, connection: Connection, good: list[tuple[int, PreparedImage]]) -> None:
        if self.coder is None:
            self.coder = load_coder(connection, encoder, self.settings, self.options.device)
        cnnc = self.coder.codes(np.stack([image.network_input for _, image in good]))
        bits = encoder.profile.network.code_bits
        codes.write_cnnc(connection, encoder.id, [image_id for image_id, _ in good], cnnc, bits, self.hints)
        squares = {image_id: image.barcode_input for image_id, image in good if image.barcode_input is not None}
        if squares:
            shape = encoder.profile.barcode
            bars = radon.barcode(np.stack(list(squares.values())), shape.size, shape.angles)
            codes.write_barcodes(connection, self.geometry, list(squares), bars)


@dataclass
class _ClaimedBatch:
    """A batch in the decoding processes, and the connection whose transaction locks its images."""

    connection: Connection
    jobs: list[tuple[codes.Pending, Future[PreparedImage]]]

    def results(self) -> list[tuple[codes.Pending, PreparedImage | Exception]]:
        """Each image with its inputs, or with the error that it failed with."""
        return [(image, outcome(job)) for image, job in self.jobs]

    def cancel(self) -> None:
        """Drop what has not begun."""
        for _, job in self.jobs:
            job.cancel()
