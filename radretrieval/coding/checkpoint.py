"""What an interrupted training goes on from: its whole state, in a file that is whole or not there."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from radretrieval.files.atomic import replacing
from radretrieval.logs import Log

log = Log(__name__)

_DIGEST = 32  # bytes of SHA-256 at the file's end
_RARELY = 50  # times the seconds that a checkpoint takes must pass before the next: it costs less than 2 %


class Checkpoint:
    """The file of a training.

    Parameters
    ----------
    path : its name tells the training from every other; the folder exists.
    seconds : a checkpoint is written at most so often.
    """

    def __init__(self, path: Path, seconds: float = 60.0) -> None:
        self._path = path
        # the same training may run twice at once
        self._draft = path.with_suffix(f".{os.getpid()}.part")
        self._pause = seconds
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last; None where there is none that can be read."""
        try:
            data = memoryview(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning(
                "checkpoint_unreadable",
                "%(path)s cannot be read, training begins anew: %(reason)s",
                path=self._path,
                reason=_reason(error),
            )
            return None
        if hashlib.sha256(data[:-_DIGEST]).digest() != data[-_DIGEST:]:
            log.warning("checkpoint_unreadable", "%(path)s is damaged, training begins anew", path=self._path)
            return None
        try:
            # tensors, numbers and lists only: reading runs no code
            state: dict[str, Any] = torch.load(io.BytesIO(data[:-_DIGEST]), map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            log.warning(
                "checkpoint_unreadable",
                "%(path)s cannot be read, training begins anew: %(reason)s",
                path=self._path,
                reason=_reason(error),
            )
            return None
        return state

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the last one."""
        return time.monotonic() - self._last >= self._pause

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file. A disk that is full costs the checkpoint, and not the training."""
        started = time.monotonic()
        try:
            with replacing(self._path, draft=self._draft):
                torch.save(state, self._draft)
                with self._draft.open("rb+") as file:  # torch verifies nothing that it reads
                    file.write(hashlib.file_digest(file, "sha256").digest())
        except (OSError, RuntimeError) as error:
            log.warning(
                "no_checkpoint",
                "no checkpoint can be written to %(path)s: %(reason)s",
                path=self._path,
                reason=_reason(error),
            )
        self._last = time.monotonic()
        self._pause = max(self._pause, _RARELY * (self._last - started))

    def remove(self) -> None:
        """After the training's result is safe, or to begin anew."""
        left = self._path.parent.glob(f"{self._path.stem}.*.part")  # by runs that were killed in mid-write
        for file in (self._path, *left):
            file.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
