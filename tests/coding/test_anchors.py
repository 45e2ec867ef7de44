"""Anchors: each code goes to the nearest, the first of equally near ones; the bound of the search loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
from filled import clustered
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radretrieval.coding.anchors import Anchors, choose
from radretrieval.coding.hamming import distances


def random(count: int, length: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, length), np.uint8)


def right(anchors: Anchors, codes: NDArray[np.uint8]) -> bool:
    """Whether `assign` gives what a full table gives; argmin takes the first."""
    table = np.bitwise_count(anchors.codes[:, None] ^ codes[None]).sum(2, dtype=np.int64)
    anchor, distance = anchors.assign(codes)
    assert (anchor.dtype, distance.dtype) == (np.int32, np.int32)
    return np.array_equal(anchor, table.argmin(0)) and np.array_equal(distance, table.min(0))


@pytest.mark.parametrize("k", [1, 2, 17, 150])
@pytest.mark.parametrize("length", [1, 16, 125])
def test_each_code_goes_to_the_nearest_anchor(k: int, length: int) -> None:
    assert right(Anchors.of(random(k, length)), random(700, length, seed=1))
    codes = clustered(900, 30, min(20, length), length * 8)
    assert right(Anchors.of(codes[:k]), codes)


def test_of_equally_near_anchors_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte a code, so that most tie; anchors that are there twice, and blocks that are cut."""
    monkeypatch.setattr("radretrieval.coding.anchors._BLOCK", 37)
    anchors = np.concatenate([random(20, 1), random(20, 1), np.full((5, 1), 7, np.uint8)])
    assert right(Anchors.of(anchors), random(300, 1, seed=2))
    same = Anchors.of(np.full((9, 125), 5, np.uint8))
    assert right(same, random(50, 125))
    assert set(same.assign(random(50, 125))[0]) == {0}


def test_codes_of_many_clusters_are_assigned_by_as_many_groups() -> None:
    """With fewer, each group reaches from one cluster to another, and none is ever left out."""
    codes = clustered(1200, 70, 30)
    anchors = Anchors.of(codes[:400])
    assert len(anchors.groups) > 60
    assert right(anchors, codes)
    one = clustered(400, 1, 100)
    assert len(Anchors.of(one).groups) < 60


def test_groups_for_searches_are_divided_where_most_anchors_are() -> None:
    """Centres far from one another leave all anchors of a dense part in one group, which each query there compares."""
    rng = np.random.default_rng(3)
    dense, sparse = random(3000, 125, seed=1), random(400, 125, seed=2)
    dense[:, 20:] = rng.integers(0, 256, 105, np.uint8)  # differ in 160 bits
    chosen = choose(np.concatenate([dense, sparse]), 1000)
    assert np.array_equal(np.concatenate(chosen.groups), np.arange(len(chosen.codes)))  # behind one another
    apart = distances(chosen.centres, chosen.codes)
    assert [apart[number, group].max() for number, group in enumerate(chosen.groups)] == chosen.radii.tolist()
    assert (apart.min(0) < 100).sum() > 500  # so many anchors are in the dense part
    assert max(map(len, chosen.groups)) < 150
    assert right(chosen, np.concatenate([random(200, 125, seed=4), dense[:200]]))


def test_no_codes_and_one_code() -> None:
    anchors = Anchors.of(random(4))
    assert [len(part) for part in anchors.assign(np.zeros((0, 16), np.uint8))] == [0, 0]
    assert anchors.assign(anchors.codes[2:3]) == (np.array([2]), np.array([0]))


@pytest.mark.parametrize("count", [1, 3, 8, 64, 1000])
@pytest.mark.parametrize("sample", [1, 2, 40, 400])
def test_chosen_are_distinct_and_no_more_than_there_are(count: int, sample: int) -> None:
    codes = np.concatenate([clustered(sample, 5, 3), clustered(sample, 5, 3)])
    chosen = choose(codes, count)
    number = len(np.unique(chosen.codes, axis=0))
    assert 1 <= len(chosen.codes) == number <= min(count, len(np.unique(codes, axis=0)))
    assert right(chosen, codes)
    assert np.array_equal(choose(codes, count).codes, chosen.codes)  # the same again
    assert np.array_equal(choose(np.repeat(codes[:1], 50, axis=0), count).codes, codes[:1])


def test_chosen_anchors_are_nearer_than_members_that_were_picked() -> None:
    """What the rounds are for: less to look at."""
    codes = clustered(3000, 60, 60)
    before, after = (choose(codes, 100, rounds).assign(codes)[1].mean() for rounds in (0, 3))
    assert after < 0.9 * before


@st.composite
def case(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], int]:
    """Codes, anchors, any anchor for each code, a query, k."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, number, length = draw(st.integers(1, 80)), draw(st.integers(1, 12)), draw(st.sampled_from([1, 2, 5]))
    spread = draw(st.sampled_from([2, 16, 256]))  # few values make ties and duplicates
    codes, anchors = (rng.integers(0, spread, (n, length), np.uint8) for n in (count, number))
    query = codes[0] if draw(st.booleans()) else rng.integers(0, spread, length, np.uint8)
    return codes, anchors, rng.integers(0, number, count), query, draw(st.integers(1, count + 3))


@settings(max_examples=200, deadline=None)
@given(case())
def test_the_ball_never_leaves_a_true_neighbour_out(
    given_: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], int],
) -> None:
    """The search of archive/sql/functions/exact_ball.sql in numpy, with any anchor for each code, not the nearest."""
    codes, anchors, of, query, k = given_
    far, to_anchor = distances(query, codes), distances(query, anchors)
    own = np.array([distances(anchors[a], codes[i : i + 1])[0] for i, a in enumerate(of)])
    nearest = np.array([own[of == a].min(initial=1000) for a in range(len(anchors))])
    farthest = np.array([own[of == a].max(initial=0) for a in range(len(anchors))])
    in_first = np.isin(of, np.argsort(to_anchor, kind="stable")[:4])
    first = np.sort(far[in_first])[:k]
    tau = first[-1] if len(first) == k else 1000
    low, high = np.maximum(to_anchor - tau, nearest)[of], np.minimum(to_anchor + tau, farthest)[of]
    looked_at = (own >= low) & (own <= high)
    true_last = np.sort(far)[min(k, len(far)) - 1]
    assert looked_at[far <= true_last].all()
