"""A sender of DICOM as bytes, for what no library would send: PS3.8, 9.3 and annex D; PS3.7, 6.3."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

CR, EXPLICIT = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.1.2.1"
ACCEPTED, REJECTED, RELEASED, ABORTED = 2, 3, 6, 7  # PDU types


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def element(number: int, value: bytes) -> bytes:
    """An element of a command set: group 0000, implicit VR."""
    return struct.pack("<HHI", 0, number, len(value)) + value


def uid(text: bytes) -> bytes:
    return text + b"\0" * (len(text) % 2)


def command(sop_class: bytes, instance: bytes, kind: int = 1, data_set: int = 0, number: int = 1) -> bytes:
    """A command set; by default that of a C-STORE request."""
    body = element(0x0002, uid(sop_class)) + element(0x0100, struct.pack("<H", kind))
    body += element(0x0110, struct.pack("<H", number)) + element(0x0700, b"\2\0")
    body += element(0x0800, struct.pack("<H", data_set)) + element(0x1000, uid(instance))
    return element(0, struct.pack("<I", len(body))) + body


def p_data(*fragments: tuple[int, bytes]) -> bytes:
    """A P-DATA-TF PDU of fragments: message control header, and content."""
    body = b"".join(struct.pack(">IBB", len(data) + 2, 1, header) + data for header, data in fragments)
    return struct.pack(">BxI", 4, len(body)) + body


@dataclass
class Sender:
    """A connection; its association is requested with fields of one's own."""

    port: int
    called: bytes = b"RADRETRIEVAL".ljust(16)
    calling: bytes = b"SENDER".ljust(16)
    contexts: Sequence[tuple[str, Sequence[str]]] = ((CR, (EXPLICIT,)),)
    max_pdu: int | None = 16384
    implementation: bytes = b"1.2.3.4"
    more: bytes = b""  # sub-items of the user information
    socket: socket.socket = field(init=False)

    def __enter__(self) -> Sender:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def associate(self) -> int:
        """The type of the PDU that is answered; 0 where the connection is ended."""
        body = struct.pack(">Hxx", 1) + self.called + self.calling + bytes(32)
        body += item(0x10, b"1.2.840.10008.3.1.1.1")
        for number, (abstract, syntaxes) in enumerate(self.contexts):
            items = item(0x30, abstract.encode()) + b"".join(item(0x40, one.encode()) for one in syntaxes)
            body += item(0x20, struct.pack("Bxxx", 2 * number + 1) + items)
        info = b"" if self.max_pdu is None else item(0x51, struct.pack(">I", self.max_pdu))
        body += item(0x50, info + item(0x52, self.implementation) + self.more)
        self.socket.sendall(struct.pack(">BxI", 1, len(body)) + body)
        return self.pdu()[0]

    def send(self, *pdus: bytes) -> None:
        self.socket.sendall(b"".join(pdus))

    def pdu(self) -> tuple[int, bytes]:
        """The type and the body of the next PDU; 0 where the connection is ended."""
        head = self._read(6)
        if len(head) < 6:
            return 0, b""
        return head[0], self._read(struct.unpack(">I", head[2:])[0])

    def answer(self) -> dict[int, bytes]:
        """The elements of the next response; none where there is another PDU, or the connection is ended."""
        kind, body = self.pdu()
        found: dict[int, bytes] = {}
        if kind == 4:
            data, place = body[6:], 0
            while place < len(data):
                number, length = struct.unpack("<xxHI", data[place : place + 8])
                found[number] = data[place + 8 : place + 8 + length]
                place += 8 + length
        return found

    def status(self) -> int | None:
        """The status of the next response; None where there is none."""
        found = self.answer().get(0x0900)
        return None if found is None else int.from_bytes(found, "little")

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionError:
                break
            if not more:
                break
            data += more
        return data
