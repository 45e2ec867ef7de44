"""The networks of the profiles, as torch modules: images to the code layer, and the code layer to class scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from radretrieval.coding.efficientnet import FEATURES, EfficientNetLite0
from radretrieval.profile import BackboneNetwork, Network


class CodeNetwork(nn.Module):
    """A network with a code layer, whose signs are the CNN code, and a classifier behind it."""

    @abstractmethod
    def preactivations(self, images: Tensor) -> Tensor:
        """The code layer before binarization, (n, code_bits), of images (n, 1, size, size) in 0…1."""

    @abstractmethod
    def logits(self, preactivations: Tensor) -> Tensor:
        """The softmax layer's input, (n, classes), of the code layer's pre-activations."""

    def ready_to_encode(self) -> None:
        """Leave the training mode for good: layers may be merged."""
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Class scores before softmax, (n, classes)."""
        return self.logits(self.preactivations(images))


def build(profile: Network | BackboneNetwork, classes: int) -> CodeNetwork:
    """The network of a profile with random weights."""
    return PaperCnn(profile, classes) if isinstance(profile, Network) else BackboneCnn(profile, classes)


def load(profile: Network | BackboneNetwork, state: Mapping[str, Tensor]) -> CodeNetwork:
    """The network of a profile with these weights, which it keeps."""
    classifier = "full3" if isinstance(profile, Network) else "classifier"
    with torch.device("meta"):  # no random initialisation of weights that are loaded next
        model = build(profile, len(state[f"{classifier}.bias"]))
    model.load_state_dict(state, assign=True)
    return model


class PaperCnn(CodeNetwork):
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
        """The code layer before ReLU."""
        x = (images - self.profile.input_mean) * self.profile.input_scale
        x = self.features(x).flatten(1)
        x = self.drop(torch.relu(self.full1(x)))
        code: Tensor = self.full2(x)
        return code

    def logits(self, preactivations: Tensor) -> Tensor:
        """The third full layer."""
        scores: Tensor = self.full3(self.drop(torch.relu(preactivations)))
        return scores


class BackboneCnn(CodeNetwork):
    """EfficientNet-lite0, the mean over its places, a linear code layer with batch norm, and a linear classifier.

    The classifier sees the tanh of the code layer, so that what it learns survives binarization.

    Parameters
    ----------
    profile : the numbers of the layers.
    classes : units of the classifier.
    """

    def __init__(self, profile: BackboneNetwork, classes: int) -> None:
        super().__init__()
        self.profile = profile
        self.backbone = EfficientNetLite0()
        self.drop = nn.Dropout(profile.dropout)
        self.code = nn.Linear(FEATURES, profile.code_bits, bias=False)
        self.norm = nn.BatchNorm1d(profile.code_bits)
        self.classifier = nn.Linear(profile.code_bits, classes)

    def preactivations(self, images: Tensor) -> Tensor:
        """The code layer after batch norm."""
        x = (images - self.profile.input_mean) * self.profile.input_scale
        code: Tensor = self.norm(self.code(self.drop(self.backbone(x).mean((2, 3)))))
        return code

    def ready_to_encode(self) -> None:
        """Leave the training mode, and merge the backbone's norms into its convolutions."""
        self.eval()
        self.backbone.merge_norms()

    def logits(self, preactivations: Tensor) -> Tensor:
        """The classifier on the tanh of the code layer."""
        scores: Tensor = self.classifier(preactivations.tanh())
        return scores


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
