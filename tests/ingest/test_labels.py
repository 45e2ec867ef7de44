"""Labels CSVs: both separators, relative paths, and every way of being wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from radretrieval.errors import InputMissing, LabelsError
from radretrieval.ingest.labels_csv import COLUMNS, read_labels


def write(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("separator", [",", ";"])
def test_both_separators_and_paths_relative_to_the_csv(tmp_path: Path, separator: str) -> None:
    text = "file,irma_code,other,split\nimages/a.png,1121127700500,x,train\n".replace(",", separator)
    labels = read_labels(write(tmp_path, "\ufeff" + text))
    found = labels.of(str(tmp_path / "images" / "a.png"))
    assert found == dict.fromkeys(COLUMNS) | {"irma_code": "1121-127-700-500", "split": "train"}
    assert set(labels.of(str(tmp_path / "b.png")).values()) == {None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'file'"),
        ("name,irma_code\na.png,1121-127-700-500\n", "no column 'file' .they have: name, irma_code."),
        ("file,colour\na.png,red\n", "name no label"),
        ("file,split\n,train\n", "line 2: the column 'file' is empty"),
        ("file,split\na.png,\x00train\xff", "labels"),
    ],
)
def test_a_csv_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(LabelsError, match=message):
        read_labels(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 3_000_000, "line 1, cannot be read .* its row has more than 1,000,000 characters"),
        ("file,split\na.png,train\nb.png," + ",x" * 1_500_000, "line 3, .* more than 1,000,000 characters"),
        ("file,split\na.png," + '"x\n",' * 300_000, "line 200001, .* more than 1,000,000 characters"),
        ("file,split\na.png," + "x" * 200_000, r"line 2, .*field larger than field limit \(131072\)"),
    ],
    ids=["header", "row", "lines", "field"],
)
def test_a_row_without_an_end_is_not_read_whole(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(LabelsError, match=message) as refused:
        read_labels(path)
    assert str(path) in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_csv_of_many_rows_may_be_long(tmp_path: Path) -> None:
    rows = ("a.png,train," + "x" * 100_000 + "\n") * 12
    assert len(read_labels(write(tmp_path, "file,split,more\n" + rows)).rows) == 1


def test_a_csv_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="do not exist"):
        read_labels(tmp_path / "none.csv")


def test_a_wrong_code_fails_its_file_only(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "file,irma_code\na.png,1121\nb.png,1121-127-700-500\n"))
    with pytest.raises(LabelsError, match=r"labels\.csv, line 2: .*1121"):
        labels.of(str(tmp_path / "a.png"))
    assert labels.of(str(tmp_path / "b.png"))["irma_code"] == "1121-127-700-500"


@pytest.mark.parametrize("value", ["a\0b", "x" * 201, "a\x1b[31m"])
def test_a_value_that_is_no_plain_text_fails_its_file_only(tmp_path: Path, value: str) -> None:
    labels = read_labels(write(tmp_path, f"file,split\na.png,{value}\nb.png,train\n"))
    with pytest.raises(LabelsError, match="line 2: split is not plain text of at most 200 characters"):
        labels.of(str(tmp_path / "a.png"))
    assert labels.of(str(tmp_path / "b.png"))["split"] == "train"


def test_two_rows_that_contradict_each_other(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "file,split\na.png,train\na.png,test\nb.png,test\nb.png,test\n"))
    with pytest.raises(LabelsError, match="another row"):
        labels.of(str(tmp_path / "a.png"))
    assert labels.of(str(tmp_path / "b.png"))["split"] == "test"
