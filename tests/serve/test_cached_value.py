"""A value that takes its time is computed once for all who ask, and seldom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pytest

from radretrieval.serve import cached_value
from radretrieval.serve.cached_value import CachedValue


class Clock:
    """Time that a test moves."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with patch.object(cached_value, "time", clock):
        yield clock


def counter(clock: Clock, took: float = 0.0) -> Callable[[], int]:
    calls = iter(range(1, 100))

    def compute() -> int:
        clock.now += took
        return next(calls)

    return compute


def test_it_is_kept_for_its_time(clock: Clock) -> None:
    value = CachedValue(counter(clock), 5)
    assert [value.get(), value.get()] == [1, 1]
    clock.now += 5
    assert [value.get(), value.get()] == [2, 2]


def test_what_takes_long_is_kept_longer(clock: Clock) -> None:
    value = CachedValue(counter(clock, took=3), 5)
    value.get()
    clock.now += 59
    assert value.get() == 1
    clock.now += 2
    assert value.get() == 2


def test_all_who_ask_at_once_wait_for_one(clock: Clock) -> None:
    begun, go = threading.Event(), threading.Event()
    calls: list[int] = []

    def compute() -> int:
        calls.append(1)
        begun.set()
        go.wait(10)
        return len(calls)

    value = CachedValue(compute, 5)
    assert value.latest() is None
    with ThreadPoolExecutor(4) as pool:
        assert begun.wait(10)
        asked = [pool.submit(value.get) for _ in range(4)]
        assert value.latest() is None
        assert value.computing
        go.set()
        assert [one.result(10) for one in asked] == [1] * 4


def test_an_error_is_told_and_tried_again_soon(clock: Clock) -> None:
    answers = iter([ValueError("away"), 7])

    def compute() -> int:
        if isinstance(found := next(answers), Exception):
            raise found
        return found

    value = CachedValue(compute, 3600)
    for _ in range(2):
        with pytest.raises(ValueError, match="away"):
            value.get()
    clock.now += cached_value.AGAIN_SECONDS
    assert value.get() == 7


def test_the_last_value_is_told_while_the_next_is_computed(clock: Clock) -> None:
    go, calls = threading.Event(), []
    go.set()

    def compute() -> int:
        go.wait(10)
        calls.append(1)
        return len(calls)

    value = CachedValue(compute, 5)
    value.get()
    go.clear()
    clock.now += 6
    assert value.latest() == 1
    go.set()
    deadline = time.perf_counter() + 10
    while value.latest() != 2:
        assert time.perf_counter() < deadline
