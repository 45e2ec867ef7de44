"""Training the CNN: SGD on the classes of the training images, as the paper's section 3.1 has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from radretrieval.coding.network import PaperCnn, choose_device
from radretrieval.profile import Profile


@dataclass(frozen=True)
class TrainedNetwork:
    """What a training run leaves: weights as safetensors bytes, and the mean loss and accuracy of each epoch.

    `precision` is that of the products (`float16`, `bfloat16` or `float32`); weights and sums are float32 always.
    """

    weights: bytes
    losses: list[float]
    accuracies: list[float]
    device: str
    precision: str


def train_network(
    images: NDArray[np.float16],
    labels: NDArray[np.int64],
    profile: Profile,
    *,
    epochs: int,
    device: str = "auto",
    seed: int = 0,
    on_batch: Callable[[int, int, float], None] | None = None,
) -> TrainedNetwork:
    """Train a network from random weights.

    Parameters
    ----------
    images : float16 (n, size, size), 0…1, at the profile's input size.
    labels : int64 (n,), 0 … classes − 1.
    epochs : passes over the images.
    device : `auto`, `cpu`, `cuda`, …. Mixed precision where the device is made for it: on CUDA the products run in
        float16 with loss scaling, on a CPU with AMX in bfloat16. Codes are computed in float32 all the same.
    seed : of the weights, the order and the shifts; equal seeds give equal weights on equal machines.
    on_batch : called with (epoch from 0, images of this batch, its mean loss).

    Raises
    ------
    EnvironmentUnusable : the device is not there.
    """
    target = choose_device(device)
    precision = _precision(target)
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    settings = profile.training
    model = PaperCnn(profile.network, int(labels.max()) + 1).to(target)
    # a third faster on a CPU, and what tensor cores want
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=True,
        fused=True,
    )
    steps = epochs * -(-len(images) // settings.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=max(steps, 1))
    scaler = torch.amp.GradScaler(target.type, enabled=precision == torch.float16)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    losses, accuracies = [], []
    model.train()
    for epoch in range(epochs):
        total, right = 0.0, 0
        for chosen in torch.split(torch.randperm(len(x), generator=draw), settings.batch):
            batch = shifted(x[chosen].float()[:, None], settings.shift, draw).to(
                target, memory_format=torch.channels_last
            )
            wanted = y[chosen].to(target)
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(target.type, dtype=precision, enabled=precision != torch.float32):
                scores = model(batch)
                loss = F.cross_entropy(scores, wanted)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimiser)
            scaler.update()
            schedule.step()
            value = float(loss.detach())
            total += value * len(chosen)
            right += int((scores.argmax(1) == wanted).sum())
            if on_batch:
                on_batch(epoch, len(chosen), value)
        losses.append(total / len(x))
        accuracies.append(right / len(x))
    return TrainedNetwork(weights_of(model), losses, accuracies, str(target), str(precision).removeprefix("torch."))


def _precision(device: torch.device) -> torch.dtype:
    """What the products are computed in: half precision where it is much faster, on a CPU with AMX 2.5 times."""
    if device.type == "cuda":
        return torch.float16
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch cannot say
    return torch.bfloat16 if device.type == "cpu" and capabilities.get("amx_bf16") else torch.float32


def shifted(batch: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Each image of (n, 1, s, s) moved by up to `share`·s pixels both ways; the border pixels fill what comes in."""
    side = batch.shape[-1]
    most = round(share * side)
    if most == 0:
        return batch
    padded = F.pad(batch, (most,) * 4, mode="replicate")
    moves = torch.randint(0, 2 * most + 1, (len(batch), 2), generator=draw).tolist()
    return torch.stack([padded[i, :, r : r + side, c : c + side] for i, (r, c) in enumerate(moves)])


def weights_of(model: PaperCnn) -> bytes:
    """The model's weights as safetensors, float32, contiguous."""
    from safetensors.torch import save

    return save({name: value.detach().float().cpu().contiguous() for name, value in model.state_dict().items()})
