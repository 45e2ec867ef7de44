"""Nothing that was planted leaves, in any transfer syntax; what leaves is as valid as before, linked and in order."""

from __future__ import annotations

import io
import subprocess
import zlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted import CR, PIXELS, SYNTAXES, Planted
from programs import needs_program
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from radretrieval.privacy.burned_in import burned_in
from radretrieval.privacy.deidentify import deidentify, deidentify_file
from radretrieval.privacy.ps315 import actions
from radretrieval.privacy.replacements import KeyedReplacements

KEYED = KeyedReplacements(b"k" * 32)
MOST = 10**8


def _bytes(data: bytes, syntax: str) -> bytes:
    """The bytes of a file, inflated where they are deflated."""
    if syntax != "deflated":
        return data
    length = int.from_bytes(data[140:144], "little")
    start = 144 + length
    return data[:start] + zlib.decompress(data[start:], -zlib.MAX_WBITS)


def _values(ds: Dataset) -> Iterator[str]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from _values(item)
        elif element.keyword != "PixelData":
            yield str(element.value)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_of_all_that_was_planted_nothing_is_left(syntax: str) -> None:
    planted = Planted()
    data = planted.file(syntax)
    assert len(planted.tokens) >= 35
    there = _bytes(data, syntax)
    assert [token for token in planted.tokens if token.encode() not in there] == []
    done = deidentify_file(data, KEYED, None, MOST)
    raw = _bytes(done.data, syntax)
    folded = raw.lower()
    assert [token for token in planted.tokens if token.encode() in raw or token.lower().encode() in folded] == []
    assert b"LEAK" not in raw
    ds = dcmread(io.BytesIO(done.data))
    assert [t for t in planted.tokens if any(t.casefold() in value.casefold() for value in _values(ds))] == []
    assert ds.file_meta.TransferSyntaxUID == SYNTAXES[syntax]
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID == done.sop_instance_uid
    assert ds["PixelData"].value == dcmread(io.BytesIO(data))["PixelData"].value
    assert np.array_equal(ds.pixel_array, PIXELS)
    assert not any(tag.group & 1 or tag.group >> 8 in (0x50, 0x60) for tag in ds.keys())  # noqa: SIM118


def test_it_says_what_was_done_and_keeps_what_is_no_secret() -> None:
    planted = Planted()
    ds = deidentify(planted.ds, KEYED)
    assert ds.PatientIdentityRemoved == "YES"
    assert [code.CodeValue for code in ds.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert ds.LongitudinalTemporalInformationModified == "MODIFIED"
    assert ds.PatientName == ds.PatientID == KEYED.pseudonym(f"PatientID {planted.ds.PatientID}")
    assert ds.PatientBirthDate == ""
    assert (ds.Modality, ds.BodyPartExamined, ds.ViewPosition, ds.Manufacturer) == ("CR", "CHEST", "PA", "ACME")
    (image,) = ds.ReferencedImageSequence
    old = planted.ds.ReferencedImageSequence[0]
    assert image.ReferencedSOPInstanceUID == KEYED.uid(old.ReferencedSOPInstanceUID)
    assert image.ReferencedSOPClassUID == CR
    assert image.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Localizer"
    days = [_day(ds[k].value) for k in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")]
    assert [(day - days[0]).days for day in days] == [0, 1, 2, 3]
    assert str(ds.AcquisitionDateTime)[:8] == ds.AcquisitionDate
    assert str(ds.AcquisitionDateTime)[8:] == "101112.500000+0100"
    assert ds.StudyTime == "101112.5"
    assert "DateOfLastCalibration" not in ds  # a day that others share would tell by how much


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


def test_the_given_data_set_stays_as_it_is() -> None:
    planted = Planted()
    before = planted.ds.to_json()
    deidentify(planted.ds, KEYED)
    assert planted.ds.to_json() == before


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_it_is_as_valid_as_before(syntax: str, tmp_path: Path) -> None:
    needs_program("dciodvfy")
    data = Planted().file(syntax)
    assert _errors(deidentify_file(data, KEYED, None, MOST).data, tmp_path) - _errors(data, tmp_path) == set()


def test_real_files_are_as_valid_as_before_and_show_the_same(shared: Path, tmp_path: Path) -> None:
    needs_program("dciodvfy")
    from radretrieval.imaging.reader import decode_image

    files = [p for p in sorted((shared / "data" / "dicom" / "valid").glob("*.dcm")) if p.stat().st_size < 1_000_000]
    assert len(files) > 15
    for path in files:
        data = path.read_bytes()
        done = deidentify_file(data, KEYED, None, MOST)
        new = _errors(done.data, tmp_path) - _errors(data, tmp_path)
        assert new == set(), path.name
        if "liver" not in path.name:  # a segmentation
            first, second = decode_image(data), decode_image(done.data)
            assert first.pixels_sha256 == second.pixels_sha256, path.name
            assert np.array_equal(first.pixels, second.pixels), path.name


def _errors(data: bytes, folder: Path) -> set[str]:
    """dciodvfy's errors, without the values that they quote; it does not inflate, so that is done for it."""
    (folder / "a.dcm").write_bytes(data)
    ds = dcmread(folder / "a.dcm", force=True)
    if ds.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(folder / "a.dcm")
    done = subprocess.run(["dciodvfy", folder / "a.dcm"], capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return {line.split(" <")[0] for line in lines if line.startswith("Error")}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({}, None),
        ({"BurnedInAnnotation": "NO"}, None),
        ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation YES"),
        ({"BurnedInAnnotation": "NO", "Modality": "US"}, "often show names"),
        ({"BurnedInAnnotation": "NO", "Modality": "OT"}, "often show names"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "often show names"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.2", "Modality": "RF"}, "no BurnedInAnnotation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.2", "Modality": "RF", "BurnedInAnnotation": "NO"}, None),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "SCREEN SAVE"),
    ],
)
def test_text_in_the_pixels_is_feared_where_it_must_be(header: dict[str, Any], reason: str | None) -> None:
    ds = Dataset()
    ds.SOPClassUID, ds.Modality = CR, "DX"
    for keyword, value in header.items():
        setattr(ds, keyword, value)
    found = burned_in(ds)
    assert found is None if reason is None else reason in (found or "")


def test_an_overlay_in_the_pixels_own_bits_is_feared() -> None:
    ds = Dataset()
    ds.SOPClassUID = CR
    ds.add_new(0x60000102, "US", 12)
    assert "unused bits" in (burned_in(ds) or "")


# Where identifiers are: attributes of the table by kind of value, a text or a UID.
_TEXTS = sorted(
    tag for tag, action in actions().items() if action in ("remove", "empty", "dummy") and tag >> 16 not in (2, 0x5000)
)


def _text_tags() -> list[tuple[int, str]]:
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    return [
        (tag, dictionary_VR(tag))
        for tag in _TEXTS
        if dictionary_has_tag(tag) and dictionary_VR(tag) in ("LO", "SH", "PN", "LT", "ST", "UT", "UC")
    ]


NUMBER = st.integers(0, 10**9)
TEXT_TAGS = _text_tags()


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 0) -> tuple[Dataset, list[str]]:
    """A data set, nested at random, and the tokens in it."""
    ds, tokens = Dataset(), []
    for tag, vr in draw(st.lists(st.sampled_from(TEXT_TAGS), max_size=5, unique=True)):
        tokens.append(f"TOK{draw(NUMBER)}E")
        ds.add_new(tag, vr, tokens[-1])
    if draw(st.booleans()):
        tokens.append(f"TOK{draw(NUMBER)}E")
        ds.private_block(draw(st.sampled_from([0x11, 0x29])), "TOKENS", create=True).add_new(1, "LO", tokens[-1])
    if draw(st.booleans()):
        tokens.append(f"1.2.3.{draw(NUMBER)}.99887766")
        ds.ReferencedSOPInstanceUID = tokens[-1]
    if draw(st.booleans()):
        tokens.append(f"TOK{draw(NUMBER)}E")
        ds.EvaluatorName = tokens[-1]
    if draw(st.booleans()):
        day = draw(st.dates(date(1900, 1, 1), date(2030, 1, 1)))
        ds.add_new(draw(st.sampled_from([0x00080021, 0x00080022, 0x00181078 - 0x66])), "DA", day.strftime("%Y%m%d"))
    if depth < 3:
        keyword = st.sampled_from(
            ["ReferencedImageSequence", "AnatomicRegionSequence", "ContentSequence", "ViewCodeSequence"]
        )
        for one in draw(st.lists(keyword, max_size=2, unique=True)):
            items = [draw(data_sets(depth + 1)) for _ in range(draw(st.integers(1, 2)))]
            setattr(ds, one, Sequence([item for item, _ in items]))
            tokens += [token for _, more in items for token in more]
    return ds, tokens


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data_sets(), st.integers(0, 3))
def test_no_token_survives_wherever_it_is(drawn: tuple[Dataset, list[str]], patient: int) -> None:
    ds, tokens = drawn
    ds.PatientID = f"PATIENT{patient}"
    result = deidentify(ds, KEYED)
    assert [t for t in tokens if any(t in value for value in _values(result))] == []
    assert result == deidentify(ds, KeyedReplacements(b"k" * 32))
    other = deidentify(ds, KeyedReplacements(b"l" * 32))
    assert other.PatientID != result.PatientID


@given(st.lists(st.dates(date(1900, 1, 1), date(2030, 1, 1)), min_size=2, max_size=6), st.text(max_size=20))
def test_the_days_of_one_patient_keep_their_distances(days: list[date], patient: str) -> None:
    moved = [KEYED.date(patient, day) for day in days]
    assert [_day(KEYED.dicom_date(patient, day.strftime("%Y%m%d"))) for day in days] == moved
    assert len({(day - new).days for day, new in zip(days, moved, strict=True) if new is not None}) == 1
    assert all(new is not None and 1 <= (day - new).days <= 3650 for day, new in zip(days, moved, strict=True))


@given(st.lists(st.from_regex(r"[12](\.(0|[1-9][0-9]{0,9})){1,5}", fullmatch=True), min_size=1, max_size=8))
def test_uids_are_legal_one_for_one_and_the_same_everywhere(old: list[str]) -> None:
    new = [KEYED.uid(uid) for uid in old]
    assert len({*new}) == len({*old})
    assert all(len(uid) <= 64 and uid.startswith("2.25.") and uid[5] != "0" for uid in new)
    assert new == [KeyedReplacements(b"k" * 32).uid(uid) for uid in old]
    assert not {*new} & {*old}


@pytest.mark.parametrize("text", ["", "1999", "2024013", "20241301", "DOE^JOHN", "00010101", "2024.01.31x"])
def test_what_is_no_date_is_emptied(text: str) -> None:
    assert KEYED.dicom_date("p", text) == ""
