"""The DICOM objects that a report of an answer refers to: the query with its patient and study, and the hits by UID."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from radretrieval.archive import connections, history, images
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.images import Identity
from radretrieval.errors import ImageError, InputMissing, RadretrievalError, UsageError
from radretrieval.files.text import printable
from radretrieval.files.uris import frame_of
from radretrieval.imaging.dicom import is_dicom
from radretrieval.imaging.reader import read_bytes
from radretrieval.results.dicom_header import read_header
from radretrieval.search.query import Query, QueryFile
from radretrieval.search.request import Answer
from radretrieval.search.searcher import Searcher
from radretrieval.storage.reading import Reading
from radretrieval.storage.source import source_bytes
from radretrieval.storage.worker_pool import Run

# SOP classes of objects with several frames, a reference to which names the frame (PS3.3, table 10-3).
_FRAMED = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{last}"
    for last in (
        *("12.1", "12.1.1", "12.2", "12.2.1", "13.1.1", "13.1.2", "13.1.3", "13.1.4", "13.1.5"),
        *("7.1", "7.2", "7.3", "7.4", "3.1", "20", "2.1", "4.1", "77.1.5.1", "77.1.5.2"),
    )
)
# Type 2 attributes of patient and study: present in every object, and possibly empty (PS3.3 C.7.1.1, C.7.2.1).
_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
_UIDS = {
    "sop_class_uid": "SOP Class UID",
    "sop_instance_uid": "SOP Instance UID",
    "series_instance_uid": "Series Instance UID",
    "study_instance_uid": "Study Instance UID",
}
_NO_DICOM = "is no DICOM object"


@dataclass(frozen=True)
class ReportedAnswer:
    """An answer and what a report of it refers to.

    Attributes
    ----------
    encoder : whose codes were compared.
    identities : DICOM UIDs of the hits, by image id; a hit that is not in the archive any more has none.
    """

    answer: Answer
    encoder: Encoder
    identities: dict[int, Identity]


@dataclass(frozen=True)
class Subject:
    """The query as a DICOM object.

    Attributes
    ----------
    identity : its UIDs.
    header : its data set (pydicom) without pixels: patient and study are copied from it.
    """

    identity: Identity
    header: Any


def reported_answer(searcher: Searcher, answer: Answer) -> ReportedAnswer:
    """An answer with the UIDs of its hits."""
    identities = _identities(searcher, [hit.image_id for hit in answer.hits])
    return ReportedAnswer(answer, searcher.encoder, identities)


def subject_of(searcher: Searcher, query: Query, what: str) -> Subject:
    """Read the query's file as the subject of a DICOM object.

    Parameters
    ----------
    what : the option that needs it, for messages: `--sr`.

    Raises UsageError where the query is no DICOM object, its UIDs are missing or its file cannot be read.
    """
    name = f"id:{query}" if isinstance(query, int) else _name(query)
    data, frame = _query_bytes(searcher, query, name, what)
    if not is_dicom(data):
        raise UsageError(
            f"{what}: {name} is no DICOM file, so that there is no patient and no study to which a DICOM object about "
            "it could belong; search with the DICOM file, or use --fhir, --csv or --json"
        )
    values, header = _header(searcher, _run(searcher, query), data, name)
    identity = _identity(values)
    lacking = unreferable(identity)
    if lacking is not None:
        lacking = "has no UIDs" if lacking == _NO_DICOM else lacking
        raise UsageError(f"{what}: a DICOM object about {name} has nothing to refer to: it {lacking}; correct the file")
    return Subject(replace(identity, frame=frame), _completed(header))


def query_identity(searcher: Searcher, query: Query, image_id: int | None) -> Identity | None:
    """The UIDs of the query: from its row if it is in the archive, from its header if it is a DICOM file; else None.

    Parameters
    ----------
    image_id : of the answer; None for a file that is not in the archive.
    """
    if image_id is not None:
        return _identities(searcher, [image_id]).get(image_id)
    name = str(query) if isinstance(query, int) else _name(query)
    data, _ = _query_bytes(searcher, query, name, "--fhir")
    if not is_dicom(data):
        return None
    values, _ = _header(searcher, _run(searcher, query), data, name)
    identity = _identity(values)
    if values["patient_id"] is None:
        return identity
    return replace(identity, patient_key=searcher.patient_key(values["patient_id"], values["issuer"]))


def unreferable(identity: Identity | None) -> str | None:
    """Why DICOM cannot refer to an image, as the end of a sentence about it; None where it can."""
    if identity is None:
        return "is not in the archive any more"
    values = [getattr(identity, name) for name in _UIDS]
    if not any(values):
        return _NO_DICOM
    for name, value in zip(_UIDS, values, strict=True):
        if value is None:
            return f"has no {_UIDS[name]}"
        if not _is_uid(value):
            return f"has {printable(value)[:64]!r} as its {_UIDS[name]}, which is none"
    return None


def reference(identity: Identity) -> Any:
    """A data set with the UIDs of an image, as highdicom takes evidence."""
    from pydicom import Dataset

    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = identity.sop_class_uid, identity.sop_instance_uid
    ds.SeriesInstanceUID, ds.StudyInstanceUID = identity.series_instance_uid, identity.study_instance_uid
    return ds


def frames_of(identity: Identity) -> list[int] | None:
    """The frame that a reference names; None for an object that has no frames."""
    return [identity.frame] if identity.frame > 1 or identity.sop_class_uid in _FRAMED else None


def _identities(searcher: Searcher, ids: Sequence[int]) -> dict[int, Identity]:
    """UIDs of images; a SOP Class UID that an older version did not store is read from the file."""
    with connections.database_errors(searcher.database.url):
        found = images.identities(searcher.connection, ids)
    for image_id, identity in found.items():
        if identity.sop_class_uid is None and identity.sop_instance_uid is not None:
            try:
                data = source_bytes(identity.uri, identity.sha256, Reading.of(searcher.settings))
                own = _identity(_header(searcher, searcher.source.run, data, identity.uri)[0])
            except RadretrievalError:  # without it the image is unreferable, which the report says
                continue
            if own.sop_instance_uid == identity.sop_instance_uid:
                found[image_id] = replace(identity, sop_class_uid=own.sop_class_uid)
    return found


def _name(query: Path | QueryFile) -> str:
    return printable(query.name if isinstance(query, QueryFile) else str(query))


def _query_bytes(searcher: Searcher, query: Query, name: str, what: str) -> tuple[bytes, int]:
    """The query's file, and the number of its frame; of one that was corrected since, the file that the archive has."""
    try:
        if isinstance(query, int):
            with connections.database_errors(searcher.database.url):
                known = searcher.stored_query(query)
            return source_bytes(known.uri, known.sha256, Reading.of(searcher.settings)), frame_of(known.uri)
        if isinstance(query, QueryFile):
            data = query.data
        else:
            data = read_bytes(query, max_pixels=searcher.settings.max_pixels)
        with connections.database_errors(searcher.database.url):
            corrected = history.replaced(searcher.connection, hashlib.sha256(data).digest())
        return (data, 1) if corrected is None else _query_bytes(searcher, corrected, name, what)
    except InputMissing:
        raise
    except ImageError as error:
        raise UsageError(f"{what}: the file of {name} {error}") from error


def _run(searcher: Searcher, query: Query) -> Run:
    """What runs the reading of the query's header: of a file that comes from elsewhere as its decoding is run."""
    return searcher.source.run if isinstance(query, int) else searcher.source.run_new


def _header(searcher: Searcher, run: Run, data: bytes, name: str) -> tuple[dict[str, Any], Any]:
    """What `read_header` gives; raises UsageError also where a decoding process was ended."""
    try:
        found: tuple[dict[str, Any], Any] = run(partial(read_header, data, searcher.settings.max_pixels, name))
    except ImageError as error:
        raise UsageError(f"{name} {error}") from error
    return found


def _identity(values: dict[str, Any]) -> Identity:
    """The UIDs in a header."""
    class_uid, instance, series, study = (values[name] for name in _UIDS)
    return Identity(class_uid, instance, series, study, modality=values["modality"])


def _completed(header: Any) -> Any:
    """The header with every type 2 attribute of patient and study; illegal values are emptied."""
    from pydicom.valuerep import DA, TM

    for keyword in _TYPE_2:
        value = header.get(keyword)
        try:
            if "Date" in keyword and value:
                DA(value)
            elif "Time" in keyword and value:
                TM(value)
            elif keyword == "PatientSex" and value not in ("M", "F", "O"):
                value = ""
        except ValueError:
            value = ""
        setattr(header, keyword, value if value is not None else "")
    return header


def _is_uid(value: str) -> bool:
    """Whether a UID is valid (PS3.5, 9.1), but for leading zeros, which are forbidden and in use."""
    return len(value) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)+", value) is not None
