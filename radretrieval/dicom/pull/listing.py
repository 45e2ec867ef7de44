"""The studies of a range of dates, by parts of it where the source would not list them all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta

from radretrieval.dicom.pull.query import FIRST
from radretrieval.dicom.pull.source import PullSource, Refused, Study

FEWEST_CUT = 20  # studies: no node has a smaller limit

Range = tuple[date | None, date | None]


def studies(
    source: PullSource, filters: Mapping[str, str], days: Range, today: date, may_be_cut: Callable[[int, date], None]
) -> Iterator[Study]:
    """List the studies of a range of dates, each once.

    A range that the source refuses is halved, again and again. So is one where a node gave a round number of studies:
    C-FIND has no word for "there are more", and nodes have limits (500, say) that they do not report.

    Parameters
    ----------
    days : first and last day, None is open.
    may_be_cut : called with the number and the day where a round number came for one day, which cannot be halved.
    """
    seen: set[str] = set()
    ranges = [days]
    while ranges:
        first, last = ranges.pop()
        found: list[Study] = []
        try:
            if source.pages:
                yield from source.studies(filters, first, last)
                continue
            found += source.studies(filters, first, last)
        except Refused:
            if not (halves := _halves(first, last, FIRST, today)):
                raise
            ranges += halves
            continue
        yield from (study for study in found if study.uid not in seen)
        seen |= {study.uid for study in found}
        if _round(len(found)):
            dates = [study.date for study in found if study.date is not None]
            halves = _halves(first, last, min(dates, default=today), max(dates, default=today))
            ranges += halves
            if not halves:
                may_be_cut(len(found), first or today)


def _halves(first: date | None, last: date | None, earliest: date, latest: date) -> list[Range]:
    """Both halves of a range of dates, the later first; none of a single day. Open ends stay open."""
    begin, end = first or earliest, last or latest
    if begin >= end:
        return []
    middle = begin + (end - begin) // 2
    return [(middle + timedelta(1), last), (first, middle)]


def _round(count: int) -> bool:
    """Whether a number of studies may be the limit of a node."""
    return count >= FEWEST_CUT and (count % 10 == 0 or count % 25 == 0 or count & (count - 1) == 0)
