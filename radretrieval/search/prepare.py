"""What decoding processes make of a query: it stands apart, so that they import nothing but imaging."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.config import Reading
from radretrieval.imaging.resample import resample
from radretrieval.storage.source import Original, read_original


@dataclass(frozen=True)
class Task:
    """One query file, and the sizes that the network and the barcode take."""

    file: Original
    network_size: int
    barcode_size: int


@dataclass(frozen=True)
class Prepared:
    """float32 inputs of the network and of the barcode, each square, and who it is by its header and pixels."""

    network_input: NDArray[np.float32]
    barcode_input: NDArray[np.float32]
    patient_id: str | None
    sop_instance_uid: str | None
    pixels_sha256: bytes | None


def prepare(task: Task, reading: Reading) -> Prepared:
    """Read and resample one query. Raises ImageError when its file is gone, changed meanwhile or cannot be decoded."""
    radiograph = read_original(task.file.uri, task.file.sha256, reading)
    pixels = radiograph.pixels
    return Prepared(
        resample(pixels, task.network_size),
        resample(pixels, task.barcode_size),
        radiograph.patient_id,
        radiograph.sop_instance_uid,
        radiograph.pixels_sha256,
    )
