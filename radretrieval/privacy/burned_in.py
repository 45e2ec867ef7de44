"""Whether an image may have text burned into its pixels: by its header and its kind of object."""

from __future__ import annotations

import re
from typing import Any

from radretrieval.imaging.elements import code, codes
from radretrieval.privacy.code_strings import known

# Classes of devices that write no text into pixels: trusted without BurnedInAnnotation. (PS3.4, B.5)
_TRUSTED = frozenset(
    "1.2.840.10008.5.1.4.1.1." + last
    for last in (
        *("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"),  # CR, DX, mammography, intra-oral
        *("2", "2.1", "4", "4.1", "20", "128", "130", "13.1.3", "13.1.4", "13.1.5"),  # CT, MR, NM, PET, tomosynthesis
    )
)
_SUSPECT_CLASS = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(7(\.[1-4])?|6(\.[12])?|3(\.1)?)")  # SC, US
_SUSPECT_MODALITY = ("US", "OT", "SC", "IVUS", "BDUS")


def burned_in(ds: Any) -> str | None:
    """Why the pixels may identify the patient, for a message; None where there is no reason to think so.

    Source: DICOM PS3.3, C.7.6.1.1.5 (Burned In Annotation); PS3.15, E.3.1.
    """
    said = code(ds, "BurnedInAnnotation")
    if said == "YES":
        return "its header says that text is burned into the pixels (BurnedInAnnotation YES)"
    if said not in (None, "", "NO"):
        return "its header says neither YES nor NO of text in the pixels (BurnedInAnnotation)"
    if code(ds, "RecognizableVisualFeatures") == "YES":
        return "its header says that the patient can be recognised (RecognizableVisualFeatures YES)"
    sop_class, modality = str(ds.get("SOPClassUID") or ""), code(ds, "Modality") or ""
    if _SUSPECT_CLASS.fullmatch(sop_class) or modality in _SUSPECT_MODALITY:
        kind = modality if modality and known(modality) else sop_class
        return f"images of its kind ({kind}: secondary capture, ultrasound, other) often show names"
    if any("SCREEN SAVE" in kind for kind in codes(ds, "ImageType")):
        return "it is a copy of a screen (ImageType SCREEN SAVE)"
    if any(tag.group & 0xFF01 == 0x6000 and tag.element == 0x0102 and _number(ds, tag) > 0 for tag in ds.keys()):  # noqa: SIM118
        return "an overlay lies in the unused bits of its pixels, and they are left as they are"
    if sop_class not in _TRUSTED and said != "NO":
        return "its header does not say that no text is burned into the pixels (no BurnedInAnnotation)"
    return None


def _number(ds: Any, tag: Any) -> int:
    try:
        return int(ds[tag].value)
    except Exception:  # pydicom raises anything on a damaged value: then the overlay counts as present
        return 1
