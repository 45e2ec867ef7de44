"""Hamming distances against counting bits one by one."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radretrieval.coding import hamming


def naive(query: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.array(
        [[sum((int(a) ^ int(b)).bit_count() for a, b in zip(q, c, strict=True)) for c in codes] for q in query]
    )


def random_codes(seed: int, n: int, length: int, levels: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, levels, (n, length), dtype=np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.integers(0, 9), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_distances_are_the_numbers_of_differing_bits(m: int, n: int, length: int, seed: int) -> None:
    query, codes = random_codes(seed, m, length), random_codes(seed + 1, n, length)
    found = hamming.distances(query, codes)
    assert found.shape == (m, n)
    assert found.dtype == np.int32
    assert (found == naive(query, codes).reshape(m, n)).all()
    for one, row in zip(query, found, strict=True):
        assert (hamming.distances(one, codes) == row).all()


@pytest.mark.parametrize("length", [125, 544])
def test_the_lengths_of_cnnc_and_rbc_over_several_blocks(length: int) -> None:
    query, codes = random_codes(0, 3, length), random_codes(1, 1100, length)
    expected = (np.unpackbits(query, axis=1)[:, None] != np.unpackbits(codes, axis=1)[None]).sum(axis=2)
    assert (hamming.distances(query, codes) == expected).all()


@pytest.mark.parametrize(("m", "n"), [(5000, 1), (1500, 3), (700, 37), (3, 2050)])
def test_many_queries_and_few_codes(m: int, n: int) -> None:
    query, codes = random_codes(0, m, 125), random_codes(1, n, 125)
    assert (hamming.distances(query, codes) == hamming.paired(query, np.broadcast_to(codes, (m, n, 125)))).all()


def test_opposite_codes_differ_in_every_bit() -> None:
    query = np.zeros(9000, np.uint8)
    assert hamming.distances(query, np.full((1, 9000), 255, np.uint8)).tolist() == [72000]


def test_views_are_read_as_they_look() -> None:
    codes = random_codes(2, 40, 33)
    assert (hamming.distances(codes[0, ::-1], codes[::2, ::-1]) == hamming.distances(codes[0], codes[::2])).all()


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 4), st.integers(0, 30), st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_nearest_orders_by_distance_then_index(m: int, n: int, k: int, length: int, seed: int) -> None:
    query, codes = (
        random_codes(seed, m, length, 4),
        random_codes(seed + 1, n, length, 4),
    )  # few values: many ties
    indices, distances = hamming.nearest(query, codes, k)
    assert indices.shape == distances.shape == (m, min(k, n))
    for row, (found, near) in enumerate(zip(indices, distances, strict=True)):
        every = naive(query[row : row + 1], codes)[0] if n else []
        expected = sorted(range(n), key=lambda i, every=every: (every[i], i))[:k]
        assert found.tolist() == expected
        assert near.tolist() == [every[i] for i in expected]


def test_nearest_of_one_query_has_one_dimension(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = random_codes(3, 50, 16, 3)
    indices, distances = hamming.nearest(codes[7], codes, 5)
    assert indices.shape == distances.shape == (5,)
    assert distances[0] == 0
    monkeypatch.setattr(hamming, "_RANKED", 100)  # two queries at a time
    many, _ = hamming.nearest(codes[5:10], codes, 5)
    assert (many[2] == indices).all()


def test_memory_is_bounded_by_the_result() -> None:
    query, codes = random_codes(4, 200, 544), random_codes(5, 6000, 544)
    tracemalloc.start()
    found = hamming.distances(query, codes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < found.nbytes + (4 << 20)  # where all pairs at once would take 650 MB


@pytest.mark.parametrize(
    ("query", "codes", "message"),
    [
        (np.zeros(4, np.uint8), np.zeros((2, 5), np.uint8), "4 bytes, codes have 5"),
        (np.zeros(4, np.int64), np.zeros((2, 4), np.uint8), "query is int64"),
        (np.zeros(4, np.uint8), np.zeros((2, 4), bool), "codes is bool"),
        (np.zeros(4, np.uint8), np.zeros(4, np.uint8), r"needed is \(n, bytes\)"),
        (np.zeros((1, 1, 4), np.uint8), np.zeros((2, 4), np.uint8), r"needed is \(bytes,\) or \(m, bytes\)"),
    ],
)
def test_names_what_is_wrong(query: np.ndarray, codes: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hamming.distances(query, codes)
    with pytest.raises(ValueError, match=message):
        hamming.nearest(query, codes, 1)


def test_nearest_wants_a_neighbour() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        hamming.nearest(np.zeros(4, np.uint8), np.zeros((2, 4), np.uint8), 0)
