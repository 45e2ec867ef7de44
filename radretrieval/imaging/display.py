"""How stored values are shown: the description, and the one rule that makes grey of them (DICOM PS3.3 C.11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True)
class Lut:
    """A look-up table: `table[0]` for `first` and all below it, the last entry for all beyond the table."""

    first: int
    table: NDArray[np.uint16]

    def of(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The entries for these values, each rounded to the nearest whole number, halves to the even one."""
        place = np.clip(np.rint(np.nan_to_num(values)) - self.first, 0, len(self.table) - 1)
        return np.asarray(self.table[place.astype(np.intp)], np.float64)


class Rescale(NamedTuple):
    """slope · value + intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    def of(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The rescaled values."""
        return np.asarray(values * self.slope + self.intercept)


AS_STORED = Rescale()


class Window(NamedTuple):
    """Centre and width, in modality values, and the function that they are of (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

    centre: float
    width: float
    function: Function = "LINEAR"
    name: str | None = None

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Modality values → 0…1."""
        centre, width = self.centre, self.width
        if self.function == "SIGMOID":
            with np.errstate(over="ignore"):
                return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)))
        if self.function == "LINEAR":
            centre, width = centre - 0.5, width - 1
        if width == 0:  # a threshold: the centre itself is black (PS3.3 C.11.2.1.2.1)
            return np.asarray(values > centre, dtype=np.float64)
        return np.clip((values - centre) / width + 0.5, 0, 1)


@dataclass(frozen=True)
class Display:
    """What makes grey of stored values.

    Attributes
    ----------
    modality : stored values → modality values.
    lut : VOI LUT of modality values, and what its entries are divided by (`largest`); None without one.
    windows : those that can be read, in the order of the header.
    range : lowest and highest modality value of the pixels that are no padding, which become 0 and 1 where there is
        neither VOI LUT nor window; None where it was not worked out.
    inverted : whether 0…1 becomes 1…0, after everything else.
    padding : lowest and highest stored value that is black, whatever else is said; None for none.
    """

    modality: Rescale | Lut = AS_STORED
    lut: Lut | None = None
    largest: int = 1
    windows: tuple[Window, ...] = ()
    range: tuple[float, float] | None = None
    inverted: bool = False
    padding: tuple[int, int] | None = None

    @property
    def initial(self) -> Literal["lut", "window", "range"]:
        """What is shown first: the VOI LUT, else the first window, else the range."""
        return "lut" if self.lut is not None else "window" if self.windows else "range"

    def is_padding(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Which stored values are padding."""
        low, high = self.padding or (1, 0)
        return np.asarray((values >= low) & (values <= high))

    def grey(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Stored values, integers of any shape, → 0…1, by `initial`."""
        modality = self.modality.of(values)
        if self.lut is not None:
            grey = self.lut.of(modality) / float(self.largest)
        elif self.windows:
            grey = self.windows[0].of(modality)
        else:
            grey = _stretched(modality, *(self.range or (0.0, 0.0)))
        if self.inverted:
            grey = 1 - grey
        grey[self.is_padding(values)] = 0
        return grey

    def pixels(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """An image of stored values (rows, columns) → float32 (rows, columns), 0…1."""
        low, high = int(values.min()), int(values.max())
        return looked_up(self.grey(np.arange(low, high + 1)).astype(np.float32), values, low)


def identity(maximum: int, inverted: bool = False) -> Display:
    """The display of values 0 … maximum that become 0…1."""
    return Display(range=(0.0, float(maximum)), inverted=inverted)


def _stretched(modality: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    if not high > low:
        return np.zeros(modality.shape)
    return np.clip((modality - low) / (high - low), 0, 1)


def looked_up(table: NDArray[Any], values: NDArray[Any], low: int) -> NDArray[Any]:
    """table[values - low], (rows, columns), of the table's type."""
    result = np.empty(values.shape, dtype=table.dtype)
    for rows in _bands(values):
        # "clip", for no index is out of range: else numpy would copy what it writes
        np.take(table, values[rows].astype(np.intp) - low, out=result[rows], mode="clip")
    return result


def counted(values: NDArray[Any], low: int, count: int) -> NDArray[np.intp]:
    """How often an image (rows, columns) has each of the `count` values from `low` on."""
    counts = np.zeros(count, dtype=np.intp)
    for rows in _bands(values):
        counts += np.bincount(values[rows].ravel().astype(np.intp) - low, minlength=count)
    return counts


def _bands(values: NDArray[Any]) -> list[slice]:
    """Rows in bands of about a hundred thousand pixels, whose indices, of eight bytes each, the cache holds."""
    step = max(1, 2**17 // values.shape[1])
    return [slice(start, start + step) for start in range(0, values.shape[0], step)]
