"""No more than so many images a second, so that what else the machines do keeps its speed."""

from __future__ import annotations

import math
import threading
import time


class Pace:
    """Waits before a batch until those before it may have taken their time.

    Time in which there was nothing to do is not made up for: a burst afterwards would be what this prevents.

    Parameters
    ----------
    rate : images a second, over any time; None for as many as can be.
    """

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self._next = 0.0

    def batch(self, most: int) -> int:
        """The images of a batch, at most so many: those of one second, for a batch keeps all cores busy."""
        return most if self.rate is None else min(most, max(1, math.floor(self.rate)))

    def wait(self, count: int, stop: threading.Event) -> None:
        """Wait until the next batch, of so many images, may begin, or `stop` is set."""
        if self.rate is None:
            return
        now = time.monotonic()
        if now < self._next:
            stop.wait(self._next - now)
        self._next = max(now, self._next) + count / self.rate
