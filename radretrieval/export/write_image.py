"""One image on its way out of the archive: under which name, as what, and whose it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radretrieval.config import Reading
from radretrieval.errors import EnvironmentUnusable, ImageError
from radretrieval.files.atomic import replacing
from radretrieval.privacy.replacements import Keyed

_SUFFIXES = {"dicom": ".dcm", "png": ".png", "jpeg": ".jpg", "tiff": ".tif"}
UNKNOWN = "not known: files of its kind cannot say whether text is in the pixels"


class BurnedInRisk(ImageError):
    """The pixels of an image may show who the patient is."""


@dataclass(frozen=True)
class Leaving:
    """An image that is to be written to `target`; `subject` is whose it is."""

    uri: str
    sha256: bytes
    dicom: bool
    subject: str
    target: str


@dataclass(frozen=True)
class How:
    """What writing processes must be told. keyed : of what replacements are made; without it files stay as they are."""

    reading: Reading
    keyed: Keyed | None
    accept_burned_in: bool


@dataclass(frozen=True)
class Left:
    """A file that was written. burned_in : why text in its pixels must be feared, empty where it need not."""

    sha256: str
    size: int
    burned_in: str


def subject_of_row(row: dict[str, Any]) -> str:
    """Whose image it is, for the key: the patient's pseudonym in the archive, or the study, or the file itself."""
    if row["patient_key"]:
        return f"patient {row['patient_key']}"
    return f"study {row['study_instance_uid']}" if row["study_instance_uid"] else f"file {row['sha256'].hex()}"


def file_name(row: dict[str, Any], keyed: Keyed | None) -> str:
    """Where the file of an image goes, below the folder of the export: by its content, or by a name under the key."""
    content = row["sha256"].hex()
    if keyed is None:
        return f"images/{content[:2]}/{content}{_SUFFIXES[row['format']]}"
    hidden = keyed.name(content)
    if row["format"] != "dicom":
        return f"images/{hidden[:2]}/{hidden}.png"
    if not row["sop_instance_uid"]:
        return f"images/{hidden[:2]}/{hidden}.dcm"
    twin = f".{hidden[:8]}" if row["same_uid"] else ""  # another file has this UID
    return f"images/{hidden[:2]}/{keyed.uid(row['sop_instance_uid'])}{twin}.dcm"


def leave(leaving: Leaving, how: How) -> Left:
    """Write one image: a job for decoding processes.

    Raises ImageError where it cannot be read, BurnedInRisk where it may not leave, EnvironmentUnusable where it cannot
    be written.
    """
    from radretrieval.storage.source import original_bytes

    data, burned_in = original_bytes(leaving.uri, leaving.sha256, how.reading), ""
    if how.keyed is not None and leaving.dicom:
        from radretrieval.privacy.deidentify import deidentify_file

        done = deidentify_file(data, how.keyed, leaving.subject, how.reading.max_pixels)
        data, burned_in = done.data, done.burned_in or ""
        if burned_in and not how.accept_burned_in:
            Path(leaving.target).unlink(missing_ok=True)  # of an earlier run that accepted it
            raise BurnedInRisk(f"stays: {burned_in}; look at it, and take it along with --accept-burned-in")
    elif how.keyed is not None:
        from radretrieval.privacy.strip_metadata import strip

        data, burned_in = strip(data, how.reading.max_pixels), UNKNOWN
    with export_file(Path(leaving.target)) as draft:
        draft.write_bytes(data)
    return Left(hashlib.sha256(data).hexdigest(), len(data), burned_in)


@contextmanager
def export_file(target: Path) -> Iterator[Path]:
    """`replacing` for a file of an export, with the folders that are missing.

    Raises EnvironmentUnusable where it cannot be written.
    """
    try:
        with replacing(target, parents=True) as draft:
            yield draft
    except OSError as error:
        raise EnvironmentUnusable(
            f"the export cannot be written to {target.parent} ({error.strerror}); make room or let it be writable, "
            "then run it again: it goes on from there"
        ) from error
