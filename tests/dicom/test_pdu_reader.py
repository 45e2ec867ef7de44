"""PDUs are read whole, however they come, and not without end."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from radretrieval.dicom.scp import pdu
from radretrieval.dicom.scp.pdu import AHEAD, HEAD, LARGEST, PduRefused, Reader


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def encoded(kind: int, body: bytes) -> bytes:
    return bytes([kind, 0]) + len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("most", [1, 7, 4096, 2**20])
def test_pdus_are_read_however_they_are_cut(ends: tuple[socket.socket, socket.socket], most: int) -> None:
    ours, theirs = ends
    chance = random.Random(most)
    large = () if most == 1 else (AHEAD - HEAD, AHEAD, AHEAD + 1, LARGEST)
    sent = [(4, chance.randbytes(size)) for size in (0, 1, 150, 97_000, 0, *large, 150, 97_000, 131_072)]

    def send() -> None:
        left = memoryview(b"".join(encoded(*one) for one in sent))  # which is cut without a copy of the rest
        while left:
            size = chance.randint(1, most) if most > 1 else 64 * 1024
            theirs.sendall(left[:size])
            left = left[size:]
        theirs.close()

    writer = threading.Thread(target=send)
    writer.start()
    reader = Reader(ours, 20)
    got = [(kind, bytes(body)) for kind, body in (reader.pdu(20) for _ in sent)]
    assert reader.pdu(20)[0] == 0, "the connection ended"
    writer.join()
    assert got == sent


def test_what_is_read_before_the_first_pdu_takes_nothing_of_it(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(b"request" + encoded(4, b"data"))
    reader = Reader(ours, 20)
    assert reader.read(7) == b"request"
    assert ours.recv(HEAD, socket.MSG_PEEK) == encoded(4, b"data")[:HEAD]
    kind, body = reader.pdu(20)
    assert (kind, bytes(body)) == (4, b"data")


@pytest.mark.parametrize("left", range(1, HEAD + 3))
def test_a_connection_that_ends_within_a_pdu(ends: tuple[socket.socket, socket.socket], left: int) -> None:
    ours, theirs = ends
    theirs.sendall(encoded(4, b"abc")[:left])
    theirs.close()
    assert Reader(ours, 20).pdu(20)[0] == 0


def test_a_pdu_that_is_too_large_stalls_or_comes_too_slowly_is_refused(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = ends
    with pytest.raises(TimeoutError):
        Reader(ours, 20).pdu(0.05)
    theirs.sendall(b"\4\0\0\0\0\x09abc")
    with pytest.raises(PduRefused, match="3 bytes of a PDU came, and then nothing"):
        Reader(ours, 0.05).pdu(20)
    theirs.sendall(b"\4\0" + (LARGEST + 1).to_bytes(4, "big"))
    with pytest.raises(PduRefused, match="announces a PDU of 1048577 bytes"):
        Reader(ours, 20).pdu(20)
    monkeypatch.setattr(pdu, "SLOWEST", 10**6)
    theirs.sendall(b"\4\0\0\0\1\0")
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.05):
            theirs.sendall(b"x")

    writer = threading.Thread(target=drip)
    writer.start()
    try:
        begun = time.monotonic()
        with pytest.raises(PduRefused, match="came too slowly"):
            Reader(ours, 0.3).pdu(20)
        assert time.monotonic() - begun < 5
    finally:
        over.set()
        writer.join()
