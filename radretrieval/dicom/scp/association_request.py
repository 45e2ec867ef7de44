"""Association requests (PS3.8, 9.3.2) as pynetdicom reads them: what it would refuse, and need not, is put right."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_TITLES, _ITEMS = slice(4, 36), 68  # called and calling AE title; where the items begin
_CALLING = slice(20, 36)
_USER_INFORMATION, _MAXIMUM_LENGTH = 0x50, 0x51
_SUB_ITEMS = range(0x51, 0x5A)  # those of the standard (PS3.7, D.3.3)
_DEFAULT_LENGTH = struct.pack(">BxHI", _MAXIMUM_LENGTH, 4, 16384)


def repaired(body: bytes) -> bytes:
    """Return the body of an A-ASSOCIATE-RQ PDU, put right.

    AE titles may be padded with NUL. Unknown sub-items of the user information are left out: they are to be ignored. A
    maximum length is added where there is none. What cannot be read stays as it is.
    """
    if len(body) < _ITEMS:
        return body
    head = body[: _TITLES.start] + body[_TITLES].replace(b"\0", b" ") + body[_TITLES.stop : _ITEMS]
    try:
        items = [
            _item(kind, _user_information(value) if kind == _USER_INFORMATION else value)
            for kind, value in _items(body[_ITEMS:])
        ]
    except (struct.error, ValueError):
        return head + body[_ITEMS:]
    return head + b"".join(items)


def calling_title(body: bytes) -> str:
    """The calling AE title."""
    return body[_CALLING].decode("ascii", "replace").strip()


def _user_information(value: bytes) -> bytes:
    known = [(kind, sub_item) for kind, sub_item in _items(value) if kind in _SUB_ITEMS]
    length = b"" if any(kind == _MAXIMUM_LENGTH for kind, _ in known) else _DEFAULT_LENGTH
    return length + b"".join(_item(*one) for one in known)


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Items, or sub-items: their types and values. Raises ValueError where one is cut."""
    place = 0
    while place < len(data):
        kind, length = struct.unpack(">BxH", data[place : place + 4])
        value = data[place + 4 : place + 4 + length]
        if len(value) < length:
            raise ValueError("an item is cut")
        yield kind, value
        place += 4 + length


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value
