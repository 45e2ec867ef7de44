"""A film as it reaches the browser: 16-bit pixels at three sizes, a thumbnail, and pictures of 8 bits.

This module is imported in decoding processes, which know neither the web framework nor the database.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.imaging.display import Display, Window, counted, identity
from radretrieval.imaging.radiograph import Radiograph
from radretrieval.imaging.reader import decode_image
from radretrieval.imaging.resample import resample
from radretrieval.serve.film import LARGEST, Film, Level, described
from radretrieval.serve.presets import presets

LEVELS: tuple[Literal[1, 2, 4], ...] = (1, 2, 4)
THUMBNAIL = 256  # longest side in pixels
GZIP = 16 + zlib.MAX_WBITS  # `wbits` of zlib


class MadeFilm(NamedTuple):
    """A film that was made.

    film : its description, without URLs.
    key : SHA-256 of the pixels as they are sent, in hexadecimal digits.
    levels : the pixels of each level as they are sent (`encoded`).
    thumbnail : PNG.
    """

    film: Film
    key: str
    levels: dict[int, bytes]
    thumbnail: bytes


def load_decoders() -> None:
    """Import what decodes films, which the first film of a process would else wait for."""
    import imagecodecs  # noqa: F401
    import PIL.Image  # noqa: F401
    import pydicom.filereader
    import pydicom.pixels.decoders  # noqa: F401

    import radretrieval.search.cells  # noqa: F401


def received(data: bytes, max_pixels: int) -> tuple[Radiograph, MadeFilm]:
    """A file's radiograph, without its stored values, and its film; raises ImageError as `decode_image` does."""
    radiograph = decode_image(data, max_pixels=max_pixels)
    return radiograph.without_stored, made_film(radiograph)


def film_of(data: bytes, max_pixels: int, frame: int = 1) -> MadeFilm:
    """The film of a PNG, JPEG, TIFF or DICOM file's bytes; raises ImageError as `decode_image` does."""
    return made_film(decode_image(data, max_pixels=max_pixels, frame=frame))


def made_film(radiograph: Radiograph) -> MadeFilm:
    """The film of a radiograph.

    Colours, a palette and a reduced copy, which have no stored grey values, are sent as their luminance in 16 bits.
    """
    sent = _Sent.of(radiograph)
    levels = {level: sent.level(level) for level in LEVELS}
    spacing = radiograph.row_spacing, radiograph.column_spacing
    film = Film(
        rows=radiograph.rows,
        columns=radiograph.columns,
        bits=max(radiograph.bits_stored, sent.high.bit_length()),  # samples of 1, 2 and 4 bits were widened to 8
        offset=sent.offset,
        levels=[Level(level=level, rows=one.shape[0], columns=one.shape[1]) for level, one in levels.items()],
        **described(sent.display),
        range=_range(sent),
        spacing=None if spacing[0] is None or spacing[1] is None else (spacing[0], spacing[1]),
        presets=[],
        ignored=list(radiograph.ignored),
        reduced=radiograph.unreachable,
    )
    film.presets = presets(film, radiograph.modality, radiograph.body_part)
    key = hashlib.sha256(f"{sent.values.shape}".encode() + sent.values.astype("<u2").tobytes()).hexdigest()
    pixels: dict[int, bytes] = {level: encoded(one) for level, one in levels.items()}
    return MadeFilm(film, key, pixels, _thumbnail(sent))


def made_thumbnail(radiograph: Radiograph) -> bytes:
    """The thumbnail of a film alone, as PNG."""
    return _thumbnail(_Sent.of(radiograph))


class _Sent(NamedTuple):
    """Pixels as they are sent, uint16; `offset` makes stored values of them, whose largest is `high`."""

    values: NDArray[np.uint16]
    offset: int
    high: int
    display: Display

    @classmethod
    def of(cls, radiograph: Radiograph) -> _Sent:
        stored, display = radiograph.stored, radiograph.display
        if stored is None or display is None:
            stored, display = np.rint(radiograph.pixels * np.float32(65535)).astype(np.uint16), identity(65535)
        offset = -(2**15) if stored.min() < 0 else 0
        values = (stored.astype(np.int32) - offset).astype(np.uint16) if offset else stored.astype(np.uint16)
        return cls(values, offset, int(stored.max()), display)

    def level(self, level: int) -> NDArray[np.uint16]:
        """Half or quarter of the pixels, or all."""
        span = self.display.padding
        return area_mean(self.values, level, None if span is None else (span[0] - self.offset, span[1] - self.offset))


def _thumbnail(sent: _Sent) -> bytes:
    """Of the smallest level that is as large."""
    longest = max(sent.values.shape)
    level = next(level for level in reversed(LEVELS) if level == 1 or -(-longest // level) >= THUMBNAIL)
    return thumbnail(sent.display.pixels(sent.level(level).astype(np.int32) + sent.offset))


def _range(sent: _Sent) -> tuple[float, float]:
    """Lowest and highest modality value of the stored values that are no padding."""
    display = sent.display
    if display.range is not None:
        return display.range
    low = int(sent.values.min())
    seen = np.flatnonzero(counted(sent.values, low, int(sent.values.max()) - low + 1)) + low + sent.offset
    met = np.clip(display.modality.of(seen[~display.is_padding(seen)]), -LARGEST, LARGEST)
    return (float(met.min()), float(met.max())) if len(met) else (0.0, 0.0)


def area_mean(values: NDArray[np.uint16], level: int, padding: tuple[int, int] | None) -> NDArray[np.uint16]:
    """Means of blocks of level × level stored values, rounded to the nearest whole number, halves up.

    Blocks at the right and lower edge have fewer values where the size is no multiple of `level`. Padding, from
    padding[0] to padding[1], takes no part in a mean; a block is padding where all of its values are, and never else.
    """
    if level == 1:
        return values
    if padding is None:
        counts = np.multiply.outer(*(np.minimum(level, side - np.arange(0, side, level)) for side in values.shape))
        return np.asarray((_sums(values, level) + counts // 2) // counts, np.uint16)
    real = ((values < padding[0]) | (values > padding[1])).astype(np.uint16)
    counts, sums = (_sums(one, level).astype(np.int64) for one in (real, values * real))
    mean = (sums + counts // 2) // np.maximum(counts, 1)
    within = (mean >= padding[0]) & (mean <= padding[1])
    upper = 2 * sums > (padding[0] + padding[1]) * counts
    mean = np.where(within, np.where(upper, padding[1] + 1, padding[0] - 1), mean)
    return np.asarray(np.where(counts == 0, values[::level, ::level], mean), np.uint16)


def _sums(values: NDArray[np.uint16], level: int) -> NDArray[np.uint32]:
    """Sums of blocks of level × level values."""
    rows, columns = values.shape
    whole = np.pad(values, ((0, -rows % level), (0, -columns % level)))
    down = whole[::level].astype(np.uint32)
    for place in range(1, level):
        down += whole[place::level]
    across = down[:, ::level].copy()
    for place in range(1, level):
        across += down[:, place::level]
    return across


def encoded(values: NDArray[np.uint16]) -> bytes:
    """Pixels as they are sent.

    Of each row the differences d to the left neighbour (of the first pixel to 0), -32768 ≤ d < 32768, folded: 2 d where
    d ≥ 0, else -2 d - 1, so that the high byte of a small one is 0. The low bytes of all, then the high bytes of all;
    gzip. Deflate looks for runs alone: on noise it finds no other repetition, and searching takes five times as long.
    """
    differences = values.astype("<u2")
    differences[:, 1:] -= values[:, :-1]
    signed = differences.view("<i2")
    folded = (signed << 1) ^ (signed >> 15)
    planes = np.ascontiguousarray(folded.view(np.uint8).reshape(-1, 2).T)
    packer = zlib.compressobj(1, zlib.DEFLATED, GZIP, strategy=zlib.Z_RLE)
    return packer.compress(planes.data) + packer.flush()


def decoded(data: bytes, rows: int, columns: int) -> NDArray[np.uint16]:
    """What was `encoded`, (rows, columns)."""
    planes = np.frombuffer(zlib.decompress(data, GZIP), np.uint8).reshape(2, rows, columns)
    folded = planes[0] | planes[1].astype(np.uint16) << 8
    differences = (folded >> 1) ^ -(folded & 1)
    return np.cumsum(differences, axis=1, dtype=np.uint16)


def level_for(film: Film, size: int) -> Level:
    """The smallest level whose longest side has at least `size` pixels, else the full size."""
    return next((one for one in reversed(film.levels) if max(one.rows, one.columns) >= size), film.levels[0])


def rendered(film: Film, level: Level, data: bytes, size: int, window: Window | None = None) -> bytes:
    """The PNG of a film, grey of 8 bits, its longest side at most `size` pixels.

    Parameters
    ----------
    data : the pixels of the level, as they are sent.
    window : None for what is shown first.
    """
    display = film.display()
    if window is not None:
        display = replace(display, lut=None, windows=(window,))
    values = decoded(data, level.rows, level.columns).astype(np.int32) + film.offset
    return _png(display.pixels(values), size)


def thumbnail(pixels: NDArray[np.float32]) -> bytes:
    """The PNG of pixels, 0…1, its longest side at most `THUMBNAIL`."""
    return _png(pixels, THUMBNAIL)


def _png(pixels: NDArray[np.float32], size: int) -> bytes:
    """A PNG of 8 bits, floor(255 p + 0.5), of pixels of 0…1, resampled to `size` where a side is longer."""
    from PIL import Image

    scale = min(1.0, size / max(pixels.shape))
    rows, columns = (max(1, round(side * scale)) for side in pixels.shape)
    grey = np.floor(resample(pixels, (rows, columns)).astype(np.float64) * 255 + 0.5).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
