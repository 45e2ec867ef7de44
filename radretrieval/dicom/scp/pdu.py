"""PDUs (PS3.8, 9.3): read whole from a connection, within limits of size and time, and encoded."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

ASSOCIATE_RQ, P_DATA, RELEASE_RQ, ABORT = 1, 4, 5, 7  # their types
HEAD = 6  # bytes before the body of a PDU
LARGEST = 2**20  # data PDUs are smaller; a request with all presentation contexts takes a quarter of it
AHEAD = 2**18  # bytes that are read at once at most
SLOWEST = 1000  # bytes a second that a PDU, and a message, come with at least, after the first seconds

RELEASE_RP = b"\x06\0\0\0\0\4\0\0\0\0"
ABORT_BY_NODE = b"\7\0\0\0\0\4\0\0\0\0"
ABORT_INVALID = b"\7\0\0\0\0\4\0\0\2\0"  # PS3.8, 9.3.8: by the provider, since what came is not valid


class PduRefused(OSError):
    """A PDU is not read to its end; the message says why."""


class Reader:
    """Reads a connection, within limits of size and time, and ahead: a request is two PDUs, which often come together.

    Parameters
    ----------
    seconds : that the connection may be silent, and that a PDU may take, and one more for each `SLOWEST` bytes: the
        time limit of a connection alone begins anew with each byte.

    Each method raises PduRefused where a PDU is too large or comes too slowly, TimeoutError where none comes, and
    OSError where the connection failed.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self.seconds = seconds
        self._connection = connection
        self._buffer = memoryview(bytearray(HEAD))
        self._begin = self._end = 0  # of what was read and not taken

    def pdu(self, seconds: float) -> tuple[int, memoryview]:
        """The type of the next PDU, and its body until the next call; 0 where the connection ended before it was whole.

        `seconds` : to wait for it to begin.
        """
        if len(self._buffer) < AHEAD or self._begin == self._end:
            self._move(max(AHEAD, len(self._buffer)))
        head = self._take(HEAD, seconds, ahead=True)
        size = int.from_bytes(head[2:], "big")
        kind = head[0] if len(head) == HEAD else 0
        body = self._take(size, self.seconds, ahead=True)
        return (kind if len(body) == size else 0), body

    def read(self, count: int) -> bytes:
        """So many bytes and none ahead; fewer where the connection ended."""
        return bytes(self._take(count, self.seconds, ahead=False))

    def _take(self, count: int, seconds: float, ahead: bool) -> memoryview:
        if count > LARGEST:
            raise PduRefused(f"it announces a PDU of {count} bytes")
        if self._begin + count > len(self._buffer):
            self._move(max(count, len(self._buffer)))
        got, begun = self._end - self._begin, 0.0
        while got < count:
            self._connection.settimeout(self.seconds if got else seconds)
            try:
                more = self._connection.recv_into(self._buffer[self._end : None if ahead else self._begin + count])
            except TimeoutError:
                if not got:
                    raise
                raise PduRefused(f"{got} bytes of a PDU came, and then nothing") from None
            if not more:
                break
            self._end, got, begun = self._end + more, got + more, begun or time.monotonic()
            if got < count and time.monotonic() - begun > self.seconds + got / SLOWEST:
                raise PduRefused(f"{got} bytes of a PDU came too slowly")
        found = self._buffer[self._begin : min(self._end, self._begin + count)]
        self._begin += len(found)
        return found

    def _move(self, size: int) -> None:
        """Move what was not taken to the begin of a buffer of this size."""
        left = bytes(self._buffer[self._begin : self._end])
        if size != len(self._buffer):
            self._buffer = memoryview(bytearray(size))
        self._buffer[: len(left)] = left
        self._begin, self._end = 0, len(left)


def data_values(body: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """The presentation data values of a P-DATA-TF PDU: context, message control header (annex E), fragment.

    Raises ValueError where one is cut.
    """
    place = 0
    while place < len(body):
        if place + HEAD > len(body):
            raise ValueError("a presentation data value is cut")
        length, context, header = struct.unpack_from(">IBB", body, place)
        end = place + 4 + length
        if length < 2 or end > len(body):
            raise ValueError("a presentation data value is cut")
        yield context, header, body[place + HEAD : end]
        place = end


def command(context: int, data: bytes, largest: int) -> bytes:
    """P-DATA-TF PDUs of a command set, none of whose bodies has more bytes than `largest`; 0 is no limit."""
    size = max(1, largest - HEAD) if largest else len(data)
    pdus = []
    for start in range(0, len(data), size):
        part = data[start : start + size]
        header = 3 if start + size >= len(data) else 1  # of a command, the last fragment or not
        value = struct.pack(">IBB", len(part) + 2, context, header) + part
        pdus.append(struct.pack(">BxI", P_DATA, len(value)) + value)
    return b"".join(pdus)
