"""The hits of one query or of a batch as a CSV or a Parquet file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radretrieval.errors import UsageError
from radretrieval.files.output import check_output, output_file
from radretrieval.files.table_files import AppendRows, load_pyarrow, table_file
from radretrieval.files.text import printable
from radretrieval.search.batch.execute import HitRow, hit_rows
from radretrieval.search.query import QueryFile
from radretrieval.search.request import Answer

SUFFIXES = (".csv", ".parquet")
GROUP = 50_000  # rows of a row group: some 20 MB in memory
_WHAT = "list of hits"
_TYPES = {
    "query_image_id": "int64",
    "rank": "int32",
    "image_id": "int64",
    "cnnc_distance": "int32",
    "rbc_distance": "int32",
    "encoder_id": "int32",
    "study_date": "date32",
    **dict.fromkeys(("roi_x", "roi_y", "roi_width", "roi_height"), "int32"),
    "roi_score": "float64",
    "roi_found": "bool_",
    **dict.fromkeys(("probability", *(f"probability_{axis}" for axis in "tdab")), "float64"),
    "nothing_similar": "bool_",
}
COLUMNS = {name: _TYPES.get(name, "string") for name in HitRow._fields}


def check_hits_file(path: Path) -> Path:
    """The path of a file that `hits_file` can write, as far as can be told beforehand.

    Raises UsageError when its name ends otherwise, it cannot be written, or pyarrow is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path} is not a name for a {_WHAT}; let it end in {' or '.join(SUFFIXES)}")
    if suffix == ".parquet":
        load_pyarrow()
    return check_output(path, suffix, _WHAT)


@contextmanager
def hits_file(path: Path) -> Iterator[AppendRows]:
    """A function that appends rows to the file, which gets its name when the block ends without an error.

    Raises UsageError as `check_hits_file`, and when the disk is full.
    """
    target = check_hits_file(path)
    parquet = target.suffix.lower() == ".parquet"
    with output_file(target, _WHAT) as draft, table_file(draft, COLUMNS, parquet=parquet, group=GROUP) as append:
        yield append


def answer_rows(answer: Answer) -> list[HitRow]:
    """The answer to one query as the rows that a batch writes for it; a region only one query has."""
    query = answer.request.query
    if isinstance(query, int):
        name = f"id:{query}"
    else:
        name = printable(query.name if isinstance(query, QueryFile) else os.path.abspath(query))
    head = (name, answer.query_image_id, answer.query_irma_code)
    return hit_rows(head, answer.hits, answer.similarity, answer.path, answer.encoder_id)
