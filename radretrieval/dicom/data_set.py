"""A received data set: its SOP UIDs, read from its first attributes alone, and the head of the file it is stored as."""

from __future__ import annotations

import re
import zlib

from radretrieval.dicom.transfer_syntaxes import BIG_ENDIAN, DEFLATED, IMPLICIT
from radretrieval.errors import ImageError
from radretrieval.files.text import printable

IMPLEMENTATION = (
    "2.25.274727544434696380894618227003424964103"  # Implementation Class UID: of the program that wrote the file
)

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
LONGEST_UID = 64  # PS3.5, 9.1
HEAD = 2**16  # bytes in which the UIDs are; of a deflated data set so many are inflated
_UNDEFINED = 0xFFFFFFFF


def sop_uids(data_set: bytes, syntax: str) -> tuple[str, str]:
    """Read SOP Class UID and SOP Instance UID of an encoded data set without preamble and meta header.

    Parameters
    ----------
    data_set : as received, or its first HEAD bytes. syntax : UID of its transfer syntax.

    Raises
    ------
    ImageError : it lacks one of them, or is not encoded in that syntax.

    Source: PS3.5, 7.1 (attributes stand in the order of their tags) and annex A.
    """
    if syntax == DEFLATED:
        try:
            data_set = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data_set, HEAD)
        except zlib.error as error:
            raise ImageError(f"the data set is not deflated, though its transfer syntax is ({error})") from error
    found = _values(data_set, syntax)
    for tag, name in ((_SOP_CLASS, "SOP Class UID"), (_SOP_INSTANCE, "SOP Instance UID")):
        if not found.get(tag):
            raise ImageError(f"its data set has no {name}, as read in the transfer syntax {syntax}")
        if not re.fullmatch(f"[!-~]{{1,{LONGEST_UID}}}", found[tag]):
            raise ImageError(f"its {name} is none: {printable(found[tag])}")
    return found[_SOP_CLASS], found[_SOP_INSTANCE]


def file_head(sop_class: str, sop_instance: str, syntax: str) -> bytes:
    """Return a preamble and a meta header, which make a file of the data set that follows (PS3.10, 7.1).

    The header holds no time and no version: the same data set always becomes the same file.
    """
    version = b"\x02\0\x01\0OB\0\0" + (2).to_bytes(4, "little") + b"\0\x01"
    named = ((0x02, sop_class), (0x03, sop_instance), (0x10, syntax), (0x12, IMPLEMENTATION))
    elements = version + b"".join(_uid(element, value) for element, value in named)
    length = b"\x02\0\0\0UL\x04\0" + len(elements).to_bytes(4, "little")
    return b"".join((bytes(128), b"DICM", length, elements))


def _uid(element: int, value: str) -> bytes:
    text = value.encode("ascii", "replace")
    text += b"\0" * (len(text) % 2)
    return b"\x02\0" + element.to_bytes(2, "little") + b"UI" + len(text).to_bytes(2, "little") + text


def _values(data: bytes, syntax: str) -> dict[int, str]:
    order = "big" if syntax == BIG_ENDIAN else "little"
    found: dict[int, str] = {}
    place = 0
    while place + 8 <= len(data):
        group = int.from_bytes(data[place : place + 2], order)  # type: ignore[arg-type]
        tag = group << 16 | int.from_bytes(data[place + 2 : place + 4], order)  # type: ignore[arg-type]
        if tag > _SOP_INSTANCE:
            break
        kind = data[place + 4 : place + 6]
        header, size = (8, 4) if syntax == IMPLICIT else (12, 4) if kind in _LONG else (8, 2)
        length = int.from_bytes(data[place + header - size : place + header], order)  # type: ignore[arg-type]
        if length == _UNDEFINED:  # a sequence: there is none before these two
            break
        start = place + header
        if tag in (_SOP_CLASS, _SOP_INSTANCE):
            found[tag] = data[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        place = start + length
    return found
