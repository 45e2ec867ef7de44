"""How many images have each value of the columns that people filter by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import connections
from radretrieval.archive.connections import Database
from radretrieval.archive.filters import Condition, Filter
from radretrieval.archive.queries import sql

VALUES = ("modality", "body_part", "view_position", "laterality", "manufacturer")
YEAR = "study_date"  # counted by year
COLUMNS = (*VALUES, YEAR)
SECONDS = 30.0  # counts are that old at most
MOST = 100  # values of a column, the most frequent ones
_KEPT = 16  # filters whose counts are kept


@dataclass(frozen=True)
class Value:
    """A value of a column: None where images have none; of `study_date` a year.

    images : how many have it. where : the conditions that ask for it, as `filters.parse` reads them.
    """

    value: str | None
    images: int
    where: tuple[str, ...]


@dataclass(frozen=True)
class Facets:
    """images : how many pass the filter. values : of each of `COLUMNS` the `MOST` most frequent, these first."""

    images: int
    values: dict[str, list[Value]]


@dataclass(frozen=True)
class _Groups:
    """Images that pass the conditions on other columns, counted by combination of the values of `COLUMNS`.

    values : of each column its different values, '' for none. places : int64 (groups, columns), places in them.
    images : int64 (groups,).
    """

    values: list[list[str]]
    places: NDArray[np.int64]
    images: NDArray[np.int64]


class FacetCounts:
    """Counts facets, and keeps what it read for `SECONDS`; threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[Condition, ...], tuple[float, _Groups]] = {}

    def count(self, database: Database, where: Sequence[Condition]) -> Facets:
        """How many images pass, and how many would with each value of each column in place of those asked for.

        Images that have no code yet are counted too.

        Raises UsageError for a condition that names no column or value.
        """
        Filter(where=tuple(where)).as_json()  # conditions that cannot stand beside one another
        tested = [one for one in where if one.column in VALUES and one.operator in ("=", "!=")]
        others = tuple(sorted((one for one in where if one not in tested), key=lambda one: one.column))
        groups = self._groups(database, others)
        passed = {column: _passed(groups, place, tested) for place, column in enumerate(VALUES)}
        counted = {}
        for place, column in enumerate(VALUES):
            kept = _all([passed[other] for other in VALUES if other != column])
            counted[column] = _values(groups, place, kept)
        # the years beside one that was asked for: without conditions on days
        beside = tuple(one for one in others if one.column != YEAR)
        of_years = groups if beside == others else self._groups(database, beside)
        kept = _all([_passed(of_years, place, tested) for place in range(len(VALUES))])
        counted[YEAR] = _values(of_years, len(VALUES), kept)
        return Facets(int(groups.images[_all(list(passed.values()))].sum()), counted)

    def _groups(self, database: Database, where: tuple[Condition, ...]) -> _Groups:
        """Under the lock: of several threads that need the same counts one reads them."""
        with self._lock:
            now = self._clock()
            kept = self._kept.get(where)
            if kept is None or now - kept[0] > SECONDS:
                self._kept = {key: one for key, one in self._kept.items() if now - one[0] <= SECONDS}
                while len(self._kept) >= _KEPT:
                    del self._kept[next(iter(self._kept))]
                kept = self._kept[where] = now, _read(database, where)
            return kept[1]


def _read(database: Database, where: tuple[Condition, ...]) -> _Groups:
    with database.connection() as connection, connections.filter_errors(connection, False):
        row = connection.execute(sql("images_filter"), {"filter": Filter(where=where).as_json()}).fetchone()
        assert row is not None
        # made of checked columns and quoted literals
        rows = connection.execute(sql("facet_groups").replace("{images}", row["images"])).fetchall()
    values: list[list[str]] = []
    places = np.empty((len(rows), len(COLUMNS)), np.int64)
    for number, column in enumerate(COLUMNS):
        known: dict[str, int] = {}
        places[:, number] = [known.setdefault(str(one[column]), len(known)) for one in rows]
        values.append(list(known))
    return _Groups(values, places, np.array([one["images"] for one in rows], np.int64))


def _passed(groups: _Groups, place: int, tested: Sequence[Condition]) -> NDArray[np.bool_]:
    """Which groups pass the conditions on one column: one of several `=`, none of the `!=`."""
    own = [one for one in tested if one.column == COLUMNS[place]]
    equal = {one.value for one in own if one.operator == "="}
    unequal = {one.value for one in own if one.operator == "!="}
    passes = [(not equal or value in equal) and value not in unequal for value in groups.values[place]]
    return np.array(passes, bool)[groups.places[:, place]]


def _all(several: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    every: NDArray[np.bool_] = np.logical_and.reduce(several)
    return every


def _values(groups: _Groups, place: int, kept: NDArray[np.bool_]) -> list[Value]:
    column, names = COLUMNS[place], groups.values[place]
    images = np.bincount(groups.places[kept, place], groups.images[kept], len(names)).astype(np.int64).tolist()
    found = [
        Value(name or None, count, _where(column, name)) for name, count in zip(names, images, strict=True) if count
    ]
    return sorted(found, key=lambda one: (-one.images, one.value or ""))[:MOST]


def _where(column: str, value: str) -> tuple[str, ...]:
    if column == YEAR and value:
        return f"{column}>={value:0>4}-01-01", f"{column}<{int(value) + 1:04}-01-01"
    return (f"{column}={value}",)
