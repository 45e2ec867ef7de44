"""Pixel data becomes stored values: the Image Pixel module (PS3.3 C.7.6.3), decoding (PS3.5, 8 and A.4).

Every decoder is named, so that what else is installed never changes a pixel; all are permissively licensed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from radretrieval.errors import ImageError
from radretrieval.imaging.elements import code, integer, text
from radretrieval.imaging.frames import ITEM, encapsulated_frame
from radretrieval.imaging.raster import Samples, check_end, check_size, decode_deep_jpeg, jpeg_frame

_RLE = "1.2.840.10008.1.2.5"
_JPEG = "1.2.840.10008.1.2.4."
_BASELINE = _JPEG + "50"
_CLASSIC = (_BASELINE, *(_JPEG + last for last in ("51", "57", "70")))  # ITU-T T.81; the stream says which process
_JPEG_LS = (_JPEG + "80", _JPEG + "81")
_JPEG_2000 = tuple(_JPEG + last for last in ("90", "91", "201", "202", "203"))
_LOSSY = tuple(_JPEG + last for last in ("50", "51", "81", "91", "203"))
# Plugin of pydicom by transfer syntax. pydicom's own RLE cannot panic.
_PLUGINS = {
    **dict.fromkeys(NATIVE := ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"), ""),
    _RLE: "pydicom",
    **dict.fromkeys(_CLASSIC, "pillow"),
    **dict.fromkeys(_JPEG_LS, "pyjpegls"),
    **dict.fromkeys(_JPEG_2000, "pylibjpeg"),
}
_PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_NO_RADIOGRAPH = ("SEG", "RTDOSE", "RTSTRUCT", "PR", "KO", "SR")


@dataclass(frozen=True)
class Stored:
    """Stored values of one frame, before any look-up table.

    values : integers (rows, columns) for grey and palette, (rows, columns, 3) for colour, which is RGB by
        now.
    """

    values: Samples
    bits: int
    signed: bool
    photometric: str


class _Header(NamedTuple):
    """The Image Pixel module (PS3.3 C.7.6.3), found sound."""

    rows: int
    columns: int
    samples: int
    allocated: int
    bits: int
    high: int
    signed: bool
    photometric: str
    frames: int


class _Stream(NamedTuple):
    """A compressed frame, and what it says itself of its encoding and samples."""

    data: bytes
    syntax: str
    bits: int
    deep: bool = False  # a JPEG process that Pillow does not know: lossless, or of more than 8 bits
    lossy: bool = False
    signed: bool = False  # which only JPEG 2000 says


def stored_values(ds: Any, syntax: str, max_pixels: int, number: int = 1) -> tuple[Stored, int]:
    """Decode a frame, from 1, of a data set; tells how many there are. Sizes are checked before memory is taken.

    Raises ImageError.
    """
    _check_object(ds)
    header = _header(ds, max_pixels)
    rows, columns, samples, frames = header.rows, header.columns, header.samples, header.frames
    if not 1 <= number <= frames:
        raise ImageError(f"has {'one frame' if frames == 1 else f'{frames} frames'}; there is no frame {number}")
    if syntax in NATIVE and not (ds["PixelData"].is_undefined_length and ds.PixelData.startswith(ITEM)):
        stream = _Stream(b"", syntax, header.allocated)
        words, photometric = _native(ds, syntax, header, number)
    else:
        stream = _stream(ds.PixelData, syntax, header, number)
        words, photometric = _decompressed(stream, header)
    if words.shape != ((rows, columns) if samples == 1 else (rows, columns, samples)):
        raise ImageError(f"the pixel data is {words.shape}, the DICOM header says {rows}×{columns}×{samples}")
    if samples == 3 and photometric != "RGB":
        raise ImageError(
            f"its colours, {_named(photometric)} in this transfer syntax, are not read; send it uncompressed"
        )
    values, bits = _placed(words, header, stream)
    return Stored(values, bits, header.signed, photometric), frames


def _check_object(ds: Any) -> None:
    """Refuse an object that holds no radiograph, saying what it is; raises ImageError."""
    from pydicom.uid import UID

    uid = UID(text(ds, "SOPClassUID") or "")
    # a damaged one may have swallowed the elements behind it
    kind = uid.name if not uid or uid.is_valid else "of no known kind"
    if code(ds, "Modality") in _NO_RADIOGRAPH:
        raise ImageError(f"holds no radiograph ({kind})")
    if "PixelData" in ds and ds.PixelData:
        return
    if "FloatPixelData" in ds or "DoubleFloatPixelData" in ds:
        raise ImageError("has floating-point pixels, which no radiograph has")
    if not kind:
        raise ImageError("holds no image: the DICOM data set is cut off or empty; copy the file again")
    raise ImageError(f"holds no image ({kind} without Pixel Data): it is another kind of object, or was cut off")


def _named(photometric: str) -> str:
    return photometric if photometric in _PHOTOMETRIC else "an unknown PhotometricInterpretation"


def _header(ds: Any, max_pixels: int) -> _Header:
    """What the data set says of its pixels; raises ImageError where that is not what can be read."""
    rows, columns = integer(ds, "Rows"), integer(ds, "Columns")
    check_size(rows, columns, max_pixels)
    frames = max(1, integer(ds, "NumberOfFrames", 1))
    samples, bits = integer(ds, "SamplesPerPixel", 1), integer(ds, "BitsStored")
    allocated, signed = integer(ds, "BitsAllocated"), integer(ds, "PixelRepresentation", 0) == 1
    photometric = code(ds, "PhotometricInterpretation")
    if not photometric:
        raise ImageError("the DICOM header lacks PhotometricInterpretation: black and white are not defined")
    if samples != (1 if photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR") else 3):
        raise ImageError(f"the DICOM header contradicts itself: {samples} samples a pixel in {_named(photometric)}")
    if allocated not in (1, 8, 16) or not 1 <= bits <= allocated:
        raise ImageError(f"has {bits} of {allocated} bits a sample, oddly placed or too deep; 1 to 16 are read")
    high = integer(ds, "HighBit", bits - 1)
    return _Header(rows, columns, samples, allocated, bits, high, signed and allocated > 1, photometric, frames)


def _placed(words: Samples, header: _Header, stream: _Stream) -> tuple[Samples, int]:
    """Stored values of the words that were decoded, and their bits (PS3.5, 8.1.1).

    Bits below and above the stored ones (overlays, other use) are dropped, and the sign is extended from the highest
    stored bit, for codecs without signed samples give the bits as they are. What a stream says of its own depth holds
    where the header says more than it can have.
    """
    words = words.astype(words.dtype.newbyteorder("="), copy=False)
    bits, high = min(header.bits, stream.bits), header.high
    if stream.bits > header.allocated:
        bits = high = stream.bits
    if not stream.bits > high >= bits - 1:  # where no value could lie: the usual place is meant
        high = bits - 1
    width = 8 * words.itemsize
    if stream.lossy:
        words, high = _clipped(words, bits, high, header.signed, stream), bits - 1
    if bits < width:
        words = words << np.uint8(width - 1 - high)
        words = (words.view(f"i{words.itemsize}") if header.signed else words) >> np.uint8(width - bits)
    elif header.signed:
        words = words.view(f"i{words.itemsize}")
    # Of lossless grey the header's depth counts, so that every encoding of an image has one hash
    return words, bits if stream.lossy or header.samples == 3 else max(bits, header.bits)


def _clipped(words: Samples, bits: int, high: int, signed: bool, stream: _Stream) -> Samples:
    """The words of a lossy stream, which may overshoot, shifted down and clipped to the bits stored, not masked.

    Signed values are clipped as such where the stream has signs: where it says so, or a value has its highest bit. Else
    it gives the stored bits as they are.
    """
    low, unused = np.uint8(high + 1 - bits), np.uint8(8 * words.itemsize - stream.bits)
    if signed and (stream.signed or (words >> np.uint8(stream.bits - 1)).any()):
        values = (words << unused).view(f"i{words.itemsize}") >> unused >> low
        clipped: Samples = np.clip(values, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).view(words.dtype)
    else:
        clipped = np.minimum(words >> low, words.dtype.type(2**bits - 1))
    return clipped


def _native(ds: Any, syntax: str, header: _Header, number: int) -> tuple[Samples, str]:
    if header.photometric != "YBR_FULL_422":  # whose length pydicom checks
        samples = header.rows * header.columns * header.samples * header.frames
        length, needed = len(ds.PixelData), -(-samples * header.allocated // 8)
        if length < needed:
            raise ImageError(f"the pixel data is cut off: {length:,} of {needed:,} bytes; copy the file again")
    planar, vr = integer(ds, "PlanarConfiguration", 0), ds["PixelData"].VR
    return _by_pydicom(
        ds.PixelData, syntax, header, number, bits_allocated=header.allocated, planar_configuration=planar, pixel_vr=vr
    )


def _stream(data: bytes, syntax: str, header: _Header, number: int) -> _Stream:
    """A compressed frame, once what its own header claims agrees with the data set's; raises ImageError."""
    from pydicom.uid import UID

    if syntax not in _PLUGINS:
        raise ImageError(f"transfer syntax {UID(syntax).name} is not read; send it uncompressed or as JPEG 2000")
    frame = encapsulated_frame(data, number, header.frames)
    if syntax == _RLE:  # says of itself only how many bytes a pixel has
        eight = header.allocated == 16 and frame[:4] == struct.pack("<I", header.samples)
        return _Stream(frame, syntax, 8 if eight else header.allocated)
    syntax = _syntax_of(frame, syntax)
    if syntax in _JPEG_2000:
        size = frame.find(b"\xff\x4f\xff\x51")
        if size < 0 or size + 43 > len(frame):
            raise ImageError("the JPEG 2000 stream is damaged: it has no header")
        right, bottom, left, top = struct.unpack(">4I", frame[size + 8 : size + 24])
        claimed = (bottom - top, right - left, int.from_bytes(frame[size + 40 : size + 42], "big"))
        depth = frame[size + 42]  # the highest bit tells of signs
        style = frame.find(b"\xff\x52", size + 43)  # COD (ITU-T T.800, A.6.1), whose wavelet 0 is the irreversible one
        lossy = syntax in _LOSSY or frame[style + 13 : style + 14] == b"\0"
        stream = _Stream(frame, syntax, (depth & 127) + 1, lossy=lossy, signed=depth > 127)
    else:
        said = jpeg_frame(frame)
        claimed = (said.rows, said.columns, said.components)
        near = frame.find(b"\xff\xda") + 5 + 2 * said.components  # of a scan of JPEG-LS (ITU-T T.87, C.2.3)
        lossless = said.process == 3 or (syntax == _JPEG_LS[0] and frame[near : near + 1] == b"\0")
        deep = syntax in _CLASSIC and (said.process == 3 or said.bits != 8)
        stream = _Stream(frame, syntax, said.bits, deep, not lossless)
    if syntax not in _CLASSIC or stream.deep:  # of the others Pillow notices by itself
        check_end(frame)
    if claimed != (header.rows, header.columns, header.samples):
        raise ImageError(
            f"the compressed pixels are {claimed[1]}×{claimed[0]}×{claimed[2]}, the DICOM header says "
            f"{header.columns}×{header.rows}×{header.samples}: one of them is damaged"
        )
    if not 1 <= stream.bits <= 16:
        raise ImageError(f"has {stream.bits} bits a sample, too deep; 1 to 16 are read")
    return stream


def _syntax_of(frame: bytes, said: str) -> str:
    """The transfer syntax that a stream shows: the one said, unless the stream is of another family.

    Some are recompressed without their meta header following. Whether such a stream is lossy is not known then.
    """
    if frame.startswith(b"\xff\x4f\xff\x51"):
        return said if said in _JPEG_2000 else _JPEG_2000[1]
    if frame.startswith(b"\xff\xd8\xff"):
        family = _JPEG_LS if jpeg_frame(frame).process == 0x37 else _CLASSIC
        return said if said in family else family[1]
    return said


def _decompressed(stream: _Stream, header: _Header) -> tuple[Samples, str]:
    """The words of a compressed frame, unsigned, and their photometric interpretation; raises ImageError."""
    from pydicom.encaps import encapsulate

    if stream.deep:
        return decode_deep_jpeg(stream.data), header.photometric
    cell = stream.bits if stream.syntax == _RLE else 8 if stream.bits <= 8 else 16
    return _by_pydicom(
        encapsulate([stream.data]),
        _BASELINE if stream.syntax in _CLASSIC else stream.syntax,
        header._replace(frames=1),
        1,
        bits_allocated=cell,
        planar_configuration=0,  # of compressed samples the codec says how they lie (PS3.5, 8.2)
    )


def _by_pydicom(data: bytes, syntax: str, header: _Header, number: int, **options: Any) -> tuple[Samples, str]:
    """Words, unsigned, and photometric interpretation after decoding, YBR made RGB; raises ImageError."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    described = {
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": header.samples,
        "photometric_interpretation": header.photometric,
        "number_of_frames": header.frames,
        "pixel_representation": 0,
        "pixel_keyword": "PixelData",
        "bits_stored": options["bits_allocated"],
    }
    try:
        decoder = get_decoder(UID(syntax))
        values, meta = decoder.as_array(
            data, index=number - 1, decoding_plugin=_PLUGINS[syntax], **described, **options
        )
    except MemoryError:
        raise
    except Exception as error:  # codecs raise anything; pydicom joins the codec's reason to its own
        reason = " ".join(str(error).split())[-150:]
        raise ImageError(f"the pixels cannot be decoded as {UID(syntax).name}: {reason}") from error
    return values, str(meta["photometric_interpretation"])
