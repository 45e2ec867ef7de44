"""The file of an image becomes the inputs of the encoder, in decoding processes: for search, encoding and training.

Each decoding process is a fresh interpreter, so this module imports neither torch nor the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radretrieval.imaging.resample import resample
from radretrieval.storage.reading import Reading
from radretrieval.storage.source import SourceFile, read_source
from radretrieval.storage.worker_pool import WorkerPool

if TYPE_CHECKING:
    from radretrieval.config import Settings


@dataclass(frozen=True)
class PrepareTask:
    """A file, and the sides in pixels of the inputs to make; `barcode_size` is None where no barcode is needed."""

    file: SourceFile
    network_size: int
    barcode_size: int | None = None


@dataclass(frozen=True)
class PreparedImage:
    """The square inputs of network and barcode, float32 0…1, and what is known of the image.

    patient_id, issuer, sop_instance_uid, pixels_sha256 : what identifies it, by its header.
    flat : its pixels show nothing.
    """

    network_input: NDArray[np.float32]
    barcode_input: NDArray[np.float32] | None
    patient_id: str | None
    issuer: str | None
    sop_instance_uid: str | None
    pixels_sha256: bytes | None
    flat: bool


def prepare(task: PrepareTask, reading: Reading) -> PreparedImage:
    """Read and resample one image. Raises ImageError when its file is gone, was changed or cannot be decoded."""
    radiograph = read_source(task.file.uri, task.file.sha256, reading)
    pixels = radiograph.pixels
    return PreparedImage(
        resample(pixels, task.network_size),
        None if task.barcode_size is None else resample(pixels, task.barcode_size),
        radiograph.patient_id,
        radiograph.issuer,
        radiograph.sop_instance_uid,
        radiograph.pixels_sha256,
        radiograph.flat,
    )


def prepare_pool(settings: Settings, workers: int | None = None) -> WorkerPool[PrepareTask, PreparedImage]:
    """Decoding processes that run `prepare`, one a core where `workers` is None."""
    return WorkerPool.of(settings, partial(prepare, reading=Reading.of(settings)), workers)
