"""A syslog server over TLS (RFC 5425) on loopback, which can break connections."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class SyslogServer:
    """What was received, and how connections end.

    Attributes
    ----------
    messages : of connections that ended in order; `broken` : how many did not.
    break_after : of the next connections, the bytes after which each is reset.
    leave_after : bytes after which each connection is closed, whatever else was sent; None: after all of them.
    answers : whether it answers close_notify, as rsyslog with its driver gtls does not.
    """

    def __init__(self, certificate: Path, key: Path, clients: Path | None) -> None:
        self.messages: list[bytes] = []
        self.broken = 0
        self.break_after: list[int] = []
        self.leave_after: int | None = None
        self.answers = True
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        if clients is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(clients)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            limit = self.break_after.pop(0) if self.break_after else None
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    self.messages += frames(self._read(connection, limit))
                    if self.answers:
                        connection.unwrap()
            except OSError:
                self.broken += 1

    def _read(self, connection: ssl.SSLSocket, limit: int | None) -> bytes:
        data = b""
        while part := connection.recv(4096):
            data += part
            if self.leave_after is not None and len(data) >= self.leave_after:
                raise OSError("left")
            if limit is not None and len(data) >= limit:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                raise OSError("reset")
        return data


def frames(data: bytes) -> list[bytes]:
    """The messages of a stream with octet counting."""
    found = []
    while data:
        length, _, data = data.partition(b" ")
        found.append(data[: int(length)])
        data = data[int(length) :]
    return found


@contextmanager
def syslog_server(certificate: Path, key: Path, clients: Path | None = None) -> Iterator[SyslogServer]:
    """Such a server for this block; `clients`: who signs the certificates that it asks for."""
    made = SyslogServer(certificate, key, clients)
    try:
        yield made
    finally:
        made.close()
