"""Re-ranking: by barcode, ties by CNNC distance, then by id, whatever order the candidates come in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from radretrieval.search.rerank import rerank

CANDIDATES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 10**12)),
    min_size=1,
    max_size=60,
    unique_by=lambda c: c[2],
)


@given(CANDIDATES, st.randoms())
def test_the_order_is_total(candidates: list[tuple[int, int, int]], shuffle: object) -> None:
    shuffle.shuffle(candidates)  # type: ignore[attr-defined]
    # the first byte alone differs: 0, 1, 2 or 3 bits from the query
    barcodes = np.zeros((len(candidates), 544), np.uint8)
    barcodes[:, 0] = [(0, 1, 3, 7)[rbc] for rbc, _, _ in candidates]
    near, ids = [c[1] for c in candidates], [c[2] for c in candidates]
    order, distances = rerank(np.zeros(544, np.uint8), barcodes, near, ids)
    assert [candidates[place] for place in order] == sorted(candidates)
    assert distances.tolist() == [rbc for rbc, _, _ in candidates]
