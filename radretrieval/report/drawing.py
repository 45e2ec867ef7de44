"""Elements of pictures: text, image tiles, colours; and saving as PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import UsageError
from radretrieval.files.output import check_output, output_file
from radretrieval.irma.tree import in_short

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

    from radretrieval.imaging.radiograph import Radiograph

Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]
Line = tuple[str, int, Colour]  # words, size, colour

PLAIN, SMALL, LARGE = 15, 13, 18
PAPER, INK, FAINT, FILM = (255, 255, 255), (25, 25, 30), (110, 110, 118), (16, 16, 18)
ROI, HALO = (255, 190, 40), (0, 0, 0)
# Blue and vermilion differ for people with red-green colour blindness too.
RIGHT, WRONG, OPEN = (0, 114, 178), (213, 94, 0), (150, 150, 158)


def save(path: Path | str, compose: Callable[[], Image]) -> None:
    """Write a picture as PNG; replaced if it exists, complete or not at all.

    Raises
    ------
    UsageError : as `output.check_output`, and `compose` has not been called then; or the disk became full.
    """
    with output_file(check_output(path, ".png", "picture"), "picture") as draft:
        compose().save(draft, "PNG")


def code_lines(code: str | None) -> list[Line]:
    """An IRMA code, and its anatomy and direction in short words."""
    if not code:
        return []
    try:
        short = in_short(code)
    except UsageError:  # a foreign label is shown as it stands
        return [(code, PLAIN, INK)]
    return [(code, PLAIN, INK), *((phrase, SMALL, INK) for phrase in short)]


class Fitted(NamedTuple):
    """An image at the size of its tile, uint8 (rows, columns), and its pixels for one of the original."""

    grey: NDArray[np.uint8]
    scale: float


def fitted(pixels: NDArray[np.float32], side: int) -> Fitted:
    """An image, float32 (rows, columns), brought to a longest side; decoding processes do this too."""
    from PIL import Image

    rows, columns = pixels.shape
    scale = side / max(rows, columns)
    size = max(round(columns * scale), 1), max(round(rows * scale), 1)
    grey = np.clip(np.nan_to_num(pixels), 0, 1) * 255 + 0.5
    picture = Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC, reducing_gap=3)
    return Fitted(np.asarray(picture), scale)


class FittedFilm(NamedTuple):
    """A film fitted into its tile, and why its original could not be read where it is a reduced copy."""

    fitted: Fitted
    reduced: str | None


def fitted_film(radiograph: Radiograph, side: int) -> FittedFilm:
    """A radiograph fitted into a tile."""
    return FittedFilm(fitted(radiograph.pixels, side), radiograph.unreachable)


def tile(
    canvas: Image, corner: tuple[int, int], side: int, pixels: NDArray[np.float32] | Fitted | None, roi: Box | None,
    frame: tuple[int, int, int],
) -> None:  # fmt: skip
    """An image fitted into a square, with its region and a frame."""
    from PIL import Image, ImageDraw

    square = Image.new("RGB", (side, side), FILM if pixels is not None else (228, 228, 232))
    draw = ImageDraw.Draw(square)
    if pixels is None or (not isinstance(pixels, Fitted) and pixels.size == 0):
        word = "cannot be read"
        draw.text(((side - length(word, PLAIN)) / 2, side / 2 - 10), word, fill=FAINT, font=font(PLAIN))
    else:
        grey, scale = pixels if isinstance(pixels, Fitted) else fitted(pixels, side)
        offset = (side - grey.shape[1]) // 2, (side - grey.shape[0]) // 2
        square.paste(Image.fromarray(grey), offset)
        if roi is not None:
            _outline(draw, roi, scale, offset, side)
    draw.rectangle((0, 0, side - 1, side - 1), outline=frame, width=2)
    canvas.paste(square, corner)


def _outline(draw: ImageDraw, roi: Box, scale: float, offset: tuple[int, int], side: int) -> None:
    """The region's box, yellow between two dark lines: visible on black and on white."""
    x, y, width, height = roi
    ends = [(x, y), (x + width, y + height)]
    (x0, y0), (x1, y1) = (
        [min(max(round(place * scale) + shift, 2), side - 3) for place, shift in zip(end, offset, strict=True)]
        for end in ends
    )
    for grow, colour, thick in ((1, HALO, 4), (0, ROI, 2)):
        draw.rectangle((x0 - grow, y0 - grow, max(x1, x0) + grow, max(y1, y0) + grow), outline=colour, width=thick)


def write(draw: ImageDraw, corner: tuple[float, float], width: int, lines: Sequence[Line]) -> None:
    """Lines of text below each other, each cut to `width` pixels."""
    x, y = corner
    for line, size, colour in lines:
        draw.text((x, y), shortened(line, size, width), fill=colour, font=font(size))
        y += size + 6


def text_height(lines: Sequence[Line]) -> int:
    """Pixels that lines take, with a margin below."""
    return sum(size + 6 for _, size, _ in lines) + 8


def wrapped(text: str, size: int, width: int) -> list[str]:
    """The text in lines of at most `width` pixels; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and length(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def shortened(line: str, size: int, width: int) -> str:
    """The line, shortened in the middle to the width: both ends of a path are kept."""
    line = " ".join(line.split()).replace("×", "x")  # the bundled font has no ×
    kept, short = len(line), line
    while kept and length(short, size) > width:
        kept -= 1
        short = f"{line[: kept // 2].rstrip()}…{line[len(line) - (kept - kept // 2) :].lstrip()}"
    return short


@lru_cache(maxsize=8)
def font(size: int) -> FreeTypeFont:
    """Pillow's own font at a size in pixels."""
    from PIL import ImageFont

    found = ImageFont.load_default(size=size)
    assert isinstance(found, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return found


def length(line: str, size: int) -> float:
    """Width of a line in pixels."""
    return float(font(size).getlength(line))
