"""Films of the archive as browsers get them: made in decoding processes at the first view, then kept on the disk.

A description is kept under the SHA-256 of the file, with the frame; pixels under the SHA-256 of what is sent, so that
equal pixels of two files are kept once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError

from radretrieval.config import ServeSettings, Settings
from radretrieval.files.uris import frame_of
from radretrieval.files.versions import code_digest
from radretrieval.serve.film import Film
from radretrieval.serve.film_cache import FilmCache
from radretrieval.serve.films import MadeFilm, made_film, made_thumbnail, thumbnail
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.film_files import film_name, pixels_name
from radretrieval.storage.reading import Reading
from radretrieval.storage.source import SourceFile, read_source
from radretrieval.storage.worker_pool import WorkerPool

_SOURCES = ("imaging", "serve/film.py", "serve/films.py", "serve/presets.py", "serve/archive_films.py")
_LIBRARIES = ("numpy", "pillow", "tifffile", "imagecodecs", "pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls")
_REDUCED_SECONDS = 60.0  # how long the film of a reduced copy is taken: its file may be brought back


class KnownFilm(BaseModel):
    """The description of a film, and the SHA-256 of its pixels as they are sent, in hexadecimal digits."""

    film: Film
    key: str


@dataclass(frozen=True)
class FilmTask:
    """A file of the archive whose film is to be made, or its thumbnail only."""

    file: SourceFile
    thumbnail: bool = False


def make(task: FilmTask, reading: Reading) -> MadeFilm | bytes:
    """The film of a file, or its thumbnail as PNG, of the reduced copy where one is kept; raises as `read_source`."""
    uri, sha256 = task.file.uri, task.file.sha256
    if task.thumbnail and reading.store is not None:
        small = ContentStore(reading.store).reduced(sha256, frame_of(uri), whole=False)
        if small is not None:
            return thumbnail(small)
    radiograph = read_source(uri, sha256, reading)
    return made_thumbnail(radiograph) if task.thumbnail else made_film(radiograph)


class ArchiveFilms:
    """The films of an archive, which several threads use.

    Raises ImageError where a file is gone or cannot be decoded and there is no reduced copy.

    Parameters
    ----------
    decoders : processes that run tasks.
    """

    def __init__(
        self, settings: Settings, options: ServeSettings, decoders: WorkerPool[Callable[[], Any], Any]
    ) -> None:
        version = code_digest(_SOURCES, _LIBRARIES)
        self._cache = FilmCache(settings.home / "films", version, int(options.film_cache))
        self._decoders, self._reading = decoders, Reading.of(settings)
        self._lock = threading.Lock()
        self._making: dict[FilmTask, Future[MadeFilm | bytes]] = {}
        self._reduced: dict[SourceFile, tuple[float, KnownFilm]] = {}

    def film(self, file: SourceFile) -> KnownFilm:
        """The description of a film."""
        return self._found(file) or _known(self._made_film(file))

    def pixels(self, file: SourceFile, film: KnownFilm, level: int) -> bytes:
        """The pixels of a level of that film, as they are sent."""
        found = self._cache.get(pixels_name(film.key, level))
        return self._made_film(file).levels[level] if found is None else found

    def thumbnail(self, file: SourceFile) -> bytes:
        """The thumbnail, as PNG."""
        found = self._cache.get(f"{film_name(file.sha256, frame_of(file.uri))}.png")
        if found is not None:
            return found
        made = self._made(FilmTask(file, thumbnail=True))
        assert isinstance(made, bytes)
        return made

    def _found(self, file: SourceFile) -> KnownFilm | None:
        with self._lock:
            until, reduced = self._reduced.get(file, (0.0, None))
            if time.monotonic() < until:
                return reduced
        if (data := self._cache.get(f"{film_name(file.sha256, frame_of(file.uri))}.json")) is not None:
            try:
                return KnownFilm.model_validate_json(data)
            except ValidationError:  # a file system that lost its content
                return None
        return None

    def _made_film(self, file: SourceFile) -> MadeFilm:
        made = self._made(FilmTask(file))
        assert isinstance(made, MadeFilm)
        return made

    def _made(self, task: FilmTask) -> MadeFilm | bytes:
        """What is made of a task, once for all who ask meanwhile, and kept."""
        with self._lock:
            future = self._making.get(task)
            if first := future is None:
                future = self._making[task] = self._decoders.submit(partial(make, task, self._reading))
        try:
            made = future.result()
            if first:
                self._keep(task.file, made)
            return made
        finally:
            if first:
                with self._lock:
                    del self._making[task]

    def _keep(self, file: SourceFile, made: MadeFilm | bytes) -> None:
        if isinstance(made, bytes):
            self._cache.put(f"{film_name(file.sha256, frame_of(file.uri))}.png", made)
            return
        for level, data in made.levels.items():
            self._cache.put(pixels_name(made.key, level), data)
        if made.film.reduced is None:
            self._cache.put(f"{film_name(file.sha256, frame_of(file.uri))}.png", made.thumbnail)
            self._cache.put(
                f"{film_name(file.sha256, frame_of(file.uri))}.json", _known(made).model_dump_json().encode()
            )
            return
        now = time.monotonic()
        with self._lock:
            current = {one: (until, film) for one, (until, film) in self._reduced.items() if now < until}
            self._reduced = {**current, file: (now + _REDUCED_SECONDS, _known(made))}


def _known(made: MadeFilm) -> KnownFilm:
    return KnownFilm(film=made.film, key=made.key)
