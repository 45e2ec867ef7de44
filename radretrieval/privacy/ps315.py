"""What becomes of each attribute of a de-identified data set: the table of DICOM PS3.15, and stricter rules beside it.

`ps315.csv` is table E.1-1, edition 2026c, of the attributes that the basic profile changes or removes; it is made by
`benchmarks/make_ps315.py`. The standard lets stay what the table does not name. Here of that only what is known to be
harmless stays: no private and unknown attributes, no retired text, no long free text, no addresses.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources

# What is done for an action code of the table.
_ACTIONS = {
    "D": "dummy",
    "Z/D": "dummy",
    "X/D": "dummy",
    "X/Z/D": "dummy",
    "Z": "empty",
    "X/Z": "empty",
    "X": "remove",
    "U": "uid",
    "X/Z/U*": "references",
}

DATES = frozenset(("DA", "DT", "TM"))
NUMBERS = frozenset(("US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT", "US or SS"))
BULK = frozenset(("OB", "OW", "OD", "OF", "OL", "OV", "OB or OW", "US or OW", "US or SS or OW"))
# Text that stays where the table does not name the attribute, unless it has a trace of the patient; UC and UR of codes.
SHORT_TEXT = frozenset(("LO", "SH", "UC", "UR"))
# Free text: removed where the table does not name the attribute, except the values of codes.
LONG_TEXT = frozenset(("LT", "ST", "UT", "UC", "UR", "AE", "AS", "PN"))
_CODES = ("LongCodeValue", "URNCodeValue", "ExtendedCodeValue")

# Bulk data that stays: pixels, and what they are displayed with.
PICTURES = frozenset(
    (
        *("PixelData", "FloatPixelData", "DoubleFloatPixelData", "LUTData", "ICCProfile", "BlendingLookupTableData"),
        *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue", "Alpha")),
        *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue", "Alpha")),
    )
)

# UIDs of kinds of things, not of one thing.
KINDS = frozenset(
    (
        *("SOPClassUID", "ReferencedSOPClassUID", "RelatedGeneralSOPClassUID", "OriginalSpecializedSOPClassUID"),
        *("SOPClassesInStudy", "SOPClassesSupported", "AvailableTransferSyntaxUID", "CodingSchemeUID"),
        *("EncryptedContentTransferSyntaxUID", "MACCalculationTransferSyntaxUID"),
    )
)

# Days that many patients share, as that of a calibration: whoever knows one can compute by how much dates were moved.
# The versions of context groups are published days; the attributes that depend on them are removed too (PS3.3, 8.2).
_SHARED_DAYS = (
    *("DateOfLastCalibration", "TimeOfLastCalibration", "DateTimeOfLastCalibration", "CalibrationDate"),
    *("CalibrationTime", "CalibrationDateTime", "DateOfLastDetectorCalibration", "TimeOfLastDetectorCalibration"),
    *("DateOfGainCalibration", "TimeOfGainCalibration", "DateOfManufacture", "DateOfInstallation"),
    *("ProductExpirationDateTime", "ExpirationDateTime", "ExpiryDate"),
    *("ContextIdentifier", "ContextUID", "ContextGroupVersion", "ContextGroupExtensionFlag"),
    *("ContextGroupLocalVersion", "ContextGroupExtensionCreatorUID", "MappingResource", "MappingResourceUID"),
    *("MappingResourceName", "TemplateVersion", "TemplateLocalVersion"),
)
# Of persons or sites, and not in the table.
_PERSONAL = (
    *("PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar", "PatientAlternativeCalendar"),
    *("PatientBirthTime", "StorageMediaFileSetID", "OwnerID", "RadiationMachineName", "ContactDisplayName"),
    *("HangingProtocolCreator", "HangingProtocolUserGroupName", "AssignedLocation", "CarrierID", "BoardingPassID"),
    "ItineraryID",
)


@lru_cache(maxsize=1)
def actions() -> dict[int, str]:
    """The action for each tag that is in the table, or of which more is removed than the table asks for.

    `remove`; `empty`; `dummy`: a constant value; `uid`: a replaced UID; `references`: a sequence whose UIDs are
    replaced; `date`: moved back, whatever the table asks for.
    """
    from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

    found: dict[int, str] = {}
    with resources.files(__package__).joinpath("ps315.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            tag = int(row["tag"], 16)
            moved = dictionary_has_tag(tag) and dictionary_VR(tag) in DATES
            found[tag] = "date" if moved else _ACTIONS[row["action"]]
    for keyword in (*_SHARED_DAYS, *_PERSONAL):
        known = tag_for_keyword(keyword)
        assert known is not None, keyword
        found[known] = "remove"
    found[0x00100030] = "empty"  # PatientBirthDate: no option keeps it
    found[0x00700080] = "dummy"  # ContentLabel: a Code String that somebody has typed, and that must not be empty
    return found


def action_of(tag: int, vr: str) -> str:
    """What becomes of an attribute with this value representation: an action of `actions`, `keep` or `kind`.

    `keep`: it stays if its value has the form that its representation asks for. `kind`: a UID of a kind of things,
    as a SOP class, which stays.

    Source: DICOM PS3.15, E.3 and table E.1-1.
    """
    group, element = tag >> 16, tag & 0xFFFF
    if group & 1 or group < 0x0008 or element == 0 or group & 0xFF00 in (0x5000, 0x6000):
        return "remove"
    named = actions().get(tag)
    return _unnamed(tag, vr) if named is None else named


def _unnamed(tag: int, vr: str) -> str:
    from pydicom.datadict import dictionary_has_tag, dictionary_is_retired, dictionary_keyword, dictionary_VR

    if not dictionary_has_tag(tag) or vr == "UN":
        return "remove"
    keyword = dictionary_keyword(tag)
    known = dictionary_VR(tag)
    if vr in BULK:
        return "keep" if keyword in PICTURES else "remove"
    if vr in NUMBERS:
        return "keep"
    if vr not in known.split(" or ") or (vr != "SQ" and dictionary_is_retired(tag)):
        return "remove"
    if vr in LONG_TEXT:
        return "keep" if keyword in _CODES else "remove"
    if vr == "UI":
        return "kind" if keyword in KINDS else "uid"
    return "keep"
