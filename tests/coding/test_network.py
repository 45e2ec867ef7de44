"""The CNN: Table 1 layer by layer, its code, and that training learns, repeats itself and shifts only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import TINY, weights
from torch import nn

from radretrieval.coding import training
from radretrieval.coding.cnnc import Coder, pack
from radretrieval.coding.network import PaperCnn, choose_device
from radretrieval.coding.training import TrainingSet
from radretrieval.errors import EnvironmentUnusable
from radretrieval.profile import PAPER


def test_table_one() -> None:
    with torch.device("meta"):
        model = PaperCnn(PAPER.network, 193)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [(1, 32), (32, 64), (64, 128)]
    assert {(layer.kernel_size, layer.stride, layer.padding) for layer in convolutions} == {((3, 3), (1, 1), "same")}
    assert [type(layer) for layer in model.features] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d] * 3
    assert {layer.kernel_size for layer in model.features if isinstance(layer, nn.MaxPool2d)} == {2}
    full = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert full == [(16 * 16 * 128, 1000), (1000, 1000), (1000, 193)]
    assert model.drop.p == 0.5
    images = torch.empty(2, 1, 128, 128, device="meta")
    assert model(images).shape == (2, 193)
    assert model.preactivations(images).shape == (2, 1000)


def test_the_code_is_the_second_full_layer_before_relu() -> None:
    coder = Coder(weights(), TINY, "cpu")
    images = np.random.default_rng(0).random((3, 32, 32), np.float32)
    model = coder.model
    with torch.inference_mode():
        x = (torch.from_numpy(images)[:, None] - 0.5) * 4
        hidden = torch.relu(model.full1(model.features(x).flatten(1)))
        wanted = model.full2(hidden).numpy()
    assert np.array_equal(coder.preactivations(images), wanted)
    assert np.array_equal(np.unpackbits(coder.codes(images), axis=1), wanted > 0)
    assert 0.2 < np.mean(wanted > 0) < 0.8
    assert coder.class_probabilities(images).sum(1) == pytest.approx(1)


def test_an_images_code_does_not_hang_on_its_batch() -> None:
    coder = Coder(weights(), TINY, "cpu")
    images = np.random.default_rng(1).random((40, 32, 32), np.float32)
    together = coder.preactivations(images)
    alone = np.concatenate([coder.preactivations(images[i : i + 1]) for i in range(40)])
    assert np.abs(together - alone).max() < 1e-4
    clear = np.abs(together) > 1e-4
    assert np.array_equal((together > 0)[clear], (alone > 0)[clear])


def test_bits_are_strict_and_packed_msb_first() -> None:
    reals = np.zeros((1, 16), np.float32)
    reals[0, 0], reals[0, 1], reals[0, 9], reals[0, 10] = 1, -1, 1e-30, np.nan
    assert pack(reals).tolist() == [[0b10000000, 0b01000000]]


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(n, 32, 32\)"):
        Coder(weights(), TINY, "cpu").codes(np.zeros((1, 31, 32), np.float32))


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(EnvironmentUnusable, match="'nonsense'.*--device cpu"):
        choose_device("nonsense")
    if not torch.cuda.is_available():
        with pytest.raises(EnvironmentUnusable, match="'cuda'.*--device cpu"):
            choose_device("cuda")


TWO = ["1121-120-414-700", "1121-120-944-700"]


def blobs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright squares at the left (class 0) or the right (class 1), in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = rng.random((n, 32, 32)) * 0.3
    for image, label in zip(images, labels, strict=True):
        row = rng.integers(4, 20)
        image[row : row + 8, 4 + 16 * label : 12 + 16 * label] += 0.6
    return images.astype(np.float16), labels.astype(np.int64)


def test_training_learns_and_repeats_itself() -> None:
    images, labels = blobs(192, 0)
    batches: list[tuple[int, int]] = []
    first = training.train_network(
        TrainingSet(images, labels, TWO),
        TINY,
        epochs=6,
        device="cpu",
        seed=3,
        on_batch=lambda moment: batches.append((moment.epoch, moment.images)),
    )
    assert batches == [(epoch, 64) for epoch in range(6) for _ in range(3)]
    assert first.epochs[-1].loss < first.epochs[0].loss
    fresh, wanted = blobs(64, 1)
    guessed = Coder(first.weights, TINY, "cpu").class_probabilities(fresh.astype(np.float32)).argmax(1)
    assert np.mean(guessed == wanted) > 0.9
    again = training.train_network(TrainingSet(images, labels, TWO), TINY, epochs=6, device="cpu", seed=3)
    other = training.train_network(TrainingSet(images, labels, TWO), TINY, epochs=1, device="cpu", seed=4)
    assert again.weights == first.weights
    assert other.weights != first.weights


@pytest.mark.parametrize(
    ("device", "capabilities", "precision"),
    [
        ("cpu", {"amx_bf16": True}, torch.bfloat16),
        ("cpu", {"amx_bf16": False, "avx512_bf16": True}, torch.float32),
        ("cpu", {}, torch.float32),
        ("cuda", {}, torch.float16),
        ("meta", {"amx_bf16": True}, torch.float32),
    ],
)
def test_half_precision_only_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, device: str, capabilities: dict[str, bool], precision: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert training._precision(torch.device(device)) == precision


def test_every_precision_of_a_cpu_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = blobs(192, 0)
    found = {}
    for precision in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(training, "_precision", lambda device, chosen=precision: chosen)
        trained = training.train_network(TrainingSet(images, labels, TWO), TINY, epochs=6, device="cpu", seed=3)
        fresh, wanted = blobs(64, 1)
        guessed = Coder(trained.weights, TINY, "cpu").class_probabilities(fresh.astype(np.float32)).argmax(1)
        assert np.mean(guessed == wanted) > 0.9
        found[trained.precision] = trained.weights
    assert list(found) == ["float32", "bfloat16"]
    assert found["float32"] != found["bfloat16"]
