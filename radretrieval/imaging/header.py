"""What a DICOM header says of an image beside its pixels (PS3.3 C.7): read, checked, never a person's name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from radretrieval.errors import UsageError
from radretrieval.imaging.elements import code, numbers, text, values

# Beside every PN: identifiers of a person (PS3.15, table E.1-1), of which only keyed hashes are kept.
_IDENTIFIERS = ("PatientID", "OtherPatientIDs", "PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers")


def described(ds: Any) -> dict[str, Any]:
    """The fields of a `Radiograph` that a header fills; what is absent, empty or no legal value is None."""
    row_spacing, column_spacing = _spacing(ds)
    return {
        "modality": code(ds, "Modality"),
        "body_part": code(ds, "BodyPartExamined"),
        "view_position": code(ds, "ViewPosition"),
        "laterality": code(ds, "ImageLaterality") or code(ds, "Laterality"),
        "sop_instance_uid": text(ds, "SOPInstanceUID"),
        "series_instance_uid": text(ds, "SeriesInstanceUID"),
        "study_instance_uid": text(ds, "StudyInstanceUID"),
        "sop_class_uid": text(ds, "SOPClassUID"),
        "study_date": _date(text(ds, "StudyDate")),
        "manufacturer": text(ds, "Manufacturer"),
        "row_spacing": row_spacing,
        "column_spacing": column_spacing,
        "kvp": _positive(ds, "KVP"),
        "exposure": _positive(ds, "Exposure") or _exposure_in_uas(ds),
        "for_processing": code(ds, "PresentationIntentType") == "FOR PROCESSING",
        "patient_id": text(ds, "PatientID"),
        "issuer": text(ds, "IssuerOfPatientID"),
    }


# Which attributes a column comes from: a site whose `header` names none of them leaves the column empty.
ATTRIBUTES = {
    "modality": ("Modality",),
    "body_part": ("BodyPartExamined",),
    "view_position": ("ViewPosition",),
    "laterality": ("ImageLaterality", "Laterality"),
    "study_date": ("StudyDate",),
    "manufacturer": ("Manufacturer",),
    "row_spacing": ("PixelSpacing", "ImagerPixelSpacing"),
    "column_spacing": ("PixelSpacing", "ImagerPixelSpacing"),
    "kvp": ("KVP",),
    "exposure": ("Exposure",),
}


def check_keywords(keywords: Sequence[str]) -> None:
    """Raises UsageError for a keyword that names no attribute of text, or an attribute that identifies a person."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise UsageError(f"RADRETRIEVAL_HEADER_MORE names {keyword}, which is no keyword of DICOM PS3.6")
        kind = dictionary_VR(tag)
        if kind == "PN" or keyword in _IDENTIFIERS:
            raise UsageError(f"RADRETRIEVAL_HEADER_MORE names {keyword}: what identifies a person is never kept")
        if kind.startswith(("O", "SQ", "UN")):
            raise UsageError(f"RADRETRIEVAL_HEADER_MORE names {keyword}, whose values ({kind}) are no text")


def more_of(ds: Any, keywords: Sequence[str]) -> dict[str, str]:
    """Other attributes by keyword, as text, several values joined by a backslash; absent ones are left out."""
    found = {}
    for keyword in keywords:
        if several := values(ds, keyword):
            found[keyword] = "\\".join(str(one).replace("\0", "").strip() for one in several)
    return found


def in_frame(ds: Any, number: int) -> None:
    """Have the data set say at its top what its functional groups say of a frame, from 1 (PS3.3 C.7.6.16)."""
    shared, each = (values(ds, f"{kind}FunctionalGroupsSequence") for kind in ("Shared", "PerFrame"))
    for groups in (*shared[:1], *each[number - 1 : number]):
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence", "PixelMeasuresSequence"):
            for item in values(groups, name)[:1]:
                for tag in item.keys() if hasattr(item, "get_item") else ():
                    ds[tag] = item.get_item(tag)  # as it was read: a value that is none says nothing, and ends nothing


def _date(said: str | None) -> date | None:
    try:
        return date.fromisoformat(said[:8] if said and said[4:5] != "." else (said or "").replace(".", "-"))
    except ValueError:
        return None


def _spacing(ds: Any) -> tuple[float | None, float | None]:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = numbers(ds, keyword)
        if len(spacing) == 2 and all(0 < one < 1000 for one in spacing):
            return spacing[0], spacing[1]
    return None, None


def _positive(ds: Any, keyword: str) -> float | None:
    found = numbers(ds, keyword)
    return found[0] if len(found) == 1 and found[0] > 0 else None


def _exposure_in_uas(ds: Any) -> float | None:
    """Exposure in mAs where only the attribute in µAs has it."""
    value = _positive(ds, "ExposureInuAs")
    return None if value is None else value / 1000
