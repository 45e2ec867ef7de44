"""Hits of many queries as CSV and Parquet: the same rows in both, and no half a file."""

from __future__ import annotations

import csv
import sys
from datetime import date
from pathlib import Path

import pytest
from pyarrow import parquet

from radretrieval.errors import UsageError
from radretrieval.results import rows as rows_module
from radretrieval.results.rows import check_hits_file, hits_file
from radretrieval.search.batch.execute import HitRow

ROWS = [
    HitRow('/a, b/ü;"1".png', None, None, 1, 2**40, "/x.png", "1121-120-942-700", 0, 4352, "exact-index", 1,
           "k", "1.2", date(2026, 1, 2), "CR", "KNEE", "AP", "L", 1, 2, 3, 4, 0.5),
    HitRow("id:7", 7, "1121-120-942-700", None, None, None, None, None, None, "exact-filter", 1),
    HitRow("id:8", 8, None, 1, 3, "/line\\nbreak.png", None, 17, 90, "hnsw", 2),
]  # fmt: skip


def test_csv_and_parquet_hold_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "GROUP", 2)
    for name in ("hits.csv", "hits.parquet"):
        with hits_file(tmp_path / name) as write:
            write(ROWS[:2])
            write([])
            write(ROWS[2:])
    with (tmp_path / "hits.csv").open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == HitRow._fields
    assert lines == [["" if cell is None else str(cell) for cell in row] for row in ROWS]
    table = parquet.read_table(tmp_path / "hits.parquet")
    assert [HitRow(**row) for row in table.to_pylist()] == ROWS
    assert str(table.schema.field("image_id").type) == "int64"
    assert str(table.schema.field("query").type) == "string"
    assert parquet.ParquetFile(tmp_path / "hits.parquet").num_row_groups == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hits.csv", "hits.parquet"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_without_a_row_there_is_an_empty_table(tmp_path: Path, ending: str) -> None:
    with hits_file(tmp_path / f"hits.{ending}"):
        pass
    if ending == "csv":
        assert (tmp_path / "hits.csv").read_text() == ",".join(HitRow._fields) + "\n"
    else:
        assert parquet.read_table(tmp_path / "hits.parquet").num_rows == 0


def fail(target: Path) -> None:
    with hits_file(target) as write:
        write(ROWS)
        raise RuntimeError


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_fails_leaves_the_old_file_as_it_was(tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"hits.{ending}"
    target.write_text("old")
    with pytest.raises(RuntimeError):
        fail(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_names_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, reason in (
        ("hits.xlsx", "let it end in .csv or .parquet"),
        ("hits", "let it end in"),
        ("none/hits.csv", "does not exist"),
        ("folder.csv", "is a folder"),
    ):
        with pytest.raises(UsageError, match=reason):
            check_hits_file(tmp_path / name)
    assert check_hits_file(tmp_path / "HITS.CSV") == tmp_path / "HITS.CSV"


def test_without_pyarrow_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'radretrieval\[parquet\]'"):
        check_hits_file(tmp_path / "hits.parquet")
    check_hits_file(tmp_path / "hits.csv")
