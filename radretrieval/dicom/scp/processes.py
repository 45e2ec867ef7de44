"""Several processes that accept from one socket: pynetdicom takes 2 ms of Python for each file, and Python one core."""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from radretrieval.errors import EnvironmentUnusable

log = logging.getLogger(__name__)

SUPERVISE_SECONDS = 0.5
END_SECONDS = 30.0


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens, for several processes to accept from. Raises EnvironmentUnusable where it cannot."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise cannot_listen(host, port, error) from error
    found.setblocking(False)  # of the processes that see a connection come, all but one find it taken
    return found


def cannot_listen(host: str, port: int, error: OSError) -> EnvironmentUnusable:
    """What is told of a port that cannot be had."""
    return EnvironmentUnusable(
        f"nothing can listen on {host or '*'}:{port} ({error.strerror or error}); another program may have the port: "
        "name another one with --port, or an address of this machine with --host"
    )


class Crew:
    """Processes that accept from a socket; one that ends is started again.

    Each ends in order when its stdin does: also if this process is killed.

    Parameters
    ----------
    words : the command of each; the number of the socket's descriptor is added.
    """

    def __init__(self, words: Sequence[str], listener: socket.socket, count: int) -> None:
        self._words, self._listener = [*words, str(listener.fileno())], listener
        self._members = [self._start() for _ in range(count)]

    def supervise(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.wait(SUPERVISE_SECONDS):
            for place, member in enumerate(self._members):
                if (code := member.poll()) is not None:
                    log.warning("a receiving process ended (exit status %d); another one is started", code)
                    stop.wait(SUPERVISE_SECONDS)
                    self._members[place] = self._start()

    def close(self) -> None:
        """Have all of them end what they have begun."""
        self._listener.close()
        for member in self._members:
            assert member.stdin is not None
            with contextlib.suppress(OSError):
                member.stdin.close()
        for member in self._members:
            try:
                member.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        fd = self._listener.fileno()
        # a session of its own: Ctrl-C at the terminal reaches this process alone, which ends them in order
        return subprocess.Popen(
            self._words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(fd,), start_new_session=True
        )


def stop_with_parent(stop: threading.Event) -> None:
    """In a member of a crew: stop when stdin ends."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while sys.stdin.buffer.read(1024):
                pass
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
