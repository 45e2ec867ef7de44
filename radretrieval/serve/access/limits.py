"""Limits: how often, how much, how slowly. What they remember is bounded."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

Clock = Callable[[], float]

# A body may take this long, and a second more for each of so many bytes.
BODY_SECONDS = 60.0
BODY_BYTES_A_SECOND = 16 * 1024


class Rate:
    """A token bucket for each key: `count` events at once, and as many again in each `seconds`.

    Parameters
    ----------
    most : keys that are remembered; the one that was used longest ago is forgotten first.
    """

    def __init__(self, count: int, seconds: float, most: int = 10_000, clock: Clock = time.monotonic) -> None:
        self.count = count
        self.seconds = seconds
        self._most = most
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str) -> float:
        """Count one event; returns 0, or after how many seconds the next one is allowed if this one is not."""
        if not self.count:
            return 0.0
        now = self._clock()
        with self._lock:
            left, then = self._left.pop(key, (float(self.count), now))
            left = min(float(self.count), left + (now - then) * self.count / self.seconds)
            allowed = left >= 1
            self._left[key] = (left - allowed, now)
            if len(self._left) > self._most:
                self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) * self.seconds / self.count

    def give_back(self, key: str) -> None:
        """Take back one counted event."""
        with self._lock:
            if key in self._left:
                left, then = self._left[key]
                self._left[key] = (min(float(self.count), left + 1), then)


def network_of(address: str) -> str:
    """The key of an address: one IPv6 client has a network of 64 bits to choose from."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


class Bodies:
    """The bodies that are being received or worked on: how much of them is in memory is limited.

    Parameters
    ----------
    most : bytes of all bodies together.
    """

    def __init__(self, most: int, clock: Clock = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self.held = 0

    @contextmanager
    def limited(self, receive: Receive, largest: int) -> Iterator[Receive]:
        """`receive` for one request, until that is answered.

        It raises HTTPException 413 for a body larger than this, 408 where one comes too slowly, and 503 where all
        bodies together are too many.
        """
        began = self._clock()
        count = 0
        ended = False

        async def counted() -> Message:
            nonlocal count, ended
            if ended:
                return await receive()
            left = began + BODY_SECONDS + count / BODY_BYTES_A_SECOND - self._clock()
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.001))
            except TimeoutError:
                raise HTTPException(408, "the request came too slowly") from None
            size = len(message.get("body", b""))
            count += size
            self.held += size
            ended = not message.get("more_body", False)
            if count > largest:
                raise too_large(largest)
            if self.held > self._most:
                raise HTTPException(503, "too many uploads at one time; try again soon", {"Retry-After": "5"})
            return message

        try:
            yield counted
        finally:
            self.held -= count


def too_large(largest: int) -> HTTPException:
    """The answer to a request whose body is larger than this."""
    return HTTPException(413, f"the request is larger than {largest} bytes, the most that is taken here")
