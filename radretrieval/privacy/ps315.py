"""Which attributes of a data set may leave, and as what: PS3.15's table as dicom-anonymizer keeps it, and stricter.

The table (PS3.15, E.1-1, edition 2026c) names what must go; what it does not name may stay. Here stays of that only
what is known to be harmless: no private and unknown attributes, no retired text, no long free text, no addresses.
"""

from __future__ import annotations

from functools import lru_cache

TABLE = "dicomfields_2026c"
_ACTIONS = {
    "D_TAGS": "dummy",
    "Z_D_TAGS": "dummy",
    "X_D_TAGS": "dummy",
    "X_Z_D_TAGS": "dummy",
    "Z_TAGS": "empty",
    "X_Z_TAGS": "empty",
    "X_TAGS": "remove",
    "U_TAGS": "uid",
    "X_Z_U_STAR_TAGS": "references",
}

DATES = frozenset(("DA", "DT", "TM"))
NUMBERS = frozenset(("US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT", "US or SS"))
BULK = frozenset(("OB", "OW", "OD", "OF", "OL", "OV", "OB or OW", "US or OW", "US or SS or OW"))
SHORT_TEXT = frozenset(("LO", "SH"))
# What is written by people and can say anything: removed where the table does not name it, but in codes.
LONG_TEXT = frozenset(("LT", "ST", "UT", "UC", "UR", "AE", "AS", "PN"))
_CODES = ("LongCodeValue", "URNCodeValue", "ExtendedCodeValue")

# Binary values that are pictures, or what shows them.
PICTURES = frozenset(
    (
        *("PixelData", "FloatPixelData", "DoubleFloatPixelData", "LUTData", "ICCProfile", "BlendingLookupTableData"),
        *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue", "Alpha")),
        *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue", "Alpha")),
    )
)

# UIDs that name a kind of thing, not a thing.
KINDS = frozenset(
    (
        *("SOPClassUID", "ReferencedSOPClassUID", "RelatedGeneralSOPClassUID", "OriginalSpecializedSOPClassUID"),
        *("SOPClassesInStudy", "SOPClassesSupported", "AvailableTransferSyntaxUID", "CodingSchemeUID"),
        *("EncryptedContentTransferSyntaxUID", "MACCalculationTransferSyntaxUID"),
    )
)

# A day that many patients share, as that of a calibration, tells who knows it by how much dates were moved. The
# versions of context groups are published days; what belongs to them goes with them (PS3.3, 8.2).
_SHARED_DAYS = (
    *("DateOfLastCalibration", "TimeOfLastCalibration", "DateTimeOfLastCalibration", "CalibrationDate"),
    *("CalibrationTime", "CalibrationDateTime", "DateOfLastDetectorCalibration", "TimeOfLastDetectorCalibration"),
    *("DateOfGainCalibration", "TimeOfGainCalibration", "DateOfManufacture", "DateOfInstallation"),
    *("ProductExpirationDateTime", "ExpirationDateTime", "ExpiryDate"),
    *("ContextIdentifier", "ContextUID", "ContextGroupVersion", "ContextGroupExtensionFlag"),
    *("ContextGroupLocalVersion", "ContextGroupExtensionCreatorUID", "MappingResource", "MappingResourceUID"),
    *("MappingResourceName", "TemplateVersion", "TemplateLocalVersion"),
)
# Of persons, and not in the table.
_PERSONAL = (
    *("PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar", "PatientAlternativeCalendar"),
    *("PatientBirthTime", "StorageMediaFileSetID", "OwnerID", "RadiationMachineName"),
)


@lru_cache(maxsize=1)
def actions() -> dict[int, str]:
    """By tag, what the table asks for; what is not in it is not in the table.

    `remove`; `empty`; `dummy`: a value that tells nothing; `uid`: another UID; `references`: a sequence whose UIDs
    become others, so that they stay references; `date`: moved, whatever else the table asks for.
    """
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
    from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

    table = dicom_anonymization_database_selector(TABLE)
    found: dict[int, str] = {}
    for name, action in _ACTIONS.items():
        for tag in table[name]:
            if len(tag) != 2:  # a mask of curves or overlays, of which nothing stays anyway
                continue
            number = tag[0] << 16 | tag[1]
            moved = dictionary_has_tag(number) and dictionary_VR(number) in DATES
            found[number] = "date" if moved else action
    for keyword in (*_SHARED_DAYS, *_PERSONAL):
        known = tag_for_keyword(keyword)
        assert known is not None, keyword
        found[known] = "remove"
    found[0x00100030] = "empty"  # PatientBirthDate: no option keeps it
    return found


def action_of(tag: int, vr: str) -> str:
    """What becomes of an attribute with this value representation: as `actions` says, or `keep`, or `kind`.

    `keep`: as it is, if it is what it should be; `kind`: a UID that names no thing but a kind of things.

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
