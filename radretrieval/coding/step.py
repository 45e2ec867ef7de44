"""One step of training: a batch forward and back, and the optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from radretrieval.coding.network import CodeNetwork
from radretrieval.coding.recipes import Recipe


class Step:
    """One step of a recipe's optimiser and schedule over `steps`, in mixed precision."""

    def __init__(self, model: CodeNetwork, recipe: Recipe, precision: torch.dtype, steps: int) -> None:
        self.model = model
        self.recipe = recipe
        self.precision = precision
        self.optimiser, self.schedule = recipe.optimiser(model, steps)
        device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)

    def __call__(self, batch: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Learn a batch; returns its mean loss and how many of its images were classified correctly.

        Both stay on the device, so that the caller need not wait for it.
        """
        self.optimiser.zero_grad(set_to_none=True)
        loss, right = self._forward(batch, labels)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.schedule.step()
        return loss.detach(), right

    @torch.no_grad()
    def measured(self, batch: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The same figures of a batch that is not learnt; the model is in the mode for use."""
        return self._forward(batch, labels)

    def state(self) -> dict[str, Any]:
        """What goes on from here needs of the model, the optimiser, its schedule and the scaling of losses."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        names = ("model", "optimiser", "schedule", "scaler")
        return {name: getattr(self, name) for name in names}

    def _forward(self, batch: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(batch.device.type, dtype=self.precision, enabled=self.precision != torch.float32):
            scores = self.model(batch)
            loss = self.recipe.loss(scores, labels)
        return loss, (scores.argmax(1) == labels).sum()
