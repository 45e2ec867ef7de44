"""The source file of an image of the archive, read again; refused if it is not the file that was ingested."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from radretrieval.errors import ImageError, InputMissing, RadretrievalError
from radretrieval.files.uris import frame_of, is_hidden, to_path
from radretrieval.imaging.radiograph import Radiograph
from radretrieval.imaging.reader import decode_image, read_bytes
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.reading import Reading
from radretrieval.storage.wado import fetch_instance
from radretrieval.storage.worker_pool import Run, call

T = TypeVar("T")
_AT_A_TIME = 4  # files that are read for one caller


@dataclass(frozen=True)
class SourceFile:
    """The file of an image: its URI, and the SHA-256 that it must have."""

    uri: str
    sha256: bytes


@dataclass(frozen=True)
class SourceReader:
    """Reads files of images, and makes of each what a search needs.

    Attributes
    ----------
    reading : as `read_source` takes it.
    run : runs a task: in this process (`call`), or in a decoding process (`WorkerPool.run`).
    run_new : likewise, where the task decodes what no ingestion has decoded before.
    """

    reading: Reading
    run: Run = call
    run_new: Run = call

    def read(self, file: SourceFile, make: Callable[[Radiograph], T], *, new: bool = False) -> T:
        """What `make` returns for a file; raises ImageError as `read_source`, and where a decoding process was ended.

        Parameters
        ----------
        make : importable by its name, or a `functools.partial` of such a function.
        new : the archive does not have the file.
        """
        run = self.run_new if new else self.run
        made: T = run(partial(_made, file, self.reading, make))
        return made

    def read_all(self, files: Sequence[SourceFile], make: Callable[[Radiograph], T]) -> list[T | str]:
        """The same for several files, in their order; of one that cannot be read, the reason."""

        def one(file: SourceFile) -> T | str:
            try:
                return self.read(file, make)
            except RadretrievalError as error:
                return str(error)

        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            return list(threads.map(one, files))


def _made(file: SourceFile, reading: Reading, make: Callable[[Radiograph], T]) -> T:
    return make(read_source(file.uri, file.sha256, reading))


def read_source(uri: str, sha256: bytes, reading: Reading) -> Radiograph:
    """Read the file of an image: the copy that the store keeps, else the file itself, else the reduced copy.

    Parameters
    ----------
    uri, sha256 : of the image, as the archive has them.
    reading : the store, the size limit and the credentials of a DICOMweb server.

    Returns
    -------
    The radiograph; of a reduced copy the pixels at their first size, and in `unreachable` why nothing better was read.

    Raises
    ------
    ImageError : the file is gone, is not the one that was ingested, or cannot be decoded, and no copy is kept.
    """
    frame = frame_of(uri)
    try:
        data = source_bytes(uri, sha256, reading)
    except ImageError as error:
        pixels = ContentStore(reading.store).reduced(sha256, frame) if reading.store else None
        if pixels is None:
            raise
        return Radiograph(pixels, "png", 16, "MONOCHROME2", unreachable=str(error))
    return decode_image(data, max_pixels=reading.max_pixels, frame=frame)


def source_bytes(uri: str, sha256: bytes, reading: Reading) -> bytes:
    """The bytes of an image's file, from the store or its URI, with their SHA-256 verified; raises ImageError."""
    store = ContentStore(reading.store) if reading.store else None
    kept = store is not None and store.path(sha256).exists()
    try:
        if store is not None and (kept or uri.startswith("store:")):
            data = read_bytes(store.path(sha256), max_pixels=reading.max_pixels)
        elif uri.startswith(("http:", "https:")):
            data = fetch_instance(uri.partition("#")[0], reading)
        else:
            data = read_bytes(to_path(uri, reading.path_key_file), max_pixels=reading.max_pixels)
    except InputMissing as error:
        reason = "" if is_hidden(uri) else f" ({error})"  # it names the path
        raise ImageError(f"is gone{reason}: bring the file back, or ingest it from its new place") from None
    if hashlib.sha256(data).digest() != sha256:
        where = "the store has another file in its place" if kept else "its content has changed; ingest it again"
        raise ImageError(f"is not the file that was ingested: {where}")
    return data
