"""Images a second at most: over any time, without a burst after a pause, in batches of a second."""

from __future__ import annotations

import threading

import pytest

from radretrieval.jobs import pace
from radretrieval.jobs.pace import Pace


class Clock:
    """The time, which passes where somebody waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.stop = threading.Event()
        monkeypatch.setattr(pace.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(self.stop, "wait", self.passes)

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def begins(clock: Clock, rate: float | None, work: list[float], count: int = 4) -> list[float]:
    """When each batch of `count` images begins, whose work takes so many seconds."""
    limited, found = Pace(rate), []
    for seconds in work:
        limited.wait(count, clock.stop)
        found.append(clock.now - 1000)
        clock.now += seconds
    return found


def test_batches_begin_as_far_apart_as_the_rate_says(clock: Clock) -> None:
    assert begins(clock, 2.0, [0.1, 1.9, 0.0, 0.5]) == pytest.approx([0, 2, 4, 6])


def test_what_is_slower_by_itself_does_not_wait_and_is_not_made_up_for(clock: Clock) -> None:
    assert begins(clock, 2.0, [0.1, 9.0, 0.1, 0.1]) == pytest.approx([0, 2, 11, 13])


def test_without_a_rate_nothing_waits(clock: Clock) -> None:
    assert begins(clock, None, [0.1, 0.1]) == pytest.approx([0, 0.1])


@pytest.mark.parametrize(("rate", "size"), [(None, 64), (0.5, 1), (1, 1), (10.9, 10), (1000, 64)])
def test_a_batch_is_of_a_second_at_most(rate: float | None, size: int) -> None:
    assert Pace(rate).batch(64) == size
