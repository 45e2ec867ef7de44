"""What a pull is asked for: which studies, of which days, and where the last one stopped."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from urllib.parse import urlencode

from radretrieval.archive.pull_state import Mark
from radretrieval.errors import UsageError

GROWING_DAYS = 7  # studies grow and are sent late: so many days before the mark are asked for again
FIRST = date(1895, 11, 8)  # of the first radiograph
_DAYS = {"d": 1, "w": 7, "m": 31, "y": 366}


@dataclass(frozen=True)
class Asked:
    """What a pull is asked for.

    Attributes
    ----------
    filters : DICOM keyword → value, of studies. since, until : study dates, both included; None is open.
    rolling : `since` is so many days ago: every pull looks at all of them. again : whatever the mark says.
    every_class : not only projection radiography.
    """

    filters: dict[str, str] = field(default_factory=dict)
    since: date | None = None
    until: date | None = None
    rolling: bool = False
    again: bool = False
    every_class: bool = False

    @property
    def query(self) -> str:
        """All that a mark is for, beside the peer: where it differs, another pull's mark tells nothing."""
        found = sorted(self.filters.items())
        for name, value in (("since", self.since if not self.rolling else None), ("until", self.until)):
            found += [(name, value.isoformat())] if value else []
        found += [("all-classes", "")] if self.every_class else []
        return urlencode(found)

    def start(self, mark: Mark, today: date) -> date | None:
        """The first study date to ask for; None is open."""
        if self.again or self.rolling or mark.study_date is None:
            return self.since
        # a mark of the future was set while a clock was wrong
        start = min(mark.study_date, today) - timedelta(GROWING_DAYS)
        return start if self.since is None else max(start, self.since)

    def complete_to(self, mark: Mark, newest: date | None, last: date | None, today: date) -> date | None:
        """The mark after all studies up to `last` (None: all there are) have been taken; `newest` was their last date.

        By two clocks, ours and the one behind the study dates: whichever is ahead, the mark is not.
        """
        known = [one for one in (newest, mark.study_date) if one is not None]
        return min(max(known), last or today, today) if known else None


def windows(
    start: date | None, until: date | None, today: date, days: Callable[[], int]
) -> Iterator[tuple[date | None, date | None]]:
    """Ranges of study dates, one after the other, both ends included, each of `days()`; only `until` ends the last.

    It is open so that studies dated tomorrow by a clock that is ahead of ours are among them.
    """
    if start is None:
        yield None, until
        return
    end = min(until or today, today)
    while start + (length := timedelta(days())) <= end:
        yield start, start + length - timedelta(1)
        start += length
    yield start, until


def when(text: str, today: date, option: str) -> tuple[date, bool]:
    """A date (2026-01-31, 20260131), or how long before today (12h, 30d, 2w, 6m, 1y); and whether it was the latter.

    Raises UsageError for anything else, and for a date that has not come.
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
    if option == "--since" and day > today + timedelta(1):  # it may be tomorrow already where the server stands
        raise UsageError(
            f"{option} {day} has not come: today is {today} by this machine's clock; correct the one that is wrong"
        )
    return max(FIRST, day), False


def filters_of(pairs: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` of --query, the keys as DICOM keywords. Raises UsageError for a key that DICOM does not have."""
    from pydicom.datadict import keyword_for_tag, tag_for_keyword

    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = keyword_for_tag(int(key, 16)) if re.fullmatch("[0-9a-fA-F]{8}", key) else key
        if not equals or not value or tag_for_keyword(key) is None:
            raise UsageError(
                f"--query {pair} is not KEY=VALUE with a keyword of DICOM for studies, as in ModalitiesInStudy=CR"
            )
        if key == "StudyDate":
            raise UsageError(
                "study dates are asked for with --since and --until, so that the next pull goes on from there"
            )
        if key in found:
            raise UsageError(f"--query names {key} twice; pull each on its own")
        found[key] = value
    return found
