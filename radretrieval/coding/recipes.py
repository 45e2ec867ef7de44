"""How a network learns: changes of a batch, loss, optimiser and schedule, for each kind of profile."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from radretrieval.irma.code import axes
from radretrieval.profile import FineTuning, Training


class Recipe(ABC):
    """What a training loop does with each batch."""

    @abstractmethod
    def batches(self, order: Tensor) -> Sequence[Tensor]:
        """The images of an epoch, (n,) in their order, batch by batch."""

    @abstractmethod
    def augmented(self, batch: Tensor, draw: torch.Generator) -> Tensor:
        """The images (n, 1, s, s), 0…1, as they are learnt this time."""

    @abstractmethod
    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of class scores (n, classes) and class numbers (n,)."""

    @abstractmethod
    def optimiser(self, model: nn.Module, steps: int) -> tuple[Optimizer, LRScheduler]:
        """The optimiser, and its schedule over that many steps."""


def recipe_of(training: Training | FineTuning, classes: Sequence[str], labels: Tensor) -> Recipe:
    """The recipe of a profile.

    Parameters
    ----------
    classes : IRMA code of each class number. labels : int64 (n,), the class numbers of all training images.
    """
    return PaperRecipe(training) if isinstance(training, Training) else FineTuningRecipe(training, classes, labels)


class PaperRecipe(Recipe):
    """Shifts, cross-entropy, and SGD with Nesterov momentum and a cosine schedule."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def batches(self, order: Tensor) -> Sequence[Tensor]:
        """Whole batches, and the rest."""
        return torch.split(order, self.training.batch)

    def augmented(self, batch: Tensor, draw: torch.Generator) -> Tensor:
        """Shifted images."""
        return shifted(batch, self.training.shift, draw)

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(scores, labels)

    def optimiser(self, model: nn.Module, steps: int) -> tuple[Optimizer, LRScheduler]:
        """SGD."""
        found = torch.optim.SGD(
            model.parameters(),
            lr=self.training.learning_rate,
            momentum=self.training.momentum,
            weight_decay=self.training.weight_decay,
            nesterov=True,
            fused=True,
        )
        return found, CosineAnnealingLR(found, T_max=steps)


class FineTuningRecipe(Recipe):
    """Affine movement and gamma, cross-entropy of the code and of its axes, AdamW with one cycle.

    The score of a class is raised by the logarithm of its share of the training images while learning (Menon et al.
    2021), so that rare codes are not answered less often than they are true. An axis' probability of a value is the sum
    over the classes that have it, so that a wrong code with three right axes costs less than a wholly wrong one.
    """

    def __init__(self, training: FineTuning, classes: Sequence[str], labels: Tensor) -> None:
        self.training = training
        counts = torch.bincount(labels, minlength=len(classes)).float()
        # labels are smoothed towards the shares, for equal smoothing would favour the rare once scores are adjusted
        self.share = counts / counts.sum()
        self.prior = training.logit_adjustment * self.share.log()
        # for each axis that differs between classes: (classes, classes), 1 where both have the same value
        self.same_axis = []
        for values in zip(*map(axes, classes), strict=True):
            if len(set(values)) > 1:
                self.same_axis.append(torch.tensor([[float(a == b) for b in values] for a in values]))

    def batches(self, order: Tensor) -> Sequence[Tensor]:
        """As many batches, of equal sizes but for one image: batch norm cannot learn from one image alone."""
        return torch.tensor_split(order, -(-len(order) // self.training.batch))

    def augmented(self, batch: Tensor, draw: torch.Generator) -> Tensor:
        """Shifted, turned, scaled images with another gamma."""
        return moved(batch, self.training, draw)

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the code, and the weighted mean of the axes'."""
        scores = scores.float() + self.prior.to(scores.device)
        smoothing = self.training.label_smoothing
        loss = (1 - smoothing) * F.cross_entropy(scores, labels)
        loss = loss - smoothing * (scores.log_softmax(1) @ self.share.to(scores.device)).mean()
        if self.training.axis_weight and self.same_axis:
            share = scores.softmax(1)
            each = [(share * same.to(share.device)[labels]).sum(1).clamp_min(1e-7).log() for same in self.same_axis]
            loss = loss - self.training.axis_weight * torch.stack(each).mean()
        return loss

    def optimiser(self, model: nn.Module, steps: int) -> tuple[Optimizer, LRScheduler]:
        """AdamW; weights of norms and biases do not decay."""
        matrices = [weight for weight in model.parameters() if weight.ndim > 1]
        others = [weight for weight in model.parameters() if weight.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        rate, decay = self.training.learning_rate, self.training.weight_decay
        found = torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=True)
        return found, OneCycleLR(found, max_lr=rate, total_steps=steps)


def shifted(batch: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Each image of (n, 1, s, s) moved by up to `share`·s pixels both ways; the border pixels are repeated."""
    side = batch.shape[-1]
    most = round(share * side)
    if most == 0:
        return batch
    padded = F.pad(batch, (most,) * 4, mode="replicate")
    moves = torch.randint(0, 2 * most + 1, (len(batch), 2), generator=draw).tolist()
    return torch.stack([padded[i, :, r : r + side, c : c + side] for i, (r, c) in enumerate(moves)])


def moved(batch: Tensor, training: FineTuning, draw: torch.Generator) -> Tensor:
    """Each image of (n, 1, s, s) shifted, turned, scaled and raised to a power, all at random; borders are repeated."""
    angle, scale, x, y, power = (2 * torch.rand(5, len(batch), generator=draw) - 1).unbind()
    turn = angle * math.radians(training.rotation)
    size = 1 + scale * training.scale
    cosine, sine = turn.cos() / size, turn.sin() / size
    # output coordinates -1…1 to input coordinates: a shift of the whole side is 2
    maps = torch.stack([cosine, -sine, 2 * training.shift * x, sine, cosine, 2 * training.shift * y], 1)
    grid = F.affine_grid(maps.view(-1, 2, 3).to(batch.device), list(batch.shape), align_corners=False)
    found = F.grid_sample(batch, grid, padding_mode="border", align_corners=False)
    return found.clamp(0, 1) ** (power * training.gamma).exp().to(batch.device).view(-1, 1, 1, 1)
