"""Charts on a Pillow canvas: axes with ticks and labels, bars, a legend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radretrieval.report.drawing import FAINT, INK, LARGE, SMALL, Box, Colour, font, length, shortened

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

GRID = (228, 228, 232)
_TICK = 5  # pixels
_OPACITY = 110  # of 255: bars behind others stay visible

Span = tuple[float, float]


@dataclass(frozen=True)
class Plane:
    """The coordinate system of a chart on the canvas.

    Attributes
    ----------
    box : left, top, right, bottom of the plot in pixels, without ticks and labels.
    x, y : the numbers at its left and right, and at its bottom and top.
    """

    box: Box
    x: Span
    y: Span

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a point."""
        left, top, right, bottom = self.box
        return (
            left + (x - self.x[0]) / (self.x[1] - self.x[0]) * (right - left),
            bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * (bottom - top),
        )


def axes(
    canvas: Image,
    box: Box,
    x: Span,
    y: Span,
    *,
    title: str,
    x_label: str,
    y_label: str,
    text: Callable[[float], str] = "{:g}".format,
) -> Plane:
    """Draw a frame with ticks, grid lines and labels.

    Parameters
    ----------
    box : left, top, right, bottom in pixels, with everything that belongs to the chart.
    x, y : the smallest and the largest number of each axis. Where x spans 2 or more, its ticks are whole numbers.
    title, y_label : above the plot, from its left; x_label : below it.
    text : how a tick of the y axis is written.

    Returns
    -------
    The plane that `bars` draws on.
    """
    from PIL import ImageDraw  # heavy; only pictures need it

    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = box
    rises = [(tick, text(tick)) for tick in ticks(*y)]
    margin = max(length(word, SMALL) for _, word in rises) + _TICK + 6
    plane = Plane((left + margin, top + LARGE + SMALL + 26, right - 8, bottom - 2 * SMALL - 24), x, y)
    width = int(right - left)
    draw.text((left, top), shortened(title, LARGE, width), fill=INK, font=font(LARGE))
    draw.text((left, top + LARGE + 8), shortened(y_label, SMALL, width), fill=FAINT, font=font(SMALL))
    counts = x[1] - x[0] >= 2
    _ticks(draw, plane, rises, [tick for tick in ticks(*x) if tick.is_integer() or not counts])
    middle = (plane.box[0] + plane.box[2]) / 2
    draw.text((middle, bottom - 4), x_label, fill=FAINT, font=font(SMALL), anchor="ms")
    _base(canvas, plane)
    return plane


def bars(canvas: Image, plane: Plane, edges: Sequence[float], heights: Sequence[float], colour: Colour) -> None:
    """Draw a histogram as a translucent area with a solid outline, so that another one can be drawn over it.

    Parameters
    ----------
    edges : the bins' borders, ascending, one more than there are bins.
    heights : the bins' heights, in numbers of the y axis.
    """
    from PIL import ImageDraw

    area = ImageDraw.Draw(canvas, "RGBA")
    steps = [plane.at(edges[0], 0)]
    for low, high, height in zip(edges, edges[1:], heights, strict=False):
        (x0, y0), (x1, y1) = plane.at(low, height), plane.at(high, 0)
        if round(y0) < round(y1):
            # up to the neighbour's first pixel: overlapping translucent bars would draw a darker line
            area.rectangle((round(x0), round(y0), round(x1) - 1, round(y1) - 1), fill=(*colour, _OPACITY))
        steps += [(x0, y0), (x1, y0)]
    ImageDraw.Draw(canvas).line([*steps, plane.at(edges[-1], 0)], fill=colour, width=2)
    _base(canvas, plane)


def line(canvas: Image, plane: Plane, points: Sequence[tuple[float, float]], colour: Colour) -> None:
    """Draw a line through points, each of which is marked; a single one is a mark."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    places = [plane.at(*point) for point in points]
    draw.line(places, fill=colour, width=2)
    for x, y in places:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)


def legend(canvas: Image, corner: tuple[float, float], entries: Sequence[tuple[str, Colour]]) -> None:
    """Name colours below each other; `corner` is the top right one of the words."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas, "RGBA")
    right, y = corner
    left = right - max((length(word, SMALL) for word, _ in entries), default=0) - 20
    for word, colour in entries:
        draw.rectangle((left, y, left + 12, y + 12), fill=(*colour, _OPACITY), outline=colour, width=2)
        draw.text((left + 20, y + 6), word, fill=INK, font=font(SMALL), anchor="lm")
        y += SMALL + 7


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, near `about` of them, at steps of 1, 2 or 5 times a power of ten.

    Examples
    --------
    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> ticks(0, 730)
    [0.0, 200.0, 400.0, 600.0]
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda size: abs(math.log(size / rough)))
    digits = max(0, 1 - math.floor(math.log10(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, digits) for place in range(first, last + 1)]


def _ticks(draw: ImageDraw, plane: Plane, rises: Sequence[tuple[float, str]], across: Sequence[float]) -> None:
    """Ticks of both axes, those of x `across`, and grid lines at those of y (`rises`)."""
    for tick, word in rises:
        here = plane.at(plane.x[0], tick)
        draw.line((*here, plane.box[2], here[1]), fill=GRID)
        draw.line((here[0] - _TICK, here[1], *here), fill=INK)
        draw.text((here[0] - _TICK - 4, here[1]), word, fill=INK, font=font(SMALL), anchor="rm")
    for tick in across:
        here = plane.at(tick, plane.y[0])
        draw.line((*here, here[0], here[1] + _TICK), fill=INK)
        draw.text((here[0], here[1] + _TICK + 4), f"{tick:g}", fill=INK, font=font(SMALL), anchor="mt")


def _base(canvas: Image, plane: Plane) -> None:
    """The two axes, over what was drawn on them."""
    from PIL import ImageDraw

    left, top, right, bottom = plane.box
    ImageDraw.Draw(canvas).line((left, top, left, bottom, right, bottom), fill=INK)
