"""PNG, JPEG and TIFF become pixels."""

from __future__ import annotations

import io
import logging
import struct
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import ImageError
from radretrieval.imaging.display import Display, identity
from radretrieval.imaging.radiograph import Radiograph

Samples = NDArray[Any]
Pixels = NDArray[np.float32]


def check_size(rows: int, columns: int, max_pixels: int) -> None:
    """Refuse a claimed size before memory is taken for it; raises ImageError."""
    if rows < 1 or columns < 1:
        raise ImageError(f"claims {columns}×{rows} pixels: an image without area")
    if rows * columns > max_pixels:
        raise ImageError(
            f"claims {columns}×{rows} pixels, more than the {max_pixels:,} allowed; "
            "raise RADRETRIEVAL_MAX_PIXELS if it is sound"
        )


def luminance(samples: Samples, maximum: int) -> Pixels:
    """Samples (rows, columns) or (rows, columns, 1…4) as float32 (rows, columns), 0…1 = value / maximum.

    Colour becomes 0.299 R + 0.587 G + 0.114 B, rounded once to float32; where R = G = B everywhere, it is
    that channel, so that a grey radiograph saved in colour gives the same pixels. The alpha channel is
    ignored. Source: ITU-R BT.601, section 2.5.1.
    """
    grey = _grey_channel(samples)
    if grey is not None:
        return np.divide(grey, np.float32(maximum), dtype=np.float32)
    red, green, blue = (samples[..., channel] for channel in range(3))
    pixels = np.multiply(red, np.float32(0.299 / maximum), dtype=np.float32)
    pixels += np.multiply(green, np.float32(0.587 / maximum), dtype=np.float32)
    pixels += np.multiply(blue, np.float32(0.114 / maximum), dtype=np.float32)
    return np.minimum(pixels, 1, out=pixels)


def _grey_channel(samples: Samples) -> Samples | None:
    """Samples (rows, columns) of what is grey, as `luminance` takes it; None of colours."""
    if samples.ndim == 2:
        return samples
    red = samples[..., 0]
    grey = samples.shape[-1] < 3 or all(np.array_equal(red, samples[..., channel]) for channel in (1, 2))
    return red if grey else None


class Shades(NamedTuple):
    """Grey of samples.

    pixels : float32 (rows, columns), 0…1.
    stored, display : as of a `Radiograph`.
    """

    pixels: Pixels
    stored: Samples | None
    display: Display | None


def shades(samples: Samples, maximum: int, inverted: bool = False) -> Shades:
    """Samples as `luminance` takes them, 0 … maximum, as grey; inverted where 0 is white."""
    channel = _grey_channel(samples)
    pixels = luminance(samples if channel is None else channel, maximum)
    if inverted:
        np.subtract(1, pixels, out=pixels)
    return Shades(pixels, channel, None if channel is None else identity(maximum, inverted))


# More than any sound file has; of a file that is made of such parts alone each costs a thousand times its bytes.
MOST_CHUNKS = 2**17  # of a PNG: 800 MB in those of 8 kB
MOST_SCANS = 500  # of a progressive JPEG, each of which goes over the whole image; encoders write about ten
MOST_PAGES = 100  # of a TIFF, thumbnails among them


def read_png(data: bytes, max_pixels: int) -> Radiograph:
    """The image of a PNG file, upright by its EXIF orientation; of an animated one the default image."""
    kind, header = next(png_chunks(data))
    if kind != b"IHDR" or len(header) != 25:
        raise ImageError("the PNG stream is damaged: it does not begin with its header")
    columns, rows, depth, colour = struct.unpack(">IIBB", header[8:18])
    check_size(rows, columns, max_pixels)
    samples = png_samples(data)
    photometric = {0: "MONOCHROME2", 2: "RGB", 3: "PALETTE COLOR", 4: "MONOCHROME2", 6: "RGB"}.get(colour, "RGB")
    bits = 8 if colour == 3 else depth
    # libpng widens 1, 2 and 4 bits to 8 by v·255/(2^bits − 1), so that the quotient is the same
    pixels, stored, display = shades(samples, np.iinfo(samples.dtype).max)
    return Radiograph(pixels, "png", bits, photometric, stored=stored, display=display)


def png_samples(data: bytes) -> Samples:
    """Samples of a PNG file, (rows, columns) or (rows, columns, 2…4), upright; raises ImageError."""
    from imagecodecs import png_decode  # Pillow loses the low byte of 16-bit colour

    chunks = list(png_chunks(data))
    # Without ancillary chunks: profiles and comments make libpng complain on stderr, and may be bombs.
    needed = b"".join(chunk for kind, chunk in chunks if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"))
    orientation = next((_orientation(chunk[8:-4]) for kind, chunk in chunks if kind == b"eXIf"), 1)
    return _upright(png_decode(data[:8] + needed), orientation)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and whole bytes of each chunk up to IEND; raises ImageError where the file ends before it."""
    position, kind, count = 8, b"", 0
    while kind != b"IEND":
        count += 1
        if count > MOST_CHUNKS:
            raise ImageError(f"the PNG stream is damaged: it has more than {MOST_CHUNKS:,} chunks")
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise ImageError(f"the PNG stream is cut off after {len(data):,} bytes; copy the file again")
        yield kind, data[position:end]
        position = end


class JpegFrame(NamedTuple):
    """What a JPEG stream's frame header claims (ITU-T T.81, B.2.2; T.87 for JPEG-LS)."""

    process: int  # the low four bits of SOFn; 3: lossless; 0x37: JPEG-LS
    bits: int
    rows: int
    columns: int
    components: int


def jpeg_frame(data: bytes) -> JpegFrame:
    """The frame header of a JPEG or JPEG-LS stream; raises ImageError where there is none."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            if position + 10 > len(data):
                break
            if data.count(b"\xff\xda", position) > MOST_SCANS:
                raise ImageError(f"the JPEG stream has more than {MOST_SCANS} scans; save it anew")
            bits, rows, columns, components = struct.unpack(">BHHB", data[position + 4 : position + 10])
            return JpegFrame(marker - 0xC0, bits, rows, columns, components)
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
        elif marker in (0xD9, 0xDA):
            break
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if position + 4 > len(data):
        raise ImageError(f"the JPEG stream is cut off after {len(data):,} bytes; copy the file again")
    raise ImageError("the JPEG stream is damaged: no frame header before the image data")


def check_end(stream: bytes) -> None:
    """Refuse a JPEG, JPEG-LS or JPEG 2000 stream without its end marker; raises ImageError.

    The deep decoders fill what is missing with grey and say nothing. Zeros and fill bytes may follow the
    marker.
    """
    if not stream.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise ImageError("the JPEG stream is cut off: its end marker is missing; copy the file again")


def decode_deep_jpeg(stream: bytes) -> Samples:
    """Samples of a lossless or 12-bit JPEG stream, as stored; raises ImageError where it is cut off."""
    from imagecodecs import jpeg_decode

    check_end(stream)
    frame = jpeg_frame(stream)
    samples: Samples = jpeg_decode(stream)
    if samples.shape[:2] != (frame.rows, frame.columns) or samples.ndim != (2 if frame.components == 1 else 3):
        raise ImageError(f"the JPEG stream is damaged: its frame header claims {frame.columns}×{frame.rows} pixels")
    return samples


def read_jpeg(data: bytes, max_pixels: int) -> Radiograph:
    """The image of a JPEG file, upright by its EXIF orientation; 8 and 12 bits, and lossless."""
    from PIL.JpegImagePlugin import (
        JpegImageFile,
    )  # not Image.open, whose own limit of pixels would come first

    frame = jpeg_frame(data)
    check_size(frame.rows, frame.columns, max_pixels)
    photometric = "MONOCHROME2" if frame.components == 1 else "YBR_FULL"
    if frame.bits != 8 or frame.process == 3:
        maximum = 2**frame.bits - 1
        exif = data.find(b"Exif\0\0", 0, data.find(b"\xff\xda"))
        orientation = 1 if exif < 0 else _orientation(data[exif + 6 : exif + 2**16])
        samples = _upright(np.minimum(decode_deep_jpeg(data), maximum), orientation)
        pixels, stored, display = shades(samples, maximum)
        return Radiograph(pixels, "jpeg", frame.bits, photometric, stored=stored, display=display)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = JpegImageFile(io.BytesIO(data))
            check_size(image.height, image.width, max_pixels)
            image.load()
        except OSError as error:
            if "truncated" in str(error).lower():
                raise ImageError("the JPEG stream is cut off; copy the file again") from error
            raise
        samples = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
        try:
            orientation = image.getexif().get(0x0112, 1)
        except Exception:  # damaged EXIF says nothing about the picture
            orientation = 1
    pixels, stored, display = shades(_upright(samples, orientation), 255)
    return Radiograph(pixels, "jpeg", 8, photometric, stored=stored, display=display)


def _orientation(exif: bytes) -> object:
    """The Orientation tag of an EXIF block, 1 where it has none; damaged EXIF says nothing about the picture."""
    from PIL.Image import Exif

    found = Exif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found.load(exif)
            return found.get(0x0112, 1)
        except Exception:
            return 1


def _upright(pixels: Samples, orientation: object) -> Samples:
    """Pixels (rows, columns, …) turned and mirrored as the Orientation tag asks.

    Source: TIFF 6.0, p. 36; EXIF 2.32, 4.6.4.
    """
    turned = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: np.rot90(p),
    }
    if isinstance(orientation, int) and orientation in turned:
        return np.ascontiguousarray(turned[orientation](pixels))
    return pixels


# Those whose output tifffile bounds by the strip's size: none, CCITT, LZW, JPEG, Deflate, PackBits, ZSTD.
_TIFF_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50000)
_TIFF_PHOTOMETRICS = {0: "MONOCHROME1", 1: "MONOCHROME2", 2: "RGB", 3: "PALETTE COLOR", 6: "YBR_FULL"}


def read_tiff(data: bytes, max_pixels: int) -> Radiograph:
    """The one full-size image of a TIFF or BigTIFF file: unsigned, 1…16 bits, grey, palette or colour."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it would log, we raise
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _single_page(file)
        _check_tiff(page, data, max_pixels)
        samples = page.asarray(maxworkers=1)
        bits, photometric = page.bitspersample, int(page.photometric)
        if page.axes == "SYX":
            samples = np.moveaxis(samples, 0, -1)
        if photometric == 3:
            samples = np.moveaxis(np.asarray(page.colormap), 0, -1)[samples]
        samples = _upright(samples, page.tags.valueof(274, 1))
    pixels, stored, display = shades(samples, 65535 if photometric == 3 else 2**bits - 1, inverted=photometric == 0)
    return Radiograph(pixels, "tiff", bits, _TIFF_PHOTOMETRICS[photometric], stored=stored, display=display)


def _single_page(file: Any) -> Any:
    """The only page that is neither thumbnail, pyramid level nor mask (NewSubfileType, bits 0 and 2)."""
    found = None
    for number, page in enumerate(file.pages):
        if number == MOST_PAGES:
            raise ImageError(f"the TIFF has more than {MOST_PAGES} pages; save the image as a file of its own")
        if page.tags.valueof(254, 0) & 0b101:
            continue
        if found is not None:
            raise ImageError("holds several pages; save each image as a file of its own")
        found = page
    if found is None:
        raise ImageError("the TIFF holds no image, or thumbnails only")
    return found


def _check_tiff(page: Any, data: bytes, max_pixels: int) -> None:
    """Refuse what cannot be read rightly, before memory is taken; raises ImageError."""
    check_size(page.imagelength, page.imagewidth, max_pixels)
    if page.is_tiled:
        check_size(page.tilelength, page.tilewidth, max_pixels)
    if page.sampleformat == 3:
        raise ImageError("has floating-point samples, whose black and white are not defined; save it as 16-bit")
    bits = page.bitspersample
    if page.sampleformat != 1 or not isinstance(bits, int) or not 1 <= bits <= 16:
        raise ImageError(f"has signed, unlike or too deep samples ({bits} bits); save it as unsigned 8 or 16-bit")
    if page.compression not in _TIFF_COMPRESSIONS:
        raise ImageError(f"TIFF compression {page.compression!r} is not read; save it with LZW, Deflate or none")
    if page.photometric not in _TIFF_PHOTOMETRICS or page.axes not in ("YX", "YXS", "SYX"):
        raise ImageError(f"TIFF of kind {page.photometric!r} with axes {page.axes} is not read; save it as grey or RGB")
    if page.samplesperpixel > (1 if page.photometric == 3 else 5):
        raise ImageError(f"has {page.samplesperpixel} samples a pixel; save it as grey or RGB")
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not segments or any(count < 1 or offset + count > len(data) for offset, count in segments):
        raise ImageError(f"the TIFF is cut off: image data lies beyond its {len(data):,} bytes; copy it again")
    if page.compression == 7:
        height = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        width = page.tilewidth if page.is_tiled else page.imagewidth
        for offset, count in segments:
            frame = jpeg_frame(data[offset : offset + count])
            if frame.rows > height or frame.columns > width:
                raise ImageError("the TIFF is damaged: a JPEG strip is larger than the image")
