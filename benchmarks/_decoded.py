"""Jobs of decoding processes: they import a job by its module's name, which a script that runs has not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from radretrieval.imaging.radiograph import Radiograph


def only_shape(path: Path, job: Callable[[Path], Radiograph]) -> tuple[int, int]:
    """Decode, and give back no more than an ingestion does: not the pixels."""
    radiograph = job(path)
    return radiograph.rows, radiograph.columns
