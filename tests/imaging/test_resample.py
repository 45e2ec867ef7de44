"""Resampling keeps means, ranges and constants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from radretrieval.imaging.resample import resample

IMAGES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.floats(0, 1, width=32))
SIZES = st.one_of(st.integers(1, 50), st.tuples(st.integers(1, 50), st.integers(1, 50)))


@settings(max_examples=100, deadline=None)
@given(IMAGES, SIZES)
def test_size_type_and_range(pixels, size):
    result = resample(pixels, size)
    assert result.shape == (size if isinstance(size, tuple) else (size, size))
    assert result.dtype == np.float32
    assert pixels.min() <= result.min()
    assert result.max() <= pixels.max()


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1, width=32), array_shapes(min_dims=2, max_dims=2, max_side=300), SIZES)
def test_constant_stays_exactly_constant(value, shape, size):
    assert (resample(np.full(shape, value, dtype=np.float32), size) == np.float32(value)).all()


@settings(max_examples=50, deadline=None)
@given(IMAGES)
def test_identity_at_its_own_size(pixels):
    assert np.array_equal(resample(pixels, pixels.shape), pixels)


@pytest.mark.parametrize("shape", [(512, 512), (700, 300), (129, 1000)])
def test_mean_is_preserved_and_nothing_is_skipped(shape):
    # single bright rows, which sampling without antialiasing would miss or hit by chance
    pixels = np.zeros(shape, dtype=np.float32)
    pixels[::7] = 1
    result = resample(pixels, 64)
    assert result.mean() == pytest.approx(pixels.mean(), abs=0.01)
    assert result[2:-2].std() < 0.25


def test_rows_and_columns_are_not_exchanged():
    pixels = np.zeros((40, 80), dtype=np.float32)
    pixels[:20] = 1
    result = resample(pixels, (10, 30))
    assert result.shape == (10, 30)
    assert result[:4].min() > 0.9
    assert result[6:].max() < 0.1


def test_transposed_input_and_determinism():
    pixels = np.random.default_rng(1).random((90, 60), dtype=np.float32)
    assert np.array_equal(resample(pixels.T, 32), resample(pixels.T.copy(), 32))
    assert np.allclose(resample(pixels.T, 32), resample(pixels, 32).T, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
def test_images_of_one_pixel_width(shape):
    pixels = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    assert resample(pixels, 8).shape == (8, 8)
