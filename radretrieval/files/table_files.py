"""Tables as CSV or Parquet files, written row by row."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from radretrieval.errors import UsageError

_FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")
AppendRows = Callable[[Iterable[Sequence[Any]]], None]


def load_pyarrow() -> Any:
    """The module pyarrow; raises UsageError, with the way to get it, where it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise UsageError(
            "a Parquet file needs pyarrow, which is not installed; run: pip install 'radretrieval[parquet]', or "
            "write a CSV instead"
        ) from None
    return pyarrow


@contextmanager
def table_file(
    path: Path, columns: Mapping[str, str], *, parquet: bool = False, group: int = 50_000
) -> Iterator[AppendRows]:
    """Write a table to a file; the block gets a function that appends rows.

    Parameters
    ----------
    columns : the names, each with its type as pyarrow calls it (`string`, `int32`, `binary`, …).
    parquet : a Parquet file with nulls for None; else a CSV with empty cells for None, binary cells in hexadecimal, and
        texts as `no_formula` makes them.
    group : rows of a Parquet row group, which are held in memory.
    """
    with _parquet(path, columns, group) if parquet else _csv(path, columns) as append:
        yield append


@contextmanager
def _csv(path: Path, columns: Mapping[str, str]) -> Iterator[AppendRows]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(_Lines(file))
        writer.writerow(columns)

        def append(rows: Iterable[Sequence[Any]]) -> None:
            writer.writerows([_cell(cell) for cell in row] for row in rows)

        yield append


class _Lines:
    """A file whose lines end in a newline alone; csv quotes the characters of a line's end that it knows, CR too."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> None:
        self._file.write(f"{line[:-2]}\n")


def _cell(cell: Any) -> Any:
    return cell.hex() if isinstance(cell, bytes) else no_formula(cell) if isinstance(cell, str) else cell


def no_formula(text: str) -> str:
    """The text of a CSV cell that no spreadsheet takes for a formula: an apostrophe before what begins like one.

    Examples
    --------
    >>> no_formula("=1+1"), no_formula("CHEST"), no_formula("'=1")
    ("'=1+1", 'CHEST', "''=1")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def cell_text(cell: str) -> str:
    """The text that `no_formula` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


@contextmanager
def _parquet(path: Path, columns: Mapping[str, str], group: int) -> Iterator[AppendRows]:
    pyarrow = load_pyarrow()
    from pyarrow import parquet

    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in columns.items()])
    waiting: list[Sequence[Any]] = []
    with path.open("wb") as file, parquet.ParquetWriter(file, schema) as writer:

        def write() -> None:
            cells = zip(*waiting, strict=True)
            arrays = [pyarrow.array(column, kind) for column, kind in zip(cells, schema.types, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            waiting.clear()

        def append(rows: Iterable[Sequence[Any]]) -> None:
            waiting.extend(rows)
            if len(waiting) >= group:
                write()

        yield append
        if waiting:
            write()
