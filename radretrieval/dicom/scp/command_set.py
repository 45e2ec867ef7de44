"""Command sets (PS3.7, 6.3 and annex E) of what the node serves: requests decoded, responses encoded."""

from __future__ import annotations

import struct

C_STORE, C_ECHO = 0x0001, 0x0030
RESPONSE = 0x8000  # this bit of the kind of a message
NO_DATA_SET = 0x0101
CLASS, KIND, MESSAGE, ANSWERED, DATA_SET, STATUS, INSTANCE = 0x0002, 0x0100, 0x0110, 0x0120, 0x0800, 0x0900, 0x1000
NAMES = {CLASS: "AffectedSOPClassUID", INSTANCE: "AffectedSOPInstanceUID", MESSAGE: "MessageID"}

_HEAD = struct.Struct("<HHI")  # group, element, length of the value


def decode(data: bytes) -> dict[int, bytes]:
    """The values of a command set by their elements, UIDs without padding. Raises ValueError where it is none."""
    found: dict[int, bytes] = {}
    place = 0
    while place < len(data):
        if place + _HEAD.size > len(data):
            raise ValueError("an element is cut")
        group, element, length = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        value = data[place : place + length]
        if group or len(value) < length:
            raise ValueError("an element is cut, or is not of group 0000")
        found[element] = value.rstrip(b"\0 ") if element in (CLASS, INSTANCE) else value
        place += length
    return found


def number(command: dict[int, bytes], element: int) -> int | None:
    """The value of an element of VR US; None where there is none."""
    value = command.get(element, b"")
    return int.from_bytes(value, "little") if len(value) == 2 else None


def response(request: dict[int, bytes], status: int) -> bytes:
    """The command set that answers a request (PS3.7, 9.3.1.2 and 9.3.5.2)."""
    kind = RESPONSE | int.from_bytes(request[KIND], "little")
    elements = [
        _element(CLASS, _uid(request[CLASS])),
        _element(KIND, struct.pack("<H", kind)),
        _element(ANSWERED, request[MESSAGE]),
        _element(DATA_SET, struct.pack("<H", NO_DATA_SET)),
        _element(STATUS, struct.pack("<H", status)),
    ]
    if INSTANCE in request:
        elements.append(_element(INSTANCE, _uid(request[INSTANCE])))
    encoded = b"".join(elements)
    return _element(0x0000, struct.pack("<I", len(encoded))) + encoded


def _element(element: int, value: bytes) -> bytes:
    return _HEAD.pack(0x0000, element, len(value)) + value


def _uid(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)
