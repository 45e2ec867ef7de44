"""De-identification of DICOM data sets by the basic profile of PS3.15, with dates moved instead of removed.

`ps315` has the action for each attribute. UIDs, patient and dates are replaced under a key (`replacements`): files of
all exports with the same key stay linked and in order. Text burned into the pixels is not removed, `burned_in` names
the objects that may have it. Comments inside a compressed pixel stream stay as well.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from radretrieval.errors import ImageError
from radretrieval.imaging.elements import integer
from radretrieval.privacy.burned_in import burned_in
from radretrieval.privacy.code_strings import known
from radretrieval.privacy.patient_text import MOST_DEPTH, PatientText, element, texts
from radretrieval.privacy.ps315 import BULK, DATES, NUMBERS, SHORT_TEXT, action_of
from radretrieval.privacy.replacements import KeyedReplacements

DUMMY = "ANONYMIZED"
METHOD = "radretrieval: PS3.15 basic profile, dates moved per patient"
# PS3.16, CID 7050: the options that were applied
METHOD_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
_TM = re.compile(r"\d{2}:?(?:\d{2}:?(?:\d{2}(?:\.\d{1,6})?)?)?")
_UID = re.compile(r"[0-9.]{1,64}")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")  # DS and IS (PS3.5, 6.2)


@dataclass(frozen=True)
class Deidentified:
    """A de-identified file.

    Attributes
    ----------
    data : the DICOM file, in its original transfer syntax.
    sop_instance_uid : the replaced UID.
    burned_in : why the pixels may identify the patient; None where there is no reason to think so.
    """

    data: bytes
    sop_instance_uid: str
    burned_in: str | None


def subject_of(ds: Any) -> str:
    """The patient of a data set, to compute replacements from: the patient identifier, else the study or the object."""
    for keyword in ("PatientID", "StudyInstanceUID", "SOPInstanceUID"):
        value = str(ds.get(keyword) or "").strip("\0 ")
        if value:
            return f"{keyword} {value}"
    return "nobody"


def deidentify(ds: Any, replacements: KeyedReplacements, subject: str | None = None) -> Any:
    """A de-identified copy of a data set, which shares the pixels with it.

    Parameters
    ----------
    ds : pydicom's Dataset of an image.
    subject : whose image it is; None for `subject_of`.

    Source: DICOM PS3.15 E.1, E.2 (basic profile), E.3.6 (modified dates); PS3.3 C.12.1, C.7.1.1; PS3.16 CID 7050.
    """
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    subject = subject or subject_of(ds)
    result = _Cleaner(replacements, subject, PatientText.of(ds)).clean(ds)
    result.PatientName = replacements.pseudonym(subject)
    result.PatientID = replacements.pseudonym(subject)
    result.PatientBirthDate = ""
    result.PatientIdentityRemoved = "YES"
    result.DeidentificationMethod = METHOD
    codes = []
    for value, meaning in METHOD_CODES:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
        codes.append(code)
    result.DeidentificationMethodCodeSequence = Sequence(codes)
    result.LongitudinalTemporalInformationModified = "MODIFIED"
    return result


def deidentify_file(data: bytes, replacements: KeyedReplacements, subject: str | None, max_pixels: int) -> Deidentified:
    """`deidentify` for a DICOM file, in the same transfer syntax; the preamble is zeros, the meta header is new.

    Raises ImageError for a file without an image, or one that cannot be read or written.
    """
    from radretrieval.imaging.dicom import read_data_set
    from radretrieval.imaging.stored import NATIVE

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its messages quote values of the header
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds, _ = read_data_set(data, max_pixels)
            if not any(keyword in ds for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
                raise ImageError("holds no pixels")
            result, syntax = deidentify(ds, replacements, subject), _syntax(data)
            if syntax in NATIVE:
                _end_with_pixels(result)
            return Deidentified(_written(result, syntax), str(result.SOPInstanceUID), burned_in(ds))
        except ImageError:
            raise
        except Exception as error:  # pydicom raises anything on damaged input; its text may quote the file
            raise ImageError(f"its DICOM header cannot be de-identified ({type(error).__name__})") from error


def _end_with_pixels(ds: Any) -> None:
    """Cut off what stands behind the last pixel of a data set that is not compressed (PS3.5, 8.2)."""
    pixels = ds.get("PixelData")
    if pixels is None or ds["PixelData"].is_undefined_length or ds.get("PhotometricInterpretation") == "YBR_FULL_422":
        return
    samples = integer(ds, "Rows") * integer(ds, "Columns") * integer(ds, "SamplesPerPixel", 1)
    needed = -(-samples * max(1, integer(ds, "NumberOfFrames", 1)) * integer(ds, "BitsAllocated") // 8)
    if len(pixels) > needed:
        ds["PixelData"].value = pixels[:needed] + bytes(needed % 2)


def _syntax(data: bytes) -> str:
    from radretrieval.imaging.dicom import transfer_syntax

    return transfer_syntax(data)[0]


def _written(ds: Any, syntax: str) -> bytes:
    from pydicom.dataset import FileMetaDataset
    from pydicom.filewriter import dcmwrite
    from pydicom.uid import UID

    if not ds.get("SOPClassUID") or not ds.get("SOPInstanceUID"):
        raise ImageError("its header lacks SOP Class or SOP Instance UID; a file needs both (PS3.10, 7.1)")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta, ds.preamble = meta, bytes(128)
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


class _Cleaner:
    """De-identifies one data set and those nested in it."""

    def __init__(self, replacements: KeyedReplacements, subject: str, patient: PatientText) -> None:
        self.replacements = replacements
        self.subject = subject
        self.patient = patient

    def clean(self, ds: Any, depth: int = 0, all_dummies: bool = False) -> Any:
        """A de-identified copy; with `all_dummies` all short text is replaced by dummies."""
        from pydicom.dataset import Dataset

        result = Dataset()
        if depth > MOST_DEPTH:
            return result
        for tag in list(ds.keys()):
            if tag.group & 1:
                continue
            one = element(ds, tag)
            if one is None:
                continue
            action = action_of(int(tag), one.VR)
            if action == "keep" and one.VR in SHORT_TEXT and (all_dummies or self.patient.shows(ds, one)):
                action = "dummy"
            kept = self._sequence(one, action, depth) if one.VR == "SQ" else self._value(one, action)
            if kept is not None:
                result[tag] = kept
        return result

    def _sequence(self, element: Any, action: str, depth: int) -> Any:
        from pydicom.dataelem import DataElement
        from pydicom.sequence import Sequence

        if action == "remove":
            return None
        items = [] if action == "empty" else [self.clean(i, depth + 1, action == "dummy") for i in element.value or ()]
        return DataElement(element.tag, "SQ", Sequence(items))

    def _value(self, element: Any, action: str) -> Any:
        vr = element.VR
        if action == "remove":
            return None
        if vr == "UI":
            return self._map(element, self._kind if action == "kind" else self._uid)
        if vr in DATES and action != "empty":
            return self._map(element, {"DA": self._date, "DT": self._date_time, "TM": _time}[vr])
        if action == "empty":
            return self._replaced(element, b"" if vr in BULK else None)
        if action == "dummy":
            return self._dummy(element)
        return (
            self._keep(element) if action == "keep" else None
        )  # an element of another value representation than the table assumes

    def _dummy(self, element: Any) -> Any:
        vr = element.VR
        if vr in ("DS", "IS"):
            return self._replaced(element, "0")
        if vr in NUMBERS:
            return self._replaced(element, 0)
        if vr in BULK or vr == "UN":
            return self._replaced(element, b"\0\0") if vr in ("OB", "OW") else None
        return self._replaced(element, {"AS": "000Y", "UR": "http://anonymized.invalid"}.get(vr, DUMMY))

    def _keep(self, element: Any) -> Any:
        """The element if its value has the form of its representation; else an empty one, a dummy or None."""
        vr, value = element.VR, element.value
        if element.keyword == "SpecificCharacterSet":
            return element if _known_characters(value) else None
        if element.keyword == "ICCProfile":
            return element if isinstance(value, bytes) and value[36:40] == b"acsp" else None
        if vr in ("DS", "IS"):
            return self._numbers(element)
        return self._terms(element) if vr == "CS" else element

    def _numbers(self, element: Any) -> Any:
        """A number written as text; an empty one where it is none, or has a number or a day of the patient."""
        values = texts(element.value)
        kept = [
            one if _NUMBER.fullmatch(one) and not (element.VR == "IS" and self.patient.in_number(one)) else ""
            for one in values
        ]
        return element if kept == values or not any(values) else self._replaced(element, None)

    def _terms(self, element: Any) -> Any:
        """A Code String whose values are known terms; others are emptied, each in its place."""
        values = texts(element.value)
        readable = element.keyword == "PhotometricInterpretation"  # pixels are read whatever case it is written in
        kept = [text if known(text.upper() if readable else text, element.keyword) else "" for text in values]
        if kept == values:
            return element
        return self._replaced(element, (kept if len(kept) > 1 else kept[0]) if any(kept) else None)

    def _map(self, element: Any, change: Callable[[str], str]) -> Any:
        values = [change(text) for text in texts(element.value)]
        if element.VM > 1 and all(values):
            return self._replaced(element, values)
        return self._replaced(element, values[0] if len(values) == 1 else None)

    def _uid(self, old: str) -> str:
        from pydicom.uid import UID

        registered = UID(old).name != old  # a UID of the standard, as a well-known frame of reference
        return old if not old or registered else self.replacements.uid(old)

    def _kind(self, old: str) -> str:
        if not _UID.fullmatch(old):
            return ""
        return self._uid(old) if self.patient.in_uid(old) else old

    def _date(self, old: str) -> str:
        return self.replacements.dicom_date(self.subject, old)

    def _date_time(self, old: str) -> str:
        return self.replacements.dicom_date_time(self.subject, old)

    @staticmethod
    def _replaced(element: Any, value: Any) -> Any:
        from pydicom.dataelem import DataElement

        return DataElement(element.tag, element.VR, value)


def _time(old: str) -> str:
    return old if _TM.fullmatch(old) else ""


def _known_characters(value: Any) -> bool:
    from pydicom.charset import python_encoding

    return all(text in python_encoding for text in texts(value))
