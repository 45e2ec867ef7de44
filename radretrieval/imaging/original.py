"""The file of an image that is in the archive, read again: only if it is still the one that was ingested."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import ImageError, InputMissing
from radretrieval.imaging.radiograph import Radiograph
from radretrieval.imaging.reader import decode_image, read_bytes
from radretrieval.imaging.resample import resample
from radretrieval.uris import to_path


@dataclass(frozen=True)
class Original:
    """Where the file of an image is, and the SHA-256 that it must have."""

    uri: str
    sha256: bytes


def read_resampled(original: Original, size: int, max_pixels: int) -> NDArray[np.float32]:
    """The pixels of an image as float32 (size, size), 0…1: a job for decoding processes. Raises as `read_original`."""
    return resample(read_original(original.uri, original.sha256, max_pixels).pixels, size)


def read_original(uri: str, sha256: bytes, max_pixels: int) -> Radiograph:
    """Read the file of an image.

    Parameters
    ----------
    uri, sha256 : of the image, as the archive has them.
    max_pixels : an image that claims more is refused before memory is taken.

    Raises
    ------
    ImageError : the file is gone, is not the one that was ingested, or cannot be decoded.
    """
    try:
        data = read_bytes(to_path(uri), max_pixels=max_pixels)
    except InputMissing as error:
        raise ImageError(f"is gone ({error}): bring the file back, or ingest it from its new place") from None
    if hashlib.sha256(data).digest() != sha256:
        raise ImageError("is not the file that was ingested: its content has changed; ingest it again")
    return decode_image(data, max_pixels=max_pixels)
