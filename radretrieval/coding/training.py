"""Training a network on the classes of the training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radretrieval.coding import network
from radretrieval.coding.allocator import freed_memory_kept
from radretrieval.coding.network import BackboneCnn, CodeNetwork, choose_device
from radretrieval.coding.recipes import Recipe, recipe_of
from radretrieval.profile import Profile


@dataclass(frozen=True)
class TrainedNetwork:
    """The result of training: weights as safetensors bytes, and the mean loss and accuracy of each epoch.

    `precision` is that of matrix products (`float16`, `bfloat16` or `float32`); weights and sums are float32 always.
    """

    weights: bytes
    losses: list[float]
    accuracies: list[float]
    device: str
    precision: str


@dataclass(frozen=True)
class TrainingSet:
    """Labelled images.

    Attributes
    ----------
    images : float16 (n, size, size), 0…1, at the profile's input size.
    labels : int64 (n,), 0 … classes − 1.
    classes : IRMA code of each class number.
    """

    images: NDArray[np.float16]
    labels: NDArray[np.int64]
    classes: Sequence[str]


@freed_memory_kept()
def train_network(
    data: TrainingSet,
    profile: Profile,
    *,
    backbone: Mapping[str, Tensor] | None = None,
    epochs: int,
    device: str = "auto",
    seed: int = 0,
    on_batch: Callable[[int, int, float], None] | None = None,
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
    on_batch : called with (epoch from 0, images of this batch, its mean loss).

    Raises
    ------
    EnvironmentUnusable : the device is not there.
    """
    target = choose_device(device)
    precision = _precision(target)
    x, y = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    torch.manual_seed(seed)
    model = network.build(profile.network, len(data.classes))
    if isinstance(model, BackboneCnn) and backbone is not None:
        model.backbone.load_pretrained(backbone)
    model = model.to(target)
    # a third faster on a CPU, and the layout of tensor cores
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = -(-len(data.images) // profile.training.batch)
    recipe = recipe_of(profile.training, data.classes, y)
    step = _Step(model, recipe, precision, max(epochs * batches, 1))
    draw = torch.Generator().manual_seed(seed)
    losses, accuracies = [], []
    model.train()
    for epoch in range(epochs):
        total, right = 0.0, 0
        for chosen in recipe.batches(torch.randperm(len(x), generator=draw)):
            batch = recipe.augmented(x[chosen].float()[:, None], draw)
            batch = batch.to(target, memory_format=torch.channels_last)
            loss, correct = step(batch, y[chosen].to(target))
            total += loss * len(chosen)
            right += correct
            if on_batch:
                on_batch(epoch, len(chosen), loss)
        losses.append(total / len(x))
        accuracies.append(right / len(x))
    return TrainedNetwork(weights_of(model), losses, accuracies, str(target), str(precision).removeprefix("torch."))


class _Step:
    """One step of a recipe's optimiser and schedule over `steps`, in mixed precision."""

    def __init__(self, model: CodeNetwork, recipe: Recipe, precision: torch.dtype, steps: int) -> None:
        self.model = model
        self.recipe = recipe
        self.precision = precision
        self.optimiser, self.schedule = recipe.optimiser(model, steps)
        device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)

    def __call__(self, batch: Tensor, labels: Tensor) -> tuple[float, int]:
        """Learn a batch; returns its mean loss and how many of its images were classified correctly."""
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(batch.device.type, dtype=self.precision, enabled=self.precision != torch.float32):
            scores = self.model(batch)
            loss = self.recipe.loss(scores, labels)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.schedule.step()
        return float(loss.detach()), int((scores.argmax(1) == labels).sum())


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
