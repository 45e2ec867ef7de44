"""Which days a pull asks for."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radretrieval.archive.pull_state import Mark
from radretrieval.dicom.pull.query import (
    FIRST,
    GROWING_DAYS,
    PullQuery,
    date_windows,
    parse_date_or_duration,
    parse_filters,
)
from radretrieval.errors import UsageError

TODAY = date(2026, 11, 25)
DAYS = st.dates(date(2020, 1, 1), date(2030, 1, 1))


@given(start=DAYS, until=st.none() | DAYS, days=st.lists(st.integers(1, 4000), min_size=1, max_size=5), asked=DAYS)
def test_windows_cover_each_day_once(start: date, until: date | None, days: list[int], asked: date) -> None:
    lengths = itertools.cycle([*days, 100])
    found = list(date_windows(start, until, TODAY, lambda: next(lengths)))
    covering = [(a, b) for a, b in found if (a is None or a <= asked) and (b is None or asked <= b)]
    assert len(covering) == (start <= asked and (until is None or asked <= until))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", (date(2026, 1, 31), False)),
        ("20260131", (date(2026, 1, 31), False)),
        ("30d", (TODAY - timedelta(30), True)),
        ("36h", (TODAY - timedelta(2), True)),
        ("2w", (TODAY - timedelta(14), True)),
        ("99999y", (FIRST, True)),
        ("0001-01-01", (FIRST, False)),
        ("2026-11-26", (date(2026, 11, 26), False)),  # today, east of here
    ],
)
def test_dates_and_durations(text: str, expected: tuple[date, bool]) -> None:
    assert parse_date_or_duration(text, TODAY, "--since") == expected


@pytest.mark.parametrize("text", ["yesterday", "", "2026-02-30", "5", "-3d"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        parse_date_or_duration(text, TODAY, "--since")


def test_a_day_that_has_not_come_is_refused() -> None:
    with pytest.raises(UsageError, match="clock"):
        parse_date_or_duration("2026-11-27", TODAY, "--since")


@given(mark=st.none() | DAYS, since=st.none() | DAYS, newest=st.none() | DAYS)
def test_no_clock_that_is_ahead_makes_a_day_be_missed(
    mark: date | None, since: date | None, newest: date | None
) -> None:
    query = PullQuery(since=since)
    start = query.first_date(Mark(study_date=mark), TODAY)
    if start is not None and start != since:
        assert start <= TODAY - timedelta(GROWING_DAYS)
    new = query.next_mark(Mark(study_date=mark), newest, None, TODAY)
    assert new is None or (new <= TODAY and new <= max(one for one in (newest, mark) if one is not None))


def test_a_mark_is_for_one_question() -> None:
    queries = [
        PullQuery(),
        PullQuery({"ModalitiesInStudy": "CR"}),
        PullQuery(since=TODAY),
        PullQuery(until=TODAY),
        PullQuery(every_class=True),
    ]
    assert len({one.mark_key for one in queries}) == len(queries)
    assert PullQuery(since=TODAY, rolling=True).mark_key == PullQuery().mark_key
    assert PullQuery().mark_key == ""


def test_filters() -> None:
    assert parse_filters(["ModalitiesInStudy=CR", "0008103E=a=b"]) == {
        "ModalitiesInStudy": "CR",
        "SeriesDescription": "a=b",
    }
    for wrong in (
        ["Foo=1"],
        ["ModalitiesInStudy"],
        ["ModalitiesInStudy="],
        ["StudyDate=2020"],
        ["PatientID=1", "00100020=2"],
    ):
        with pytest.raises(UsageError, match="--query|--since"):
            parse_filters(wrong)
