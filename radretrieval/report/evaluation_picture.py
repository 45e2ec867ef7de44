"""The picture of an evaluation: the confusion matrix of each axis, and right and wrong answers (as in Figure 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.codes import CodeSet
from radretrieval.config import Settings
from radretrieval.errors import RadretrievalError
from radretrieval.evaluation import Evaluation
from radretrieval.evaluation.scores import errors
from radretrieval.irma.code import axes
from radretrieval.irma.tree import words
from radretrieval.report.drawing import (
    FAINT,
    INK,
    LARGE,
    PAPER,
    PLAIN,
    RIGHT,
    SMALL,
    WRONG,
    Colour,
    code_lines,
    font,
    length,
    save,
    shortened,
    text_height,
    tile,
    write,
)
from radretrieval.storage.reading import Reading

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

Pixels = NDArray[np.float32]

# Characters of each axis by which codes are grouped: more make matrices that are too large to be read.
DEPTHS = {"technique": 4, "direction": 2, "anatomy": 2, "biosystem": 1}
MOST = 24  # groups of an axis; rarer ones are counted together
OTHER = "other"
_RIGHT_TITLE = "First hit right: queries spread evenly over the right ones"
_WRONG_TITLE = "First hit wrong: queries spread evenly from small error to large"
EXAMPLES, HITS = 4, 5

_MARGIN, _GAP, _CELLS, _NAMES = 24, 18, 900, 230
_SIDE = (_CELLS + _GAP) // (1 + HITS) - _GAP  # of an image: a query and its hits are as wide as a matrix


@dataclass(frozen=True)
class Confusion:
    """Counts, int64 (n, n), of true groups (rows) and answered groups (columns) of one axis."""

    axis: str
    groups: list[str]
    counts: NDArray[np.int64]


def confusions(true: Sequence[str], predicted: Sequence[str]) -> list[Confusion]:
    """The confusion matrix of each axis, by the first characters of the axis (`DEPTHS`)."""
    found = []
    for place, (name, depth) in enumerate(DEPTHS.items()):
        true_groups = [axes(code)[place][:depth] for code in true]
        answered = [axes(code, wildcard=True)[place][:depth] for code in predicted]
        common = [
            group for group, _ in sorted(Counter(true_groups).items(), key=lambda item: (-item[1], item[0]))[:MOST]
        ]
        groups = sorted(common)
        if set(true_groups) | set(answered) != set(groups):
            groups.append(OTHER)
        number = {group: position for position, group in enumerate(groups)}
        counts = np.zeros((len(groups), len(groups)), np.int64)
        last = len(groups) - 1
        np.add.at(counts, ([number.get(x, last) for x in true_groups], [number.get(x, last) for x in answered]), 1)
        found.append(Confusion(name, groups, counts))
    return found


def examples(
    correct: NDArray[np.bool_], each: NDArray[np.float64], count: int = EXAMPLES
) -> tuple[list[int], list[int]]:
    """Positions of right answers, evenly spaced by query, and of wrong ones, evenly spaced by error (ascending)."""
    right, wrong = np.flatnonzero(correct), np.flatnonzero(~correct)
    wrong = wrong[np.argsort(each[wrong], kind="stable")]
    first, second = (
        [int(some[place]) for place in np.unique(np.linspace(0, len(some) - 1, count).round().astype(int))]
        if len(some)
        else []
        for some in (right, wrong)
    )
    return first, second


def write_evaluation_picture(path: Path, result: Evaluation, settings: Settings) -> None:
    """Write the picture of the first ranking; an image whose file cannot be read is drawn as a grey tile.

    Parameters
    ----------
    settings : how files are read.

    Raises UsageError when the name does not end in .png or cannot be written.
    """
    from radretrieval.storage.source import read_source

    reading = Reading.of(settings)

    def pixels_of(images: CodeSet, place: int) -> Pixels | None:
        try:
            return read_source(images.uris[place], images.sha256[place], reading).pixels
        except RadretrievalError:
            return None

    save(path, lambda: _compose(result, pixels_of))


def _compose(result: Evaluation, pixels_of: Callable[[CodeSet, int], Pixels | None]) -> Image:
    """Two columns: matrices in two rows, and below them right answers on the left, wrong ones on the right."""
    from PIL import Image, ImageDraw  # heavy; only `evaluate --picture` needs it

    first = result.rows[0]
    true = result.queries.labels
    each = errors(true, first.ranking.predicted, result.options.rule).sum(1)
    right, wrong = examples(np.array([t == p for t, p in zip(true, first.ranking.predicted, strict=True)]), each)
    lines = code_lines("1121-120-942-700")
    row = _SIDE + text_height([*lines, lines[-1]]) + _GAP
    matrices = confusions(true, first.ranking.predicted)
    heights = [max(_matrix_height(one) for one in matrices[place : place + 2]) for place in (0, 2)]
    width = 2 * _MARGIN + 2 * _CELLS + _GAP
    height = 2 * _MARGIN + 60 + sum(heights) + 40 + max(len(right), len(wrong)) * row
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    title = (
        f"{first.ranking.name}, encoder {first.ranking.encoder_id}: error {first.score.error_score:.2f} over "
        f"{len(each)} queries, first hit right in {first.score.first_hit_accuracy:.1%}"
    )
    key = "Numbers and shades: per cent of a row's queries. Blue is right, orange is wrong."
    write(draw, (_MARGIN, _MARGIN), width - 2 * _MARGIN, [(title, LARGE, INK), (key, SMALL, FAINT)])
    columns = (_MARGIN, _MARGIN + _CELLS + _GAP)
    top = _MARGIN + 60
    for place, confusion in enumerate(matrices):
        _matrix(draw, (columns[place % 2], top + place // 2 * heights[0]), confusion)
    named = ((_RIGHT_TITLE, RIGHT, right), (_WRONG_TITLE, WRONG, wrong))
    for x, (word, colour, shown) in zip(columns, named, strict=True):
        y = top + sum(heights)
        if shown:
            write(draw, (x, y), _CELLS, [(word, LARGE, colour)])
        for number, place in enumerate(shown):
            corner = (x, y + 40 + number * row)
            _example(canvas, draw, corner, result, place, float(each[place]), pixels_of)
    return canvas


def _cell(confusion: Confusion) -> int:
    """The side of a cell in pixels."""
    return min((_CELLS - _NAMES) // len(confusion.groups), 110)


def _matrix_height(confusion: Confusion) -> int:
    """Pixels that a matrix takes, with its title and a margin below."""
    return 54 + _cell(confusion) * len(confusion.groups) + 40


def _matrix(draw: ImageDraw, corner: tuple[int, int], confusion: Confusion) -> None:
    """One confusion matrix: a row for each true group, shaded by the share of its queries."""
    x, y = corner
    counts, n = confusion.counts, len(confusion.groups)
    depth = DEPTHS[confusion.axis]
    first = f"first {depth} characters" if depth > 1 else "first character"
    write(
        draw,
        (x, y),
        _CELLS,
        [(f"{confusion.axis}, by its {first}: rows are the truth, columns the answer", PLAIN, INK)],
    )
    cell = _cell(confusion)
    top, left, size = y + 54, x + _NAMES, SMALL if cell >= 16 else 11
    for i, group in enumerate(confusion.groups):
        total = int(counts[i].sum())
        number = f" {group} ({total})"
        name = shortened(_words(confusion.axis, group), size, int(_NAMES - 8 - length(number, size)))
        middle = top + i * cell + (cell - size) / 2 - 1
        draw.text((x, middle), name, fill=FAINT, font=font(size))
        draw.text((left - 6 - length(number, size), middle), number, fill=INK, font=font(size))
        draw.text((left + i * cell + max((cell - length(group, size)) / 2, 0), top - 18), group, fill=INK,
                  font=font(size))  # fmt: skip
        for j in range(n):
            share = counts[i, j] / total if total else 0.0
            box = (left + j * cell, top + i * cell, left + (j + 1) * cell - 1, top + (i + 1) * cell - 1)
            draw.rectangle(box, fill=_shade(RIGHT if i == j else WRONG, share), outline=(232, 232, 236))
            text = f"{100 * share:.0f}"
            if cell >= 20 and counts[i, j]:
                fitting = SMALL if cell >= 26 else 10
                where = (box[0] + (cell - length(text, fitting)) / 2, box[1] + (cell - fitting) / 2 - 2)
                draw.text(where, text, fill=PAPER if share > 0.5 else INK, font=font(fitting))


def _words(axis: str, group: str) -> str:
    """The narrowest term of a group; empty for the group of all others."""
    return "" if group == OTHER else next(reversed(words(axis[0].upper(), group)), "unspecified")


def _shade(colour: Colour, share: float) -> Colour:
    """From white to the colour, by the square root, so that a share of a hundredth is visible."""
    strength = float(np.sqrt(share))
    r, g, b = (round(255 + (part - 255) * strength) for part in colour)
    return r, g, b


def _example(
    canvas: Image,
    draw: ImageDraw,
    corner: tuple[int, int],
    result: Evaluation,
    place: int,
    error: float,
    pixels_of: Callable[[CodeSet, int], Pixels | None],
) -> None:
    """A query and its first hits in a row."""
    x, y = corner
    ranking, truth = result.rows[0].ranking, result.queries.labels[place]
    tile(canvas, (x, y), _SIDE, pixels_of(result.queries, place), None, INK)
    lines = [("query", SMALL, FAINT), *code_lines(truth)]
    write(draw, (x, y + _SIDE + 4), _SIDE, [*lines[:3], (f"error {error:.3f}", SMALL, FAINT)])
    for rank, hit in enumerate(ranking.places[place, :HITS].tolist()):
        if hit < 0:
            break
        x += _SIDE + _GAP
        code = result.searched.labels[hit]
        colour = RIGHT if code == truth else WRONG
        tile(canvas, (x, y), _SIDE, pixels_of(result.searched, hit), None, colour)
        write(draw, (x, y + _SIDE + 4), _SIDE, [(str(rank + 1), SMALL, FAINT), *code_lines(code)[:3]])
