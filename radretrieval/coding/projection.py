"""Codes as points of a plane: principal components of the bits, each bit being −1 or 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2048  # codes at a time; float32 holds sums of so many ±1 exactly


@dataclass(frozen=True)
class Projection:
    """Codes on their first two principal components.

    Attributes
    ----------
    points : float64 (n, 2), centred. explained : the share of the variance that each component has, 0 to 1.
    """

    points: NDArray[np.float64]
    explained: tuple[float, float]


def project(codes: NDArray[np.uint8], bits: int = 1000) -> Projection:
    """The projection of packed codes, uint8 (n, bytes), onto the two directions of most variance.

    Squared Euclidean distance of ±1 bits is four times the Hamming distance, so that the components are those along
    which Hamming distances are largest. The covariance is exact: products of ±1 are summed as whole numbers. A
    component has the sign that makes its largest loading positive, so that equal codes give equal maps. Codes that are
    all equal lie at the origin.
    """
    count = len(codes)
    if count == 0:
        return Projection(np.zeros((0, 2)), (0.0, 0.0))
    products = np.zeros((bits, bits))
    total = np.zeros(bits)
    for start in range(0, count, _BLOCK):
        signs = _signs(codes[start : start + _BLOCK], bits)
        products += signs.T @ signs
        total += signs.sum(axis=0)
    mean = total / count
    values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    axes = vectors[:, :-3:-1]
    largest = np.argmax(np.round(np.abs(axes), 9), axis=0)  # rounded: loadings that tie are told apart by place
    axes = axes * np.where(axes[largest, [0, 1]] < 0, -1.0, 1.0)
    variance = float(np.trace(products) / count - mean @ mean)
    points = np.empty((count, 2))
    for start in range(0, count, _BLOCK):
        points[start : start + _BLOCK] = (_signs(codes[start : start + _BLOCK], bits) - mean) @ axes
    if variance <= 1e-9:
        return Projection(np.zeros((count, 2)), (0.0, 0.0))
    first, second = (max(0.0, float(value)) / variance for value in values[:-3:-1])
    return Projection(points, (first, second))


def _signs(codes: NDArray[np.uint8], bits: int) -> NDArray[np.float32]:
    return np.unpackbits(codes, axis=1, count=bits).astype(np.float32) * 2 - 1
