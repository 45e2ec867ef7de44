"""Small files that would take much time or memory: each is refused by what it claims or by the number of its parts."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from data_sets import made, written
from PIL import Image

from radretrieval.errors import ImageError
from radretrieval.imaging.dicom import MOST_ELEMENTS
from radretrieval.imaging.raster import MOST_CHUNKS, MOST_PAGES, MOST_SCANS
from radretrieval.imaging.reader import decode_image

SIDE = 16
VALUES = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: int, columns: int, between: bytes = b"", data: bytes = bytes(SIDE * (SIDE + 1))) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + between + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND")


def jpeg(rows: int = SIDE, columns: int = SIDE, scans: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(VALUES.astype(np.uint8)).save(buffer, "JPEG", progressive=bool(scans))
    stream = bytearray(buffer.getvalue())
    frame = next(place for place, two in enumerate(pairwise(stream)) if two in ((0xFF, 0xC0), (0xFF, 0xC2)))
    stream[frame + 5 : frame + 9] = struct.pack(">HH", rows, columns)
    return bytes(stream[:-2]) + b"\xff\xda\x00\x08\x01\x01\x00\x01\x01\x00\0\0" * scans + b"\xff\xd9"


def page(kind: int, following: int, rows: int = SIDE, compression: int = 1, data: int = SIDE * SIDE) -> bytes:
    """A directory of a TIFF with ten entries; the pixels lie at 8 + 126."""
    tags = ((254, kind), (256, SIDE), (257, rows), (258, 8), (259, compression), (262, 1), (273, 134), (277, 1),
            (278, rows), (279, data))  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def tiff(first: bytes, rest: bytes = bytes(SIDE * SIDE)) -> bytes:
    return b"II*\0" + struct.pack("<I", 8) + first + rest


def chain(pages: int) -> bytes:
    """Thumbnails, each of which names the next."""
    later = [page(1, 134 + SIDE * SIDE + 126 * (number + 1)) for number in range(pages)]
    return tiff(page(1, 134 + SIDE * SIDE), bytes(SIDE * SIDE) + b"".join(later))


def with_elements(elements: bytes) -> bytes:
    """A DICOM file with these elements at the begin of its data set."""
    plain = written(made(VALUES))
    start = 144 + struct.unpack("<I", plain[140:144])[0]
    return plain[:start] + elements + plain[start:]


DEEP = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"  # a sequence and its item, both open

BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG that claims much": (lambda: png(2**31 - 1, 2**31 - 1), "claims 2147483647×2147483647 pixels"),
    "PNG without area": (lambda: png(0, SIDE), "without area"),
    "PNG of empty chunks": (lambda: png(SIDE, SIDE, chunk(b"tEXt") * MOST_CHUNKS), "more than 131,072 chunks"),
    "JPEG that claims much": (lambda: jpeg(65535, 65535), "claims 65535×65535 pixels"),
    "JPEG of many scans": (lambda: jpeg(scans=MOST_SCANS), "more than 500 scans"),
    "TIFF that claims much": (lambda: tiff(page(0, 0, rows=2**31 - 1)), "claims 16×2147483647 pixels"),
    "TIFF whose pages go round": (lambda: tiff(page(1, 8)), "more than 100 pages"),
    "TIFF of many thumbnails": (lambda: chain(MOST_PAGES), "more than 100 pages"),
    "TIFF strip that inflates": (
        lambda: tiff(page(0, 0, 16, 8, len(packed := zlib.compress(bytes(5_000_000), 9))), packed),
        "TIFF stream is damaged",
    ),
    "DICOM of many frames": (lambda: written(made(VALUES, NumberOfFrames=2**31 - 1)), "is cut off"),
    "DICOM of many elements": (
        lambda: with_elements(b"\x09\0\x10\0LO\0\0" * MOST_ELEMENTS),
        "more than 100,000 elements",
    ),
    "DICOM of deep sequences": (lambda: with_elements(DEEP * 50_000), "recursion"),
    "gzip": (lambda: b"\x1f\x8b\x08\0" + bytes(100), "not a radiograph format"),
    "ZIP": (lambda: b"PK\x03\x04" + bytes(100), "not a radiograph format"),
    "XML": (lambda: b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "not a radiograph format"),
    "pickle": (lambda: b"\x80\x04cposix\nsystem\n", "not a radiograph format"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str) -> None:
    make, reason = BOMBS[name]
    with pytest.raises(ImageError, match=reason) as refused:
        decode_image(make())
    assert str(refused.value).isprintable()


def test_what_the_bombs_are_made_of_is_sound() -> None:
    for data in (png(SIDE, SIDE), jpeg(), jpeg(scans=1), tiff(page(0, 0)), with_elements(b"")):
        assert decode_image(data).pixels.shape == (SIDE, SIDE)


def test_texts_and_profiles_of_a_png_are_not_inflated() -> None:
    bomb = zlib.compress(bytes(20_000_000), 9)
    between = chunk(b"zTXt", b"k\0\0" + bomb) + chunk(b"iCCP", b"k\0\0" + bomb)
    assert decode_image(png(SIDE, SIDE, between)).pixels.shape == (SIDE, SIDE)
