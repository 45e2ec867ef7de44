"""The query of a search: a file, an image of the archive, or a file in memory that was decoded already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.search.stored import StoredQuery
from radretrieval.config import Settings
from radretrieval.errors import ImageError, UsageError
from radretrieval.files.text import printable, shown
from radretrieval.files.uris import frame_of, to_uri
from radretrieval.imaging import Radiograph
from radretrieval.ingest.problem import of_pixels
from radretrieval.storage.source import SourceFile, SourceReader

Codes = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class QueryFile:
    """A file in memory as a query, decoded by whoever received it.

    Attributes
    ----------
    name : of the file, for messages.
    data : its bytes. radiograph : what they hold.
    codes : its CNN code and barcode by the id of the encoder, once it was searched with.
    """

    name: str
    data: bytes
    radiograph: Radiograph
    codes: dict[int, Codes] = field(default_factory=dict)


Query = Path | int | QueryFile  # a file, the id of an image of the archive, or a file in memory


@dataclass
class SearchQuery:
    """A query while it is searched: its file, pixels, codes and identity, as far as they are known.

    Attributes
    ----------
    decode : makes the radiograph of `data`; the file of an image of the archive has none.
    """

    uri: str
    sha256: bytes
    data: bytes | None = None
    decode: Callable[[], Radiograph] | None = None
    radiograph: Radiograph | None = None
    image_id: int | None = None
    patient_key: str | None = None
    irma_code: str | None = None
    flat: bool = False
    problems: list[str] = field(default_factory=list)
    cnnc: NDArray[np.uint8] | None = None
    rbc: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, query: Path | QueryFile, settings: Settings) -> SearchQuery:
        """The query that a file is; raises UsageError where its bytes cannot be read."""
        from radretrieval.imaging.reader import decode_image, read_bytes

        if isinstance(query, QueryFile):
            return cls(query.name, hashlib.sha256(query.data).digest(), query.data, lambda: query.radiograph)
        try:
            data = read_bytes(query, max_pixels=settings.max_pixels)
        except ImageError as error:
            raise UsageError(f"{printable(str(query))} {error}") from error
        decode = lambda: decode_image(data, max_pixels=settings.max_pixels)  # noqa: E731
        return cls(to_uri(query), hashlib.sha256(data).digest(), data, decode)

    def read(self, source: SourceReader) -> Radiograph:
        """The query's radiograph, read when first needed; raises UsageError where it cannot be."""
        if self.radiograph is None:
            try:
                if self.decode is not None:
                    self.radiograph = self.decode()
                else:
                    file = SourceFile(self.uri, self.sha256)
                    self.radiograph = source.read(file, attrgetter("without_stored"))
            except ImageError as error:
                raise UsageError(f"{shown(self.uri)} {error}") from error
            self.flat = self.flat or self.radiograph.flat
            if self.data is not None:
                found = of_pixels(shown(self.uri), self.radiograph)
                self.problems = [problem.message for problem in found if problem.error != "Flat"]
        return self.radiograph

    @property
    def frame(self) -> int:
        """Which frame of the file it is, from 1."""
        return 1 if self.decode is not None else frame_of(self.uri)

    def use(self, known: StoredQuery) -> None:
        """Take over what the archive has of the image that the query is."""
        self.image_id, self.patient_key, self.irma_code = known.image_id, known.patient_key, known.irma_code
        self.cnnc, self.rbc = known.cnnc, known.rbc
        self.flat = self.flat or bool(known.flat)
