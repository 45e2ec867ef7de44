"""The projection of codes onto a plane: the directions of most variance, with one sign, whatever the order of rows."""

from __future__ import annotations

import numpy as np
import pytest
from filled import clustered
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radretrieval.coding.projection import project


def signs(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.unpackbits(codes, axis=1).astype(float) * 2 - 1


@settings(max_examples=12)
@given(st.integers(2, 60), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_it_is_the_projection_of_a_singular_value_decomposition(count: int, centres: int, seed: int) -> None:
    codes = clustered(count, centres, 9, length=96, seed=seed)
    found = project(codes, 96)
    centred = signs(codes) - signs(codes).mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    variance = (values**2).sum()
    told = [0.0, 0.0] if variance < 1e-9 else [*(values[:2] ** 2 / variance)]
    assert found.explained == pytest.approx(told, abs=1e-9)
    assert found.points.std(axis=0) ** 2 * count == pytest.approx(values[:2] ** 2, abs=1e-6)
    # of a direction that another one has the variance of there are many: only where it stands alone it is compared
    for axis in range(2):
        others = np.delete(values, axis)
        if values[axis] > 1e-6 and np.abs(others - values[axis]).min() > 1e-3 * values[0]:
            expected = left[:, axis] * values[axis]
            sign = 1 if expected @ found.points[:, axis] > 0 else -1
            assert found.points[:, axis] == pytest.approx(sign * expected, abs=1e-6)


@settings(max_examples=12)
@given(st.integers(3, 60), st.integers(0, 2**32 - 1))
def test_order_of_rows_and_turned_signs_change_nothing(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (count, 12), np.uint8)
    order = rng.permutation(count)
    found, moved = project(codes, 96), project(codes[order], 96)
    assert project(codes, 96).points.tobytes() == found.points.tobytes()
    assert moved.explained == pytest.approx(found.explained, abs=1e-9)
    assert moved.points == pytest.approx(found.points[order], abs=1e-5)
    # the largest loading is positive: the bit that goes with an axis most goes up with it
    for axis in range(2):
        loading = signs(codes).T @ found.points[:, axis]
        assert loading[np.argmax(np.round(np.abs(loading), 4))] > 0


def test_equal_codes_lie_at_one_place() -> None:
    found = project(np.full((5, 125), 7, np.uint8))
    assert found.points.tolist() == [[0, 0]] * 5
    assert found.explained == (0, 0)
    assert project(np.zeros((0, 0), np.uint8)).points.shape == (0, 2)


def test_more_codes_than_a_block_are_summed_exactly() -> None:
    codes = clustered(5000, 4, 40, seed=3)
    centred = signs(codes) - signs(codes).mean(axis=0)
    values = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    assert project(codes).explained == pytest.approx(tuple(values[:2] / values.sum()), abs=1e-9)
