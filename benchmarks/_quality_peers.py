"""What a user would pick instead: real-valued features of EfficientNet-lite0, frozen or fine-tuned, compared by cosine.

The network is ours (its output is checked against the package's in tests/coding); head, loss and features are the usual
ones: the mean over places, one linear layer, cross-entropy, the features before that layer.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _quality_tasks import Task
from _quality_trained import BATCH, Learner
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from radretrieval.coding.efficientnet import FEATURES, EfficientNetLite0
from radretrieval.coding.recipes import moved
from radretrieval.profile import BackboneNetwork, FineTuning

NETWORK, TRAINING = BackboneNetwork(), FineTuning()


class Classifier(nn.Module):
    """EfficientNet-lite0 with a linear classifier."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = EfficientNetLite0()
        self.drop = nn.Dropout(NETWORK.dropout)
        self.classifier = nn.Linear(FEATURES, classes)

    def features(self, images: Tensor) -> Tensor:
        """(n, 1280) of images (n, 1, size, size) in 0…1."""
        found: Tensor = self.backbone((images - NETWORK.input_mean) * NETWORK.input_scale).mean((2, 3))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (n, classes)."""
        scores: Tensor = self.classifier(self.drop(self.features(images)))
        return scores


def frozen(backbone: Mapping[str, Tensor]) -> Learner:
    """The ImageNet weights as they are."""

    def make(task: Task, _: int, __: Path) -> tuple[bytes, dict[str, Any]]:
        model = Classifier(len(task.classes))
        model.backbone.load_pretrained(backbone)
        return _weights(model), {"epochs": 0}

    return Learner("lite0 frozen", f"frozen {NETWORK}", make, _features, random=False)


def tuned(backbone: Mapping[str, Tensor], epochs: int | None = None) -> Learner:
    """Fine-tuned by cross-entropy, in the epochs, with the movements and the optimiser of `strong`."""
    passes = epochs or TRAINING.epochs

    def make(task: Task, seed: int, _: Path) -> tuple[bytes, dict[str, Any]]:
        torch.manual_seed(seed)
        model = Classifier(len(task.classes))
        model.backbone.load_pretrained(backbone)
        losses = _fit(model, task, seed, passes)
        return _weights(model), {"epochs": passes, "losses": losses}

    return Learner("lite0 fine-tuned", f"tuned {NETWORK} {TRAINING} {passes}", make, _features)


def _fit(model: Classifier, task: Task, seed: int, passes: int) -> list[float]:
    images, labels = torch.from_numpy(np.array(task.images("train", NETWORK.input_size))), torch.from_numpy(task.labels)
    batches = -(-len(images) // TRAINING.batch)
    model = model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    rate = TRAINING.learning_rate
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=TRAINING.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=passes * batches)
    draw = torch.Generator().manual_seed(seed)
    losses = []
    for epoch in range(passes):
        total = 0.0
        for chosen in torch.tensor_split(torch.randperm(len(images), generator=draw), batches):
            optimiser.zero_grad(set_to_none=True)
            batch = moved(images[chosen][:, None], TRAINING, draw).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(batch), labels[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        losses.append(total / len(images))
        print(f"\r  epoch {epoch + 1}/{passes}, loss {losses[-1]:.3f} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return losses


@torch.inference_mode()
def _features(weights: bytes, task: Task, part: str) -> tuple[NDArray[Any], None, NDArray[Any]]:
    state = load(weights)
    model = Classifier(len(state["classifier.bias"]))
    model.load_state_dict(state)
    model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = task.images(part, NETWORK.input_size)
    reals, answers = [], []
    for start in range(0, len(images), BATCH):
        found = model.features(torch.from_numpy(np.array(images[start : start + BATCH]))[:, None])
        reals.append(found.numpy())
        answers.append(model.classifier(found).argmax(1).numpy())
    return np.concatenate(reals), None, np.concatenate(answers)


def _weights(model: nn.Module) -> bytes:
    return save({name: value.detach().contiguous() for name, value in model.state_dict().items()})
