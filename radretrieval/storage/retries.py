"""Requests that are made again where another attempt may succeed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

T = TypeVar("T")

LONGEST_PAUSE = 10.0  # seconds that a server may ask to wait for (Retry-After)


class Retry(Exception):
    """One attempt failed, another may succeed.

    error : what to raise after the last attempt. pause : seconds to wait, at least. timed_out : the server was silent.
    attempts : that this one counts for.
    """

    def __init__(self, error: Exception, *, pause: float = 0.0, timed_out: bool = False, attempts: int = 1) -> None:
        super().__init__(str(error))
        self.error, self.pause, self.timed_out, self.attempts = error, pause, timed_out, attempts


def retried(attempt: Callable[[float], T], pauses: Sequence[float], silences: Sequence[float]) -> T:
    """Make an attempt, and others after the pauses, while it raises Retry; then raise its error.

    silences : seconds without an answer that each attempt allows: the next one after a timeout, none after the last.
    """
    timeouts, made = 0, 0
    while True:
        try:
            return attempt(silences[timeouts])
        except Retry as failed:
            timeouts += failed.timed_out
            made += failed.attempts
            if made > len(pauses) or timeouts == len(silences):
                raise failed.error from failed
            time.sleep(max(pauses[made - 1], min(failed.pause, LONGEST_PAUSE)))


def retry_after(header: str) -> float:
    """The seconds of a Retry-After (RFC 9110, 10.2.3): a number or a date; 0 for anything else."""
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
