"""A small encoder for tests: the paper's shape at 32 pixels, random weights, 4.6 MB instead of 136."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from radretrieval.archive import encoders
from radretrieval.profile import PAPER, FusedQuery, Network, Profile

TINY: Profile = replace(PAPER, name="tiny", network=Network(input_size=32, convolutions=(4, 8, 8)))
# The same, with hits in the order of both distances.
FUSED: Profile = replace(TINY, name="tiny-fused", query=FusedQuery())
CLASSES = ("1113-110-500-000", "1111-110-414-700")


def weights(seed: int = 0) -> bytes:
    """Random weights of the tiny network; equal seeds give equal codes."""
    import torch

    from radretrieval.coding.network import PaperCnn
    from radretrieval.coding.training import weights_of

    torch.manual_seed(seed)
    return weights_of(PaperCnn(TINY.network, len(CLASSES)))


def add_encoder(connection: Any, seed: int = 0, profile: Profile = TINY) -> int:
    """Store a tiny encoder (the first of an archive becomes active); returns its id."""
    return encoders.add(connection, profile, weights(seed), CLASSES, {"seed": seed})
