"""Stored values become grey: the greyscale and palette pipelines of DICOM (PS3.3 C.7.6.3, C.11)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import ImageError
from radretrieval.imaging.raster import Pixels, Samples, luminance


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


def grey_pixels(ds: Any, stored: Stored, little_endian: bool) -> Pixels:
    """The grey pipeline, worked out once for each of the at most 65,536 stored values, then looked up."""
    low = int(stored.values.min())
    values = np.arange(low, int(stored.values.max()) + 1)

    def seen() -> NDArray[np.bool_]:
        """Which of the values the image has: a pass over it that a window makes needless."""
        counts = np.zeros(len(values), dtype=np.intp)
        for rows in _bands(stored.values):
            counts += np.bincount(stored.values[rows].ravel().astype(np.intp) - low, minlength=len(values))
        return counts > 0

    padding = _padding(ds, stored, values)
    modality = _modality(ds, values, little_endian)
    pixels = _voi(ds, modality, lambda: seen() & ~padding, little_endian)
    if stored.photometric == "MONOCHROME1":
        pixels = 1 - pixels
    pixels[padding] = 0
    if not np.isfinite(pixels).all() and not np.isfinite(pixels[seen()]).all():
        raise ImageError("the DICOM header gives no finite grey values: rescale or window is not a number")
    return _looked_up(pixels.astype(np.float32), stored.values, low)


def _bands(values: Samples) -> list[slice]:
    """Rows in bands of about a hundred thousand pixels, whose indices, of eight bytes each, the cache holds."""
    step = max(1, 2**17 // values.shape[1])
    return [slice(start, start + step) for start in range(0, values.shape[0], step)]


def _looked_up(table: Pixels, values: Samples, low: int) -> Pixels:
    """table[values - low], float32 (rows, columns)."""
    result = np.empty(values.shape, dtype=np.float32)
    for rows in _bands(values):
        # "clip", for no index is out of range: else numpy would copy what it writes
        np.take(table, values[rows].astype(np.intp) - low, out=result[rows], mode="clip")
    return result


def _padding(ds: Any, stored: Stored, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are padding (PS3.3 C.7.5.1.1.2), masked to the bits stored, as the pixels were."""
    first = integer(ds, "PixelPaddingValue", None)
    if first is None:
        return np.zeros(len(values), dtype=bool)
    span = [first, integer(ds, "PixelPaddingRangeLimit", first)]
    for i, value in enumerate(span):
        value &= 2**stored.bits - 1
        span[i] = value - 2**stored.bits if stored.signed and value >= 2 ** (stored.bits - 1) else value
    padding: NDArray[np.bool_] = (values >= min(span)) & (values <= max(span))
    return padding


def _modality(ds: Any, values: NDArray[Any], little_endian: bool) -> NDArray[Any]:
    """Stored values → modality values (PS3.3 C.11.1)."""
    if ds.get("ModalityLUTSequence"):
        return _mapped(ds.ModalityLUTSequence[0], values, little_endian)[0]
    return np.asarray(values * number(ds, "RescaleSlope", 1.0) + number(ds, "RescaleIntercept", 0.0))


def _voi(
    ds: Any, values: NDArray[Any], used: Callable[[], NDArray[np.bool_]], little_endian: bool
) -> NDArray[np.float64]:
    """Modality values → 0…1 by VOI LUT, window, or the extremes of those `used` (PS3.3 C.11.2)."""
    if ds.get("VOILUTSequence"):
        mapped, bits = _mapped(ds.VOILUTSequence[0], values, little_endian)
        return np.minimum(mapped / (2.0**bits - 1), 1.0)
    function = text(ds, "VOILUTFunction") or "LINEAR"
    centre, width = number(ds, "WindowCenter", math.nan), number(ds, "WindowWidth", 0.0)
    # LINEAR asks for a width of at least 1, the others for a positive one: any other window says nothing
    if math.isfinite(centre) and math.isfinite(width) and width > 0 and (width >= 1 or function != "LINEAR"):
        if function == "SIGMOID":
            with np.errstate(over="ignore"):
                return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)))
        if function == "LINEAR":
            centre, width = centre - 0.5, max(width - 1, 1e-9)
        return np.clip((values - centre) / width + 0.5, 0, 1)
    met = values[used()]
    low, high = (met.min(), met.max()) if len(met) else (0, 0)
    if not high > low:
        return np.zeros(len(values))
    return np.clip((values - low) / (float(high) - float(low)), 0, 1)


def _mapped(item: Any, values: NDArray[Any], little_endian: bool) -> tuple[NDArray[Any], int]:
    """Values through one LUT item, and the bits of its entries (PS3.3 C.11.1.1.1, C.11.2.1.1)."""
    entries, first, bits = (int(part) for part in item.LUTDescriptor)
    entries = entries or 65536
    data = item.LUTData
    if isinstance(data, bytes):
        wide = "<u2" if little_endian else ">u2"
        table = np.frombuffer(data, wide if len(data) >= 2 * entries else "u1")
    else:
        table = np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF
    if len(table) < entries or not 1 <= bits <= 16:
        raise ImageError(f"a look-up table in the DICOM header is cut off: {len(table)} of {entries} entries")
    if first > 32767 and values.min() < 0:  # written unsigned although what it maps is signed
        first -= 65536
    index = np.clip(np.rint(np.nan_to_num(values)) - first, 0, entries - 1).astype(np.intp)
    return table[index].astype(np.int64), bits


def palette_pixels(ds: Any, stored: Stored) -> Pixels:
    """Palette indices as the luminance of their colours (PS3.3 C.7.6.3.1.5)."""
    from pydicom.pixels.processing import apply_color_lut

    low = int(stored.values.min())
    colours = apply_color_lut(np.arange(low, int(stored.values.max()) + 1), ds)
    bits = int(ds.RedPaletteColorLookupTableDescriptor[2])
    table = luminance(np.minimum(colours[None, :, :3], 2**bits - 1), 2**bits - 1)[0]
    return _looked_up(table, stored.values, low)


def text(ds: Any, keyword: str) -> str | None:
    """An element's (first) value as text, None where absent or blank; NUL, which PostgreSQL refuses, is dropped."""
    value = ds.get(keyword)
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else None
    return (str(value).replace("\0", "").strip() or None) if value is not None else None


def number(ds: Any, keyword: str, default: float) -> float:
    """The first value of a numeric element, the default where it is absent or empty; raises ImageError."""
    try:
        value = ds.get(keyword)
        if value is not None and not isinstance(value, (str, bytes)) and hasattr(value, "__len__"):
            value = value[0] if len(value) else None
        if value is None or value == "":
            return default
        if math.isfinite(result := float(value)):
            return result
        raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise ImageError(f"the DICOM header is damaged: {keyword} is not a number") from None


def integer(ds: Any, keyword: str, default: Any = math.nan) -> Any:
    """As `_number`, an int; an element without default must be there."""
    value = number(ds, keyword, math.nan)
    if math.isfinite(value):
        return int(value)
    if default is None or math.isfinite(default):
        return default
    raise ImageError(f"the DICOM header lacks {keyword}: the object is damaged or holds no image")
