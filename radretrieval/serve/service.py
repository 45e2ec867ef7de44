"""What the routes share: the archive's settings, its database, the searchers, uploads and decoding processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from typing import Any

import pydicom  # noqa: F401  # first imported by two threads at once, it stays half imported, for its modules need each other

from radretrieval.api.archive import Archive
from radretrieval.archive.connections import Database
from radretrieval.archive.images import identities, known
from radretrieval.archive.opening import open_database
from radretrieval.config import ServeSettings, Settings
from radretrieval.dicom.address import Address, check_title
from radretrieval.errors import EnvironmentUnusable
from radretrieval.jobs.heartbeat import Heartbeat
from radretrieval.serve.archive_films import ArchiveFilms
from radretrieval.serve.films import load_decoders
from radretrieval.serve.read_connections import ReadConnections
from radretrieval.serve.searchers import Searchers
from radretrieval.serve.uploads import Uploads
from radretrieval.storage import film_files
from radretrieval.storage.wado import check_root
from radretrieval.storage.worker_pool import WorkerPool, call

_TIDY_SECONDS = 30.0
_SWEEP_SECONDS = 3600.0  # between two looks for films of images that were forgotten, on this host or another
_NETWORKS = "radretrieval.coding.network"  # imports torch, which takes seconds, while the database starts


class Service:
    """An archive that is served; a context manager.

    Attributes
    ----------
    settings, options : of the archive, and of the service.
    database, films, searchers : of the archive, from `__enter__` on. read : runs what reads a row or two of it.
    uploads : of all users.
    decoders : processes that run tasks (`functools.partial`) on bytes that strangers sent.
    stop : is called where the service has to end, as after an upgrade of the archive by another version.

    Raises
    ------
    UsageError : a setting that names no peer.
    """

    def __init__(self, settings: Settings, options: ServeSettings) -> None:
        self.settings = settings
        self.options = options
        self.uploads = Uploads(int(options.kept_uploads), 60 * options.kept_minutes)
        self._check_peers()
        self._stack = ExitStack()
        self.stop: Callable[[], None] = lambda: None

    @property
    def send_to(self) -> list[str]:
        """The peers that reports can be sent to, as the settings name them."""
        return [name for name in (self.options.store_to, self.options.stow) if name is not None]

    def _check_peers(self) -> None:
        if self.options.store_to is not None:
            Address.parse(self.options.store_to, "RADRETRIEVAL_SERVE_STORE_TO")
            check_title(self.options.ae_title, "RADRETRIEVAL_SERVE_AE_TITLE")
        if self.options.stow is not None:
            check_root(self.options.stow, "RADRETRIEVAL_SERVE_STOW")

    def __enter__(self) -> Service:
        threading.Thread(target=import_module, args=(_NETWORKS,), name="service", daemon=True).start()
        with self._stack as stack:
            stack.enter_context(Archive(self.settings)).open()  # of the embedded server's users, who keep it running
            self.database: Database = open_database(self.settings)
            self.read = ReadConnections(self.database, self.settings)
            stack.callback(self.read.close)
            self.decoders: WorkerPool[Callable[[], Any], Any] = WorkerPool.of(self.settings, call)
            stack.enter_context(self.decoders)
            self.searchers = Searchers(self.database, self.settings, self.options.searches, run=self.decoders.run)
            stack.callback(self.searchers.close)
            self.films = ArchiveFilms(self.settings, self.options, self.decoders)
            stack.enter_context(Heartbeat(self.database, "serve", lambda: self.stop()))
            ended = threading.Event()
            stack.callback(ended.set)
            for work in (self._warm_up, partial(self._tidy, ended)):
                threading.Thread(target=work, name="service", daemon=True).start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._stack.__exit__(*problem)

    def _warm_up(self) -> None:
        """Load what the first new film, and the first ten thumbnails, would else wait for."""
        for _ in range(os.cpu_count() or 1):
            self.decoders.submit(load_decoders)
        self.searchers.warm_up()

    def _tidy(self, ended: threading.Event) -> None:
        swept = -_SWEEP_SECONDS
        while not ended.wait(_TIDY_SECONDS):
            self.uploads.drop_unused()
            with suppress(EnvironmentUnusable):  # the database is away: the next round
                self._drop_forgotten()
            if time.monotonic() - swept > _SWEEP_SECONDS:
                swept = time.monotonic()
                with suppress(EnvironmentUnusable, OSError):
                    film_files.drop_unknown(
                        self.settings.home / "films", lambda hashes: self.read(partial(known, hashes=hashes)).keys()
                    )

    def _drop_forgotten(self) -> None:
        """Drop the uploads that were images of the archive and are none any more."""
        if there := self.uploads.images():
            self.uploads.drop_images(there - self.read(partial(identities, ids=sorted(there))).keys())
