"""The description of a film, as JSON: its sizes, and how its pixels are shown (DICOM PS3.3 C.11)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from radretrieval.imaging.display import Display, Function, Lut, Rescale, Window

LARGEST = 1e300  # JSON has no infinity


class Level(BaseModel):
    """A size of a film; one of its pixels is the mean of `level` × `level` pixels.

    The last row and column are of fewer pixels where the size is no multiple of `level`.

    url : of its pixels, relative to the page.
    """

    level: Literal[1, 2, 4]
    rows: int
    columns: int
    url: str = ""


class RescaleOf(BaseModel):
    """slope · stored value + intercept = modality value."""

    slope: float
    intercept: float


class LutOf(BaseModel):
    """A look-up table: `table[0]` for `first` and all values below it, the last entry for all beyond the table.

    A value is rounded to the nearest whole number before, halves to the even one.
    """

    first: int
    table: list[int]

    @classmethod
    def of(cls, lut: Lut) -> LutOf:
        """The description of a table."""
        return cls(first=lut.first, table=lut.table.tolist())

    def lut(self) -> Lut:
        """The table that it describes."""
        return Lut(self.first, np.array(self.table, np.uint16))


class VoiLut(LutOf):
    """A VOI LUT of modality values; an entry / `largest` is the grey."""

    largest: int


class WindowOf(BaseModel):
    """A window of modality values (PS3.3 C.11.2.1.2), with its name in the header, if it has one."""

    name: str | None
    centre: float
    width: float
    function: Function


class Film(BaseModel):
    """How the pixels of a film are shown (PS3.3 C.11).

    rows, columns : of the film. bits : of its stored values.
    offset : a pixel as it is sent, plus `offset`, is the stored value.
    levels : the film, half and quarter of it.
    modality : what makes a modality value of a stored value.
    initial : what is shown first: the VOI LUT `lut`, the first of `windows`, or `range`, the lowest and highest
        modality value of the film, which become 0 and 1.
    inverted : whether p becomes 1 - p, after everything else. Grey is floor(255 p + 0.5).
    padding : the lowest and highest of the stored values that are black, whatever else is said.
    spacing : of rows and of columns, in mm.
    presets : windows for the body part.
    ignored : what of the header should say how to show the film and cannot be read, one sentence each.
    reduced : why the original could not be read, where this is the reduced copy of the archive.
    """

    rows: int
    columns: int
    bits: int
    offset: int
    levels: list[Level]
    modality: RescaleOf | LutOf
    windows: list[WindowOf]
    lut: VoiLut | None
    initial: Literal["lut", "window", "range"]
    range: tuple[float, float]
    inverted: bool
    padding: tuple[int, int] | None
    spacing: tuple[float, float] | None
    presets: list[WindowOf]
    ignored: list[str]
    reduced: str | None

    def at(self, url: str) -> Film:
        """The film with its pixels at this URL, relative to the page: of each level at `url?level=…`."""
        levels = [level.model_copy(update={"url": f"{url}?level={level.level}"}) for level in self.levels]
        return self.model_copy(update={"levels": levels})

    def display(self) -> Display:
        """The display that it describes."""
        said = self.modality
        return Display(
            said.lut() if isinstance(said, LutOf) else Rescale(said.slope, said.intercept),
            self.lut.lut() if self.lut else None,
            self.lut.largest if self.lut else 1,
            tuple(Window(one.centre, one.width, one.function, one.name) for one in self.windows),
            self.range,
            self.inverted,
            self.padding,
        )


def described(display: Display) -> dict[str, Any]:
    """The fields of a `Film` that a display fills, beside `range`."""
    said, voi = display.modality, display.lut
    return {
        "modality": LutOf.of(said) if isinstance(said, Lut) else RescaleOf(**said._asdict()),
        "windows": [WindowOf(**window._asdict()) for window in display.windows],
        "lut": None if voi is None else VoiLut(**LutOf.of(voi).model_dump(), largest=display.largest),
        "initial": display.initial,
        "inverted": display.inverted,
        "padding": display.padding,
    }
