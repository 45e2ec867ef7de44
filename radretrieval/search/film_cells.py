"""Films that are read for a region to be found in them; as cells, those last used are kept for the next region."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from radretrieval.files.uris import frame_of
from radretrieval.imaging.radiograph import Radiograph
from radretrieval.search.cells import ReadFilm, as_cells, as_pixels
from radretrieval.search.query import SearchQuery
from radretrieval.search.region import check_region, regions_of
from radretrieval.search.request import Request
from radretrieval.search.roi import Region, check_roi, match_all
from radretrieval.storage.source import SourceFile, SourceReader

_Key = tuple[bytes, int]


class FoundRegion(NamedTuple):
    """The place of a region in an image, or the reason why its file cannot be read.

    reduced : why the original could not be read, where the region was found in a reduced copy.
    shape : rows and columns of what was compared, in whose pixels the region is.
    """

    region: Region | None
    error: str | None = None
    reduced: str | None = None
    shape: tuple[int, int] | None = None


class FilmCells:
    """Films as cells, which threads may share.

    Parameters
    ----------
    most : how many are kept, 0.6 MB each; 0: none, as for one search.
    """

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._kept: OrderedDict[_Key, ReadFilm] = OrderedDict()
        self._lock = threading.Lock()

    def find(
        self,
        query: SearchQuery,
        request: Request,
        files: Sequence[SourceFile],
        source: SourceReader,
        longest_side: int,
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
        own = self.own(query, request, source)
        if request.roi_method == "paper":
            films = source.read_all(files, as_pixels)
            compared = [film.compared for film in films if isinstance(film, ReadFilm)]
            regions = match_all(own.compared, request.roi, compared, longest_side)
        else:
            films = self._cells(files, source)
            compared = [film.compared for film in films if isinstance(film, ReadFilm)]
            regions = regions_of(own.compared, request.roi, compared, polarity=request.roi_polarity)
        found = iter(regions)
        return [
            FoundRegion(None, film)
            if isinstance(film, str)
            else FoundRegion(next(found), reduced=film.reduced, shape=film.compared.shape)
            for film in films
        ]

    def own(self, query: SearchQuery, request: Request, source: SourceReader) -> ReadFilm:
        """The query's film as its region is compared; raises UsageError as `find` does."""
        assert request.roi is not None
        key, paper = (query.sha256, query.frame), request.roi_method == "paper"
        if query.film is None:
            query.film = None if paper else self._get(key)
        if query.film is None:
            query.film = query.make(source, compared_as(request))
        (check_roi if paper else check_region)(request.roi, *query.film.compared.shape)
        return query.film if paper else self._keep(key, query.film)

    def _cells(self, files: Sequence[SourceFile], source: SourceReader) -> list[ReadFilm | str]:
        """The cells of each film, or the reason why its file cannot be read; only what is not kept is read."""
        kept = [self._get(_key(file)) for file in files]
        read = iter(source.read_all([file for file, film in zip(files, kept, strict=True) if film is None], as_cells))
        films: list[ReadFilm | str] = []
        for file, film in zip(files, kept, strict=True):
            new = next(read) if film is None else film
            films.append(self._keep(_key(file), new) if isinstance(new, ReadFilm) else new)
        return films

    def _get(self, key: _Key) -> ReadFilm | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: _Key, film: ReadFilm) -> ReadFilm:
        if film.reduced is None:  # else the original may come back
            with self._lock:
                self._kept[key] = film
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        return film


def compared_as(request: Request) -> Callable[[Radiograph], ReadFilm]:
    """What makes of a radiograph the film in which a request's region is looked for."""
    return as_pixels if request.roi_method == "paper" else as_cells


def _key(file: SourceFile) -> _Key:
    return file.sha256, frame_of(file.uri)
