"""The reliability diagram: what share of the hits is right, for each probability that was stated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.evaluation.reliability import Reliability
from radretrieval.report.charts import axes
from radretrieval.report.drawing import FAINT, INK, PAPER, RIGHT, SMALL, font, save

if TYPE_CHECKING:
    from PIL.Image import Image

_SIZE = 720, 740
_FEW = 10  # hits; the bar of fewer is faint
_FAINT_RIGHT = (166, 208, 232)


def write_reliability(path: Path, found: Reliability, title: str) -> None:
    """Write the diagram as a PNG.

    Raises UsageError when `path` cannot be written or does not end in .png.
    """
    save(path, lambda: draw_reliability(found, title))


def draw_reliability(found: Reliability, title: str) -> Image:
    """The diagram, RGB: a bar for each tenth of the probabilities, as high as the share that is right, and its hits."""
    from PIL import Image, ImageDraw  # heavy; only pictures need it

    canvas = Image.new("RGB", _SIZE, PAPER)
    box = (24, 20, _SIZE[0] - 24, _SIZE[1] - 66)
    plane = axes(
        canvas, box, (0, 1), (0, 1), title=title, x_label="probability that was stated", y_label="share that is right"
    )
    draw = ImageDraw.Draw(canvas)
    draw.line((*plane.at(0, 0), *plane.at(1, 1)), fill=FAINT, width=1)
    for one in found.bins:
        left = min(int(one.probability * 10), 9) / 10
        if one.right:
            corners = *plane.at(left + 0.01, one.right), *plane.at(left + 0.09, 0)
            draw.rectangle(corners, fill=RIGHT if one.hits >= _FEW else _FAINT_RIGHT)
        draw.line((*plane.at(left + 0.01, one.probability), *plane.at(left + 0.09, one.probability)), fill=INK, width=3)
        x, y = plane.at(left + 0.05, max(one.right, one.probability))
        draw.text((x, y - 5), str(one.hits), fill=INK, font=font(SMALL), anchor="mb", stroke_width=2, stroke_fill=PAPER)
    lines = (
        f"Bars: the share that is right, faint of fewer than {_FEW} hits; lines: what was stated; numbers: hits, "
        f"{sum(one.hits for one in found.bins)} in all.",
        f"Nothing similar: {found.nothing_similar:.1%} of queries. Expected calibration error "
        f"{found.calibration_error:.4f}, of the first hits {found.first_hit_error:.4f}.",
    )
    for place, line in enumerate(lines):
        draw.text((24, _SIZE[1] - 50 + 20 * place), line, fill=INK, font=font(SMALL))
    return canvas
