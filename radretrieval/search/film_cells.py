"""Films that are read for a region to be found in them; as cells, those last used are kept for the next region."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.config import Reading, Settings
from radretrieval.errors import RadretrievalError
from radretrieval.files.uris import frame_of
from radretrieval.imaging import Radiograph
from radretrieval.search.cells import Cells
from radretrieval.search.query import SearchQuery
from radretrieval.search.region import check_region, regions_of
from radretrieval.search.request import Request
from radretrieval.search.roi import Region, match_all
from radretrieval.storage.source import SourceFile, read_source

_READERS = 4  # films that are read at a time


class FoundRegion(NamedTuple):
    """The place of a region in an image, or the reason why its file cannot be read.

    reduced : why the original could not be read, where the region was found in a reduced copy.
    shape : rows and columns of what was compared, in whose pixels the region is.
    """

    region: Region | None
    error: str | None = None
    reduced: str | None = None
    shape: tuple[int, int] | None = None


class _Film(NamedTuple):
    """A film as it is compared, pixels or cells, and why its original could not be read."""

    compared: Any
    reduced: str | None


class FilmCells:
    """Films as cells, which threads may share.

    Parameters
    ----------
    most : how many are kept, 0.6 MB each; 0: none, as for one search.
    """

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[bytes, int], _Film] = OrderedDict()
        self._lock = threading.Lock()

    def find(
        self, query: SearchQuery, request: Request, files: Sequence[SourceFile], settings: Settings, longest_side: int
    ) -> list[FoundRegion]:
        """The place of a request's region in each of these files, in the way that it names.

        Parameters
        ----------
        longest_side : of the films that the paper's way compares.

        Raises
        ------
        UsageError : the region does not lie inside the query, or the query's file cannot be read.
        """
        assert request.roi is not None
        reading = settings.reading
        if request.roi_method == "paper":
            films = _read_all(files, lambda file: _pixels(file, reading))
            pixels: list[NDArray[np.float32]] = [film.compared for film in films if isinstance(film, _Film)]
            regions = match_all(query.read(settings).pixels, request.roi, pixels, longest_side)
        else:
            own = self._of(query.sha256, query.frame, lambda: query.read(settings)).compared
            check_region(request.roi, *own.shape)
            films = _read_all(files, lambda file: self._cells(file, reading))
            cells: list[Cells] = [film.compared for film in films if isinstance(film, _Film)]
            regions = regions_of(own, request.roi, cells, polarity=request.roi_polarity)
        found = iter(regions)
        return [
            FoundRegion(None, film)
            if isinstance(film, str)
            else FoundRegion(next(found), reduced=film.reduced, shape=film.compared.shape)
            for film in films
        ]

    def _cells(self, file: SourceFile, reading: Reading) -> _Film:
        return self._of(file.sha256, frame_of(file.uri), lambda: read_source(file.uri, file.sha256, reading))

    def _of(self, sha256: bytes, frame: int, read: Callable[[], Radiograph]) -> _Film:
        """The cells of a frame of a file, read where it is not kept."""
        key = sha256, frame
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        radiograph = read()
        film = _Film(Cells.of(radiograph.pixels), radiograph.unreachable)
        if film.reduced is None:  # else the original may come back
            with self._lock:
                self._kept[key] = film
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        return film


def _pixels(file: SourceFile, reading: Reading) -> _Film:
    radiograph = read_source(file.uri, file.sha256, reading)
    return _Film(radiograph.pixels, radiograph.unreachable)


def _read_all(files: Sequence[SourceFile], read: Callable[[SourceFile], _Film]) -> list[_Film | str]:
    """Each film, or the reason why its file cannot be read."""

    def one(file: SourceFile) -> _Film | str:
        try:
            return read(file)
        except RadretrievalError as error:
            return str(error)

    with ThreadPoolExecutor(_READERS) as threads:
        return list(threads.map(one, files))
