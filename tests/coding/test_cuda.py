"""CPU and CUDA give the same codes, but for pre-activations within float error of zero; CUDA trains in float16."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from radretrieval.coding.checkpoint import Checkpoint
from radretrieval.coding.cnnc import Coder
from radretrieval.coding.network import PaperCnn
from radretrieval.coding.training import TrainingSet, train_network, weights_of
from radretrieval.profile import PAPER, STRONG, Profile

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")


def test_cpu_and_cuda_differ_only_where_the_sign_is_round_off() -> None:
    torch.manual_seed(0)
    weights = weights_of(PaperCnn(PAPER.network, 12))
    images = np.random.default_rng(0).random((64, 128, 128), np.float32)
    cpu = Coder(weights, PAPER, "cpu").preactivations(images)
    cuda = Coder(weights, PAPER, "cuda").preactivations(images)
    error = np.abs(cpu - cuda).max()
    assert error < 1e-4 * np.abs(cpu).max()
    differing = (cpu > 0) != (cuda > 0)
    assert np.abs(cpu[differing]).max(initial=0) <= error
    assert differing.mean() < 1e-4


@pytest.mark.parametrize("profile", [PAPER, STRONG], ids=lambda profile: profile.name)
def test_training_learns_and_goes_on_from_its_checkpoint(tmp_path: Path, profile: Profile) -> None:
    small = replace(profile, network=replace(profile.network, input_size=64))
    labels = np.arange(120) % 2
    images = np.random.default_rng(0).random((120, 64, 64)) * 0.3
    images[labels == 0, 16:48, 4:28] += 0.6
    data = TrainingSet(
        images.astype(np.float16), labels, ("1121-120-942-700", "1121-127-700-500"), np.arange(120) >= 100
    )
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", seconds=0.0)
    trained = train_network(data, small, epochs=4, device="cuda", checkpoint=checkpoint)
    assert trained.precision == "float16"
    assert trained.epochs[-1].loss < trained.epochs[0].loss
    again = train_network(data, small, epochs=4, device="cuda", checkpoint=Checkpoint(tmp_path / "checkpoint.pt"))
    assert again.resumed
    assert again.epochs[0] == trained.epochs[0]
