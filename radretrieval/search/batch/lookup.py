"""Queries of a batch: what the archive knows of them, and codes for those that are new."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import images
from radretrieval.archive.search import batch
from radretrieval.errors import EnvironmentUnusable, RadretrievalError, UsageError
from radretrieval.files.uris import to_uri
from radretrieval.imaging.reader import read_bytes
from radretrieval.search.batch.sources import Asked
from radretrieval.search.prepare import Prepared, Task, prepare
from radretrieval.search.searcher import Searcher
from radretrieval.storage.source import Original
from radretrieval.storage.worker_pool import Decoders


@dataclass
class Query:
    """One query; with `error` it cannot be answered. `decoding` is on the way where the archive has no codes of it."""

    name: str
    error: Exception | None = None
    image_id: int | None = None
    patient_key: str | None = None
    irma_code: str | None = None
    cnnc: NDArray[np.uint8] | None = None
    rbc: NDArray[np.uint8] | None = None
    decoding: Future[Prepared] | None = None


class Opener:
    """Looks queries up, decodes and encodes those that are new; its processes and threads end with `stack`.

    Parameters
    ----------
    patients : whether the patient of each query has to be known.
    """

    def __init__(self, searcher: Searcher, patients: bool, stack: ExitStack) -> None:
        self.searcher = searcher
        self.patients = patients
        settings = searcher.settings
        self.read = partial(_hashed, max_pixels=settings.max_pixels)
        self.readers = stack.enter_context(ThreadPoolExecutor(4))
        self.decoders: Decoders[Task, Prepared] = stack.enter_context(
            Decoders(
                os.cpu_count() or 1,
                partial(prepare, reading=settings.reading),
                timeout=settings.decode_seconds,
                megabytes=settings.decode_megabytes,
            )
        )
        self.secret: bytes | None = None

    def open(self, block: Sequence[Asked]) -> list[Query]:
        """What the archive knows of a block; decoding processes begin with the files of which it has no codes."""
        searcher = self.searcher
        where = (searcher.connection, searcher.encoder, searcher.geometry)
        files = [one.what for one in block if isinstance(one.what, str)]
        contents = dict(zip(files, self.readers.map(self.read, files), strict=True))
        by_content = batch.by_contents(*where, [value for value in contents.values() if isinstance(value, bytes)])
        by_id = batch.by_ids(*where, [one.what for one in block if isinstance(one.what, int)])
        opened = []
        for one in block:
            if isinstance(one.what, UsageError):
                opened.append(Query(one.name, error=one.what))
            elif isinstance(one.what, str):
                content = contents[one.what]
                if isinstance(content, Exception):
                    opened.append(Query(one.name, error=content))
                else:
                    original = Original(to_uri(one.what), content)
                    opened.append(self._known(one.name, by_content.get(content), original))
            elif (known := by_id.get(one.what)) is None:
                opened.append(Query(one.name, error=UsageError(f"the archive has no image {one.what}")))
            else:
                opened.append(self._known(one.name, known, Original(known.uri, known.sha256)))
        return opened

    def _known(self, name: str, known: batch.Known | None, file: Original) -> Query:
        query = Query(name)
        if known is not None:
            query.image_id, query.patient_key, query.irma_code = known.image_id, known.patient_key, known.irma_code
            query.cnnc, query.rbc = known.cnnc, known.rbc
        if query.cnnc is None:
            profile = self.searcher.encoder.profile
            query.decoding = self.decoders.submit(Task(file, profile.network.input_size, profile.barcode.size))
        return query

    def encoded(self, block: list[Query]) -> list[Query]:
        """The block with all its codes; raises what is no fault of a query."""
        from radretrieval.coding.radon import barcode

        new: list[tuple[Query, Prepared]] = []
        for query in block:
            if query.decoding is None:
                continue
            try:
                new.append((query, query.decoding.result()))
            except EnvironmentUnusable:
                raise
            except Exception as error:
                query.error = error
            query.decoding = None
        if new:
            shape = self.searcher.encoder.profile.barcode
            cnnc = self.searcher.coder.codes(np.stack([found.network_input for _, found in new]))
            rbc = barcode(np.stack([found.barcode_input for _, found in new]), shape.size, shape.angles)
            for (query, found), code, bars in zip(new, cnnc, rbc, strict=True):
                query.cnnc, query.rbc = code, bars
                self._same_film(query, found)
                self._patient(query, found.patient_id)
        if self.patients:
            for query in block:
                if query.error is None and query.patient_key is None:
                    query.error = UsageError(
                        "--exclude-same-patient: its patient is not known, neither its header nor its labels name one"
                    )
        return block

    def _same_film(self, query: Query, found: Prepared) -> None:
        """A file that is an image in other bytes is that image."""
        if query.image_id is None:
            row = images.same_film(self.searcher.connection, found.sop_instance_uid, found.pixels_sha256)
            if row is not None:
                query.image_id, query.patient_key, query.irma_code = row["id"], row["patient_key"], row["irma_code"]

    def _patient(self, query: Query, patient_id: str | None) -> None:
        if query.patient_key is None and patient_id is not None and self.patients:
            from radretrieval.privacy.pseudonyms import load_secret, patient_key

            self.secret = self.secret or load_secret(self.searcher.settings)
            query.patient_key = patient_key(self.secret, patient_id)


def _hashed(path: str, max_pixels: int) -> bytes | Exception:
    """SHA-256 of a query file, or why it cannot be read."""
    try:
        return hashlib.sha256(read_bytes(path, max_pixels=max_pixels)).digest()
    except RadretrievalError as error:
        return error
