"""Traces of a person that are short, nested, or have the form of something else: none of them leaves."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import pytest
from planted import CR, PIXELS, Planted
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from radretrieval.export.index_file import columns_of, index_row
from radretrieval.privacy import code_strings
from radretrieval.privacy.burned_in import burned_in
from radretrieval.privacy.deidentify import DUMMY, deidentify, deidentify_file
from radretrieval.privacy.replacements import KeyedReplacements

KEYED = KeyedReplacements(b"k" * 32)
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")


def film(**header: Any) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet, ds.SOPClassUID, ds.SOPInstanceUID, ds.PatientID = "ISO_IR 192", CR, "1.2.3", "P"
    for keyword, value in header.items():
        setattr(ds, keyword, value)
    return ds


def nested(ds: Dataset, levels: int = 3) -> Dataset:
    """A film with these attributes in sequences in sequences."""
    for _ in range(levels):
        outer = Dataset()
        outer.ReferencedImageSequence = Sequence([ds])
        ds = outer
    return film(ReferencedImageSequence=ds.ReferencedImageSequence)


def values(ds: Dataset) -> Iterator[str]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from values(item)
        else:
            yield str(element.value)


# Whoever has the name, the text that has it as a word goes as a whole.
NAMES = [
    ("Ng^Li", "scanner of Ng"),
    ("Ng^Li", "LI_room 2"),
    ("Ö", "Ö, CR 2"),
    ("Ö^Åsa", "reader of åsa"),
    ("Li^Ö", "made for Ö"),
    ("O^Kim", "Room O"),
    ("Li^A=李^明", "明胸部"),
    ("Mu\u0308ller^K", "CR MÜLLER"),  # composed otherwise
    ("Müller^K", "cr-mueller-7"),
    ("Müller^K", "MULLER"),
    ("Nuñez Li^Ana", "nunez"),
    # joined, and apart
    ("O'Brien^Pat", "OBRIEN"),
    ("OBrien^Pat", "for O’Brien"),
    ("van der Berg^Jo", "VanderBerg"),
    ("Smith^John", "JohnSmith 2"),
    ("Smith^John", "smithj"),
    ("Ng^Li", "NgLi"),
    ("Ng^Li", "cr_ling"),
    ("Lüdenscheid-Müller^A", "LuedenscheidMueller"),
    # letters that do not decompose, and accents that the header lacks
    ("Sørensen^A", "SORENSEN"),
    ("Wałęsa^L", "Walesa"),
    ("Işık^A", "ISIK"),
    ("İnan^A", "INAN"),
    ("Æbel^A", "aebel"),
    ("Þórr^A", "Thorr"),
    ("Mueller^A", "for Müller"),
    ("NUNEZ^A", "Nuñez"),
    ("สมชาย^A", "ห้องสมชาย"),
]


@pytest.mark.parametrize(("name", "text"), NAMES)
@pytest.mark.parametrize("keyword", ["PatientName", "OperatorsName"])
def test_field_06_a_text_with_a_short_name_goes(name: str, text: str, keyword: str) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99LOCAL", text
    long = Dataset()
    long.LongCodeValue, long.CodingSchemeDesignator, long.CodeMeaning = f"{text} and more", "99LOCAL", "Chest"
    codes = Sequence([code, long])
    ds = film(SoftwareVersions=["1.2", text], ManufacturerModelName=text, AnatomicRegionSequence=codes)
    setattr(ds, keyword, name)
    done = deidentify(ds, KEYED)
    assert (done.SoftwareVersions, done.ManufacturerModelName) == (DUMMY, DUMMY)
    assert done.AnatomicRegionSequence[0].CodeMeaning == DUMMY
    assert done.AnatomicRegionSequence[1].LongCodeValue == DUMMY
    assert [value for value in values(done) if text in value] == []


@pytest.mark.parametrize(
    "name", ["Ng^Li", "Li^A^V^Dr^MD", "Ö^T", "Dr. O'Neil^T^^^II", "Ma^Ca", "Smith^CR", "T^Kim", "X 7^Y"]
)
def test_field_06_text_without_the_name_stays(name: str) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-D3000", "SRT", "Chest"
    kept = {
        "Manufacturer": "Linear Röntgen",
        "ManufacturerModelName": "NGX 200",
        "SoftwareVersions": ["V 1.2", "MA1", "MD II 7"],
    }
    done = deidentify(film(PatientName=name, AnatomicRegionSequence=Sequence([code]), **kept), KEYED)
    assert {keyword: done[keyword].value for keyword in kept} == kept
    assert done.AnatomicRegionSequence[0] == code, "a letter in a published code is no initial"


@pytest.mark.parametrize(
    "text",
    [
        *("of 20240131", "2024-01-31", "31.01.2024", "01/31/2024", "*12/31/1951", "A7-3"),
        *("31.1.2024", "1/31/24", "240131", "31 Jan 2024", "31JAN2024", "January 31, 2024", "31. Januar 2024"),
        *("2024_01_31", "2024 1 31", "*31.12.51", "31 déc. 1951"),
    ],
)
def test_field_06_days_and_numbers_of_the_patient_go_from_text(text: str) -> None:
    ds = film(StudyDate="20240131", PatientBirthDate="19511231", SoftwareVersions=text, PatientName="X^Y")
    ds.PatientID = "A7"
    assert deidentify(ds, KEYED).SoftwareVersions == DUMMY


NUMBERS = (
    *("PatientID", "OtherPatientIDs", "AccessionNumber", "DeviceSerialNumber", "StudyID", "AdmissionID"),
    *("InsurancePlanIdentification", "PatientTelephoneNumbers", "IssuerOfPatientID", "MedicalRecordLocator"),
)


@pytest.mark.parametrize("keyword", NUMBERS)
def test_field_06_numbers_go_wherever_they_stand(keyword: str) -> None:
    """Four characters anywhere in a text, nested or not; two or three of a patient's number as a word."""
    for number, text, goes in (
        ("Zx81", "unit-zX81b", True),
        ("Zx8", "unit zX8", keyword in ("PatientID", "OtherPatientIDs", "MedicalRecordLocator")),
        ("Zx8", "unit zX8b", False),
        ("Z", "unit z", False),
    ):
        inner = film()
        setattr(inner, keyword, number)
        outer = nested(inner)
        outer.SoftwareVersions = text
        assert deidentify(outer, KEYED).SoftwareVersions == (DUMMY if goes else text), (number, text)


@pytest.mark.parametrize(
    ("number", "text"),
    [("A-7", "room A-7"), ("12 34", "x1234"), ("123456", "12-34-56"), ("12-34-56", "123456"), ("0004711", "of 4711")],
)
def test_field_06_numbers_go_in_any_writing(number: str, text: str) -> None:
    ds = film(SoftwareVersions=text)
    ds.PatientID = number
    assert deidentify(ds, KEYED).SoftwareVersions == DUMMY


def test_field_06_codes_that_look_like_a_day_stay() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "121058", "DCM", "Procedure reported"
    ds = film(PatientBirthDate="19581012", SoftwareVersions="V 12.1.8", AnatomicRegionSequence=Sequence([code]))
    done = deidentify(ds, KEYED)
    assert (done.AnatomicRegionSequence[0], done.SoftwareVersions) == (code, "V 12.1.8")


def test_field_06_numbers_in_uids_of_kinds_and_in_series_numbers_go() -> None:
    inner = film(ReferencedSOPClassUID="1.2.276.4711.1", CodingSchemeUID="1.2.99471123.1", SeriesNumber=2024013107)
    inner.PatientID, inner.StudyDate, inner.OtherPatientIDs = "4711", "20240131", "9471123"
    inner.RelatedGeneralSOPClassUID = "1.2.276.47115.1"
    for done in (deidentify(inner, KEYED), _innermost(deidentify(nested(inner), KEYED))):
        assert done.ReferencedSOPClassUID == KEYED.uid("1.2.276.4711.1")
        assert done.CodingSchemeUID == KEYED.uid("1.2.99471123.1")
        assert (done.SOPClassUID, done.RelatedGeneralSOPClassUID) == (CR, "1.2.276.47115.1")
        assert done.SeriesNumber is None


def test_field_06_text_that_stands_as_a_number_or_behind_the_pixels_goes() -> None:
    planted = Planted()
    planted.ds.add_new("PixelSpacing", "DS", ["0.1", "0.1"])
    planted.ds.add_new("ImagerPixelSpacing", "DS", ["1.5", "1.5"])
    planted.ds.add_new("AcquisitionNumber", "IS", "1234567")
    pixels = np.append(PIXELS, np.frombuffer(b"TRAILING", np.uint16)).reshape(1, -1)
    data = planted.file("explicit", pixels).replace(b"1.5\\1.5", b"NG\\LI  ").replace(b"1234567 ", b"MUELLER ")
    assert all(text in data for text in (b"TRAILING", b"NG\\LI", b"MUELLER"))
    done = deidentify_file(data, KEYED, "someone", 10**8).data
    assert not any(text in done for text in (b"TRAILING", b"NG\\LI", b"MUELLER"))
    ds = dcmread(io.BytesIO(done))
    assert (ds.PixelData, ds.PixelSpacing) == (PIXELS.tobytes(), [0.1, 0.1])


def test_field_06_what_is_said_of_burned_in_text_is_clear_and_names_nobody() -> None:
    for said in ("Y", "TRUE", "JA"):
        assert "neither YES nor NO" in str(burned_in(film(BurnedInAnnotation=said)))
    assert burned_in(film(BurnedInAnnotation="NO")) is burned_in(film(BurnedInAnnotation="")) is None
    assert "recognised" in str(burned_in(film(RecognizableVisualFeatures="YES")))
    capture = film(Modality="MUELLER")
    capture.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    assert "secondary capture" in str(burned_in(capture))
    assert "MUELLER" not in str(burned_in(capture))


def test_field_06_a_name_of_before_is_a_name() -> None:
    before = nested(film(PatientName="Ng^Ina"))
    before.ManufacturerModelName, before.PatientName = "for Ng", "Meier^Ina"
    assert deidentify(before, KEYED).ManufacturerModelName == DUMMY


def test_field_06_code_strings_stay_where_they_are_terms() -> None:
    sound = {
        "ImageType": ["DERIVED", "PRIMARY", "", "AXIAL"],
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientOrientation": ["L", "FP"],
        "PhotometricInterpretation": "monochrome2 ",
        "PresentationIntentType": "FOR PRESENTATION",
        "BurnedInAnnotation": "NO",
        "CassetteSize": "35CMX43CM",
        "FilterMaterial": ["ALUMINUM", "COPPER"],
        "LossyImageCompression": "00",
    }
    for done in (deidentify(film(**sound), KEYED), _innermost(deidentify(nested(film(**sound)), KEYED))):
        assert {keyword: done[keyword].value for keyword in sound} == sound


NAME_LIKE = (
    "BodyPartExamined",
    "ViewPosition",
    "Modality",
    "PatientPosition",
    "ScanOptions",
    "Laterality",
    "FilmSizeID",
)


@pytest.mark.parametrize("value", ["MUELLER", "NG", "ANNA_HUBER 1951", "mueller", "LEFT MUELLER"])
def test_field_06_code_strings_that_are_no_terms_go(value: str) -> None:
    planted = film(
        **dict.fromkeys(NAME_LIKE, value),
        ImageType=["ORIGINAL", value, "AXIAL"],
        PhotometricInterpretation=value,
        PatientOrientation=["L", value],
        ContentLabel=value,
    )
    for done in (deidentify(planted, KEYED), _innermost(deidentify(nested(planted), KEYED))):
        assert [keyword for keyword in NAME_LIKE if done[keyword].value] == []
        assert list(done.ImageType) == ["ORIGINAL", "", "AXIAL"], "each in its place"
        assert list(done.PatientOrientation) == ["L", ""]
        assert not done.PhotometricInterpretation
        assert done.ContentLabel == DUMMY, "it must not be empty"
        assert [text for text in values(done) if value in text] == []


def _innermost(ds: Dataset) -> Dataset:
    while "ReferencedImageSequence" in ds:
        ds = ds.ReferencedImageSequence[0]
    return ds


def test_the_terms_have_the_form_of_code_strings_each_once() -> None:
    from importlib import resources

    text = resources.files("radretrieval.privacy").joinpath("code_strings.txt").read_text(encoding="utf-8")
    rows = csv.reader((line for line in text.splitlines() if not line.startswith("#")), skipinitialspace=True)
    listed = [term for row in rows for term in row]
    assert len(listed) == len(set(listed)) == len(code_strings.terms()) > 900
    assert [term for term in listed if not re.fullmatch(r"[A-Z0-9_][A-Z0-9_ ]{0,15}", term)] == []


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_field_06_a_birth_date_is_emptied_at_any_depth_and_other_days_move(levels: int) -> None:
    ds = film(PatientBirthDate="19511231", StudyDate="20240131", AcquisitionDateTime="20240201101112")
    done = _innermost(deidentify(nested(ds, levels) if levels else ds, KEYED, "someone"))
    shift = KEYED.days("someone")
    assert not done.PatientBirthDate
    assert done.StudyDate == f"{date.fromordinal(date(2024, 1, 31).toordinal() - shift):%Y%m%d}"
    assert done.AcquisitionDateTime == f"{date.fromordinal(date(2024, 2, 1).toordinal() - shift):%Y%m%d}101112"


def test_field_06_each_patient_has_a_shift_of_days_of_its_own() -> None:
    """From a day that one patient shares with another nothing follows: 300 patients, and nearly 300 shifts."""
    shifts = set()
    for number in range(300):
        ds = film(StudyDate="20240131")
        ds.PatientID = f"P{number}"
        shifts.add(deidentify(ds, KEYED).StudyDate)
    assert len(shifts) > 270
    other = KeyedReplacements(b"l" * 32)
    assert sum(KEYED.days(str(n)) == other.days(str(n)) for n in range(300)) < 10, "nor the same under another key"


def test_field_06_an_export_keeps_patients_apart() -> None:
    """By pseudonym; by study or file where no patient is known."""
    nobody = dict.fromkeys(columns_of(KEYED)) | {"sha256": b"1", "study_date": date(2024, 1, 31)}
    rows = [
        nobody | {"patient_key": "0" * 32},
        nobody | {"patient_key": "1" * 32},
        nobody | {"study_instance_uid": "1.2"},
        nobody | {"study_instance_uid": "1.3"},
        nobody,
        nobody | {"sha256": b"2"},
    ]
    shown = [index_row(row, "", KEYED) for row in rows]
    assert len({row["study_date"] for row in shown}) == len(rows)
    assert shown[0]["patient_key"] not in (None, "0" * 32, shown[1]["patient_key"])
    same = rows[0] | {"sha256": b"3", "study_instance_uid": "1.4"}
    assert index_row(same, "", KEYED)["study_date"] == shown[0]["study_date"]


def test_file_and_index_of_an_export_have_the_same_shift() -> None:
    planted = Planted()
    row = dict.fromkeys(columns_of(KEYED)) | {"patient_key": "0" * 32, "study_date": date(2024, 1, 31)}
    done = deidentify_file(planted.file("explicit"), KEYED, f"patient {row['patient_key']}", 10**8)
    shown = index_row(row, "", KEYED)
    assert f"{shown['study_date']:%Y%m%d}" == dcmread(io.BytesIO(done.data)).StudyDate
    assert shown["patient_key"] == dcmread(io.BytesIO(done.data)).PatientID


def test_field_06_the_index_has_terms_only() -> None:
    row = dict.fromkeys(columns_of(KEYED)) | {
        "modality": "CR",
        "body_part": "chest",
        "laterality": "L",
        "study_instance_uid": "1",
        "manufacturer": "ACME for Ng",
        "sop_class_uid": CR,
        "transfer_syntax_uid": "1.2.99471123.1",
    }
    assert index_row(row, "", KEYED)["body_part"] == "chest"
    assert index_row(row, "", KEYED)["sop_class_uid"] == CR
    assert index_row(row, "", KEYED)["transfer_syntax_uid"] is None, "of no standard"
    assert index_row(row, "", KEYED)["manufacturer"] is None, "free text, and the archive knows no names"
    told = index_row(row | {"modality": "NG", "body_part": "MUELLER", "view_position": "for Li"}, "", KEYED)
    assert (told["modality"], told["body_part"], told["view_position"], told["laterality"]) == (None, None, None, "L")


def test_each_purpose_has_a_sub_key_of_its_own() -> None:
    """Files of all exports with one key stay linked: what each purpose gives is written down here, and differs."""
    assert KEYED.uid("1.2.3") == "2.25.252767426650191949535070859461562712375"
    assert KEYED.pseudonym("1.2.3") == "fc46a698c2f4e2201c55b3c04b54154c"
    assert KEYED.name("1.2.3") == "9fc1b25eeff891ab3669f012fba76953"
    assert (KEYED.days("1.2.3"), KEYED.fingerprint()) == (907, "2005c33a566207c1")
