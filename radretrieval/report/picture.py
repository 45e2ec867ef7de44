"""A search as a picture: the query and its hits, as in the paper's Figures 4 and 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radretrieval.report.drawing import (
    FAINT,
    INK,
    LARGE,
    OPEN,
    PAPER,
    PLAIN,
    RIGHT,
    SMALL,
    WRONG,
    Box,
    Line,
    code_lines,
    length,
    save,
    text_height,
    tile,
    write,
)

if TYPE_CHECKING:
    from PIL.Image import Image

_COLUMNS = 5
_QUERY, _HIT, _GAP, _MARGIN = 330, 216, 18, 24


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
    save(path, lambda: compose(query, hits))


def compose(query: QueryView, hits: Sequence[HitView]) -> Image:
    """The picture that `search_picture` writes, RGB."""
    from PIL import Image, ImageDraw  # heavy; only `search --picture` and `--sc` need it

    query_text = _query_lines(query)
    texts = [_hit_lines(hit) for hit in hits]
    columns = min(max(len(hits), 1), _COLUMNS)
    rows = -(-len(hits) // columns)
    row_height = _HIT + text_height(max(texts, key=text_height, default=[])) + 34
    left = _MARGIN + _QUERY + 2 * _GAP
    width = left + columns * (_HIT + _GAP) - _GAP + _MARGIN
    height = 2 * _MARGIN + max(rows * (row_height + _GAP) - _GAP, _QUERY + text_height(query_text) + 34)
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    write(draw, (_MARGIN, _MARGIN), _QUERY, [("Query", LARGE, INK)])
    tile(canvas, (_MARGIN, _MARGIN + 30), _QUERY, query.pixels, query.roi, INK)
    write(draw, (_MARGIN, _MARGIN + 30 + _QUERY + 8), _QUERY, query_text)
    for rank, (hit, text) in enumerate(zip(hits, texts, strict=True), start=1):
        x = left + (rank - 1) % columns * (_HIT + _GAP)
        y = _MARGIN + (rank - 1) // columns * (row_height + _GAP)
        word, colour = {True: ("same code", RIGHT), False: ("other code", WRONG), None: ("", OPEN)}[hit.correct]
        write(draw, (x, y), _HIT, [(str(rank), LARGE, INK)])
        write(draw, (x + _HIT - length(word, PLAIN), y + 3), _HIT, [(word, PLAIN, colour)])
        tile(canvas, (x, y + 30), _HIT, hit.pixels, hit.roi, colour)
        write(draw, (x, y + 30 + _HIT + 8), _HIT, text)
    if not hits:
        write(draw, (left, _MARGIN), _HIT, [("No hits", LARGE, FAINT)])
    return canvas


def _query_lines(query: QueryView) -> list[Line]:
    return [*code_lines(query.irma_code), *((line, SMALL, FAINT) for line in query.caption)]


def _hit_lines(hit: HitView) -> list[Line]:
    distances = [
        f"{name} {value:g}"
        for name, value in (("CNNC", hit.cnnc_distance), ("RBC", hit.rbc_distance))
        if value is not None
    ]
    lines = [(", ".join(distances), PLAIN, INK)] if distances else []
    return [*lines, *code_lines(hit.irma_code), *((line, SMALL, FAINT) for line in hit.caption)]
