"""What was wrong around the files of an ingestion, though no file failed of it: each is counted and named."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that a person should look at.

    Attributes
    ----------
    path : the file or folder that it is about.
    error : which kind, one of `KINDS`.
    message : what was met, what was done about it, and the way out.
    """

    path: str
    error: str
    message: str


# The kinds, and how they are called when they are counted.
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
