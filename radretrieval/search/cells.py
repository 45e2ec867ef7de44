"""A film as cells: mean grey and directions of edges on a coarse grid, as whole numbers, equal on any machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.imaging.radiograph import Radiograph
from radretrieval.profile import REGION
from radretrieval.search.roi import whole_pixels

Whole = NDArray[np.int64]

# A film has at most longest_side / cell cells a side: in a transform of twice that, no correlation wraps around.
TRANSFORM = 2 * REGION.longest_side // REGION.cell
_GREY_LEVELS, _EDGE_LEVELS = 1023, 256


@dataclass(frozen=True)
class Cells:
    """A film, ready to be compared with others.

    Attributes
    ----------
    pixels : (rows, columns), the film at its working size, 0…2^16.
    grey : (rows, columns) of cells, 0…1023: the mean grey of each, weighted towards its centre.
    edges : (directions, rows, columns): how much of the gradient near a cell lies along each of the directions, less
        the mean of all directions, relative to the whole gradient there. A gradient and its opposite count alike, so
        that inverted grey gives equal numbers.
    shape : rows and columns of the film itself.
    """

    pixels: Whole
    grey: Whole
    edges: Whole
    shape: tuple[int, int]

    @classmethod
    def of(cls, film: NDArray[np.float32]) -> Cells:
        """The cells of a film, float32 (rows, columns)."""
        pixels = whole_pixels(film, REGION.longest_side)
        rows, columns = (_sampling(size) for size in pixels.shape)
        grey = rows @ pixels @ columns.T
        low, span = int(grey.min()), max(1, int(grey.max() - grey.min()))
        return cls(
            pixels, (grey - low) * _GREY_LEVELS // span, _edges(pixels, rows, columns), (film.shape[0], film.shape[1])
        )

    @cached_property
    def spectra(self) -> NDArray[np.complex128]:
        """Transforms of ones, grey, its square, the squared length of the edges, and each direction of the edges."""
        return transform(self.planes)

    @cached_property
    def planes(self) -> Whole:
        """Ones, grey, its square, the squared length of the edges, and each direction of the edges."""
        squares = [np.ones_like(self.grey), self.grey, self.grey**2, (self.edges**2).sum(axis=0)]
        return np.concatenate([np.stack(squares), self.edges])

    @cached_property
    def energies(self) -> tuple[float, float]:
        """Variance of the grey and mean squared length of the edges."""
        _, grey, square, length = (int(plane.sum()) for plane in self.planes[:4])
        count = self.grey.size
        return (square * count - grey * grey) / count**2, length / count


class ReadFilm(NamedTuple):
    """A film as it is compared, cells or pixels, and why its original could not be read where it is a reduced copy."""

    compared: Any
    reduced: str | None


def as_cells(radiograph: Radiograph) -> ReadFilm:
    """A film as cells."""
    return ReadFilm(Cells.of(radiograph.pixels), radiograph.unreachable)


def as_pixels(radiograph: Radiograph) -> ReadFilm:
    """A film as pixels."""
    return ReadFilm(radiograph.pixels, radiograph.unreachable)


def transform(planes: Whole) -> NDArray[np.complex128]:
    """The planes' Fourier transforms, padded with zeros."""
    from scipy.fft import rfft2  # a query without a ROI needs no FFT

    spectra: NDArray[np.complex128] = rfft2(planes, (TRANSFORM, TRANSFORM))
    return spectra


def _edges(pixels: Whole, rows: Whole, columns: Whole) -> Whole:
    smooth: Whole = np.pad(pixels, 2, mode="edge")
    for axis in (0, 1):
        smooth = smooth + np.roll(smooth, 1, axis)  # twice: the weights 1, 2, 1
        smooth = smooth + np.roll(smooth, -1, axis)
    down = (smooth[3:-1] - smooth[1:-3])[:, 2:-2]
    right = (smooth[:, 3:-1] - smooth[:, 1:-3])[2:-2]
    strength = []
    for place in range(REGION.directions):
        angle = math.pi * place / REGION.directions
        along: Whole = np.abs(right * round(256 * math.cos(angle)) + down * round(256 * math.sin(angle)))
        strength.append(rows @ (along >> 12) @ columns.T)
    whole = np.stack(strength)
    whole = whole * (1 << 12) // max(1, int(whole.max()))
    length = np.rint(np.sqrt((whole**2).sum(axis=0))).astype(np.int64)
    floor = int(length.sum()) * REGION.floor_percent // (100 * length.size)
    balanced = REGION.directions * whole - whole.sum(axis=0)
    edges: Whole = np.rint(balanced * _EDGE_LEVELS / (REGION.directions * (length + floor + 1))).astype(np.int64)
    return edges


@cache
def _sampling(size: int) -> Whole:
    """Weights (cells, pixels) of a cell's pixels along one axis: binomial, a standard deviation of two pixels; at the
    edge the film is mirrored."""
    cells = max(1, (size + 1) // REGION.cell)
    weights = np.zeros((cells, size), np.int64)
    for cell in range(cells):
        for tap in range(17):
            place = (REGION.cell * cell + REGION.cell // 2 + tap - 8) % (2 * size)
            weights[cell, min(place, 2 * size - 1 - place)] += math.comb(16, tap)
    return weights
