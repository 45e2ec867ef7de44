"""Training a network on the classes of the training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radretrieval.coding import network
from radretrieval.coding.allocator import freed_memory_kept
from radretrieval.coding.checkpoint import Checkpoint
from radretrieval.coding.network import BackboneCnn, CodeNetwork, choose_device
from radretrieval.coding.progress import EpochFigures, Moment, StageClock
from radretrieval.coding.recipes import recipe_of
from radretrieval.coding.step import Step
from radretrieval.errors import UsageError
from radretrieval.logs import Log
from radretrieval.profile import Profile

log = Log(__name__)

_MEASURED = 64  # films held out that are measured at a time


@dataclass(frozen=True)
class TrainedNetwork:
    """The result of training.

    Attributes
    ----------
    weights : safetensors bytes, of the best epoch.
    epochs : the figures of each epoch; fewer than asked for where training ended early.
    best : the place of the best epoch in `epochs`: of the second half, the least loss of the films held out; the last
        without such films.
    precision : of matrix products (`float16`, `bfloat16` or `float32`); weights and sums are float32 always.
    seconds : the time of each stage. resumed : it went on from a checkpoint.
    """

    weights: bytes
    epochs: list[EpochFigures]
    best: int
    device: str
    precision: str
    seconds: dict[str, float]
    resumed: bool = False

    @property
    def losses(self) -> list[float]:
        """The mean loss of each epoch."""
        return [figures.loss for figures in self.epochs]

    @property
    def accuracies(self) -> list[float]:
        """The share of right classes of each epoch."""
        return [figures.accuracy for figures in self.epochs]


@dataclass(frozen=True)
class TrainingSet:
    """Labelled images.

    Attributes
    ----------
    images : float16 (n, size, size), 0…1, at the profile's input size; may be mapped from disk.
    labels : int64 (n,), 0 … classes − 1.
    classes : IRMA code of each class number.
    held : bool (n,), true for images that are not learnt but measured after each epoch; None for none.
    """

    images: NDArray[np.float16]
    labels: NDArray[np.int64]
    classes: Sequence[str]
    held: NDArray[np.bool_] | None = None


@freed_memory_kept()
def train_network(
    data: TrainingSet,
    profile: Profile,
    *,
    backbone: Mapping[str, Tensor] | None = None,
    epochs: int,
    device: str = "auto",
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    on_batch: Callable[[Moment], None] | None = None,
) -> TrainedNetwork:
    """Train a network.

    Parameters
    ----------
    data : what is learnt.
    backbone : weights that a `BackboneNetwork` starts from, by name; None for random ones.
    epochs : passes over the images.
    device : `auto`, `cpu`, `cuda`, …. Mixed precision where it is faster: on CUDA float16 with loss scaling, on a
        CPU with AMX bfloat16. Codes are always computed in float32.
    seed : of the weights, the order and the shifts; equal seeds give equal weights on equal machines.
    checkpoint : of this very training: it goes on from there, with the weights that it would have had without the
        interruption, and writes others on its way. The caller removes it when the result is safe.
    on_batch : called after each batch, also of films held out; the images of the batch are not used any more.

    Raises
    ------
    EnvironmentUnusable : the device is not there. UsageError : a loss is not a number.
    """
    run = _Run(data, profile, backbone, epochs, seed, choose_device(device))
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        run.restore(state)
        if on_batch:
            on_batch(run.moment(run.learnt()))
    while not run.ended():
        run.epoch(checkpoint, on_batch)
    return run.result()


class _Run:
    """A training on its way; `state` is all that it goes on from, but the arguments."""

    def __init__(
        self,
        data: TrainingSet,
        profile: Profile,
        backbone: Mapping[str, Tensor] | None,
        epochs: int,
        seed: int,
        target: torch.device,
    ) -> None:
        self.epochs, self.target, self.patience = epochs, target, profile.training.patience
        self.images, self.labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
        held = np.zeros(len(data.labels), bool) if data.held is None else data.held
        self.taught, self.held = (torch.from_numpy(np.flatnonzero(which)) for which in (~held, held))
        torch.manual_seed(seed)
        model = network.build(profile.network, len(data.classes))
        if isinstance(model, BackboneCnn) and backbone is not None:
            model.backbone.load_pretrained(backbone)
        model = model.to(target)
        # a third faster on a CPU, and the layout of tensor cores
        self.model: CodeNetwork = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe = recipe_of(profile.training, data.classes, self.labels[self.taught])
        steps = epochs * len(self.recipe.batches(self.taught))
        self.step = Step(self.model, self.recipe, _precision(target), max(steps, 1))
        self.draw = torch.Generator().manual_seed(seed)
        self.clock = StageClock()
        self.order = self.taught  # of this epoch, of which `place` batches were learnt
        self.place, self.seen, self.total, self.right = 0, 0, 0.0, 0
        self.figures: list[EpochFigures] = []
        self.best = 0
        self.kept: dict[str, Tensor] | None = None  # the model of the best epoch
        self.resumed = False

    def ended(self) -> bool:
        """Whether all epochs were learnt, or the films held out have not been answered better for long enough."""
        waited = len(self.figures) - 1 - self.best if self.kept is not None else 0
        return len(self.figures) >= self.epochs or 0 < self.patience <= waited

    def learnt(self) -> int:
        """How many images were learnt, each as often as it was."""
        return len(self.figures) * len(self.taught) + self.seen

    def moment(self, images: int) -> Moment:
        """Where the training is, `images` after the last time."""
        last = self.figures[-1] if self.figures else EpochFigures(0.0, 0.0)
        seen = max(self.seen, 1)
        so_far = EpochFigures(self.total / seen, self.right / seen, last.held_loss, last.held_accuracy)
        return Moment(min(len(self.figures), self.epochs - 1), images, so_far)

    def epoch(self, checkpoint: Checkpoint | None, on_batch: Callable[[Moment], None] | None) -> None:
        """Learn what is left of an epoch, and measure the films held out."""
        if self.place == 0:
            self.order = self.taught[torch.randperm(len(self.taught), generator=self.draw)]
        self.model.train()
        waiting: list[tuple[int, Tensor, Tensor]] = []  # figures of the batch that a GPU is learning
        for chosen in self.recipe.batches(self.order)[self.place :]:
            with self.clock("data"):
                films, labels = self._batch(chosen)
                films = self.recipe.augmented(films, self.draw).to(memory_format=torch.channels_last)
            with self.clock("step"):
                waiting.append((len(chosen), *self.step(films, labels)))
            self.place += 1
            due = checkpoint if checkpoint is not None and checkpoint.due else None
            while len(waiting) > (0 if due else 1):
                self._count(*waiting.pop(0), on_batch)
            self._save(due)
        for each in waiting:
            self._count(*each, on_batch)
        self._end_epoch(on_batch)
        self._save(checkpoint if checkpoint is not None and checkpoint.due else None)

    def result(self) -> TrainedNetwork:
        """What was made."""
        if self.kept is not None:
            self.model.load_state_dict(self.kept)
        precision = str(self.step.precision).removeprefix("torch.")
        seconds = {stage: round(taken, 3) for stage, taken in self.clock.seconds.items()}
        return TrainedNetwork(
            weights_of(self.model), self.figures, self.best, str(self.target), precision, seconds, self.resumed
        )

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as tensors, numbers and lists."""
        names = ("order", "place", "seen", "total", "right", "best", "kept")
        cuda = torch.cuda.get_rng_state(self.target) if self.target.type == "cuda" else None
        return {
            **{name: getattr(self, name) for name in names},
            "figures": [asdict(figures) for figures in self.figures],
            "step": self.step.state(),
            "random": [self.draw.get_state(), torch.get_rng_state(), cuda],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name in ("order", "place", "seen", "total", "right", "best", "kept"):
            setattr(self, name, state[name])
        self.figures = [EpochFigures(**figures) for figures in state["figures"]]
        self.step.restore(state["step"])
        draw, host, cuda = state["random"]
        self.draw.set_state(draw)
        torch.set_rng_state(host)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, self.target)
        self.resumed = True
        log.warning(
            "training_resumed",
            "an interrupted training of the same films and options goes on in epoch %(epoch)d of %(epochs)d; --restart "
            "begins anew",
            epoch=min(len(self.figures) + 1, self.epochs),
            epochs=self.epochs,
        )

    def _batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Films (n, 1, s, s) and their classes, on the device; the host does not wait until they are there."""
        films, labels = self.images[chosen], self.labels[chosen]
        if self.target.type == "cuda":
            films, labels = films.pin_memory(), labels.pin_memory()
        films = films.to(self.target, non_blocking=True).float()[:, None]
        return films, labels.to(self.target, non_blocking=True)

    def _count(self, images: int, loss: Tensor, right: Tensor, on_batch: Callable[[Moment], None] | None) -> None:
        with self.clock("step"):  # which a GPU may be at still
            self.total += float(loss) * images
            self.right += int(right)
        self.seen += images
        if on_batch:
            on_batch(self.moment(images))

    def _save(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            with self.clock("checkpoint"):
                checkpoint.save(self.state())

    def _end_epoch(self, on_batch: Callable[[Moment], None] | None) -> None:
        held: list[float] = []
        if len(self.held):
            with self.clock("validation"):
                held = self._measure(on_batch)
        self.figures.append(EpochFigures(self.total / len(self.taught), self.right / len(self.taught), *held))
        if not np.isfinite([self.total, *held]).all():
            raise UsageError(
                f"the loss of epoch {len(self.figures)} is not a number: the weights that training starts from hold "
                "values that are none, or are those of another network; name others with --weights"
            )
        self.place, self.seen, self.total, self.right = 0, 0, 0.0, 0
        log.info(
            "epoch_done",
            "epoch %(epoch)d of %(epochs)d: %(figures)s",
            epoch=len(self.figures),
            epochs=self.epochs,
            figures=self.figures[-1],
        )
        last = len(self.figures) - 1
        if not held or last < self.epochs // 2:
            # in the first half the learning rate is high: a loss that is small there by chance is no end
            self.best = last
        elif self.kept is None or held[0] < (self.figures[self.best].held_loss or 0.0):
            self.best = last
            self.kept = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}

    def _measure(self, on_batch: Callable[[Moment], None] | None) -> list[float]:
        """Mean loss and share of right classes of the films held out."""
        self.model.eval()
        total, right = 0.0, 0
        for chosen in torch.split(self.held, _MEASURED):
            films, labels = self._batch(chosen)
            loss, correct = self.step.measured(films.to(memory_format=torch.channels_last), labels)
            total += float(loss) * len(chosen)
            right += int(correct)
            if on_batch:
                on_batch(self.moment(0))
        return [total / len(self.held), right / len(self.held)]


def _precision(device: torch.device) -> torch.dtype:
    """The precision of matrix products: half where it is much faster, on a CPU with AMX 2.5 times."""
    if device.type == "cuda":
        return torch.float16
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # absent in older torch
    return torch.bfloat16 if device.type == "cpu" and capabilities.get("amx_bf16") else torch.float32


def weights_of(model: CodeNetwork) -> bytes:
    """The model's weights as safetensors, float32, contiguous."""
    from safetensors.torch import save

    return save({name: value.detach().float().cpu().contiguous() for name, value in model.state_dict().items()})
