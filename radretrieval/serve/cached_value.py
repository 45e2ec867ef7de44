"""A value that is computed now and then, however often it is asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

AGAIN_SECONDS = 2.0  # after an error
SPARED = 20  # a value is kept for at least so many times as long as it took


class CachedValue(Generic[T]):
    """The last value of a function that takes its time, at most so many seconds old when it is asked for, or 20 times
    what it took to compute: however many ask, one twentieth of the time is spent on it.

    One thread at a time computes it. What the function raises, the caller of `get` meets, or of `latest` the next time.
    """

    def __init__(self, compute: Callable[[], T], seconds: float) -> None:
        self._compute = compute
        self._seconds = seconds
        self._lock = threading.Lock()
        self._value: T | None = None
        self._error: Exception | None = None
        self._next = 0.0

    def get(self) -> T:
        """The value, computed now if it is too old; others that ask meanwhile wait for the same one."""
        with self._lock:
            if self._old():
                self._fill()
        return self._known()

    def latest(self) -> T | None:
        """The last value, however old; None before there is one. If it is too old, a thread computes the next one."""
        if self._old() and self._lock.acquire(blocking=False):
            threading.Thread(target=self._fill_and_release, name="recent", daemon=True).start()
        return None if self._value is None and self._error is None else self._known()

    def drop(self) -> None:
        """Forget the value: the next call has it computed."""
        self._value, self._next = None, 0.0

    @property
    def computing(self) -> bool:
        """Whether a thread computes it now."""
        return self._lock.locked()

    def _old(self) -> bool:
        return time.monotonic() >= self._next

    def _known(self) -> T:
        if self._error is not None:
            raise self._error
        assert self._value is not None
        return self._value

    def _fill(self) -> None:
        begun = time.monotonic()
        try:
            self._value, self._error = self._compute(), None
            now = time.monotonic()
            self._next = now + max(self._seconds, SPARED * (now - begun))
        except Exception as error:
            self._error = error
            self._next = time.monotonic() + AGAIN_SECONDS

    def _fill_and_release(self) -> None:
        try:
            self._fill()
        finally:
            self._lock.release()
