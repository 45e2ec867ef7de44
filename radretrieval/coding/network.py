"""The CNN of the paper's Table 1, as a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from radretrieval.profile import Network


class PaperCnn(nn.Module):
    """Three convolution blocks, two full layers of `code_bits` units, one softmax layer.

    The CNN code is taken at the second full layer, before its ReLU and dropout.

    Parameters
    ----------
    profile : the numbers of the layers.
    classes : units of the softmax layer (193 on IRMA; as many as the archive's training classes elsewhere).

    Source: the paper, Table 1.
    """

    def __init__(self, profile: Network, classes: int) -> None:
        super().__init__()
        self.profile = profile
        blocks: list[nn.Module] = []
        channels = 1
        for width in profile.convolutions:
            blocks += [nn.Conv2d(channels, width, profile.kernel, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
            channels = width
        side = profile.input_size // 2 ** len(profile.convolutions)
        self.features = nn.Sequential(*blocks)
        self.full1 = nn.Linear(channels * side * side, profile.code_bits)
        self.full2 = nn.Linear(profile.code_bits, profile.code_bits)
        self.full3 = nn.Linear(profile.code_bits, classes)
        self.drop = nn.Dropout(profile.dropout)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                # not given in the paper: the initialisation for ReLU of He et al. 2015
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def preactivations(self, images: Tensor) -> Tensor:
        """The code layer before ReLU, (n, code_bits), of images (n, 1, size, size) in 0…1."""
        x = (images - self.profile.input_mean) * self.profile.input_scale
        x = self.features(x).flatten(1)
        x = self.drop(torch.relu(self.full1(x)))
        code: Tensor = self.full2(x)
        return code

    def logits(self, preactivations: Tensor) -> Tensor:
        """The softmax layer's input, (n, classes), of the code layer's pre-activations."""
        scores: Tensor = self.full3(self.drop(torch.relu(preactivations)))
        return scores

    def forward(self, images: Tensor) -> Tensor:
        """Class scores before softmax, (n, classes)."""
        return self.logits(self.preactivations(images))


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one, else the CPU.

    Raises EnvironmentUnusable when the named device is not there.
    """
    from radretrieval.errors import EnvironmentUnusable

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentUnusable(
            f"device {name!r} cannot be used here ({reason}); use --device cpu, or --device auto to take what there is"
        ) from None
    return device
