"""The answers to many queries as a CSV or a Parquet file: written row by row, complete or not there."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from radretrieval.errors import UsageError
from radretrieval.files.output import check_output, whole
from radretrieval.files.uris import printable, shown
from radretrieval.search.batch.execute import HitRow
from radretrieval.search.request import Answer, Request

ENDINGS = (".csv", ".parquet")
GROUP = 50_000  # rows of a row group: what waits in memory, some 20 MB
_WHAT = "list of hits"
_NUMBERS = {
    "query_image_id": "int64",
    "rank": "int32",
    "image_id": "int64",
    "cnnc_distance": "int32",
    "rbc_distance": "int32",
    "encoder_id": "int32",
}  # the other columns of a Parquet file are strings


class Writer(Protocol):
    """Takes rows, in their order."""

    def __call__(self, rows: Sequence[HitRow]) -> None: ...


def check_rows(path: Path) -> Path:
    """The path of a file that `writing` can write, as far as can be told beforehand.

    Raises UsageError when its name ends otherwise, it cannot be written, or pyarrow is missing.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path} is not a name for a {_WHAT}; let it end in {' or '.join(ENDINGS)}")
    if path.suffix.lower() == ".parquet":
        _pyarrow()
    return check_output(path, path.suffix.lower(), _WHAT)


def rows_of(answer: Answer, request: Request) -> list[HitRow]:
    """The answer to one query as the rows that a batch has of it."""
    query = request.query
    name = f"id:{query}" if isinstance(query, int) else printable(os.path.abspath(query))
    head, tail = (name, answer.query_image_id, answer.query_irma_code), (answer.path, answer.encoder_id)
    return [
        HitRow(
            *(*head, hit.rank, hit.image_id, shown(hit.uri)),
            *(hit.irma_code, hit.cnnc_distance, hit.rbc_distance, *tail),
        )
        for hit in answer.hits
    ] or [HitRow(*head, None, None, None, None, None, None, *tail)]


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """What takes the rows; the file gets its name when the block ends well, and what was written goes otherwise.

    A CSV has an empty cell, a Parquet file a null where a row has None. Raises UsageError as `check_rows`, and when
    the disk is full.
    """
    target = check_rows(path)
    with whole(target, _WHAT) as draft, (_parquet if target.suffix.lower() == ".parquet" else _csv)(draft) as writer:
        yield writer


@contextmanager
def _csv(draft: Path) -> Iterator[Writer]:
    with draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HitRow._fields)
        yield writer.writerows


@contextmanager
def _parquet(draft: Path) -> Iterator[Writer]:
    pyarrow = _pyarrow()
    from pyarrow import parquet

    schema = pyarrow.schema([(name, getattr(pyarrow, _NUMBERS.get(name, "string"))()) for name in HitRow._fields])
    waiting: list[HitRow] = []
    with draft.open("wb") as file, parquet.ParquetWriter(file, schema) as writer:

        def write() -> None:
            columns = [list(column) for column in zip(*waiting, strict=True)]
            arrays = [pyarrow.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            waiting.clear()

        def take(rows: Sequence[HitRow]) -> None:
            waiting.extend(rows)
            if len(waiting) >= GROUP:
                write()

        yield take
        if waiting:
            write()


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise UsageError(
            "a .parquet file needs pyarrow, which is not installed; run: pip install 'radretrieval[parquet]', "
            "or let the name end in .csv"
        ) from None
    return pyarrow
