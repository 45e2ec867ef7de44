"""Tables as files: what a CSV holds, and that no cell of it is a formula."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radretrieval.files.table_files import cell_text, no_formula, table_file
from radretrieval.ingest.labels_csv import open_rows

BEGINS = "=+-@＝＋－＠\t\r\n"  # those of full width count as the others in spreadsheets


def written(path: Path, *cells: object) -> list[str]:
    with table_file(path, dict.fromkeys((f"c{i}" for i in range(len(cells))), "string")) as append:
        append([cells])
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1]


@pytest.mark.parametrize("begin", list(BEGINS))
def test_no_cell_is_a_formula(tmp_path: Path, begin: str) -> None:
    text = f"{begin}HYPERLINK(A1)"
    assert written(tmp_path / "t.csv", text, "CHEST", "") == [f"'{text}", "CHEST", ""]


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    assert written(tmp_path / "t.csv", -5, -0.25, None, b"\x01\xff") == ["-5", "-0.25", "", "01ff"]


@given(st.one_of(st.text(), st.text(alphabet=BEGINS + "'a")))
def test_a_cell_has_its_text(text: str) -> None:
    assert cell_text(no_formula(text)) == text
    assert not no_formula(text).startswith(tuple(BEGINS))


def test_labels_have_the_texts_that_were_written(tmp_path: Path) -> None:
    with table_file(tmp_path / "t.csv", {"file": "string", "body_part": "string"}) as append:
        append([("-1.png", "@HAND"), ("'=2.png", "CHEST")])
    with open_rows(tmp_path / "t.csv") as rows:
        assert [(row["file"], row["body_part"]) for row in rows] == [("-1.png", "@HAND"), ("'=2.png", "CHEST")]
