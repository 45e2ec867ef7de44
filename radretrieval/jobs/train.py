"""Archive → encoder: train the CNN on the labelled images of a split and store its weights."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import encoders, images
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, UsageError
from radretrieval.files.uris import shown
from radretrieval.profile import Profile
from radretrieval.storage.source import Original, read_resampled
from radretrieval.storage.worker_pool import Decoders

log = logging.getLogger(__name__)

RETRY_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300)


@dataclass
class TrainReport:
    """What a training run made. `failures` are training images that could not be read and were left out."""

    encoder_id: int
    profile: str
    active: bool
    images: int
    classes: int
    epochs: int
    train_loss: float
    train_accuracy: float
    device: str
    precision: str
    seconds: float
    failures: list[dict[str, str]] = field(default_factory=list)


def train(
    database: Database,
    settings: Settings,
    profile: Profile,
    *,
    split: str = "train",
    epochs: int | None = None,
    device: str = "auto",
    seed: int = 0,
    on_images: Callable[[int, int], None] | None = None,
    on_batch: Callable[[int, int, float], None] | None = None,
) -> TrainReport:
    """Train an encoder; it is stored in one transaction at the end, so that an interruption leaves nothing behind.

    The first encoder of an archive becomes active; a later one is filled beside it (`work --encoder`) and switched to
    (`encoder activate`).

    Parameters
    ----------
    split : its images with an IRMA code are learnt. epochs : None for the profile's.
    seed : equal seeds give equal weights on equal machines.
    on_images : called with (images read, of how many). on_batch : with (epoch from 0, images, loss).

    Raises
    ------
    UsageError : no labelled image, or one class only. EnvironmentUnusable : the device is not there.
    """
    from radretrieval.coding import training
    from radretrieval.coding.network import choose_device

    started = time.monotonic()
    choose_device(device)  # a device that is not there is told before the images are read
    epochs = profile.training.epochs if epochs is None else epochs
    if epochs < 1:
        raise UsageError(f"--epochs {epochs}: at least 1 is needed")
    with database.connection() as connection:
        rows = images.training(connection, split)
    pixels, labels, classes, failures = _read(rows, settings, profile, on_images or (lambda done, total: None))
    trained = training.train(pixels, labels, profile, epochs=epochs, device=device, seed=seed, on_batch=on_batch)
    metrics = {
        "split": split,
        "images": len(labels),
        "epochs": epochs,
        "seed": seed,
        "device": trained.device,
        "precision": trained.precision,
        "seconds": round(time.monotonic() - started, 3),
        "losses": trained.losses,
        "accuracies": trained.accuracies,
    }
    encoder_id, active = _store(database, profile, trained.weights, classes, metrics)
    return TrainReport(
        encoder_id=encoder_id,
        profile=profile.name,
        active=active,
        images=len(labels),
        classes=len(classes),
        epochs=epochs,
        train_loss=trained.losses[-1],
        train_accuracy=trained.accuracies[-1],
        device=trained.device,
        precision=trained.precision,
        seconds=time.monotonic() - started,
        failures=failures,
    )


def _store(
    database: Database, profile: Profile, weights: bytes, classes: list[str], metrics: dict[str, Any]
) -> tuple[int, bool]:
    """Add the encoder; hours of training are not given up because the database is away for some minutes."""
    for pause in (*RETRY_SECONDS, None):
        try:
            with database.connection() as connection:
                encoder_id = encoders.add(connection, profile, weights, classes, metrics)
                return encoder_id, encoders.get(connection, encoder_id).active
        except DatabaseUnavailable as error:
            if pause is None:
                raise
            log.warning("the encoder is trained, but %s (trying again in %d s)", error, pause)
            time.sleep(pause)
    raise AssertionError


def _read(
    rows: list[dict[str, object]], settings: Settings, profile: Profile, on_images: Callable[[int, int], None]
) -> tuple[NDArray[np.float16], NDArray[np.int64], list[str], list[dict[str, str]]]:
    """Inputs (n, size, size), class numbers (n,), the classes in order, and the images that could not be read."""
    job = partial(read_resampled, size=profile.network.input_size, reading=settings.reading)
    sources = [Original(str(row["uri"]), bytes(row["sha256"])) for row in rows]  # type: ignore[call-overload]
    pixels, codes, failures = [], [], []
    with Decoders(
        os.cpu_count() or 1, job, timeout=settings.decode_seconds, megabytes=settings.decode_megabytes
    ) as decoders:
        for done, ((source, found), row) in enumerate(zip(decoders.map(sources), rows, strict=True), start=1):
            if isinstance(found, Exception):
                failures.append({"path": shown(source.uri), "error": type(found).__name__, "message": str(found)})
            else:
                pixels.append(found.astype(np.float16))
                codes.append(str(row["irma_code"]))
            on_images(done, len(rows))
    classes = sorted(set(codes))
    if len(classes) < 2:
        raise UsageError(
            f"training needs images of at least two IRMA codes that can be read; there are {len(codes)} images of "
            f"{len(classes)} ({', '.join(classes) or 'none'}; {len(failures)} could not be read)"
        )
    number = {code: place for place, code in enumerate(classes)}
    return np.stack(pixels), np.array([number[code] for code in codes], np.int64), classes, failures
