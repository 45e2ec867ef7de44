"""The table of PS3.15: as the standard has it, and what is stricter than it."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from pydicom.datadict import tag_for_keyword

from radretrieval.privacy import ps315
from radretrieval.privacy.ps315 import action_of, actions

TABLE = Path(ps315.__file__).with_name("ps315.csv")


def test_the_table_says_where_it_is_from() -> None:
    head = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert head[0].startswith("# DICOM PS3.15, table E.1-1, edition 2026c, ")
    assert "Copyright 2020, Kitware Europe" in "\n".join(head)


def test_each_attribute_of_the_table_has_one_action() -> None:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    tags = [row["tag"] for row in rows]
    assert tags == sorted(set(tags))
    assert Counter(row["action"] for row in rows) == COUNTS


# In edition 2026c, without the masks of curves and overlays.
COUNTS = {"X": 412, "D": 93, "U": 55, "Z": 42, "X/D": 23, "X/Z": 11, "X/Z/D": 8, "Z/D": 6, "X/Z/U*": 2}


@pytest.mark.parametrize(
    ("keyword", "vr", "action"),
    [
        ("PatientName", "PN", "empty"),
        ("PatientBirthDate", "DA", "empty"),
        ("StudyDate", "DA", "date"),
        ("InstitutionName", "LO", "dummy"),
        ("PatientAddress", "LO", "remove"),
        ("SOPInstanceUID", "UI", "uid"),
        ("ReferencedImageSequence", "SQ", "references"),
        ("SOPClassUID", "UI", "kind"),
        ("Modality", "CS", "keep"),
        ("PixelData", "OW", "keep"),
        ("DateOfLastCalibration", "DA", "remove"),  # stricter than the table
        ("PatientBirthTime", "TM", "remove"),
    ],
)
def test_actions_of_attributes(keyword: str, vr: str, action: str) -> None:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    assert action_of(tag, vr) == action


@pytest.mark.parametrize("tag", [0x00091001, 0x50000010, 0x60003000, 0x00020003, 0x00080000, 0x00189999])
def test_private_unknown_curve_and_overlay_attributes_are_removed(tag: int) -> None:
    assert action_of(tag, "LO") == "remove"


def test_the_sets_by_action() -> None:
    counted = Counter(actions().values())
    assert counted == {"remove": 356, "date": 148, "dummy": 73, "uid": 55, "empty": 43, "references": 2}
