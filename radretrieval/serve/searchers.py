"""Searchers for requests that come at the same time: a bounded pool, with one loaded network for all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from radretrieval.archive.coder import Coders
from radretrieval.archive.connections import Database, restart_embedded, with_restart
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable, RadretrievalError
from radretrieval.logs import Log
from radretrieval.search.film_cells import FilmCells
from radretrieval.search.searcher import Searcher
from radretrieval.storage.worker_pool import Run

log = Log(__name__)

WAIT_SECONDS = 30.0  # for a searcher that is free
FILMS = 300  # kept as cells, 0.6 MB each: those of thirty answers


class Searchers:
    """A pool of searchers, each with a connection of its own.

    A searcher is opened when one is needed and none is free, and opened anew where the active encoder was switched or
    its connection was lost.

    Parameters
    ----------
    most : searches at a time; further ones wait.
    run : as of a `Searcher`.
    device : where new films are encoded.
    """

    def __init__(
        self, database: Database, settings: Settings, most: int, device: str = "auto", run: Run | None = None
    ) -> None:
        self._database = database
        self._settings = settings
        self._coders = Coders(settings, device)
        self._run = run
        self._films = FilmCells(FILMS)
        self._places = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._free: list[Searcher] = []
        self._closed = False

    @contextmanager
    def one(self, encoder_id: int | None = None) -> Iterator[Searcher]:
        """A searcher for the block alone, of this encoder or the active one.

        Raises
        ------
        EnvironmentUnusable : none became free in time; otherwise as `Searcher` when it is opened.
        """
        if not self._places.acquire(timeout=WAIT_SECONDS):
            raise EnvironmentUnusable(f"too many searches: none ended within {WAIT_SECONDS:g} s; try again later")
        try:
            searcher = self._ready(encoder_id)
            try:
                yield searcher
            except DatabaseUnavailable:
                _close(searcher)
                restart_embedded(self._database, self._settings)
                raise
            except BaseException:
                self._give_back(searcher)
                raise
            self._give_back(searcher)
        finally:
            self._places.release()

    def warm_up(self) -> None:
        """Load the active encoder's network, so that the first new film need not wait for it; never fails."""
        import numpy as np

        from radretrieval.coding.radon import barcode

        try:
            with self.one() as searcher:
                side, shape = searcher.encoder.profile.network.input_size, searcher.encoder.profile.barcode
                searcher.coder.codes(np.zeros((1, side, side), np.float32))
                barcode(np.zeros((1, shape.size, shape.size), np.float32), shape.size, shape.angles)
        except RadretrievalError as error:
            log.info("network_not_loaded", "the network is loaded with the first search: %(reason)s", reason=error)
        except Exception:
            log.warning("network_not_loaded", "the network could not be loaded", exc_info=True)

    def close(self) -> None:
        """Close the searchers that are free; the others are closed when they are given back."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for searcher in free:
            _close(searcher)

    def _ready(self, encoder_id: int | None) -> Searcher:
        searcher = self._take(encoder_id)
        if searcher is not None:
            try:
                if searcher.refresh():
                    return searcher
            except DatabaseUnavailable:  # the connection was lost: a new one is made below
                pass
            except BaseException:
                _close(searcher)
                raise
            _close(searcher)
        return with_restart(self._database, self._settings, lambda: self._opened(encoder_id))

    def _opened(self, encoder_id: int | None) -> Searcher:
        searcher = Searcher(
            self._database,
            self._settings,
            self._coders.device,
            encoder_id,
            coders=self._coders,
            films=self._films,
            run=self._run,
        )
        return searcher.__enter__()

    def _take(self, encoder_id: int | None) -> Searcher | None:
        """A free searcher of this encoder; where there is none, one of another encoder is closed for its place."""
        with self._lock:
            for place in range(len(self._free) - 1, -1, -1):
                if self._free[place].encoder_id == encoder_id:
                    return self._free.pop(place)
            other = self._free.pop(0) if self._free else None
        if other is not None:
            _close(other)
        return None

    def _give_back(self, searcher: Searcher) -> None:
        with self._lock:
            if not self._closed:
                self._free.append(searcher)
                return
        _close(searcher)


def _close(searcher: Searcher) -> None:
    with suppress(Exception):  # of a connection that was lost
        searcher.__exit__(None, None, None)
