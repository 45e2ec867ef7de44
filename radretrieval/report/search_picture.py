"""The picture of a search: the query and its hits with distances, codes and ROI, as in the paper's Figures 4 and 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radretrieval.files.uris import is_hidden, to_path
from radretrieval.report.answer_table import agreeing
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
    Fitted,
    FittedFilm,
    Line,
    code_lines,
    fitted_film,
    font,
    length,
    save,
    text_height,
    tile,
    wrapped,
    write,
)
from radretrieval.report.likelihood import in_words, nothing_where
from radretrieval.search.request import Answer, Explanation, Hit
from radretrieval.search.searcher import Searcher

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_COLUMNS = 5
_QUERY, _HIT, _GAP, _MARGIN = 330, 216, 18, 24
_BARS = 64  # the height of an explanation's bars
_BANNER = 40  # the height of the query's warning
_LEGEND = (
    "TDAB: axes of the IRMA code that agree, a dot for one that does not; bars: barcode distance of each projection, "
    "from 0°, one scale for all hits"
)


@dataclass(frozen=True)
class PicturedImage:
    """The query or a hit as it is drawn.

    Attributes
    ----------
    pixels : float32 (rows, columns), 0…1, or fitted into its tile already; None if the file cannot be read.
    caption : lines under the image, such as the file's name.
    irma_code : its label, if it has one.
    roi : x, y, width, height of the drawn region, in pixels of the image.
    cnnc_distance, rbc_distance : of a hit.
    correct : whether a hit has the query's IRMA code; None where either has none.
    remark : how likely a hit has the query's code.
    warning : of the query, what is to be known before its hits are looked at.
    explanation : of a hit, why it stands where it does.
    region : of a hit, what became of the query's region, in words.
    """

    pixels: NDArray[np.float32] | Fitted | None
    caption: Sequence[str] = ()
    irma_code: str | None = None
    roi: Box | None = None
    cnnc_distance: float | None = None
    rbc_distance: float | None = None
    correct: bool | None = None
    remark: str | None = None
    warning: str | None = None
    explanation: Explanation | None = None
    region: str | None = None


def write_search_picture(path: Path, searcher: Searcher, answer: Answer) -> None:
    """Write the query and its hits as a PNG; an image whose file cannot be read is drawn as a grey tile.

    Raises UsageError when `path` cannot be written or does not end in .png.
    """
    save(path, lambda: compose(*_pictured(searcher, answer, file_names=True)))


def search_picture_pixels(searcher: Searcher, answer: Answer) -> NDArray[np.uint8]:
    """The same picture as pixels, uint8 (rows, columns, 3), RGB, without the names of files.

    A file's name may contain a patient's name, and these pixels go into the query's patient's record.
    """
    return np.asarray(compose(*_pictured(searcher, answer, file_names=False)))


def _pictured(searcher: Searcher, answer: Answer, file_names: bool) -> tuple[PicturedImage, list[PicturedImage]]:
    request = answer.request
    if isinstance(request.query, int):
        caption = [f"image {request.query}"]
    else:
        caption = [request.query.name] if file_names else []
    nothing = answer.similarity is not None and answer.similarity.nothing
    warning = f"{nothing_where(answer.effect is not None)}: do not rely on the hits".capitalize() if nothing else None
    pixels, code = searcher.query_pixels(request), answer.query_irma_code
    query = PicturedImage(pixels, caption, code, request.roi, warning=warning)
    found = searcher.source.read_all([hit.file for hit in answer.hits], partial(fitted_film, side=_HIT))
    hits = zip(answer.hits, found, strict=True)
    return query, [_pictured_hit(hit, film, answer.query_irma_code, file_names) for hit, film in hits]


def _pictured_hit(hit: Hit, film: FittedFilm | str, query_code: str | None, file_names: bool) -> PicturedImage:
    caption = [f"image {hit.image_id}"]
    if file_names and not is_hidden(hit.uri):
        caption.append(to_path(hit.uri).name if hit.uri.startswith("file:") else hit.uri)
    if not isinstance(film, str) and film.reduced:
        caption.append("reduced copy, original not reached")
    return PicturedImage(
        pixels=None if isinstance(film, str) else film.fitted,
        caption=caption,
        irma_code=hit.irma_code,
        roi=hit.roi[:4] if hit.roi and hit.roi.found else None,
        region=None if hit.roi is None else f"region {hit.roi.score:.2f}" if hit.roi.found else "region not found",
        cnnc_distance=hit.cnnc_distance,
        rbc_distance=hit.rbc_distance,
        correct=None if query_code is None or hit.irma_code is None else hit.irma_code == query_code,
        remark=f"same code: {in_words(hit.likelihood.code)}" if hit.likelihood else None,
        explanation=hit.explanation,
    )


def compose(query: PicturedImage, hits: Sequence[PicturedImage]) -> Image:
    """The picture, RGB: the query at the left and its hits, best first, in rows of five beside it."""
    from PIL import Image, ImageDraw  # heavy; only `search --picture` and `--sc` need it

    query_text = _text(query)
    if any(hit.explanation for hit in hits):
        query_text += [(line, SMALL, FAINT) for line in ("", *wrapped(_LEGEND, SMALL, _QUERY))]
    texts = [_text(hit) for hit in hits]
    columns = min(max(len(hits), 1), _COLUMNS)
    rows = -(-len(hits) // columns)
    largest = max((max(hit.explanation.angle_distances) for hit in hits if hit.explanation), default=0)
    bars = _BARS if any(hit.explanation for hit in hits) else 0
    row_height = _HIT + text_height(max(texts, key=text_height, default=[])) + 34 + bars
    left = _MARGIN + _QUERY + 2 * _GAP
    top = _MARGIN + (_BANNER + _GAP if query.warning else 0)
    width = left + columns * (_HIT + _GAP) - _GAP + _MARGIN
    height = top + _MARGIN + max(rows * (row_height + _GAP) - _GAP, _QUERY + text_height(query_text) + 34)
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    if query.warning:
        draw.rectangle((_MARGIN, _MARGIN, width - _MARGIN - 1, _MARGIN + _BANNER - 1), fill=WRONG)
        draw.text((_MARGIN + 12, _MARGIN + _BANNER / 2), query.warning, fill=PAPER, font=font(LARGE), anchor="lm")
    write(draw, (_MARGIN, top), _QUERY, [("Query", LARGE, INK)])
    tile(canvas, (_MARGIN, top + 30), _QUERY, query.pixels, query.roi, INK)
    write(draw, (_MARGIN, top + 30 + _QUERY + 8), _QUERY, query_text)
    for place, (hit, text) in enumerate(zip(hits, texts, strict=True)):
        corner = left + place % columns * (_HIT + _GAP), top + place // columns * (row_height + _GAP)
        _draw_hit(canvas, corner, place + 1, hit, text)
        if hit.explanation is not None:
            under = corner[0], corner[1] + row_height - _BARS
            _draw_angles(draw, under, hit.explanation.angle_distances, largest)
    if not hits:
        write(draw, (left, top), _HIT, [("No hits", LARGE, FAINT)])
    return canvas


def _draw_hit(canvas: Image, corner: tuple[int, int], rank: int, hit: PicturedImage, text: Sequence[Line]) -> None:
    """A hit's rank, its image, and `text` under it."""
    from PIL import ImageDraw

    draw, (x, y) = ImageDraw.Draw(canvas), corner
    word, colour = {True: ("same code", RIGHT), False: ("other code", WRONG), None: ("", OPEN)}[hit.correct]
    write(draw, (x, y), _HIT, [(str(rank), LARGE, INK)])
    write(draw, (x + _HIT - length(word, PLAIN), y + 3), _HIT, [(word, PLAIN, colour)])
    tile(canvas, (x, y + 30), _HIT, hit.pixels, hit.roi, colour)
    write(draw, (x, y + 30 + _HIT + 8), _HIT, text)


def _draw_angles(draw: ImageDraw, corner: tuple[int, int], distances: Sequence[int], largest: int) -> None:
    """A bar for each projection of the barcode, from 0° on; the `largest` distance of all hits has the full height."""
    x, y = corner
    step, top, bottom = _HIT / len(distances), y + 18, y + _BARS - 4
    line = f"RBC by projection: {min(distances)} to {max(distances)} bits"
    write(draw, (x, y - 2), _HIT, [(line, SMALL, FAINT)])
    for place, bits in enumerate(distances):
        left, tall = x + place * step, bits / max(largest, 1) * (bottom - top)
        draw.rectangle((left, bottom - tall, left + step - 3, bottom), fill=INK)
    draw.line((x, bottom + 1, x + _HIT - 1, bottom + 1), fill=FAINT)


def _why(explanation: Explanation | None) -> list[Line]:
    """The explanation in short lines."""
    if explanation is None:
        return []
    key = f"CNNC rank {explanation.cnnc_rank}"
    if explanation.cnnc_part is not None and explanation.rbc_part is not None:
        key += f", key {explanation.cnnc_part:.3f} + {explanation.rbc_part:.3f}"
    axes = f"as query {agreeing(explanation.as_query)}, as most {agreeing(explanation.as_most)}"
    return [(key, SMALL, INK), (axes, SMALL, INK)]


def _text(image: PicturedImage) -> list[Line]:
    named = (("CNNC", image.cnnc_distance), ("RBC", image.rbc_distance))
    distances = [f"{name} {value:g}" for name, value in named if value is not None]
    lines = [(", ".join(distances), PLAIN, INK)] if distances else []
    lines += [(image.region, PLAIN, INK)] if image.region else []
    if image.remark is not None:
        lines.append((image.remark, PLAIN, INK))
    lines += _why(image.explanation)
    return [*lines, *code_lines(image.irma_code), *((line, SMALL, FAINT) for line in image.caption)]
