"""CPU and CUDA give the same codes, but for pre-activations within float error of zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from radretrieval.coding.cnnc import Coder
from radretrieval.coding.network import PaperCnn
from radretrieval.coding.training import weights_of
from radretrieval.profile import PAPER

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
