"""What a DICOM header says of how stored values become grey (PS3.3 C.7.6.3, C.11), made a `Display`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import ImageError
from radretrieval.imaging.display import Display, Function, Lut, Rescale, Window, counted, looked_up
from radretrieval.imaging.elements import code, integer, numbers, said, values
from radretrieval.imaging.radiograph import nearly_constant
from radretrieval.imaging.raster import Pixels, luminance
from radretrieval.imaging.stored import Stored


class Grey(NamedTuple):
    """Grey pixels, float32 (rows, columns), 0…1.

    display : what made them of the stored values; None of a palette.
    flat, ignored : as of a `Radiograph`.
    """

    pixels: Pixels
    flat: bool
    display: Display | None = None
    ignored: tuple[str, ...] = ()


def grey_pixels(ds: Any, stored: Stored, little_endian: bool) -> Grey:
    """The grey pipeline, worked out once for each of the at most 65,536 stored values, then looked up."""
    low = int(stored.values.min())
    span = np.arange(low, int(stored.values.max()) + 1)

    def seen() -> NDArray[np.bool_]:
        """Which of the values the image has: a pass over it that a window makes needless."""
        return counted(stored.values, low, len(span)) > 0

    ignored: list[str] = []
    display = _display(ds, stored, _Span(span, seen, little_endian), ignored)
    table = display.grey(span)
    if not np.isfinite(table).all() and not np.isfinite(table[seen()]).all():
        raise ImageError("the DICOM header gives no finite grey values: rescale or window is not a number")
    found = looked_up(table.astype(np.float32), stored.values, low)
    shown = ~display.is_padding(stored.values) if display.is_padding(span).any() else slice(None)
    # Stretched, the noise of a blank film fills the range: its stored values tell, of which 12 bits are many
    flat = nearly_constant(found[shown]) or (
        display.initial == "range" and nearly_constant(stored.values[shown], 2 ** min(stored.bits, 12))
    )
    return Grey(found, flat, display, tuple(ignored))


class _Span(NamedTuple):
    """The stored values that an image can have; which of them it has, found when asked; the order of its bytes."""

    values: NDArray[Any]
    seen: Callable[[], NDArray[np.bool_]]
    little_endian: bool


def _display(ds: Any, stored: Stored, span: _Span, ignored: list[str]) -> Display:
    inverted = stored.photometric == "MONOCHROME1" or code(ds, "PresentationLUTShape") == "INVERSE"
    display = Display(inverted=inverted, padding=_padding(ds, stored))
    unpadded = ~display.is_padding(span.values)
    display = replace(display, modality=_modality(ds, span, unpadded, ignored))
    modality = display.modality.of(span.values)
    lut = _voi_lut(ds, modality, unpadded, span.little_endian, ignored)
    windows = _windows(ds, ignored if lut is None else [])
    display = replace(display, lut=lut, largest=_full(lut) if lut else 1, windows=windows)
    if display.initial != "range":
        return display
    met = modality[span.seen() & unpadded]
    return replace(display, range=(float(met.min()), float(met.max())) if len(met) else (0.0, 0.0))


def _full(lut: Lut) -> int:
    """What the entries of a VOI LUT are divided by: all bits that the largest one uses.

    The bits that the descriptor declares do not tell it: tables that declare 16 and hold 12 are common.
    """
    return int(2 ** max(1, int(lut.table.max()).bit_length()) - 1)


def _padding(ds: Any, stored: Stored) -> tuple[int, int] | None:
    """Which values are padding (PS3.3 C.7.5.1.1.2), masked to the bits stored, as the pixels were."""
    first = integer(ds, "PixelPaddingValue", None)
    if first is None:
        return None
    span = [first, integer(ds, "PixelPaddingRangeLimit", first)]
    for i, value in enumerate(span):
        value &= 2**stored.bits - 1
        span[i] = value - 2**stored.bits if stored.signed and value >= 2 ** (stored.bits - 1) else value
    return min(span), max(span)


def _modality(ds: Any, span: _Span, unpadded: NDArray[np.bool_], ignored: list[str]) -> Rescale | Lut:
    """Stored values → modality values (PS3.3 C.11.1)."""
    if tables := values(ds, "ModalityLUTSequence"):
        return _lut(tables[0], span.values, unpadded, span.little_endian)
    slope, intercept = (numbers(ds, "RescaleSlope") or [1.0])[0], (numbers(ds, "RescaleIntercept") or [0.0])[0]
    empty = "RescaleSlope" in ds and not values(ds, "RescaleSlope") and intercept != 0  # absent it would be 1
    if slope == 0 or empty or not math.isfinite(slope + intercept):
        ignored.append(f"{said(ds, 'RescaleSlope', 'RescaleIntercept')} is no rescale and is ignored")
        return Rescale()
    return Rescale(slope, intercept)


def _voi_lut(
    ds: Any, modality: NDArray[Any], unpadded: NDArray[np.bool_], little_endian: bool, ignored: list[str]
) -> Lut | None:
    """The first VOI LUT that can be read (PS3.3 C.11.2.1.1); None where none can."""
    for item in values(ds, "VOILUTSequence"):
        try:
            return _lut(item, modality, unpadded, little_endian)
        except ImageError as error:
            ignored.append(f"{error}; it is ignored")
    return None


def _windows(ds: Any, ignored: list[str]) -> tuple[Window, ...]:
    """The windows that can be read, in their order.

    LINEAR asks for a width of at least 1, the others for a positive one (PS3.3 C.11.2.1.2).
    """
    named = code(ds, "VOILUTFunction")
    function: Function = "SIGMOID" if named == "SIGMOID" else "LINEAR_EXACT" if named == "LINEAR_EXACT" else "LINEAR"
    said_windows = list(zip_longest(numbers(ds, "WindowCenter"), numbers(ds, "WindowWidth"), fillvalue=math.nan))
    names = [str(name).replace("\0", "").strip() for name in values(ds, "WindowCenterWidthExplanation")]
    found: list[Window] = []
    for place, (centre, width) in enumerate(said_windows):
        if math.isfinite(centre) and width > 0 and (width >= 1 or function != "LINEAR"):
            if place and not found:
                ignored.append(f"{said(ds, 'WindowCenter', 'WindowWidth')}: the first that is a window is taken")
            found.append(Window(centre, width, function, (names[place : place + 1] or [""])[0] or None))
    if said_windows and not found:
        ignored.append(f"{said(ds, 'WindowCenter', 'WindowWidth')} is no window and is ignored")
    return tuple(found)


def _lut(item: Any, span: NDArray[Any], unpadded: NDArray[np.bool_], little_endian: bool, kind: str = "LUT") -> Lut:
    """One LUT item, for values of a span (PS3.3 C.11.1.1.1, C.11.2.1.1, C.7.6.3.1.5); raises ImageError.

    The bits that the descriptor declares only tell whether entries of 8 bits lie two in a word.
    """
    descriptor = numbers(item, f"{kind}Descriptor")
    if len(descriptor) != 3 or not all(math.isfinite(part) for part in descriptor):
        raise ImageError("a look-up table in the DICOM header has no descriptor of three numbers")
    entries, said_first, bits = (int(part) for part in descriptor)
    entries = entries & 0xFFFF or 65536
    words = _words(values(item, f"{kind}Data"), little_endian)
    if bits <= 8 and entries <= 2 * len(words) < 2 * entries:
        words = words.astype("<u2").view("u1")
    table = words[:entries].astype(np.uint16)
    first = _first(said_first, entries, span)
    needed = np.clip(np.rint(np.nan_to_num(span)) - first, 0, entries - 1)[unpadded].max(initial=0)
    if not len(table) or needed >= len(table):
        raise ImageError(f"a look-up table in the DICOM header is cut off: {len(table)} of {entries} entries")
    return Lut(first, table)


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
        luts = [_lut(ds, span, np.ones(len(span), dtype=bool), little_endian, kind) for kind in kinds]
        colours = np.stack([lut.of(span).astype(np.int64) for lut in luts], axis=-1)
        maximum = 255 if max(int(lut.table.max()) for lut in luts) < 256 else 65535
    else:  # segmented
        colours = apply_color_lut(span, ds)
        maximum = 2 ** int(ds.RedPaletteColorLookupTableDescriptor[2]) - 1
    table = luminance(np.minimum(colours[None, :, :3], maximum), maximum)[0]
    return looked_up(table, stored.values, low)
