"""What a training tells of itself: figures of epochs, where it is, and where its time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

STAGES = ("data", "step", "validation", "checkpoint")


@dataclass(frozen=True)
class EpochFigures:
    """Mean loss and share of right classes of an epoch; `held_` of the films that are held out, None without any."""

    loss: float
    accuracy: float
    held_loss: float | None = None
    held_accuracy: float | None = None

    def __str__(self) -> str:
        text = f"loss {self.loss:.3f}, accuracy {self.accuracy:.1%}"
        if self.held_loss is None or self.held_accuracy is None:
            return text
        return f"{text}; held out {self.held_loss:.3f}, {self.held_accuracy:.1%}"


@dataclass(frozen=True)
class Moment:
    """Where a training is after a batch that was learnt or measured.

    Attributes
    ----------
    epoch : from 0. images : learnt with this batch; none of films held out; all before, after an interruption.
    so_far : figures of this epoch until here, with those of the films held out after the epoch before.
    """

    epoch: int
    images: int
    so_far: EpochFigures


class StageClock:
    """The seconds that each stage of a training took.

    `data`: a batch is read and put on the device; `step`: the network learns it; on a GPU, which works on while the
    next batch is read, the share of `step` is the least that it is busy.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the block's time for a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started
