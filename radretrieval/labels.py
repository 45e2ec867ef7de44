"""A labels CSV: what a person knows of each file.

It has a header (`,` or `;`), a column `file` (relative to the CSV) and any of `COLUMNS`; other columns are ignored.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from radretrieval.errors import InputMissing, LabelsError, UsageError
from radretrieval.irma.code import normalise
from radretrieval.uris import printable

COLUMNS = ("irma_code", "split", "patient_id", "modality", "body_part", "view_position", "laterality")
LONGEST_VALUE = 200  # characters


@dataclass(frozen=True)
class Labels:
    """The labels of many files.

    Attributes
    ----------
    rows : absolute path → values in the order of `COLUMNS` (None where the CSV has none).
    wrong : absolute path → why its row cannot be used.
    """

    path: Path
    rows: dict[str, tuple[str | None, ...]]
    wrong: dict[str, str]

    def of(self, path: str) -> dict[str, str | None]:
        """The labels of a file, all None when it has no row; raises LabelsError when its row is wrong."""
        if path in self.wrong:
            raise LabelsError(self.wrong[path])
        return dict(zip(COLUMNS, self.rows.get(path, (None,) * len(COLUMNS)), strict=True))


def read_labels(path: Path) -> Labels:
    """Read a labels CSV.

    Raises
    ------
    InputMissing : there is no such file.
    LabelsError : it is no CSV with a column `file`, or it names no label at all.
    """
    labels = Labels(Path(os.path.abspath(path)), {}, {})
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=";" if head.count(";") > head.count(",") else ",")
            _check_header(path, [name.strip() for name in reader.fieldnames or []])
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            for row in reader:
                _take(labels, row, reader.line_num)
    except FileNotFoundError:
        raise InputMissing(f"the labels {path} do not exist; --labels names a CSV file with a column 'file'") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelsError(f"the labels {path} cannot be read as a CSV in UTF-8: {error}") from error
    return labels


def _check_header(path: Path, names: list[str]) -> None:
    legal = f"a column 'file' and any of: {', '.join(COLUMNS)}"
    if "file" not in names:
        raise LabelsError(
            f"the labels {path} have no column 'file' (they have: {', '.join(names) or 'nothing'}); needed: {legal}"
        )
    if not set(names) & set(COLUMNS):
        raise LabelsError(f"the labels {path} name no label (they have: {', '.join(names)}); needed: {legal}")


def _take(labels: Labels, row: dict[str, str | None], line: int) -> None:
    name = (row.get("file") or "").strip()
    if not name:
        raise LabelsError(
            f"{labels.path}, line {line}: the column 'file' is empty; give the file's path or remove the line"
        )
    file = os.path.abspath(os.path.join(labels.path.parent, name))
    odd = [
        column for column in COLUMNS if len(value := row.get(column) or "") > LONGEST_VALUE or value != printable(value)
    ]
    if odd:
        labels.wrong[file] = (
            f"{labels.path}, line {line}: {odd[0]} is not plain text of at most {LONGEST_VALUE} characters"
        )
        labels.rows[file] = (None,) * len(COLUMNS)
        return
    values: list[str | None] = [(row.get(column) or "").strip() or None for column in COLUMNS]
    if values[0] is not None:
        try:
            values[0] = normalise(values[0])
        except UsageError as error:
            labels.wrong[file] = f"{labels.path}, line {line}: {error}"
            values[0] = None
    if labels.rows.get(file, tuple(values)) != tuple(values):
        labels.wrong[file] = f"{labels.path}, line {line}: the file has another row with other labels; keep one of them"
    labels.rows[file] = tuple(values)
