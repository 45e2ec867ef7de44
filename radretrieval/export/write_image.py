"""Export of one image file: its name, its de-identification, and the write."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radretrieval.errors import EnvironmentUnusable, ImageError
from radretrieval.files.atomic import replacing
from radretrieval.privacy.replacements import KeyedReplacements
from radretrieval.storage.reading import Reading

_SUFFIXES = {"dicom": ".dcm", "png": ".png", "jpeg": ".jpg", "tiff": ".tif"}
UNKNOWN = "not known: files of its kind cannot say whether text is in the pixels"


class BurnedInRisk(ImageError):
    """The pixels of an image may identify the patient."""


@dataclass(frozen=True)
class ExportJob:
    """An image file that is to be exported.

    Attributes
    ----------
    uri, sha256, dicom : the file in the archive.
    subject : the patient whose image it is, see `subject_of_row`.
    target : path of the exported file.
    """

    uri: str
    sha256: bytes
    dicom: bool
    subject: str
    target: str


@dataclass(frozen=True)
class ExportedFile:
    """A file that was written.

    Attributes
    ----------
    sha256, size : of its content.
    burned_in : why its pixels may identify the patient; empty where there is no reason to think so.
    """

    sha256: str
    size: int
    burned_in: str


def subject_of_row(row: dict[str, Any]) -> str:
    """The patient, to compute replacements from: the pseudonym in the archive, else the study, else the file."""
    if row["patient_key"]:
        return f"patient {row['patient_key']}"
    return f"study {row['study_instance_uid']}" if row["study_instance_uid"] else f"file {row['sha256'].hex()}"


def file_name(row: dict[str, Any], replacements: KeyedReplacements | None) -> str:
    """The path of an image's file below the folder of the export: named by its SHA-256, or by a keyed replacement."""
    content = row["sha256"].hex()
    if replacements is None:
        return f"images/{content[:2]}/{content}{_SUFFIXES[row['format']]}"
    hidden = replacements.name(content)
    if row["format"] != "dicom":
        return f"images/{hidden[:2]}/{hidden}.png"
    if not row["sop_instance_uid"]:
        return f"images/{hidden[:2]}/{hidden}.dcm"
    twin = f".{hidden[:8]}" if row["same_uid"] else ""  # another file has this UID
    return f"images/{hidden[:2]}/{replacements.uid(row['sop_instance_uid'])}{twin}.dcm"


def write_image(
    job: ExportJob, *, reading: Reading, replacements: KeyedReplacements | None, accept_burned_in: bool
) -> ExportedFile:
    """Export one image file; called in worker processes.

    Parameters
    ----------
    replacements : None exports the file as it is, else it is de-identified.
    accept_burned_in : export a file whose pixels may identify the patient, too.

    Raises ImageError where it cannot be read, BurnedInRisk where its pixels are a risk that was not accepted,
    EnvironmentUnusable where it cannot be written.
    """
    from radretrieval.storage.source import source_bytes

    data, burned_in = source_bytes(job.uri, job.sha256, reading), ""
    if replacements is not None and job.dicom:
        from radretrieval.privacy.deidentify import deidentify_file

        done = deidentify_file(data, replacements, job.subject, reading.max_pixels)
        data, burned_in = done.data, done.burned_in or ""
        if burned_in and not accept_burned_in:
            Path(job.target).unlink(missing_ok=True)  # of an earlier run that accepted it
            raise BurnedInRisk(f"stays: {burned_in}; look at it, and take it along with --accept-burned-in")
    elif replacements is not None:
        from radretrieval.privacy.strip_metadata import strip

        data, burned_in = strip(data, reading.max_pixels), UNKNOWN
    with export_file(Path(job.target)) as draft:
        draft.write_bytes(data)
    return ExportedFile(hashlib.sha256(data).hexdigest(), len(data), burned_in)


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
