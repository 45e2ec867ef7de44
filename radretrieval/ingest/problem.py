"""Problems around the files of an ingestion that made no file fail: each is counted and named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from radretrieval.archive.images import NewImage
    from radretrieval.imaging.radiograph import Radiograph


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
    "ColumnIgnored": "labels with columns that are not read",
    "RepeatedRow": "rows that say the same again",
    "RepeatedId": "images that have a second file",
    "IdNoNumber": "rows whose id is no number",
    "SameUid": "images whose SOP Instance UID is another image's, with other pixels",
    "ForProcessing": "images that are raw values of the detector",
    "Flat": "images that show nothing",
    "HeaderIgnored": "images whose header says what cannot be read of how to show them",
    "OtherIssuer": "patients whose identifier the archive has without an issuer too",
    "ListMayBeCut": "lists of studies that a PACS may have cut short",
    "CopyWithOtherLabels": "files with the content of another one and different labels",
}


# Those of one image alone, which say nothing about a release that it is part of.
OF_PIXELS = ("ForProcessing", "Flat", "HeaderIgnored")


def of_issuers(two: Mapping[str, str], images: Iterable[NewImage]) -> list[Problem]:
    """A problem for each patient who is new with an issuer, and has been there without: at the first image.

    Parameters
    ----------
    two : the issuers of such patients, by pseudonym.
    """
    first = {image.patient_key: image for image in reversed(list(images)) if image.patient_key in two}
    message = (
        "has a patient's identifier of the issuer {!r}; the archive has images with that identifier and no issuer, "
        "which count as another patient's: if they are not, set RADRETRIEVAL_ISSUER on every host before more come; a "
        "labels CSV with patient_id gives the images that are here to the right patient"
    )
    return [Problem(image.uri, "OtherIssuer", message.format(two[str(key)])) for key, image in first.items()]


def of_pixels(path: str, radiograph: Radiograph) -> list[Problem]:
    """The problems of an image whose pixels are not those of a film as it was meant to be shown."""
    found = [Problem(path, "HeaderIgnored", f"its header is not right: {reason}") for reason in radiograph.ignored]
    if radiograph.flat:
        message = (
            "is flat: nearly all its pixels have one grey value, and what a search finds for it means nothing; look at "
            "the image: it may be blank, or its window or look-up table wrong"
        )
        found.append(Problem(path, "Flat", message))
    if radiograph.for_processing:
        message = (
            "holds raw values of the detector (FOR PROCESSING): it is searchable as it is, but looks like no film; "
            "send the image FOR PRESENTATION instead"
        )
        found.append(Problem(path, "ForProcessing", message))
    return found
