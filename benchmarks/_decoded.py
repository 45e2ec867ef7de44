"""Jobs of decoding processes: they import a job by its module's name, which a script that runs has not."""

from __future__ import annotations

import warnings
from pathlib import Path

from radretrieval.imaging import read_image
from radretrieval.imaging.dicom import read_data_set
from radretrieval.imaging.stored import stored_values


def codec(path: Path, max_pixels: int) -> tuple[int, ...]:
    """What the decoders do, and nothing else: header and stored values. Gives back no pixels, as an ingestion."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set, syntax = read_data_set(path.read_bytes(), max_pixels)
        return stored_values(data_set, syntax, max_pixels)[0].values.shape


def whole(path: Path, max_pixels: int) -> tuple[int, ...]:
    """The radiograph: grey values by its look-up tables, the hash of its pixels, what its header tells."""
    return read_image(path, max_pixels=max_pixels).pixels.shape
