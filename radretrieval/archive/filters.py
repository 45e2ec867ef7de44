"""Filters of candidates, as the function radretrieval.cnnc_nearest takes them; it checks the columns."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from radretrieval.errors import UsageError
from radretrieval.files.text import printable

ONE_PER = ("patient", "study")
_OPERATORS = re.compile(r"([^=!<>]+?)\s*(!=|>=|<|=)(.*)", re.DOTALL)
# Members of a filter that are no columns, and what gives them instead
_NO_COLUMNS = {
    "not_patient": "patient_key!=KEY, or --exclude-same-patient",
    "one_per": "--one-per patient or --one-per study",
    "max_distance": "--max-distance BITS",
    "sql": "--where-sql SQL of the command line",
}
_RANGE = {">=": "from", "<": "before"}


@dataclass(frozen=True)
class Condition:
    """One condition on a column of `image`: `operator` is =, !=, >= or <."""

    column: str
    operator: str
    value: str


@dataclass(frozen=True)
class Filter:
    """Conditions on candidates.

    Attributes
    ----------
    where : conditions that all hold, but that of several `=` on one column one is enough, and of several `!=` none may
        be violated. An empty value is no value; a value of irma_code may be a pattern, as 1121-*.
    sql : a condition of the user's own, on image i, for those who may.
    not_images : these are left out. not_patient : so is everything of this patient.
    one_per : `patient` or `study`: of each only the nearest.
    max_distance : Hamming distance that is not exceeded.
    """

    where: tuple[Condition, ...] = ()
    sql: str | None = None
    not_images: tuple[int, ...] = ()
    not_patient: str | None = None
    one_per: str | None = None
    max_distance: int | None = None

    @property
    def narrows(self) -> bool:
        """Whether it leaves out anything but single images."""
        return bool(self.where or self.sql or self.not_patient is not None or self.one_per) or (
            self.max_distance is not None
        )

    def as_json(self) -> str:
        """The filter as JSON for cnnc_nearest; raises UsageError for conditions that are no filter."""
        document: dict[str, Any] = {}
        for column in dict.fromkeys(condition.column for condition in self.where):
            if column in _NO_COLUMNS:
                raise UsageError(f"--where {column}: this is no column of image; use {_NO_COLUMNS[column]}")
            document[column] = _of_column([c for c in self.where if c.column == column])
        left_out = document.get("not_image", [])
        others = {
            "sql": self.sql,
            "not_image": [*self.not_images, *(left_out if isinstance(left_out, list) else [left_out])] or None,
            "not_patient": self.not_patient,
            "one_per": self.one_per,
            "max_distance": self.max_distance,
        }
        return json.dumps(document | {name: value for name, value in others.items() if value is not None})


def _of_column(conditions: list[Condition]) -> Any:
    equal = [c.value for c in conditions if c.operator == "="]
    bounds: dict[str, Any] = {_RANGE[c.operator]: c.value for c in conditions if c.operator in _RANGE}
    if unequal := [c.value for c in conditions if c.operator == "!="]:
        bounds["not"] = unequal
    if equal and bounds:
        raise UsageError(f"--where {conditions[0].column}: = cannot stand beside !=, >= or < on one column")
    return bounds or equal


def parse(text: str) -> Condition:
    """A condition as people write it: COLUMN=VALUE, COLUMN!=VALUE, COLUMN>=VALUE or COLUMN<VALUE.

    Raises UsageError for anything else.
    """
    found = _OPERATORS.fullmatch(text)
    if found is None:
        raise UsageError(
            f"--where {printable(text)!r} is not of the form COLUMN=VALUE, as in --where modality=CR; operators are "
            "=, !=, >= and <"
        )
    column, operator, value = found[1].strip(), found[2], found[3]
    if value != printable(value):
        raise UsageError(
            f"--where {column}{operator}{printable(value)}: no image has such a value, it is not plain text"
        )
    return Condition(column, operator, value)
