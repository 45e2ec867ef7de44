"""The queries of a batch: a folder, a CSV, or the whole archive; each is read lazily, in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from radretrieval.errors import InputMissing, LabelsError, UsageError
from radretrieval.files.text import printable
from radretrieval.files.walk import is_beside_images, walk
from radretrieval.ingest.labels_csv import open_rows

COLUMNS = ("file", "image_id", "id")  # of a CSV; the first of them that it has is taken


@dataclass(frozen=True)
class BatchQuery:
    """One query of a batch.

    Attributes
    ----------
    name : the query in output and messages: the path, id:N, or the line of the CSV.
    target : a file by its absolute path, an image by its id, or the error of a row that names neither.
    """

    name: str
    target: str | int | UsageError


class QuerySource(Protocol):
    """The queries, read anew by each call; `pass_over` is called for each file of a folder that is known to be none."""

    def __call__(self, pass_over: Callable[[], None] = ...) -> Iterator[BatchQuery]: ...


def query_source(path: Path, leave_out: Path | None = None) -> QuerySource:
    """The queries that a folder holds or a CSV names; each call of the source reads them anew.

    Parameters
    ----------
    path : a folder: every file in it and below, in the order of their names, but those that `ingest` passes over too
        (`labels.csv`, `DICOMDIR`, …). A CSV with a column `file` (relative to
        the CSV), `image_id` or `id`: its rows, in their order.
    leave_out : a file of the folder that is no query: the output of an earlier run.

    Raises
    ------
    InputMissing : there is no such folder or file. LabelsError : it is no such CSV. UsageError : it holds no query.
    """
    if not os.path.exists(path):
        raise InputMissing(f"{path} does not exist; --batch names a folder of radiographs or a CSV of queries")
    skip = frozenset() if leave_out is None else frozenset({os.path.abspath(leave_out)})
    folder = os.path.isdir(path)

    def source(pass_over: Callable[[], None] = lambda: None) -> Iterator[BatchQuery]:
        return _files(path, skip, pass_over) if folder else _rows(path)

    if next(source(), None) is None:
        nothing = "there is no file in it that may be an image" if folder else "it has no row"
        raise UsageError(f"{path} holds no query: {nothing}")
    return source


def _files(folder: Path, skip: frozenset[str], pass_over: Callable[[], None]) -> Iterator[BatchQuery]:
    for path in walk([folder], skip):
        if is_beside_images(path):
            pass_over()
        else:
            yield batch_query(path)


def _rows(path: Path) -> Iterator[BatchQuery]:
    with open_rows(path, "queries") as reader:
        names = list(reader.fieldnames or [])
        column = next((name for name in COLUMNS if name in names), None)
        if column is None:
            there = printable(", ".join(names)) or "nothing"
            raise LabelsError(
                f"the queries {printable(str(path))} have no column {', '.join(COLUMNS)} (they have: {there}); --batch "
                "takes a CSV with one of them, or a folder of radiographs"
            )
        for row in reader:
            yield _of_row(path, column, (row.get(column) or "").strip(), reader.line_num)


def _of_row(path: Path, column: str, value: str, line: int) -> BatchQuery:
    if column == "file" and value:
        return batch_query(os.path.join(os.path.dirname(os.path.abspath(path)), value))
    digits = value.removeprefix("id:")
    if digits.isascii() and digits.isdecimal() and len(digits) < 24:
        return batch_query(int(digits))
    problem = f"holds {printable(value)!r}, which is no id of an image" if value else "is empty"
    name = f"{printable(str(path))}, line {line}"
    return BatchQuery(name, UsageError(f"its column {column!r} {problem}; correct the line or remove it"))


def batch_query(query: str | os.PathLike[str] | int) -> BatchQuery:
    """A file, or an image of the archive by its id, as a query."""
    if isinstance(query, int):
        return BatchQuery(f"id:{query}", query)
    path = os.path.abspath(query)
    return BatchQuery(printable(path), path)
