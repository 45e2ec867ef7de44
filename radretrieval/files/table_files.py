"""Tables as CSV or Parquet files, written row by row."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from radretrieval.errors import UsageError

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
    parquet : a Parquet file with nulls for None; else a CSV with empty cells for None and binary cells in hexadecimal.
    group : rows of a Parquet row group, which are held in memory.
    """
    with _parquet(path, columns, group) if parquet else _csv(path, columns) as append:
        yield append


@contextmanager
def _csv(path: Path, columns: Mapping[str, str]) -> Iterator[AppendRows]:
    binary = "binary" in columns.values()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)

        def append(rows: Iterable[Sequence[Any]]) -> None:
            if binary:
                rows = ([cell.hex() if isinstance(cell, bytes) else cell for cell in row] for row in rows)
            writer.writerows(rows)

        yield append


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
