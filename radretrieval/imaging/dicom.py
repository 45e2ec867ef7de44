"""A DICOM file becomes pixels: decoding (PS3.5), then the grey or colour pipeline (PS3.3 C.7.6.3, C.11).

pydicom is imported inside the functions: 0.3 s that a command without DICOM need not pay.
"""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from radretrieval.errors import ImageError
from radretrieval.imaging.elements import code
from radretrieval.imaging.frames import with_delimiter
from radretrieval.imaging.grey import Grey, grey_pixels, palette_pixels
from radretrieval.imaging.header import described, in_frame, more_of
from radretrieval.imaging.radiograph import Radiograph, nearly_constant
from radretrieval.imaging.raster import Samples, shades
from radretrieval.imaging.stored import Stored, stored_values

_IMPLICIT, _EXPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
MOST_ELEMENTS = 100_000  # of a data set, beside those within sequences; objects of this kind have some hundreds


def is_dicom(data: bytes) -> bool:
    """Whether bytes are a DICOM file, or a data set without preamble and meta header."""
    return data[128:132] == b"DICM" or looks_like_dicom(data)


def looks_like_dicom(data: bytes) -> bool:
    """Whether bytes without a preamble begin like a data set: group 0002 or 0008, then a VR or a length."""
    if len(data) < 16 or data[:2] not in (b"\x08\0", b"\x02\0", b"\0\x08"):
        return False
    explicit = data[4:6].isalpha() and data[4:6].isupper()
    return explicit or int.from_bytes(data[4:8], "little") <= len(data)


def read_dicom(data: bytes, max_pixels: int, frame: int = 1) -> Radiograph:
    """A frame, from 1, of a DICOM file, with what its header says of it.

    Grey: stored values → modality LUT or rescale → VOI LUT, else the first window that can be read → 0…1;
    without either, minimum and maximum of the values become 0 and 1 (a constant image gives zeros).
    MONOCHROME1, and the Presentation LUT Shape INVERSE, are inverted last, both together once. Pixel padding takes no
    part in minimum and maximum and becomes 0. Palette, RGB and YBR become luminance as in `decode_image`. Overlays are
    ignored. Of enhanced objects the look-up tables and windows of the frame count. What of these says nothing is left
    out, and named in `Radiograph.ignored`.

    Raises
    ------
    ImageError
        The object holds no image, or one that cannot be read; other exceptions of pydicom may leave as they
        are.

    Source: DICOM PS3.3 C.7.6.3 (pixels), C.11.1 (modality LUT), C.11.2 (VOI LUT, window), C.11.6 (Presentation LUT
    Shape), C.8.11.3 (that MONOCHROME1 and INVERSE are one thing said twice); PS3.5 A.4 (encodings).
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # what it would log, we raise or repair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds, syntax = read_data_set(data, max_pixels)
        stored, frames = stored_values(ds, syntax, max_pixels, frame)
        in_frame(ds, frame)
        little_endian = syntax != _BIG_ENDIAN
        values: Samples | None = stored.values
        if stored.photometric == "PALETTE COLOR":
            grey = Grey(pixels := palette_pixels(ds, stored, little_endian), nearly_constant(pixels))
        elif stored.values.ndim == 3:
            pixels, values, display = shades(stored.values, 2**stored.bits - 1)
            grey = Grey(pixels, nearly_constant(pixels), display)
        else:
            grey = grey_pixels(ds, stored, little_endian)
        return Radiograph(
            grey.pixels,
            "dicom",
            stored.bits,
            str(code(ds, "PhotometricInterpretation")),
            frames=frames,
            transfer_syntax_uid=transfer_syntax(data)[0],
            pixels_sha256=_hash(stored),
            flat=grey.flat,
            ignored=grey.ignored,
            stored=None if grey.display is None else values,
            display=grey.display,
            **described(ds),
        )


def _hash(stored: Stored) -> bytes:
    """SHA-256 of stored values and of what says how to take them: the same in every lossless transfer syntax."""
    said = f"{stored.photometric} {stored.bits} {stored.signed} {stored.values.shape} "
    values = np.ascontiguousarray(stored.values, dtype="<i2" if stored.signed else "<u2")
    return hashlib.sha256(said.encode() + values.tobytes()).digest()


def read_data_set(data: bytes, max_pixels: int) -> tuple[Any, str]:
    """The data set of a file, and the transfer syntax of its pixels; inflated, with a limit, if deflated."""
    from pydicom.filereader import read_dataset  # dcmread would inflate without limit

    syntax, start = transfer_syntax(data)
    body = data[start:]
    if syntax == _DEFLATED:
        limit, syntax = 2 * max_pixels + 2**24, _EXPLICIT
        try:
            body = _inflated(body, limit, -zlib.MAX_WBITS)
        except zlib.error:  # with the header of zlib or gzip, which PS3.5 A.5 does not have
            body = _inflated(body, limit, zlib.MAX_WBITS | 32)
    if len(body) < 8:
        raise ImageError("the DICOM file ends after its preamble or header; copy the file again")
    implicit, little_endian = syntax == _IMPLICIT, syntax != _BIG_ENDIAN
    ds = read_dataset(io.BytesIO(body), implicit, little_endian, stop_when=_counted())
    if "PixelData" not in ds and (closed := with_delimiter(body)) is not None:
        ds = read_dataset(io.BytesIO(closed), implicit, little_endian, stop_when=_counted())
    return ds, syntax


def _counted() -> Callable[[Any, str | None, int], bool]:
    """What pydicom calls before each element of a data set; raises ImageError where they are too many."""
    count = 0

    def never(tag: Any, vr: str | None, length: int) -> bool:
        nonlocal count
        count += 1
        if count > MOST_ELEMENTS:
            raise ImageError(f"the DICOM header has more than {MOST_ELEMENTS:,} elements; the object is damaged")
        return False

    return never


def header_values(data: bytes, keywords: Sequence[str], max_pixels: int) -> dict[str, str]:
    """`more_of` a file; raises ImageError where it cannot be read."""
    if not keywords:
        return {}
    try:
        return more_of(read_data_set(data, max_pixels)[0], keywords)
    except ImageError:
        raise
    except Exception as error:  # pydicom raises anything on damaged input
        raise ImageError(f"the DICOM header is damaged: {error}") from error


def transfer_syntax(data: bytes) -> tuple[str, int]:
    """Transfer syntax UID and where the data set begins (PS3.10, 7.1); guessed without a meta header."""
    position = 132 if data[128:132] == b"DICM" else 0
    syntax = ""
    while data[position : position + 2] == b"\x02\0":
        long = data[position + 4 : position + 6] in (b"OB", b"OW", b"UN", b"UT", b"SQ")
        header, size = (12, 4) if long else (8, 2)
        length = int.from_bytes(data[position + header - size : position + header], "little")
        if data[position + 2 : position + 4] == b"\x10\0":
            syntax = data[position + header : position + header + length].rstrip(b"\0 ").decode("ascii", "replace")
        position += header + length
    if not syntax:
        explicit = data[position + 4 : position + 6].isalpha()
        big_endian = data[position : position + 2] == b"\0\x08"
        syntax = _BIG_ENDIAN if big_endian else _EXPLICIT if explicit else _IMPLICIT
    return syntax, position


def _inflated(data: bytes, limit: int, form: int) -> bytes:
    """Deflated data of a form (`wbits` of zlib) inflated, in steps of 1 MiB; raises ImageError beyond the limit."""
    inflater, result = zlib.decompressobj(form), bytearray()
    for start in range(0, len(data), 2**16):
        pending = data[start : start + 2**16]
        while pending and not inflater.eof:
            result += inflater.decompress(pending, 2**20)
            pending = inflater.unconsumed_tail
            if len(result) > limit:
                raise ImageError(f"inflates to more than {limit:,} bytes, more than an image of the allowed size")
    if not inflater.eof:
        raise ImageError("the deflated DICOM data set is cut off; copy the file again")
    return bytes(result)
