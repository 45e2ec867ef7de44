"""The header of a DICOM file, read in a decoding process: this module imports neither the database nor torch."""

from __future__ import annotations

import warnings
from typing import Any

from radretrieval.errors import ImageError, UsageError
from radretrieval.imaging.dicom import read_data_set
from radretrieval.imaging.header import described


def read_header(data: bytes, max_pixels: int, name: str) -> tuple[dict[str, Any], Any]:
    """What the archive takes of a header (`described`), and its data set (pydicom) without overlays and pixels.

    Parameters
    ----------
    name : of the file, for messages.

    Raises
    ------
    UsageError : the file cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = read_data_set(data, max_pixels)[0]
            values = described(header)
    except ImageError as error:
        raise UsageError(f"{name} {error}") from error
    except Exception as error:  # pydicom raises anything on damaged input
        raise UsageError(f"{name} has a damaged DICOM header: {error}") from error
    for tag in list(header.keys()):
        if tag.group >= 0x6000:  # overlays and pixels
            del header[tag]
    return values, header
