"""Problems around the files of an ingestion that made no file fail: each is counted and named."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """Something to look at, though no file failed because of it.

    Attributes
    ----------
    path : the file or folder that it is about.
    error : which kind, one of `KINDS`.
    message : what was found, what was done about it, and what to do.
    """

    path: str
    error: str
    message: str


# The kinds, and their plural for counts.
KINDS = {
    "HalfRelease": "parts of the release that are missing",
    "RowWithoutImage": "rows that name none of these files",
    "ImageWithoutRow": "images without a row",
    "RepeatedRow": "rows that say the same again",
    "RepeatedId": "images that have a second file",
    "IdNoNumber": "rows whose id is no number",
    "SameUid": "images whose SOP Instance UID is another image's, with other pixels",
    "ForProcessing": "images that are raw values of the detector",
    "CopyWithOtherLabels": "files with the content of another one and different labels",
}


def for_processing(path: str) -> Problem:
    """The problem of an image that was never meant for display."""
    message = (
        "holds raw values of the detector (FOR PROCESSING): it is searchable as it is, but looks like no film; send "
        "the image FOR PRESENTATION instead"
    )
    return Problem(path, "ForProcessing", message)
