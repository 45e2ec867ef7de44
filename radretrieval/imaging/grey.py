"""Stored values become grey: the greyscale and palette pipelines of DICOM (PS3.3 C.7.6.3, C.11)."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import ImageError
from radretrieval.imaging.elements import code, integer, numbers, said, values
from radretrieval.imaging.radiograph import nearly_constant
from radretrieval.imaging.raster import Pixels, Samples, luminance
from radretrieval.imaging.stored import Stored


class Grey(NamedTuple):
    """Grey pixels, float32 (rows, columns), 0…1.

    flat, ignored : as of a `Radiograph`.
    """

    pixels: Pixels
    flat: bool
    ignored: tuple[str, ...] = ()


def grey_pixels(ds: Any, stored: Stored, little_endian: bool) -> Grey:
    """The grey pipeline, worked out once for each of the at most 65,536 stored values, then looked up."""
    low = int(stored.values.min())
    span = np.arange(low, int(stored.values.max()) + 1)

    def seen() -> NDArray[np.bool_]:
        """Which of the values the image has: a pass over it that a window makes needless."""
        counts = np.zeros(len(span), dtype=np.intp)
        for rows in _bands(stored.values):
            counts += np.bincount(stored.values[rows].ravel().astype(np.intp) - low, minlength=len(span))
        return counts > 0

    padding = _padding(ds, stored, span)
    ignored: list[str] = []
    modality = _modality(ds, span, ~padding, little_endian, ignored)
    pixels, stretched = _voi(ds, modality, _Used(~padding, seen), little_endian, ignored)
    if stored.photometric == "MONOCHROME1" or code(ds, "PresentationLUTShape") == "INVERSE":
        pixels = 1 - pixels
    pixels[padding] = 0
    if not np.isfinite(pixels).all() and not np.isfinite(pixels[seen()]).all():
        raise ImageError("the DICOM header gives no finite grey values: rescale or window is not a number")
    found = _looked_up(pixels.astype(np.float32), stored.values, low)
    shown = ~padding[stored.values.astype(np.intp) - low] if padding.any() else slice(None)
    # Stretched, the noise of a blank film fills the range: its stored values tell, of which 12 bits are many
    flat = nearly_constant(found[shown]) or (
        stretched and nearly_constant(stored.values[shown], 2 ** min(stored.bits, 12))
    )
    return Grey(found, flat, tuple(ignored))


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


class _Used(NamedTuple):
    """Which of a span of values count: those that are no padding; and, found when asked, those that the image has."""

    unpadded: NDArray[np.bool_]
    seen: Callable[[], NDArray[np.bool_]]


def _modality(
    ds: Any, span: NDArray[Any], unpadded: NDArray[np.bool_], little_endian: bool, ignored: list[str]
) -> NDArray[Any]:
    """Stored values → modality values (PS3.3 C.11.1)."""
    if tables := values(ds, "ModalityLUTSequence"):
        return _mapped(tables[0], span, unpadded, little_endian)[0]
    slope, intercept = (numbers(ds, "RescaleSlope") or [1.0])[0], (numbers(ds, "RescaleIntercept") or [0.0])[0]
    empty = "RescaleSlope" in ds and not values(ds, "RescaleSlope") and intercept != 0  # absent it would be 1
    if slope == 0 or empty or not math.isfinite(slope + intercept):
        ignored.append(f"{said(ds, 'RescaleSlope', 'RescaleIntercept')} is no rescale and is ignored")
        slope, intercept = 1.0, 0.0
    return np.asarray(span * slope + intercept)


def _voi(
    ds: Any, modality: NDArray[Any], used: _Used, little_endian: bool, ignored: list[str]
) -> tuple[NDArray[np.float64], bool]:
    """Modality values → 0…1 by VOI LUT or window, else stretched by the extremes of those `used` (PS3.3 C.11.2).

    The second value tells whether they were stretched.
    """
    for table in values(ds, "VOILUTSequence"):
        try:
            mapped, largest = _mapped(table, modality, used.unpadded, little_endian)
        except ImageError as error:
            ignored.append(f"{error}; it is ignored")
        else:
            return mapped / (2.0 ** max(1, largest.bit_length()) - 1), False
    function = code(ds, "VOILUTFunction")
    window = _window(ds, "LINEAR" if function not in ("LINEAR_EXACT", "SIGMOID") else function, ignored)
    if window is not None:
        centre, width = window
        if function == "SIGMOID":
            with np.errstate(over="ignore"):
                return np.asarray(1 / (1 + np.exp(-4 * (modality - centre) / width))), False
        if function != "LINEAR_EXACT":
            centre, width = centre - 0.5, width - 1
        if width == 0:  # a threshold: the centre itself is black (PS3.3 C.11.2.1.2.1)
            return np.asarray(modality > centre, dtype=np.float64), False
        return np.clip((modality - centre) / width + 0.5, 0, 1), False
    met = modality[used.seen() & used.unpadded]
    low, high = (met.min(), met.max()) if len(met) else (0, 0)
    if not high > low:
        return np.zeros(len(modality)), True
    return np.clip((modality - low) / (float(high) - float(low)), 0, 1), True


def _window(ds: Any, function: str, ignored: list[str]) -> tuple[float, float] | None:
    """Centre and width of the first window that can be read; None where none can.

    LINEAR asks for a width of at least 1, the others for a positive one (PS3.3 C.11.2.1.2).
    """
    windows = list(zip_longest(numbers(ds, "WindowCenter"), numbers(ds, "WindowWidth"), fillvalue=math.nan))
    for place, (centre, width) in enumerate(windows):
        if math.isfinite(centre) and width > 0 and (width >= 1 or function != "LINEAR"):
            if place:
                ignored.append(f"{said(ds, 'WindowCenter', 'WindowWidth')}: the first that is a window is taken")
            return centre, width
    if windows:
        ignored.append(f"{said(ds, 'WindowCenter', 'WindowWidth')} is no window and is ignored")
    return None


def _mapped(
    item: Any, span: NDArray[Any], unpadded: NDArray[np.bool_], little_endian: bool, kind: str = "LUT"
) -> tuple[NDArray[Any], int]:
    """Values through one LUT item, and the largest entry of its table (PS3.3 C.11.1.1.1, C.11.2.1.1, C.7.6.3.1.5).

    The bits that the descriptor declares only tell whether entries of 8 bits lie two in a word: how many bits the
    entries use is seen from the largest, for tables that declare 16 and hold 12 are common.
    """
    descriptor = numbers(item, f"{kind}Descriptor")
    if len(descriptor) != 3 or not all(math.isfinite(part) for part in descriptor):
        raise ImageError("a look-up table in the DICOM header has no descriptor of three numbers")
    entries, first, bits = (int(part) for part in descriptor)
    entries = entries & 0xFFFF or 65536
    words = _words(values(item, f"{kind}Data"), little_endian)
    if bits <= 8 and entries <= 2 * len(words) < 2 * entries:
        words = words.astype("<u2").view("u1")
    table = words[:entries]
    index = np.rint(np.nan_to_num(span)) - _first(first, entries, span)
    index = np.clip(index, 0, entries - 1).astype(np.intp)
    if not len(table) or index[unpadded].max(initial=0) >= len(table):
        raise ImageError(f"a look-up table in the DICOM header is cut off: {len(table)} of {entries} entries")
    return table[np.minimum(index, len(table) - 1)].astype(np.int64), int(table.max())


def _words(data: list[Any], little_endian: bool) -> NDArray[np.uint16]:
    """The words of LUT Data, of VR US, SS or OW."""
    if data and isinstance(data[0], bytes):
        raw = data[0] + b"\0" * (len(data[0]) % 2)
        return np.frombuffer(raw, "<u2" if little_endian else ">u2").astype(np.uint16)
    return np.asarray([int(entry) & 0xFFFF for entry in data], dtype=np.uint16)


def _first(said_first: int, entries: int, span: NDArray[Any]) -> int:
    """The first value that a LUT maps: as said, or with the other sign, which writers confuse, where only that fits."""
    other = said_first - 65536 if said_first > 32767 else said_first + 65536 if said_first < 0 else said_first
    low, high = np.nanmin(span), np.nanmax(span)
    fits, other_fits = (first <= high and first + entries > low for first in (said_first, other))
    return other if (other_fits and not fits) or (said_first > 32767 and low < 0) else said_first


def palette_pixels(ds: Any, stored: Stored, little_endian: bool) -> Pixels:
    """Palette indices as the luminance of their colours (PS3.3 C.7.6.3.1.5).

    Entries have 8 or 16 bits: 8 where none needs more, whatever the descriptor declares.
    """
    from pydicom.pixels.processing import apply_color_lut

    low = int(stored.values.min())
    span = np.arange(low, int(stored.values.max()) + 1)
    if "RedPaletteColorLookupTableData" in ds:
        kinds = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
        tables = [_mapped(ds, span, np.ones(len(span), dtype=bool), little_endian, kind) for kind in kinds]
        colours = np.stack([mapped for mapped, _ in tables], axis=-1)
        maximum = 255 if max(largest for _, largest in tables) < 256 else 65535
    else:  # segmented
        colours = apply_color_lut(span, ds)
        maximum = 2 ** int(ds.RedPaletteColorLookupTableDescriptor[2]) - 1
    table = luminance(np.minimum(colours[None, :, :3], maximum), maximum)[0]
    return _looked_up(table, stored.values, low)
