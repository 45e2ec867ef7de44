"""Counts of values are those of the images that pass the filter without the column's own conditions."""

from __future__ import annotations

from typing import Any

import pytest
from filled import fill

from radretrieval.archive import exports
from radretrieval.archive.connections import Database
from radretrieval.archive.facets import COLUMNS, SECONDS, FacetCounts
from radretrieval.archive.filters import Condition, Filter, parse
from radretrieval.errors import UsageError

YEARS = "study_date>=2024-01-01", "study_date<2025-01-01"


@pytest.fixture
def filled(database: Database) -> Database:
    with database.connection() as connection:
        fill(connection, 120)
        connection.execute(
            "UPDATE image SET manufacturer = (ARRAY['50 % & Co', 'Other'])[id % 3 + 1], "
            "study_date = (ARRAY['2023-12-31', '2024-01-01', '2024-12-31', '2025-01-01'])[id % 5 + 1]::date, "
            "laterality = CASE WHEN id % 7 = 0 THEN '' WHEN id % 2 = 0 THEN 'L' END"
        )
    return database


def passing(connection: Any, where: list[Condition]) -> int:
    return len(exports.ids(connection, Filter(where=tuple(where))))


FILTERS: tuple[tuple[str, ...], ...] = (
    (),
    ("modality=CR",),
    ("body_part=CHEST", "body_part=HAND", "manufacturer=50 % & Co", "laterality="),
    ("body_part!=HAND", "modality!=", *YEARS),
    ("irma_code=1121-*", "split=train", "study_date>=2024-06-01"),
    ("patient_key=patient 3", "study_date="),
    ("modality=PT",),
)


def test_each_value_is_counted_as_its_filter_counts(filled: Database) -> None:
    for where in FILTERS:
        check([parse(one) for one in where], filled)


def check(conditions: list[Condition], filled: Database) -> None:
    found = FacetCounts().count(filled, conditions)
    with filled.connection() as connection:
        assert found.images == passing(connection, conditions)
        for column in COLUMNS:
            others = [one for one in conditions if one.column != column]
            values = found.values[column]
            assert sum(one.images for one in values) == passing(connection, others)
            assert values == sorted(values, key=lambda one: (-one.images, one.value or ""))
            for one in values:
                assert one.images == passing(connection, others + [parse(text) for text in one.where]) > 0


def test_a_filter_that_is_none_is_refused(filled: Database) -> None:
    counts = FacetCounts()
    for wrong in (["colour=red"], ["modality=CR", "modality!=DX"], ["study_date>=soon"], ["modality<CR"]):
        with pytest.raises(UsageError):
            counts.count(filled, [parse(one) for one in wrong])


def test_counts_are_read_again_after_a_while(filled: Database) -> None:
    now = [0.0]
    counts = FacetCounts(lambda: now[0])
    assert counts.count(filled, []).images == 120
    with filled.connection() as connection:
        connection.execute("DELETE FROM image WHERE id = 1")
    now[0] = SECONDS
    assert counts.count(filled, []).images == 120
    now[0] = SECONDS + 0.1
    assert counts.count(filled, []).images == 119
