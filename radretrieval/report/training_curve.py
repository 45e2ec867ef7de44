"""The picture of a training: loss and accuracy of each epoch, of the films that were learnt and of those held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.report.charts import axes, legend, line
from radretrieval.report.drawing import FAINT, INK, LARGE, PAPER, PLAIN, RIGHT, WRONG, Box, font, save

if TYPE_CHECKING:
    from PIL.Image import Image

    from radretrieval.jobs.train import TrainReport

_WIDTH, _HEIGHT, _MARGIN, _TOP = 1200, 520, 24, 84


def training_curve(path: Path | str, report: TrainReport) -> None:
    """Write the picture as PNG; replaced if it exists, complete or not at all.

    Raises
    ------
    UsageError : the name does not end in `.png`, or the file cannot be written.
    """
    save(path, lambda: _composed(report))


def _composed(report: TrainReport) -> Image:
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", (_WIDTH, _HEIGHT), PAPER)
    draw = ImageDraw.Draw(canvas)
    title = f"Encoder {report.encoder_id} ({report.profile}): {report.images} films of {report.classes} classes"
    draw.text((_MARGIN, 16), title, fill=INK, font=font(LARGE))
    draw.text((_MARGIN, 46), _summary(report), fill=FAINT, font=font(PLAIN))
    half = _WIDTH // 2
    highest = max((value for value in [*report.losses, *report.held_out_losses] if math.isfinite(value)), default=1.0)
    for left, name, top, learnt, held in (
        (_MARGIN, "loss", highest * 1.05 or 1.0, report.losses, report.held_out_losses),
        (half + _MARGIN, "accuracy", 1.0, report.accuracies, report.held_out_accuracies),
    ):
        _chart(canvas, (left, _TOP, left + half - 2 * _MARGIN, _HEIGHT - 16), name, top, (learnt, held))
    return canvas


def _summary(report: TrainReport) -> str:
    text = f"best epoch {report.best_epoch} of {report.epochs}"
    if report.held_out_accuracy is not None:
        text += f"; right of {report.held_out} films held out: {report.held_out_accuracy:.1%}"
    return f"{text}; right of the films learnt: {report.train_accuracy:.1%}; {report.seconds:.0f} s on {report.device}"


def _chart(canvas: Image, box: Box, name: str, top: float, values: tuple[Sequence[float], Sequence[float]]) -> None:
    """One figure over the epochs: `values` of the films learnt, and of those held out."""
    epochs = len(values[0])
    span = (0.0, max(epochs, 2.0))  # ticks at whole epochs
    plane = axes(canvas, box, span, (0.0, top), title=name, y_label="of each epoch", x_label="epoch")
    named = list(zip(("learnt", "held out"), (RIGHT, WRONG), values, strict=True))
    for _, colour, each in named:
        points = [(epoch + 1.0, value) for epoch, value in enumerate(each) if math.isfinite(value)]
        if points:
            line(canvas, plane, points, colour)
    legend(canvas, (box[2] - 8, box[1]), [(word, colour) for word, colour, each in named if each])
