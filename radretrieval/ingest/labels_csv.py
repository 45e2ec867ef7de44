"""Labels: what a person knows of each file.

A labels CSV has a header (`,` or `;`), a column `file` (relative to the CSV) and any of `COLUMNS`; other columns are
ignored, and named in a problem. `radretrieval.ingest.imageclef_release` makes the same `Labels` of a published data
set.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from radretrieval.archive.schema.columns import LABELS
from radretrieval.errors import InputMissing, LabelsError, UsageError
from radretrieval.files.table_files import cell_text
from radretrieval.files.text import printable
from radretrieval.ingest.problem import Problem
from radretrieval.irma.code import normalise

if TYPE_CHECKING:
    _Reader = csv.DictReader[str]
else:  # generic from Python 3.12 on
    _Reader = csv.DictReader

# A person gives the patient's identifier; the archive keeps its pseudonym. `withdrawn` is a publisher's to say.
COLUMNS = tuple("patient_id" if name == "patient_key" else name for name in LABELS if name != "withdrawn")
LONGEST_VALUE = 200  # characters
LONGEST_ROW = 1_000_000  # characters that are read before a row ends
# What the CSV of `audit labels` has besides, for people.
OF_AUDIT = ("image_id", "suspicion", "doubted", "value", "proposed", "voters", "agreeing", "against", "value_in_words",
            "proposed_in_words", "neighbours")  # fmt: skip
OF_REPORTS = ("reported_by", "expected", "remark")
_NAMED = 20  # columns that are not read, in a message

Values = tuple[str | None, ...]  # in the order of `COLUMNS`


@dataclass(frozen=True)
class ImageFolder:
    """A folder that the labels know.

    Attributes
    ----------
    split : of all that is in it, even where no row says more.
    rows_in : the CSV in which each image of it should have a row; None where that is missing.
    """

    split: str
    rows_in: str | None


@dataclass(frozen=True)
class Labels:
    """The labels of many files.

    Attributes
    ----------
    sources : the CSV files they come from, which are not taken for radiographs.
    rows : absolute path → values in the order of `COLUMNS` (None where the CSV has none).
    wrong : absolute path → why its row cannot be used.
    no_code : absolute paths of which a row says outright that they have no IRMA code.
    folders : absolute path → what a release says of that whole folder; empty for a labels CSV.
    withdrawn : codes that their publisher took back; None where nobody said anything about that.
    problems : what was wrong with the labels themselves.
    recognised : the release that was found, in words.
    """

    sources: tuple[str, ...]
    rows: dict[str, Values] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    no_code: set[str] = field(default_factory=set)
    folders: dict[str, ImageFolder] = field(default_factory=dict)
    withdrawn: frozenset[str] | None = None
    problems: list[Problem] = field(default_factory=list)
    recognised: str | None = None

    def of(self, path: str) -> dict[str, str | None]:
        """The labels of a file, all None when nothing is said of it; raises LabelsError when its row is wrong."""
        if path in self.wrong:
            raise LabelsError(self.wrong[path])
        found = dict(zip(COLUMNS, self.rows.get(path, (None,) * len(COLUMNS)), strict=True))
        if found["split"] is None and (folder := self.folder(path)):
            found["split"] = folder.split
        return found

    def folder(self, path: str) -> ImageFolder | None:
        """The folder of `folders` that a file is in."""
        return next((known for folder, known in self.folders.items() if path.startswith(folder + os.sep)), None)

    def is_withdrawn(self, code: str | None) -> bool | None:
        """Whether that code was taken back by its publisher; None where that is not known."""
        return None if self.withdrawn is None or code is None else code in self.withdrawn


class _Lines:
    """The lines of a file, as far as a row of `LONGEST_ROW` characters goes: one without an end is not read whole.

    number : of the last line. left : characters that the row may still have.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.number, self.left = 0, LONGEST_ROW

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        text = self._stream.readline(self.left + 1)
        if not text:
            raise StopIteration
        self.number += 1
        self.left -= len(text)
        if self.left < 0:
            raise csv.Error(f"its row has more than {LONGEST_ROW:,} characters")
        return text


class _Rows(_Reader):
    """Rows, with the texts that were written as cells which are no formulas."""

    def __init__(self, lines: _Lines, delimiter: str) -> None:
        super().__init__(lines, delimiter=delimiter)
        self._lines = lines

    def __next__(self) -> dict[str | Any, str | Any]:
        self._lines.left = LONGEST_ROW
        row = super().__next__()
        return {name: cell_text(cell) if isinstance(cell, str) else cell for name, cell in row.items()}


@contextmanager
def open_rows(path: str | Path, what: str = "labels") -> Iterator[csv.DictReader[str]]:
    """The rows of a CSV with a header, `,` or `;`, in UTF-8; blanks around the names of its columns are taken off.

    `what` its rows are, for messages. Raises LabelsError, also while rows are read, when it is no such CSV.
    """
    lines = None
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            head = stream.readline(LONGEST_ROW)
            stream.seek(0)
            lines = _Lines(stream)
            reader = _Rows(lines, ";" if head.count(";") > head.count(",") else ",")
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            twice = [name for name, count in Counter(filter(None, reader.fieldnames)).items() if count > 1]
            if twice:
                raise LabelsError(f"the {what} {path} have more than one column {twice[0]!r}; leave one of them")
            yield reader
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise LabelsError(
            f"the {what} {path} cannot be read as a CSV in UTF-8: {error}; save the file again in UTF-8"
        ) from error
    except (OSError, csv.Error) as error:
        place = f", line {lines.number}," if lines is not None and isinstance(error, csv.Error) else ""
        raise LabelsError(f"the {what} {path}{place} cannot be read as a CSV in UTF-8: {error}") from error


def check_split(split: str | None) -> None:
    """Raise UsageError where `--split` is no name for a split."""
    if split is not None and (not split.strip() or len(split) > LONGEST_VALUE or split != printable(split)):
        raise UsageError(
            f"--split {printable(split)!r} is no name for a split; give it 1 to {LONGEST_VALUE} characters"
        )


def read_labels(path: Path) -> Labels:
    """Read a labels CSV.

    Raises
    ------
    InputMissing : there is no such file.
    LabelsError : it is no CSV with a column `file`, or it names no label at all.
    """
    labels = Labels((os.path.abspath(path),))
    try:
        with open_rows(path) as reader:
            names = list(reader.fieldnames or [])
            _check_header(path, names)
            labels.problems.extend(_ignored(labels.sources[0], names))
            for row in reader:
                _take(labels, row, reader.line_num)
    except FileNotFoundError:
        raise InputMissing(f"the labels {path} do not exist; --labels names a CSV file with a column 'file'") from None
    return labels


def _check_header(path: Path, names: list[str]) -> None:
    legal = f"a column 'file' and any of: {', '.join(COLUMNS)}"
    if "file" not in names:
        raise LabelsError(
            f"the labels {path} have no column 'file' (they have: {', '.join(names) or 'nothing'}); needed: {legal}"
        )
    if not set(names) & set(COLUMNS):
        raise LabelsError(f"the labels {path} name no label (they have: {', '.join(names)}); needed: {legal}")


def _ignored(source: str, names: Sequence[str]) -> list[Problem]:
    """A problem that names the columns that are not read, if there are any."""
    expected = {"file", *COLUMNS, "", *((*OF_AUDIT, *OF_REPORTS) if set(OF_AUDIT) <= set(names) else ())}
    others = [printable(name)[:40] for name in names if name not in expected]
    if not others:
        return []
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    message = f"not read: {', '.join(others[:_NAMED])}{more}; the columns that are read: file, {', '.join(COLUMNS)}"
    return [Problem(source, "ColumnIgnored", message)]


def _take(labels: Labels, row: dict[str, str | None], line: int) -> None:
    (source,) = labels.sources
    name = (row.get("file") or "").strip()
    if not name:
        raise LabelsError(f"{source}, line {line}: the column 'file' is empty; give the file's path or remove the line")
    file = os.path.abspath(os.path.join(os.path.dirname(source), name))
    odd = [
        column for column in COLUMNS if len(value := row.get(column) or "") > LONGEST_VALUE or value != printable(value)
    ]
    if odd:
        labels.wrong[file] = f"{source}, line {line}: {odd[0]} is not plain text of at most {LONGEST_VALUE} characters"
        labels.rows[file] = (None,) * len(COLUMNS)
        return
    values: list[str | None] = [(row.get(column) or "").strip() or None for column in COLUMNS]
    if values[0] is not None:
        try:
            values[0] = normalise(values[0])
        except UsageError as error:
            labels.wrong[file] = f"{source}, line {line}: {error}"
            values[0] = None
    if labels.rows.get(file, tuple(values)) != tuple(values):
        labels.wrong[file] = f"{source}, line {line}: the file has another row with different labels; keep one of them"
    labels.rows[file] = tuple(values)
