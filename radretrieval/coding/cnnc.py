"""The CNN code: 1000 bits of an image, the signs of the code layer's pre-activations."""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray

from radretrieval.coding import network
from radretrieval.profile import Profile


class Coder:
    """A trained network on a device, ready to encode for one thread at a time: each uses all cores.

    Parameters
    ----------
    weights : safetensors bytes, as `training.train_network` gives them.
    profile : the profile that the weights were trained with.
    device : `auto`, `cpu`, `cuda`, …

    Raises EnvironmentUnusable when the device is not there.
    """

    def __init__(self, weights: bytes, profile: Profile, device: str = "auto") -> None:
        from safetensors.torch import load

        self.profile = profile
        self.device = network.choose_device(device)
        # TF32 rounds products to 10 bits: codes of CPU and GPU would differ in thousands of bits instead of a few
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        model = network.load(profile.network, load(weights))
        model.ready_to_encode()
        if self.device.type == "cpu":  # pooling is vectorised over channels: 1.5 times as fast
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model.to(self.device)
        self._lock = threading.Lock()

    def preactivations(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The code layer before binarization: float32 (n, code_bits) of images (n, size, size) in 0…1."""
        return self._run(images)[0]

    def codes(self, images: NDArray[np.float32]) -> NDArray[np.uint8]:
        """CNN codes, uint8 (n, code_bits / 8), packed MSB first; bit = pre-activation > 0."""
        return pack(self.preactivations(images))

    def class_probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The softmax layer, float32 (n, classes), each row summing to 1."""
        return self._run(images)[1]

    def reals_and_classes(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """`preactivations` and the likeliest class of each image, (n,), in one pass."""
        reals, probabilities = self._run(images)
        return reals, probabilities.argmax(1)

    @torch.inference_mode()
    def _run(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        side = self.profile.network.input_size
        if images.ndim != 3 or images.shape[1:] != (side, side):
            raise ValueError(f"images must have the shape (n, {side}, {side}); these have {images.shape}")
        with self._lock:
            reals = self.model.preactivations(torch.from_numpy(images[:, None]).to(self.device))
            return reals.cpu().numpy(), self.model.logits(reals).softmax(1).cpu().numpy()


def pack(preactivations: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Bits of (n, bits) reals, packed MSB first: uint8 (n, bits / 8). Strict: zero and NaN give 0."""
    return np.packbits(preactivations > 0, axis=1)
