"""The query of a search: a file, an image of the archive, or a file in memory that was decoded already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.search.stored import StoredQuery
from radretrieval.config import Settings
from radretrieval.errors import ImageError, UsageError
from radretrieval.files.text import printable, shown
from radretrieval.files.uris import frame_of, to_uri
from radretrieval.imaging import Radiograph
from radretrieval.search.cells import ReadFilm
from radretrieval.search.read_query import ReadQuery, read_query
from radretrieval.storage.source import SourceFile, SourceReader

T = TypeVar("T")
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
    """A query while it is searched: its file, codes and identity, as far as they are known.

    Attributes
    ----------
    given : as a file, not by the id of an image.
    radiograph : of a file that was decoded by whoever received it.
    known : the archive has this very file.
    found : what was read of it. film : as its region is compared.
    """

    uri: str
    sha256: bytes
    given: bool = False
    radiograph: Radiograph | None = None
    known: bool = False
    found: ReadQuery | None = None
    film: ReadFilm | None = None
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
        from radretrieval.imaging.reader import read_bytes

        if isinstance(query, QueryFile):
            return cls(query.name, hashlib.sha256(query.data).digest(), True, query.radiograph)
        try:
            data = read_bytes(query, max_pixels=settings.max_pixels)
        except ImageError as error:
            raise UsageError(f"{printable(str(query))} {error}") from error
        return cls(to_uri(query), hashlib.sha256(data).digest(), True)

    def make(self, source: SourceReader, make: Callable[[Radiograph], T]) -> T:
        """What `make` returns for the query's radiograph; raises UsageError where that cannot be read.

        Parameters
        ----------
        make : as `SourceReader.read` takes it.
        """
        try:
            if self.radiograph is not None:
                return make(self.radiograph)
            return source.read(SourceFile(self.uri, self.sha256), make, new=not self.known)
        except ImageError as error:
            raise UsageError(f"{shown(self.uri)} {error}") from error

    def read(
        self,
        source: SourceReader,
        sizes: tuple[int, int] | None,
        compare: Callable[[Radiograph], ReadFilm] | None = None,
    ) -> ReadQuery:
        """What a search needs of the query, read when first needed; parameters and errors as of `read_query`, `make`.

        Of a radiograph that is here already nothing is compared, as its film may be kept.
        """
        if self.found is None:
            compare = compare if self.radiograph is None else None
            made = partial(read_query, name=shown(self.uri), sizes=sizes, compare=compare)
            self.found = self.make(source, made)
            self.film = self.found.film
            self.flat = self.flat or self.found.flat
            if self.given:
                self.problems = list(self.found.problems)
        return self.found

    def know_patient(self, pseudonym: Callable[[str, str | None], str]) -> None:
        """Have its patient, by the header where the archive has none; raises UsageError where neither names one."""
        if self.patient_key is None and self.found is not None and self.found.patient_id:
            self.patient_key = pseudonym(self.found.patient_id, self.found.issuer)
        if self.patient_key is None:
            raise UsageError(
                "--exclude-same-patient: the patient of the query is not known (its header and labels name none); "
                "leave the option out"
            )

    @property
    def frame(self) -> int:
        """Which frame of the file it is, from 1."""
        return 1 if self.given else frame_of(self.uri)

    def use(self, known: StoredQuery | None) -> SearchQuery:
        """This query, with what the archive has of the image that it is; None: it is none."""
        if known is None:
            return self
        self.image_id, self.patient_key, self.irma_code = known.image_id, known.patient_key, known.irma_code
        self.cnnc, self.rbc = known.cnnc, known.rbc
        self.flat = self.flat or bool(known.flat)
        return self
