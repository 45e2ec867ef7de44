"""The sessions of those who logged in. They are in memory: a new start of the service ends them."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from radretrieval.serve.access.limits import Clock
from radretrieval.serve.access.user import User


@dataclass
class Session:
    """One login.

    Attributes
    ----------
    user : as at the login.
    csrf : token of the page's requests that write.
    proof : what was proved at the login, the hash in the users file; the session ends when that changes.
    began, used : on the clock of `Sessions`.
    """

    user: User
    csrf: str
    proof: str
    began: float
    used: float


class Sessions:
    """Sessions by their tokens, of which only hashes are kept.

    Parameters
    ----------
    idle, absolute : seconds after which a session that was not used, and any session, ends.
    most : sessions at one time; the one that was used longest ago ends first.
    """

    def __init__(self, idle: float, absolute: float, most: int = 10_000, clock: Clock = time.monotonic) -> None:
        self._idle = idle
        self._absolute = absolute
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[bytes, Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, user: User, proof: str = "", token: str | None = None) -> str:
        """A new session; returns its token, which is made here unless a program has one that nobody can guess."""
        token = token or secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            self._kept[_key(token)] = Session(user, secrets.token_urlsafe(32), proof, now, now)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return token

    def find(self, token: str) -> Session | None:
        """The session of this token, which is used now; None where it ended."""
        now = self._clock()
        with self._lock:
            if (session := self._kept.pop(_key(token), None)) is None:
                return None
            if now - session.used > self._idle or now - session.began > self._absolute:
                return None
            session.used = now
            self._kept[_key(token)] = session
            return session

    def end(self, token: str) -> None:
        """End the session of this token, if there is one."""
        with self._lock:
            self._kept.pop(_key(token), None)


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
