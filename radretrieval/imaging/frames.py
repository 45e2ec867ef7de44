"""The frames of encapsulated pixel data (PS3.5, A.4).

Offset tables are believed only where they agree with the fragments: files with wrong ones are common.
"""

from __future__ import annotations

import struct

from radretrieval.errors import ImageError

ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_PIXEL_DATA = tuple(b"\xe0\x7f\x10\x00" + vr + b"\0\0\xff\xff\xff\xff" for vr in (b"OB", b"OW"))  # of undefined length
# How streams begin: JPEG and JPEG-LS (SOI and the next marker), JPEG 2000 (SOC, SIZ), its boxed form (JP2).
_STREAM_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")


def encapsulated_frame(data: bytes, number: int, frames: int) -> bytes:
    """A frame, from 1, of `frames` in encapsulated pixel data; raises ImageError where its bounds are unknown.

    One frame is all the fragments, and as many fragments as frames are one each, whatever an offset table says. Else
    the Basic Offset Table decides if each of its offsets is that of a fragment; without such a table a frame begins
    with each fragment that begins as a stream does. An Extended Offset Table needs no look: it goes with one fragment
    a frame (PS3.3 C.7.6.3.1.8).
    """
    table, fragments = _items(data)
    if not fragments:
        raise ImageError("the pixel data is cut off: it holds no frame; copy the file again")
    if frames == 1:
        return b"".join(fragments)
    if len(fragments) == frames:
        return fragments[number - 1]
    starts = _by_table(table, fragments, frames) or [
        place for place, fragment in enumerate(fragments) if fragment.startswith(_STREAM_STARTS)
    ]
    if len(starts) != frames or starts[0] != 0:
        raise ImageError(
            f"has {frames} frames in {len(fragments)} fragments, and no offset table that says which belong together"
        )
    return b"".join(fragments[starts[number - 1] : [*starts, len(fragments)][number]])


def with_delimiter(data_set: bytes) -> bytes | None:
    """A data set in which the delimiter after the last fragment is missing, with it; None where that is not the fault.

    Zeros may stand in its place. A data set that is cut off within a fragment stays as it is.
    """
    position = max(data_set.rfind(start) for start in _PIXEL_DATA)
    if position < 0:
        return None
    position += 12
    while data_set[position : position + 4] == ITEM:
        position += 8 + int.from_bytes(data_set[position + 4 : position + 8], "little")
    whole = position <= len(data_set) and not data_set[position:].strip(b"\0")
    return data_set[:position] + _DELIMITER + bytes(4) if whole else None


def _by_table(table: bytes, fragments: list[bytes], frames: int) -> list[int]:
    """Which fragments begin a frame by the Basic Offset Table; none where it contradicts the fragments."""
    offsets = struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])
    places, position = {}, 0
    for place, fragment in enumerate(fragments):
        places[position] = place
        position += 8 + len(fragment)
    if len(offsets) != frames or any(offset not in places for offset in offsets) or list(offsets) != sorted({*offsets}):
        return []
    return [places[offset] for offset in offsets]


def _items(data: bytes) -> tuple[bytes, list[bytes]]:
    """The Basic Offset Table and the fragments; a stream that is not encapsulated at all is one fragment."""
    if data.startswith(_STREAM_STARTS):
        return b"", [data]
    items, position = [], 0
    while (tag := data[position : position + 4]) == ITEM:
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        items.append(data[position + 8 : position + 8 + length])  # the last one may be cut off: its decoder tells
        position += 8 + length
    if tag not in (_DELIMITER, b"") and position < len(data):
        raise ImageError(f"the pixel data is damaged: its fragments end at byte {position:,} of {len(data):,}")
    if items and (len(items) == 1 or items[0].startswith(_STREAM_STARTS)):  # the table, though required, is missing
        return b"", [item for item in items if item]
    return b"".join(items[:1]), items[1:]
