"""Syslog over TLS (RFC 5425): messages of RFC 5424 with octet counting, to a server whose certificate is verified."""

from __future__ import annotations

import fcntl
import os
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from radretrieval.errors import EnvironmentUnusable, UsageError

SCHEME = "syslog+tls://"
PORT = 6514
SECONDS = 10.0  # to connect, and for each answer of the server
PAUSES = (1.0, 3.0)  # before a batch is sent again
_BOM = b"\xef\xbb\xbf"  # the message is UTF-8 (RFC 5424, 6.4)


class Syslog:
    """A syslog server.

    Parameters
    ----------
    address : `syslog+tls://host:port`; without a port it is 6514.
    authorities : PEM file of who signs the server's certificate; None for those of the system.
    certificate : PEM file with a certificate and its key, for a server that asks for one.

    Raises
    ------
    UsageError : an address of another form. EnvironmentUnusable : a file that cannot be used.
    """

    def __init__(self, address: str, authorities: Path | None, certificate: Path | None) -> None:
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port or PORT
        except ValueError:
            host, port = None, PORT
        if not address.startswith(SCHEME) or not host or parts.path.strip("/") or parts.username is not None:
            raise UsageError(f"{address} is not of the form {SCHEME}host:port")
        self.host, self.port = host, port
        self.name = f"{SCHEME}{host}:{port}"
        try:
            self._context = ssl.create_default_context(cafile=authorities)
            if certificate is not None:
                self._context.load_cert_chain(certificate)
        except OSError as error:  # ssl.SSLError among them
            raise EnvironmentUnusable(
                f"the certificates of RADRETRIEVAL_AUDIT_CA and RADRETRIEVAL_AUDIT_CERT cannot be used: {error}"
            ) from error

    def send(self, messages: Sequence[bytes]) -> None:
        """Send messages in one connection; when it returns, the server has read all of them.

        A connection that breaks is opened again, and all are sent again: the server may get some of them twice.

        Raises EnvironmentUnusable where that fails too.
        """
        data = b"".join(b"%d %b" % (len(message), message) for message in messages)
        for pause in (*PAUSES, None):
            try:
                self._deliver(data)
                return
            except ssl.SSLCertVerificationError as error:
                raise EnvironmentUnusable(
                    f"{self.name}: its certificate is not trusted ({error.verify_message}); name the PEM file of who "
                    "signed it with RADRETRIEVAL_AUDIT_CA"
                ) from error
            except OSError as error:
                if pause is None:
                    raise EnvironmentUnusable(
                        f"{self.name}: not sent: {error.strerror or error}; check the server, its port and its "
                        "certificate, then run it again: --since last goes on after what was sent"
                    ) from error
                time.sleep(pause)

    def _deliver(self, data: bytes) -> None:
        """Send, end with close_notify, and wait for the server's: it comes after all was read (RFC 5425, 4.4).

        rsyslog with its driver gtls sends none and closes the connection, which TCP does in order only where all was
        read: data that nobody has read when its receiver closes is answered with a reset.

        TLS is done in memory: `SSLSocket.unwrap` takes an alert of the server, as one on a missing certificate, for it.
        """
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_hostname=self.host)
        with socket.create_connection((self.host, self.port), SECONDS) as plain:

            def exchange(step: Callable[[], Any]) -> Any:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        plain.sendall(outgoing.read())
                        part = plain.recv(65536)
                        incoming.write(part) if part else incoming.write_eof()
                    finally:
                        plain.sendall(outgoing.read())

            exchange(tls.do_handshake)
            tls.write(data)
            with suppress(ssl.SSLWantReadError):  # what has come with the handshake
                while tls.read(65536):
                    pass
                raise ConnectionError("the server ended the connection")
            with suppress(ssl.SSLWantReadError):
                tls.unwrap()
            plain.sendall(outgoing.read())
            try:
                while True:
                    exchange(lambda: tls.read(65536))
            except ssl.SSLZeroReturnError:
                pass
            except ssl.SSLEOFError:
                _require_acknowledged(plain)


def _require_acknowledged(plain: socket.socket) -> None:
    """Raise ConnectionError where a server that closed the connection has not acknowledged all that was sent."""
    deadline = time.monotonic() + SECONDS
    while (left := struct.unpack("i", fcntl.ioctl(plain, termios.TIOCOUTQ, bytes(4)))[0]) > 0:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    if left or plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise ConnectionError("the server ended the connection before it had read everything")


def message(text: str, *, at: datetime, identifier: str, severity: int) -> bytes:
    """A message of RFC 5424 of the facility 10, security.

    Parameters
    ----------
    identifier : MSGID. severity : 5 notice, 4 warning.
    """
    host = "".join(one for one in socket.gethostname() if "!" <= one <= "~")[:255] or "-"
    stamp = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    head = f"<{10 * 8 + severity}>1 {stamp} {host} radretrieval {os.getpid()} {identifier} - "
    return head.encode() + (b"" if text.isascii() else _BOM) + text.encode()
