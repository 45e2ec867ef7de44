"""One file of an ingestion: its hash, and what a decoding process tells of it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from radretrieval.archive.images import NewImage
from radretrieval.errors import ImageError
from radretrieval.uris import to_uri

LONGEST_UID = 64
LONGEST_URI = 2000  # characters; an index of PostgreSQL takes 2,700 bytes


@dataclass(frozen=True)
class Examined:
    """What a decoding process tells of a file that is a radiograph."""

    image: NewImage
    patient_id: str | None


def examine(path: str, max_pixels: int) -> Examined:
    """Read one file whole, in a decoding process. Raises ImageError with the reason when it is no radiograph."""
    from radretrieval.imaging.reader import decode_image, read_bytes

    data = read_bytes(path, max_pixels=max_pixels)
    radiograph = decode_image(data, max_pixels=max_pixels)
    for uid in (radiograph.sop_instance_uid, radiograph.series_instance_uid, radiograph.study_instance_uid):
        if uid is not None and len(uid) > LONGEST_UID:
            raise ImageError(f"its header has a UID of {len(uid)} characters; {LONGEST_UID} are legal (PS3.5, 9.1)")
    image = NewImage(
        sha256=hashlib.sha256(data).digest(),
        uri=to_uri(path),
        format=radiograph.format,
        rows=radiograph.rows,
        columns=radiograph.columns,
        bits_stored=radiograph.bits_stored,
        photometric=radiograph.photometric,
        modality=radiograph.modality,
        body_part=radiograph.body_part,
        view_position=radiograph.view_position,
        laterality=radiograph.laterality,
        sop_instance_uid=radiograph.sop_instance_uid,
        series_instance_uid=radiograph.series_instance_uid,
        study_instance_uid=radiograph.study_instance_uid,
    )
    return Examined(image, radiograph.patient_id)


def hashed(path: str) -> bytes | Exception:
    """SHA-256 of a file, read in pieces; or why it cannot be taken."""
    try:
        if len(to_uri(path)) > LONGEST_URI:
            return ImageError(f"has a path that is too long for the archive ({LONGEST_URI} characters of its URI)")
        if os.path.isdir(path):
            return ImageError("is a folder that cannot be listed; check who may read it")
        if not os.path.isfile(path):
            return ImageError("is not a regular file")
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        return ImageError(f"cannot be read: {error.strerror}")
