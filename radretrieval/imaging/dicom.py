"""A DICOM file becomes pixels: decoding (PS3.5), then the grey or colour pipeline (PS3.3 C.7.6.3, C.11).

Every decoder is named, so that what else is installed never changes a pixel; all are permissively licensed.
pydicom is imported inside the functions: 0.3 s that a command without DICOM need not pay.
"""

from __future__ import annotations

import hashlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from radretrieval.errors import ImageError
from radretrieval.imaging.grey import Stored, grey_pixels, integer, palette_pixels, text
from radretrieval.imaging.header import described, in_frame, more_of
from radretrieval.imaging.radiograph import Radiograph
from radretrieval.imaging.raster import (
    Samples,
    check_end,
    check_size,
    decode_deep_jpeg,
    jpeg_frame,
    luminance,
)

_IMPLICIT, _EXPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_DEFLATED, _RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
_JPEG = "1.2.840.10008.1.2.4."
_BASELINE, _EXTENDED, _LOSSLESS = _JPEG + "50", _JPEG + "51", (_JPEG + "57", _JPEG + "70")
_JPEG_LS = (_JPEG + "80", _JPEG + "81")
_JPEG_2000 = tuple(_JPEG + last for last in ("90", "91", "201", "202", "203"))
# Plugin of pydicom by transfer syntax; "" where the pixels are native. pydicom's own RLE cannot panic.
_PLUGINS = {
    **dict.fromkeys((_IMPLICIT, _EXPLICIT, _BIG_ENDIAN), ""),
    _RLE: "pydicom",
    _BASELINE: "pillow",
    **dict.fromkeys(_JPEG_LS, "pyjpegls"),
    **dict.fromkeys(_JPEG_2000, "pylibjpeg"),
}
_NO_RADIOGRAPH = ("SEG", "RTDOSE", "RTSTRUCT", "PR", "KO", "SR")


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

    Grey: stored values → modality LUT or rescale → VOI LUT, else the first window if it is valid → 0…1;
    without either, minimum and maximum of the values become 0 and 1 (a constant image gives zeros).
    MONOCHROME1 is inverted last. Pixel padding takes no part in minimum and maximum and becomes 0.
    Palette, RGB and YBR become luminance as in `decode_image`. Overlays are ignored.
    Of enhanced objects the look-up tables and windows of the frame count.

    Raises
    ------
    ImageError
        The object holds no image, or one that cannot be read; other exceptions of pydicom may leave as they
        are.

    Source: DICOM PS3.3 C.7.6.3 (pixels), C.11.1 (modality LUT), C.11.2 (VOI LUT, window); PS3.5 A.4
    (encodings).
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # what it would log, we raise or repair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds, syntax = read_data_set(data, max_pixels)
        stored, frames = stored_values(ds, syntax, max_pixels, frame)
        if frames > 1:
            in_frame(ds, frame)
        if stored.photometric == "PALETTE COLOR":
            pixels = palette_pixels(ds, stored)
        elif stored.values.ndim == 3:
            pixels = luminance(stored.values, 2**stored.bits - 1)
        else:
            pixels = grey_pixels(ds, stored, little_endian=syntax != _BIG_ENDIAN)
        return Radiograph(
            pixels,
            "dicom",
            stored.bits,
            str(ds.PhotometricInterpretation),
            frames=frames,
            transfer_syntax_uid=transfer_syntax(data)[0],
            pixels_sha256=_hash(stored),
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
        body, syntax = _inflated(body, 2 * max_pixels + 2**24), _EXPLICIT
    if len(body) < 8:
        raise ImageError("the DICOM file ends after its preamble or header; copy the file again")
    ds = read_dataset(io.BytesIO(body), syntax == _IMPLICIT, syntax != _BIG_ENDIAN)
    return ds, syntax


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


def _inflated(data: bytes, limit: int) -> bytes:
    """Raw deflate data inflated, in steps of 1 MiB; raises ImageError beyond the limit."""
    inflater, result = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
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


class _Header(NamedTuple):
    """The Image Pixel module (PS3.3 C.7.6.3), found sound."""

    rows: int
    columns: int
    samples: int
    allocated: int
    bits: int
    signed: bool
    photometric: str
    frames: int


def _header(ds: Any, max_pixels: int) -> _Header:
    """What the data set says of its pixels; raises ImageError where that is not what can be read."""
    rows, columns = integer(ds, "Rows"), integer(ds, "Columns")
    check_size(rows, columns, max_pixels)
    frames = max(1, integer(ds, "NumberOfFrames", 1))
    samples, bits = integer(ds, "SamplesPerPixel", 1), integer(ds, "BitsStored")
    allocated, signed = integer(ds, "BitsAllocated"), integer(ds, "PixelRepresentation", 0) == 1
    photometric = str(ds.get("PhotometricInterpretation") or "")
    if not photometric:
        raise ImageError("the DICOM header lacks PhotometricInterpretation: black and white are not defined")
    if samples != (1 if photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR") else 3):
        raise ImageError(f"the DICOM header contradicts itself: {samples} samples a pixel in {photometric}")
    if allocated not in (1, 8, 16) or not 1 <= bits <= allocated or integer(ds, "HighBit", bits - 1) >= bits:
        raise ImageError(f"has {bits} of {allocated} bits a sample, oddly placed or too deep; 1 to 16 are read")
    return _Header(rows, columns, samples, allocated, bits, signed, photometric, frames)


def stored_values(ds: Any, syntax: str, max_pixels: int, number: int = 1) -> tuple[Stored, int]:
    """Decode a frame, from 1, of a data set; tells how many there are. Sizes are checked before memory is taken.

    Raises ImageError.
    """
    _check_object(ds)
    header = _header(ds, max_pixels)
    rows, columns, samples, allocated, bits, signed, photometric, frames = header
    if not 1 <= number <= frames:
        raise ImageError(f"has {'one frame' if frames == 1 else f'{frames} frames'}; there is no frame {number}")
    frame = b""
    if _PLUGINS.get(syntax) != "":
        frame = _frame(ds, syntax, header, number)
    elif photometric != "YBR_FULL_422":  # whose length pydicom checks
        length, needed = len(ds.PixelData), -(-rows * columns * samples * allocated * frames // 8)
        if length < needed:
            raise ImageError(f"the pixel data is cut off: {length:,} of {needed:,} bytes; copy the file again")
    if syntax in _LOSSLESS or (syntax == _EXTENDED and jpeg_frame(frame).bits != 8):
        values = _deep_jpeg(frame, bits, signed, clip=syntax == _EXTENDED)
    else:
        ds.PixelRepresentation, ds.SamplesPerPixel = int(signed), samples
        values, photometric = _by_pydicom(ds, syntax, number)
    if values.shape != ((rows, columns) if samples == 1 else (rows, columns, samples)):
        raise ImageError(f"the pixel data is {values.shape}, the DICOM header says {rows}×{columns}×{samples}")
    if samples == 3 and photometric != "RGB":
        raise ImageError(f"its colours, {photometric} in this transfer syntax, are not read; send it uncompressed")
    return Stored(values, bits, signed, photometric), frames


def _by_pydicom(ds: Any, syntax: str, number: int) -> tuple[Samples, str]:
    """Values and photometric interpretation after decoding, YBR made RGB; raises ImageError."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    plugin = "pillow" if syntax == _EXTENDED else _PLUGINS[syntax]
    try:
        values, meta = get_decoder(syntax).as_array(ds, index=number - 1, decoding_plugin=plugin)
    except MemoryError:
        raise
    except Exception as error:  # codecs raise anything; pydicom joins the codec's reason to its own
        reason = " ".join(str(error).split())[-150:]
        raise ImageError(f"the pixels cannot be decoded as {UID(syntax).name}: {reason}") from error
    return values, str(meta["photometric_interpretation"])


def _check_object(ds: Any) -> None:
    """Refuse an object that holds no radiograph, saying what it is; raises ImageError."""
    from pydicom.uid import UID

    kind = UID(text(ds, "SOPClassUID") or "").name
    if text(ds, "Modality") in _NO_RADIOGRAPH:
        raise ImageError(f"holds no radiograph ({kind})")
    if "PixelData" in ds and ds.PixelData:
        return
    if "FloatPixelData" in ds or "DoubleFloatPixelData" in ds:
        raise ImageError("has floating-point pixels, which no radiograph has")
    if not kind:
        raise ImageError("holds no image: the DICOM data set is cut off or empty; copy the file again")
    raise ImageError(f"holds no image ({kind} without Pixel Data): it is another kind of object, or was cut off")


def _frame(ds: Any, syntax: str, header: _Header, number: int) -> bytes:
    """A compressed frame, once what its own header claims agrees with the data set's; raises ImageError."""
    from pydicom.encaps import get_frame
    from pydicom.uid import UID

    if syntax not in _PLUGINS and syntax != _EXTENDED and syntax not in _LOSSLESS:
        raise ImageError(f"transfer syntax {UID(syntax).name} is not read; send it uncompressed or as JPEG 2000")
    frame: bytes = get_frame(ds.PixelData, number - 1, number_of_frames=header.frames)
    if syntax == _RLE:  # has no header of its own that claims a size
        return frame
    if syntax != _BASELINE:  # Pillow notices by itself
        check_end(frame)
    if syntax in _JPEG_2000:
        size = frame.find(b"\xff\x4f\xff\x51")
        if size < 0 or size + 42 > len(frame):
            raise ImageError("the JPEG 2000 stream is damaged: it has no header")
        right, bottom, left, top = struct.unpack(">4I", frame[size + 8 : size + 24])
        claimed = (bottom - top, right - left, int.from_bytes(frame[size + 40 : size + 42], "big"))
    else:
        stream = jpeg_frame(frame)
        claimed = (stream.rows, stream.columns, stream.components)
    if claimed != (header.rows, header.columns, header.samples):
        raise ImageError(
            f"the compressed pixels are {claimed[1]}×{claimed[0]}×{claimed[2]}, the DICOM header says "
            f"{header.columns}×{header.rows}×{header.samples}: one of them is damaged"
        )
    return frame


def _deep_jpeg(frame: bytes, bits: int, signed: bool, clip: bool) -> Samples:
    """Lossless or 12-bit JPEG as stored values; lossy ones may overshoot and are clipped, others masked."""
    values = decode_deep_jpeg(frame)
    if clip and not signed:
        return np.asarray(np.minimum(values, 2**bits - 1))
    values = values.astype(np.uint16) << np.uint16(16 - bits)
    masked: Samples = (values.view(np.int16) if signed else values) >> np.uint8(16 - bits)
    return masked
