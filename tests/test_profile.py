"""The profile: the paper's numbers, and a hash that changes with each of them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.profile import PAPER, PAPER_96, PROFILES, STRONG, Network, Profile, by_name


def test_the_papers_numbers() -> None:
    network = PAPER.network
    assert isinstance(network, Network)
    assert (network.input_size, network.convolutions, network.kernel) == (128, (32, 64, 128), 3)
    assert (network.code_bits, network.dropout, PAPER.training.epochs) == (1000, 0.5, 50)
    assert (PAPER.barcode.size, PAPER.barcode.angles) == (192, 16)
    assert (PAPER.query.candidates, PAPER.query.hits) == (50, 10)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_json_there_and_back(name: str) -> None:
    assert Profile.from_json(PROFILES[name].as_json()) == PROFILES[name]


def test_a_profile_of_an_earlier_version_has_the_defaults_of_later_numbers() -> None:
    document: Any = STRONG.as_json()
    del document["training"]["epochs_from_random"]
    assert Profile.from_json(document) == STRONG


def test_a_profile_of_a_later_version_is_refused() -> None:
    document: Any = PAPER.as_json()
    document["network"]["attention"] = 8
    with pytest.raises(EnvironmentUnusable, match=r"has attention, which this version does not know; upgrade"):
        Profile.from_json(document)


def test_stored_profiles_keep_their_hash() -> None:
    assert PAPER.hash == "b0093ec48fdda882ba5525d16d32bf34bfd048c9a74fe0cb137e8d5e58c72230"
    assert PAPER_96.hash == "6fef38c7d80347006e2fe3cf4d2ac910d330b676818b4fe88491b5d8fcece89e"


@pytest.mark.parametrize("profile", [PAPER, STRONG], ids=lambda profile: profile.name)
def test_every_number_counts_for_the_hash(profile: Profile) -> None:
    seen = {profile.hash}
    for part in fields(profile):
        value = getattr(profile, part.name)
        for number in fields(value) if is_dataclass(value) else ():
            old = getattr(value, number.name)
            new = (*old, 7) if isinstance(old, tuple) else f"{old}+" if isinstance(old, str) else old + type(old)(1)
            seen.add(replace(profile, **{part.name: replace(value, **{number.name: new})}).hash)
    parts = [getattr(profile, part.name) for part in fields(profile) if part.name != "name"]
    assert len(seen) == 1 + sum(len(fields(part)) for part in parts)


def test_an_unknown_profile() -> None:
    with pytest.raises(UsageError, match="unknown profile 'strange'; the profiles are: paper"):
        by_name("strange")
