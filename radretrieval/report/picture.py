"""A search as a picture: the query and its hits, as in the paper's Figures 4 and 5."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import UsageError
from radretrieval.irma.code import axes
from radretrieval.irma.tree import words

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

Box = tuple[float, float, float, float]
Line = tuple[str, int, tuple[int, int, int]]  # words, size, colour

_ABBREVIATED = re.compile(r"[a-z -]+\(([A-Z]+)[^)]*\)")  # of "anteroposterior (AP, coronal)" AP is left
_COLUMNS = 5
_QUERY, _HIT, _GAP, _MARGIN = 330, 216, 18, 24
_PLAIN, _SMALL, _LARGE = 15, 13, 18
_PAPER, _INK, _FAINT, _FILM = (255, 255, 255), (25, 25, 30), (110, 110, 118), (16, 16, 18)
_ROI, _HALO = (255, 190, 40), (0, 0, 0)
# Blue and vermilion are told apart by people who see no red or green.
_RIGHT, _WRONG, _OPEN = (0, 114, 178), (213, 94, 0), (150, 150, 158)


@dataclass(frozen=True)
class QueryView:
    """The query as it is drawn.

    Attributes
    ----------
    pixels : float32 (rows, columns), 0…1; None if the file is gone.
    caption : lines under the image, such as the file's name.
    irma_code : its label, if it has one.
    roi : x, y, width, height of the drawn region, in pixels of `pixels`.
    """

    pixels: NDArray[np.float32] | None
    caption: Sequence[str] = ()
    irma_code: str | None = None
    roi: Box | None = None


@dataclass(frozen=True)
class HitView:
    """One hit as it is drawn: as `QueryView`, with its distances and whether its code is the query's."""

    pixels: NDArray[np.float32] | None
    cnnc_distance: float | None = None
    rbc_distance: float | None = None
    caption: Sequence[str] = ()
    irma_code: str | None = None
    roi: Box | None = None
    correct: bool | None = None


def search_picture(path: Path | str, query: QueryView, hits: Sequence[HitView]) -> None:
    """Write a PNG with the query at the left and its hits, best first, in rows of five beside it.

    Parameters
    ----------
    path : the PNG; replaced if it exists, complete or not at all.
    query : what was asked.
    hits : the answers in the order of their rank.

    Raises
    ------
    UsageError : the name does not end in .png, its folder is missing, or it cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise UsageError(f"{target} is not a name for a PNG; let the picture's name end in .png")
    if not os.path.isdir(target.parent):
        raise UsageError(f"the folder {target.parent} for the picture does not exist; make it or name another")
    if os.path.isdir(target):
        raise UsageError(f"{target} is a folder; name a file for the picture")
    temporary = target.with_name(f".{target.name}.part")
    try:
        _compose(query, hits).save(temporary, "PNG")
        os.replace(temporary, target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise UsageError(f"cannot write the picture {target}: {error.strerror or error}; name another file") from error


def _compose(query: QueryView, hits: Sequence[HitView]) -> Image:
    from PIL import Image, ImageDraw  # heavy; only `search --picture` needs it

    query_text = _query_lines(query)
    texts = [_hit_lines(hit) for hit in hits]
    columns = min(max(len(hits), 1), _COLUMNS)
    rows = -(-len(hits) // columns)
    row_height = _HIT + _text_height(max(texts, key=_text_height, default=[])) + 34
    left = _MARGIN + _QUERY + 2 * _GAP
    width = left + columns * (_HIT + _GAP) - _GAP + _MARGIN
    height = 2 * _MARGIN + max(rows * (row_height + _GAP) - _GAP, _QUERY + _text_height(query_text) + 34)
    canvas = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    _write(draw, (_MARGIN, _MARGIN), _QUERY, [("Query", _LARGE, _INK)])
    _tile(canvas, (_MARGIN, _MARGIN + 30), _QUERY, query.pixels, query.roi, _INK)
    _write(draw, (_MARGIN, _MARGIN + 30 + _QUERY + 8), _QUERY, query_text)
    for rank, (hit, text) in enumerate(zip(hits, texts, strict=True), start=1):
        x = left + (rank - 1) % columns * (_HIT + _GAP)
        y = _MARGIN + (rank - 1) // columns * (row_height + _GAP)
        word, colour = {True: ("same code", _RIGHT), False: ("other code", _WRONG), None: ("", _OPEN)}[hit.correct]
        _write(draw, (x, y), _HIT, [(str(rank), _LARGE, _INK)])
        _write(draw, (x + _HIT - _length(word, _PLAIN), y + 3), _HIT, [(word, _PLAIN, colour)])
        _tile(canvas, (x, y + 30), _HIT, hit.pixels, hit.roi, colour)
        _write(draw, (x, y + 30 + _HIT + 8), _HIT, text)
    if not hits:
        _write(draw, (left, _MARGIN), _HIT, [("No hits", _LARGE, _FAINT)])
    return canvas


def _query_lines(query: QueryView) -> list[Line]:
    return [*_code_lines(query.irma_code), *((line, _SMALL, _FAINT) for line in query.caption)]


def _hit_lines(hit: HitView) -> list[Line]:
    distances = [
        f"{name} {value:g}"
        for name, value in (("CNNC", hit.cnnc_distance), ("RBC", hit.rbc_distance))
        if value is not None
    ]
    lines = [(", ".join(distances), _PLAIN, _INK)] if distances else []
    return [*lines, *_code_lines(hit.irma_code), *((line, _SMALL, _FAINT) for line in hit.caption)]


def _code_lines(code: str | None) -> list[Line]:
    if not code:
        return []
    try:
        _, direction, anatomy, _ = axes(code, wildcard=True)
    except UsageError:  # a foreign label is shown as it stands
        return [(code, _PLAIN, _INK)]
    # The narrowest term of the anatomy, and the direction without its plane, say it all in a small space.
    ways = words("D", direction)
    short = *words("A", anatomy)[-1:], " / ".join(_ABBREVIATED.sub(r"\1", way) for way in ways[1:] or ways)
    return [(code, _PLAIN, _INK), *((phrase, _SMALL, _INK) for phrase in short if phrase)]


def _tile(
    canvas: Image, corner: tuple[int, int], side: int, pixels: NDArray[np.float32] | None, roi: Box | None,
    frame: tuple[int, int, int],
) -> None:  # fmt: skip
    """An image fitted into a square, with its region and a frame."""
    from PIL import Image, ImageDraw

    tile = Image.new("RGB", (side, side), _FILM if pixels is not None else (228, 228, 232))
    draw = ImageDraw.Draw(tile)
    if pixels is None or pixels.size == 0:
        word = "file is gone"
        draw.text(((side - _length(word, _PLAIN)) / 2, side / 2 - 10), word, fill=_FAINT, font=_font(_PLAIN))
    else:
        rows, columns = pixels.shape
        scale = side / max(rows, columns)
        size = max(round(columns * scale), 1), max(round(rows * scale), 1)
        grey = np.clip(np.nan_to_num(pixels), 0, 1) * 255 + 0.5
        picture = Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC, reducing_gap=3)
        offset = (side - size[0]) // 2, (side - size[1]) // 2
        tile.paste(picture, offset)
        if roi is not None:
            _outline(draw, roi, scale, offset, side)
    draw.rectangle((0, 0, side - 1, side - 1), outline=frame, width=2)
    canvas.paste(tile, corner)


def _outline(draw: ImageDraw, roi: Box, scale: float, offset: tuple[int, int], side: int) -> None:
    """The region's box, yellow between two dark lines, so that it stands out on black and on white."""
    x, y, width, height = roi
    ends = [(x, y), (x + width, y + height)]
    (x0, y0), (x1, y1) = (
        [min(max(round(place * scale) + shift, 2), side - 3) for place, shift in zip(end, offset, strict=True)]
        for end in ends
    )
    for grow, colour, thick in ((1, _HALO, 4), (0, _ROI, 2)):
        draw.rectangle((x0 - grow, y0 - grow, max(x1, x0) + grow, max(y1, y0) + grow), outline=colour, width=thick)


def _write(draw: ImageDraw, corner: tuple[float, float], width: int, lines: Sequence[Line]) -> None:
    x, y = corner
    for line, size, colour in lines:
        draw.text((x, y), _shortened(line, size, width), fill=colour, font=_font(size))
        y += size + 6


def _text_height(lines: Sequence[Line]) -> int:
    return sum(size + 6 for _, size, _ in lines) + 8


def _shortened(line: str, size: int, width: int) -> str:
    """The line, cut in the middle to what fits: of a path the end says most."""
    line = " ".join(line.split()).replace("×", "x")  # the bundled font has no ×
    kept, short = len(line), line
    while kept and _length(short, size) > width:
        kept -= 1
        short = f"{line[: kept // 2].rstrip()}…{line[len(line) - (kept - kept // 2) :].lstrip()}"
    return short


@lru_cache(maxsize=8)
def _font(size: int) -> FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


def _length(line: str, size: int) -> float:
    return float(_font(size).getlength(line))
