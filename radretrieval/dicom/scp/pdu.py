"""PDUs (PS3.8, 9.3): read whole from a connection, within limits of size and time, and encoded."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

ASSOCIATE_RQ, P_DATA, RELEASE_RQ, ABORT = 1, 4, 5, 7  # their types
HEAD = 6  # bytes before the body of a PDU
LARGEST = 2**20  # data PDUs are smaller; a request with all presentation contexts takes a quarter of it
SLOWEST = 1000  # bytes a second that a PDU, and a message, come with at least, after the first seconds

RELEASE_RP = b"\x06\0\0\0\0\4\0\0\0\0"
ABORT_BY_NODE = b"\7\0\0\0\0\4\0\0\0\0"
ABORT_INVALID = b"\7\0\0\0\0\4\0\0\2\0"  # PS3.8, 9.3.8: by the provider, since what came is not valid


class PduRefused(OSError):
    """A PDU is not read to its end; the message says why."""


def read(connection: socket.socket, count: int, seconds: float) -> bytearray:
    """Read so many bytes; fewer where the connection ended.

    Parameters
    ----------
    connection : waits for each byte as long as its time limit says.
    seconds : from the first byte on, and one more for each `SLOWEST` bytes: the time limit of a connection alone
        begins anew with each byte.

    Raises
    ------
    PduRefused : they are too many, or come too slowly. TimeoutError : nothing comes. OSError : the connection failed.
    """
    if count > LARGEST:
        raise PduRefused(f"it announces a PDU of {count} bytes")
    data = bytearray(count)
    view, got, begun = memoryview(data), 0, 0.0
    while got < count:
        try:
            more = connection.recv_into(view[got:])
        except TimeoutError:
            if not got:
                raise
            raise PduRefused(f"{got} bytes of a PDU came, and then nothing") from None
        if not more:
            break
        got, begun = got + more, begun or time.monotonic()
        if got < count and time.monotonic() - begun > seconds + got / SLOWEST:
            raise PduRefused(f"{got} bytes of a PDU came too slowly")
    return data if got == count else data[:got]


def data_values(body: bytearray) -> Iterator[tuple[int, int, memoryview]]:
    """The presentation data values of a P-DATA-TF PDU: context, message control header (annex E), fragment.

    Raises ValueError where one is cut.
    """
    view, place = memoryview(body), 0
    while place < len(body):
        if place + HEAD > len(body):
            raise ValueError("a presentation data value is cut")
        length, context, header = struct.unpack_from(">IBB", body, place)
        end = place + 4 + length
        if length < 2 or end > len(body):
            raise ValueError("a presentation data value is cut")
        yield context, header, view[place + HEAD : end]
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
