"""The codes of a batch's queries: stored ones from the archive, those of new files computed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import images
from radretrieval.archive.search import stored
from radretrieval.archive.search.stored import StoredQuery
from radretrieval.errors import RadretrievalError, UsageError
from radretrieval.files.uris import to_uri
from radretrieval.imaging.reader import read_bytes
from radretrieval.search.batch.sources import BatchQuery
from radretrieval.search.searcher import Searcher
from radretrieval.storage.prepare import PreparedImage, PrepareTask, prepare_pool
from radretrieval.storage.source import SourceFile
from radretrieval.storage.worker_pool import outcome


@dataclass
class LoadedQuery:
    """One query with its codes and identity, or with the error for which it has no answer.

    `decoding` is set while a decoding process works on a file that has no stored codes.
    """

    name: str
    error: Exception | None = None
    image_id: int | None = None
    patient_key: str | None = None
    irma_code: str | None = None
    flat: bool = False
    cnnc: NDArray[np.uint8] | None = None
    rbc: NDArray[np.uint8] | None = None
    decoding: Future[PreparedImage] | None = None

    def use(self, known: StoredQuery) -> None:
        """Take identity and codes of an image of the archive."""
        self.image_id, self.patient_key, self.irma_code = known.image_id, known.patient_key, known.irma_code
        self.cnnc, self.rbc = known.cnnc, known.rbc
        self.flat = self.flat or bool(known.flat)


class QueryLoader:
    """Looks queries up in the archive, decodes and encodes new files; its processes and threads end with `stack`.

    Parameters
    ----------
    patients : whether a query without a known patient is an error.
    """

    def __init__(self, searcher: Searcher, patients: bool, stack: ExitStack) -> None:
        self.searcher = searcher
        self.patients = patients
        self.hash_file = partial(_hash_file, max_pixels=searcher.settings.max_pixels)
        self.readers = stack.enter_context(ThreadPoolExecutor(4))
        self.decoders = stack.enter_context(prepare_pool(searcher.settings))
        self.where = searcher.connection, searcher.encoder.id, searcher.geometry

    def load(self, block: Sequence[BatchQuery]) -> list[LoadedQuery]:
        """Look a block up in the archive; files that have no stored codes are submitted to the decoding processes."""
        files = [one.target for one in block if isinstance(one.target, str)]
        hashes = dict(zip(files, self.readers.map(self.hash_file, files), strict=True))
        by_content = stored.by_contents(*self.where, [value for value in hashes.values() if isinstance(value, bytes)])
        by_id = stored.by_ids(*self.where, [one.target for one in block if isinstance(one.target, int)])

        def loaded(query: BatchQuery) -> LoadedQuery:
            target = query.target
            if isinstance(target, UsageError):
                return LoadedQuery(query.name, error=target)
            if isinstance(target, int):
                known = by_id.get(target)
                if known is None:
                    return LoadedQuery(query.name, error=UsageError(images.absent(self.where[0], target)))
                return self._loaded(query.name, known, SourceFile(known.uri, known.sha256))
            sha256 = hashes[target]
            if isinstance(sha256, Exception):
                return LoadedQuery(query.name, error=sha256)
            return self._loaded(query.name, by_content.get(sha256), SourceFile(to_uri(target), sha256))

        return [loaded(query) for query in block]

    def _loaded(self, name: str, known: StoredQuery | None, file: SourceFile) -> LoadedQuery:
        query = LoadedQuery(name)
        if known is not None:
            query.use(known)
        if query.cnnc is None:
            profile = self.searcher.encoder.profile
            query.decoding = self.decoders.submit(PrepareTask(file, profile.network.input_size, profile.barcode.size))
        return query

    def encode(self, block: list[LoadedQuery]) -> list[LoadedQuery]:
        """Wait for a block's decoding and compute its missing codes; raises what is not the error of one query."""
        new: list[tuple[LoadedQuery, PreparedImage]] = []
        for query in block:
            if query.decoding is None:
                continue
            prepared = outcome(query.decoding)
            query.decoding = None
            if isinstance(prepared, Exception):
                query.error = prepared
                continue
            self._identify(query, prepared)
            if query.cnnc is None:
                new.append((query, prepared))
        if new:
            self._encode(new)
        if self.patients:
            for query in block:
                if query.error is None and query.patient_key is None:
                    query.error = UsageError(
                        "--exclude-same-patient: its patient is not known, neither its header nor its labels name one"
                    )
        return block

    def _encode(self, new: list[tuple[LoadedQuery, PreparedImage]]) -> None:
        from radretrieval.coding.radon import barcode

        shape = self.searcher.encoder.profile.barcode
        cnnc = self.searcher.coder.codes(np.stack([prepared.network_input for _, prepared in new]))
        squares = [prepared.barcode_input for _, prepared in new if prepared.barcode_input is not None]
        rbc = barcode(np.stack(squares), shape.size, shape.angles)
        for (query, _), code, bars in zip(new, cnnc, rbc, strict=True):
            query.cnnc, query.rbc = code, bars

    def _identify(self, query: LoadedQuery, prepared: PreparedImage) -> None:
        """Find the archive's image with the same UID and pixels in other bytes, and the patient by the header."""
        query.flat = query.flat or prepared.flat
        if query.image_id is None:
            known = stored.same_film(*self.where, prepared.sop_instance_uid, prepared.pixels_sha256)
            if known is not None:
                query.use(known)
        if self.patients and query.patient_key is None and prepared.patient_id is not None:
            query.patient_key = self.searcher.patient_key(prepared.patient_id, prepared.issuer)


def _hash_file(path: str, max_pixels: int) -> bytes | Exception:
    """SHA-256 of a query file, or the error of reading it."""
    try:
        return hashlib.sha256(read_bytes(path, max_pixels=max_pixels)).digest()
    except RadretrievalError as error:
        return error
