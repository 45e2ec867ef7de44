"""The profile: the paper's numbers, and a hash that changes with each of them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import pytest

from radretrieval.errors import UsageError
from radretrieval.profile import PAPER, Profile, by_name


def test_the_papers_numbers() -> None:
    network = PAPER.network
    assert (network.input_size, network.convolutions, network.kernel) == (128, (32, 64, 128), 3)
    assert (network.code_bits, network.dropout, PAPER.training.epochs) == (1000, 0.5, 50)
    assert (PAPER.barcode.size, PAPER.barcode.angles) == (192, 16)
    assert (PAPER.query.candidates, PAPER.query.hits) == (50, 10)


def test_json_there_and_back() -> None:
    assert Profile.from_json(PAPER.as_json()) == PAPER


def test_every_number_counts_for_the_hash() -> None:
    seen = {PAPER.hash}
    for part in fields(PAPER):
        value = getattr(PAPER, part.name)
        for number in fields(value) if is_dataclass(value) else ():
            old = getattr(value, number.name)
            new = (*old, 7) if isinstance(old, tuple) else old + type(old)(1)
            seen.add(replace(PAPER, **{part.name: replace(value, **{number.name: new})}).hash)
    assert len(seen) == 1 + sum(len(fields(getattr(PAPER, part.name))) for part in fields(PAPER) if part.name != "name")


def test_an_unknown_profile() -> None:
    with pytest.raises(UsageError, match="unknown profile 'strange'; the profiles are: paper"):
        by_name("strange")
