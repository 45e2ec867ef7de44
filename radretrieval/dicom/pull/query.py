"""The query of a pull: which studies, of which dates, and where the next pull goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from urllib.parse import urlencode

from radretrieval.archive.pull_state import Mark
from radretrieval.errors import UsageError

GROWING_DAYS = 7  # studies grow and are sent late: so many days before the mark are queried again
FIRST = date(1895, 11, 8)  # of the first radiograph
_DAYS = {"d": 1, "w": 7, "m": 31, "y": 366}


@dataclass(frozen=True)
class PullQuery:
    """Which studies to pull.

    Attributes
    ----------
    filters : DICOM keyword → value, of studies. since, until : study dates, inclusive; None is open.
    rolling : `since` is a time before today: each pull lists all studies since then. again : ignore the mark.
    every_class : not only projection radiography.
    """

    filters: dict[str, str] = field(default_factory=dict)
    since: date | None = None
    until: date | None = None
    rolling: bool = False
    again: bool = False
    every_class: bool = False

    @property
    def mark_key(self) -> str:
        """The key of the mark beside the source: a mark holds only for the query that set it."""
        found = sorted(self.filters.items())
        for name, value in (("since", self.since if not self.rolling else None), ("until", self.until)):
            found += [(name, value.isoformat())] if value else []
        found += [("all-classes", "")] if self.every_class else []
        return urlencode(found)

    def first_date(self, mark: Mark, today: date) -> date | None:
        """The first study date to query; None is open."""
        if self.again or self.rolling or mark.study_date is None:
            return self.since
        # a mark in the future was set while a clock was wrong
        start = min(mark.study_date, today) - timedelta(GROWING_DAYS)
        return start if self.since is None else max(start, self.since)

    def next_mark(self, mark: Mark, newest: date | None, last: date | None, today: date) -> date | None:
        """The study date of the mark after all studies up to `last` (None: all) were pulled; `newest` is their latest.

        It is neither after today nor after the newest study date: either clock may be ahead.
        """
        known = [one for one in (newest, mark.study_date) if one is not None]
        return min(max(known), last or today, today) if known else None


def date_windows(
    start: date | None, until: date | None, today: date, days: Callable[[], int]
) -> Iterator[tuple[date | None, date | None]]:
    """Yield successive ranges of study dates, inclusive, each of `days()`; only `until` ends the last.

    Without it the last is open, and includes studies that a clock ahead of ours dates tomorrow.
    """
    if start is None:
        yield None, until
        return
    end = min(until or today, today)
    while start + (length := timedelta(days())) <= end:
        yield start, start + length - timedelta(1)
        start += length
    yield start, until


def parse_date_or_duration(text: str, today: date, option: str) -> tuple[date, bool]:
    """Read a date (2026-01-31, 20260131) or a time before today (12h, 30d, 2w, 6m, 1y); and whether it is the latter.

    Raises UsageError for anything else, and for a date in the future.
    """
    found = re.fullmatch(r"([0-9]{1,5})\s*([hdwmy])", text.strip().lower())
    if found is not None:
        number = int(found[1])
        days = -(-number // 24) if found[2] == "h" else number * _DAYS[found[2]]
        try:
            return max(FIRST, today - timedelta(days)), True
        except OverflowError:
            return FIRST, True
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is neither a date (2026-01-31) nor a time before today (12h, 30d, 2w, 6m, 1y)"
        ) from None
    if option == "--since" and day > today + timedelta(1):  # it may be tomorrow already where the server is
        raise UsageError(
            f"{option} {day} is in the future: today is {today} by this machine's clock; correct the one that is wrong"
        )
    return max(FIRST, day), False


def parse_filters(pairs: Sequence[str]) -> dict[str, str]:
    """Read `KEY=VALUE` of --query into DICOM keyword → value. Raises UsageError for a key that DICOM does not have."""
    from pydicom.datadict import keyword_for_tag, tag_for_keyword

    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = keyword_for_tag(int(key, 16)) if re.fullmatch("[0-9a-fA-F]{8}", key) else key
        if not equals or not value or tag_for_keyword(key) is None:
            raise UsageError(
                f"--query {pair} is not KEY=VALUE with a DICOM keyword of studies, as in ModalitiesInStudy=CR"
            )
        if key == "StudyDate":
            raise UsageError("--query StudyDate: use --since and --until, so that the next pull goes on from there")
        if key in found:
            raise UsageError(f"--query names {key} twice; pull each on its own")
        found[key] = value
    return found
