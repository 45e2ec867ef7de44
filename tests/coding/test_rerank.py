"""Re-ranking: by the profile's weights, ties by barcode, CNNC distance and id, whatever order candidates come in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import FUSED, TINY

from radretrieval.coding.rerank import Weights, rerank
from radretrieval.profile import PAPER, Profile

CANDIDATES = st.lists(
    # at equal shares, 125 bits of 1000 weigh what 544 of 4352 do
    st.tuples(st.sampled_from([0, 1, 2, 3, 544]), st.sampled_from([0, 1, 2, 3, 125]), st.integers(1, 10**12)),
    min_size=1,
    max_size=60,
    unique_by=lambda c: c[2],
)


@pytest.mark.parametrize("profile", [TINY, FUSED], ids=["barcode alone", "fused"])
@given(CANDIDATES, st.randoms())
def test_the_order_is_total(profile: Profile, candidates: list[tuple[int, int, int]], shuffle: object) -> None:
    shuffle.shuffle(candidates)  # type: ignore[attr-defined]
    bits = np.zeros((len(candidates), 4352), np.uint8)
    for row, (rbc, _, _) in zip(bits, candidates, strict=True):
        row[:rbc] = 1
    near, ids = [c[1] for c in candidates], [c[2] for c in candidates]
    order, distances = rerank(np.zeros(544, np.uint8), np.packbits(bits, axis=1), near, ids, Weights.of(profile))
    expected = sorted(candidates)
    if profile is FUSED:
        expected.sort(key=lambda c: c[0] * 1000 + c[1] * 4352)
    assert [candidates[place] for place in order] == expected
    assert distances.tolist() == [rbc for rbc, _, _ in candidates]


def test_the_papers_weights_leave_the_code_out() -> None:
    assert Weights.of(PAPER).cnnc == 0
    assert Weights.of(FUSED) == (50 * 4352, 50 * 1000)
