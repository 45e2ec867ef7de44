"""A TCP proxy on loopback that stalls, resets, closes one half, or is not there, when a test says so."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from pathlib import Path


class Proxy:
    """Forwards connections to 127.0.0.1:port, or to a Unix socket, from its creation to `close`.

    Attributes
    ----------
    port : where it listens. stalled : while true nothing is forwarded. down : while true connections are reset.
    """

    def __init__(self, target: int | Path) -> None:
        self.target, self.stalled, self.down = target, False, False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> int:
        """Reset all connections, in mid-stream; how many there were."""
        pairs, self._pairs = self._pairs, []
        for one in (side for pair in pairs for side in pair):
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
            one.close()
        return len(pairs)

    def half_close(self) -> int:
        """End what the target sends, in all connections, and go on forwarding what comes to it."""
        pairs = list(self._pairs)
        for client, _ in pairs:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
        return len(pairs)

    def close(self) -> None:
        """Listen no more; what was stalled ends."""
        self.stalled = False
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self.reset()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = self._reach()
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _reach(self) -> socket.socket:
        if self.down:
            raise ConnectionRefusedError
        if isinstance(self.target, int):
            return socket.create_connection(("127.0.0.1", self.target), 5)
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self.target))
        return server

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                while self.stalled:
                    time.sleep(0.05)
                other.sendall(data)
        for side in (one, other):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
        self._pairs = [pair for pair in self._pairs if one not in pair]
