"""The figures of codes against their definitions, counted one by one."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from radretrieval.coding import code_statistics
from radretrieval.coding.code_statistics import BitTally, NearestTally


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Bits (n, 16 or 24) with dead bits, copies and complements among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits = draw(st.sampled_from([16, 24]))
    found = rng.random((draw(st.integers(1, 40)), bits)) < rng.random(bits)
    for place, kind in enumerate(rng.choice(list("....01=~"), bits)):
        other = found[:, rng.integers(bits)]
        found[:, place] = {".": found[:, place], "0": False, "1": True, "=": other, "~": ~other}[kind]
    return found


def tallied(bits: np.ndarray, size: int) -> BitTally:
    tally = BitTally(bits.shape[1])
    packed = np.packbits(bits, axis=1)
    for start in range(0, len(bits), size):
        tally.add(packed[start : start + size])
    return tally


@settings(max_examples=200, deadline=None)
@given(matrices(), st.integers(1, 50))
def test_dead_bits_and_densities(bits: np.ndarray, size: int) -> None:
    tally = tallied(bits, size)
    zero = [bit for bit in range(bits.shape[1]) if not bits[:, bit].any()]
    one = [bit for bit in range(bits.shape[1]) if bits[:, bit].all()]
    assert tally.dead() == (zero, one)
    assert tally.codes == len(bits)
    assert np.allclose(tally.densities(), bits.mean(0))
    shares = [float(p) for p in bits.mean(0) if 0 < p < 1]
    assert tally.entropy() == pytest.approx(sum(-p * math.log2(p) - (1 - p) * math.log2(1 - p) for p in shares))


@settings(max_examples=200, deadline=None)
@given(matrices(), st.integers(1, 50))
def test_duplicates_are_those_of_comparing_every_pair(bits: np.ndarray, size: int) -> None:
    found = tallied(bits, size).duplicates()
    live = [bit for bit in range(bits.shape[1]) if 0 < bits[:, bit].sum() < len(bits)]
    equal = {(a, b) for a, b in itertools.combinations(live, 2) if (bits[:, a] == bits[:, b]).all()}
    opposite = {(a, b) for a, b in itertools.combinations(live, 2) if (bits[:, a] != bits[:, b]).all()}
    assert {pair for group in found.equal for pair in itertools.combinations(group, 2)} == equal
    assert {tuple(sorted((a, b))) for one, other in found.complement for a in one for b in other} == opposite
    distinct = {min(column.tobytes(), (~column).tobytes()) for column in bits.T[live]}
    assert found.redundant == len(live) - len(distinct)


def test_a_bit_is_numbered_as_it_is_packed() -> None:
    codes = np.array([[0b10000000, 0], [0b10000000, 0b00000001]], np.uint8)
    tally = BitTally(16)
    tally.add(codes)
    assert tally.dead()[1] == [0]
    assert tally.ones[15] == 1


@pytest.mark.parametrize("bins", [7, 20])
def test_densities_on_a_border_fall_in_the_upper_bin(bins: int) -> None:
    bits = np.arange(100)[:, None] < np.arange(0, 101)[None, :]  # bit k is 1 in k of 100 codes
    found = tallied(np.pad(bits, ((0, 0), (0, 3))), 33).density_histogram(bins)
    expected = [0] * bins
    for ones in [*range(101), 0, 0, 0]:
        expected[min(ones * bins // 100, bins - 1)] += 1
    assert found == expected


def test_memory_does_not_grow_with_the_codes() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (512, 125), np.uint8)

    def peak(batches: int) -> int:
        tracemalloc.start()
        tally, near = BitTally(1000), NearestTally(batch[:20], 50)
        for _ in range(batches):
            tally.add(batch)
            near.add(batch)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(40) < peak(2) * 1.1


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(0, 30))
    codes = rng.integers(0, draw(st.sampled_from([2, 256])), (n, 2), np.uint8)
    return codes, rng.integers(0, draw(st.integers(1, 4)), n)


def naive_pairs(codes: np.ndarray, classes: np.ndarray) -> tuple[list[int], list[int]]:
    within, across = [], []
    for a, b in itertools.combinations(range(len(codes)), 2):
        distance = sum(int(x ^ y).bit_count() for x, y in zip(codes[a], codes[b], strict=True))
        (within if classes[a] == classes[b] else across).append(distance)
    return within, across


@settings(max_examples=150, deadline=None)
@given(labelled(), st.sampled_from([1, 3, 256]))
def test_every_pair_is_counted_once(made: tuple[np.ndarray, np.ndarray], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_statistics, "_BLOCK", block)
        within, across = code_statistics.pair_histograms(*made)
    for histogram, distances in zip((within, across), naive_pairs(*made), strict=True):
        assert histogram.tolist() == np.bincount(np.array(distances, int), minlength=17).tolist()


@settings(max_examples=150, deadline=None)
@given(labelled())
@example((np.zeros((3, 2), np.uint8), np.array([0, 0, 1])))
def test_figures_of_the_distances(made: tuple[np.ndarray, np.ndarray]) -> None:
    within, across = naive_pairs(*made)
    histograms = code_statistics.pair_histograms(*made)
    for distances, histogram in zip((within, across), histograms, strict=True):
        if not distances:
            continue
        for percent in (1, 5, 50, 95, 100):
            assert (
                code_statistics.percentile(histogram, percent)
                == sorted(distances)[-(-len(distances) * percent // 100) - 1]
            )
        mean, variance = code_statistics.mean_and_variance(histogram)
        assert (mean, variance) == (pytest.approx(np.mean(distances)), pytest.approx(np.var(distances)))
        assert sum(code_statistics.binned(histogram, 10)) == len(distances)
    if within and across:
        nearer = [1.0 if a < b else 0.5 if a == b else 0.0 for a in within for b in across]
        assert code_statistics.separability(*histograms) == pytest.approx(np.mean(nearer))
    if across:
        p, s2 = np.mean(across) / 16, np.var(across) / 16**2
        expected = pytest.approx(p * (1 - p) / s2) if len(set(across)) > 1 else None
        assert code_statistics.independent_bits(histograms[1]) == expected


def test_independent_bits_are_those_of_coin_tosses() -> None:
    rng = np.random.default_rng(0)
    bits = np.repeat(rng.random((700, 200)) < 0.5, 5, axis=1)  # 200 coins, each told five times
    _, across = code_statistics.pair_histograms(np.packbits(bits, axis=1), np.arange(700))
    assert code_statistics.independent_bits(across) == pytest.approx(200, rel=0.05)


def test_bins_of_ten() -> None:
    histogram = np.arange(1001)
    found = code_statistics.binned(histogram, 10)
    assert len(found) == 100
    assert found[0] == sum(range(10))
    assert found[99] == sum(range(990, 1001)), "1000 itself falls in the last"


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_nearest_others_over_batches(n: int, size: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n, 2), np.uint8)  # many ties, and many equal codes
    chosen = rng.permutation(n)[:5]
    tally = NearestTally(codes[chosen], k)
    for start in range(0, n, size):
        tally.add(codes[start : start + size])
    found = tally.nearest()
    assert found.shape == (len(chosen), min(k, n - 1))
    for query, row in zip(chosen, found, strict=True):
        others = [int(np.bitwise_count(codes[query] ^ codes[place]).sum()) for place in range(n) if place != query]
        assert row.tolist() == sorted(others)[:k]
