"""From line integrals to a film: unsharpness, Beer-Lambert, scatter, noise, display, collimation, marker."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radretrieval.phantom.projection import Array
from radretrieval.phantom.technique import Technique

_LETTERS = {
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
}
_COARSE = 32  # what is smooth is computed on about so many cells a side
_WIDTH = 0.09  # of the smooth part, in sides
_MOTTLE = ((11, 0.018), (24, 0.016), (52, 0.022))  # cells a side, contrast
_WHITE = 40.0  # the detector is full at so many times the middle's dose
_OPEN = 12.0


@dataclass(frozen=True)
class Exposure:
    """How one film was taken and shown."""

    photons: float  # quanta on a pixel in the middle of the film: automatic exposure control
    even: float  # share of the large shapes that the display takes away
    scatter: float  # scattered share of what the patient lets through
    gamma: float
    clip: tuple[float, float]  # percentiles of log exposure shown as black and white
    shutter: float  # grey outside the collimated field, 0…1
    margins: tuple[float, float, float, float]  # collimated share of left, right, top, bottom
    marker: tuple[float, float, str] | None  # place (share of width, of height) and letter

    @classmethod
    def draw(cls, rng: np.random.Generator, letter: str, aspect: float, technique: Technique) -> Exposure:
        """A film as departments take them: mostly good ones, each a little different.

        Parameters
        ----------
        letter : of the marker, L or R.
        aspect : width of the collimated field over its height.
        """
        collimated = rng.random() < 0.6
        aspect *= float(np.exp(rng.normal(0, 0.06)))
        narrow = np.repeat([max(0, 1 - aspect) / 2, max(0, 1 - 1 / aspect) / 2], 2)
        margins = narrow + rng.uniform(0, 0.08, 4) * collimated
        left = bool(rng.random() < 0.5)
        edge = rng.uniform(0.04, 0.1)
        across = narrow[0] + edge if left else 1 - narrow[0] - edge - 0.05
        place = across, rng.uniform(narrow[2] + 0.05, 0.88 - narrow[2])
        return cls(
            photons=float(np.exp(rng.normal(7.2, 0.5))) * technique.photons,
            even=float(rng.uniform(0.35, 0.65)),
            scatter=float(rng.uniform(0.1, 0.35)) * technique.scatter,
            gamma=float(np.exp(rng.normal(0, 0.18))),
            clip=(float(rng.uniform(0.2, 4)), float(rng.uniform(97.5, 99.9))),
            shutter=float(rng.choice([0.0, 0.0, 0.06, 0.85])),
            margins=(float(margins[0]), float(margins[1]), float(margins[2]), float(margins[3])),
            marker=(float(place[0]), float(place[1]), letter) if letter and rng.random() < 0.7 else None,
        )


def develop(integrals: Array, exposure: Exposure, rng: np.random.Generator) -> Array:
    """The film of line integrals (rows, columns), which are used up: 0…1, bright is high attenuation."""
    size = integrals.shape[0]
    integrals *= _mottle(size, rng)
    if exposure.marker:
        _lay_marker(integrals, exposure.marker)
    dose = np.exp(-_unsharp(integrals))
    third = slice(size // 3, -(size // 3), 2)
    dose *= 1 / np.median(dose[third, third])
    # Air scatters nothing: what is much brighter than the middle is open beam.
    np.minimum(dose, np.float32(_WHITE), out=dose)
    share = np.float32(exposure.scatter)
    dose += share / (1 - share) * _smooth(dose, _OPEN)
    noise = rng.standard_normal(dose.shape, np.float32)
    noise *= np.sqrt(dose * np.float32(1 / exposure.photons))
    dose += noise
    np.maximum(dose, np.float32(0.5 / exposure.photons), out=dose)
    grey = -np.log(dose)
    grey -= np.float32(exposure.even) * _smooth(grey)
    low, high = np.percentile(_field(grey, exposure)[::3, ::3], exposure.clip)
    grey -= np.float32(low)
    grey *= np.float32(1 / max(high - low, 1e-3))
    np.clip(grey, 0, 1, out=grey)
    if exposure.gamma != 1:
        np.power(grey, np.float32(exposure.gamma), out=grey)
    _close_shutter(grey, exposure)
    return grey


def _unsharp(image: Array) -> Array:
    """The focal spot's blur, binomial over three pixels each way."""
    image[:, 1:-1] = (image[:, :-2] + image[:, 2:]) * np.float32(0.25) + image[:, 1:-1] * np.float32(0.5)
    image[1:-1] = (image[:-2] + image[2:]) * np.float32(0.25) + image[1:-1] * np.float32(0.5)
    return image


def _mottle(size: int, rng: np.random.Generator) -> Array:
    """Tissue is not even: a factor about 1 with structures of a tenth to a fiftieth of the side."""
    finest = _MOTTLE[-1][0]
    mottle = np.ones((finest, finest), np.float32)
    for cells, contrast in _MOTTLE:
        kernel = _kernel(finest, cells, 0.45 / cells)
        mottle += np.float32(contrast) * (kernel @ rng.standard_normal((cells, cells), np.float32) @ kernel.T)
    return _enlarged(mottle, size)


def _smooth(image: Array, below: float = np.inf) -> Array:
    """Blurred by about a tenth of the side, on a coarse grid; values from `below` on count as zero."""
    step = max(image.shape[0] // _COARSE, 1)
    samples = image[step // 2 :: step, step // 2 :: step]
    coarse = np.where(samples < np.float32(below), samples, np.float32(0))
    kernel = _kernel(coarse.shape[0], coarse.shape[0], _WIDTH)
    return _enlarged(kernel @ coarse @ kernel.T, image.shape[0])


@lru_cache(maxsize=16)
def _kernel(size: int, cells: int, width: float) -> Array:
    """Gaussian weights of the cells for each pixel, (size, cells), each row's sum 1; `width` in sides."""
    pixels, places = (np.arange(size) + 0.5) / size, (np.arange(cells) + 0.5) / cells
    kernel = np.exp(-((pixels[:, None] - places[None]) ** 2) / (2 * width**2))
    normalised: Array = (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)
    return normalised


def _enlarged(coarse: Array, size: int) -> Array:
    """A coarse square, interpolated linearly to (size, size).

    Not a product with a matrix of weights: at this size the linear algebra would wake its threads, which then spin
    for longer than an image takes.
    """
    first, second, share = _neighbours(coarse.shape[0], size)
    wide = coarse[:, first] + share * (coarse[:, second] - coarse[:, first])
    high = wide[second] - wide[first]
    high *= share[:, None]
    high += wide[first]
    return high


@lru_cache(maxsize=16)
def _neighbours(cells: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """For each pixel the cells on either side, and how far it is towards the second."""
    place = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
    first = place.astype(np.intp)
    return first, np.minimum(first + 1, cells - 1), (place - first).astype(np.float32)


def _edges(size: int, exposure: Exposure) -> tuple[int, int, int, int]:
    left, right, top, bottom = (round(share * size) for share in exposure.margins)
    return left, size - right, top, size - bottom


def _field(image: Array, exposure: Exposure) -> Array:
    left, right, top, bottom = _edges(image.shape[0], exposure)
    return image[top:bottom, left:right]


def _close_shutter(image: Array, exposure: Exposure) -> None:
    left, right, top, bottom = _edges(image.shape[0], exposure)
    grey = np.float32(exposure.shutter)
    image[:top], image[bottom:], image[:, :left], image[:, right:] = grey, grey, grey, grey


def _lay_marker(integrals: Array, marker: tuple[float, float, str]) -> None:
    """A letter of lead on the detector."""
    across, down, letter = marker
    size = integrals.shape[0]
    cell = max(size // 100, 1)
    stencil = np.array([[mark == "#" for mark in line] for line in _LETTERS[letter]])
    lead = np.kron(stencil, np.ones((cell, cell), bool)) * np.float32(3)
    top, left = min(int(down * size), size - lead.shape[0]), min(int(across * size), size - lead.shape[1])
    integrals[top : top + lead.shape[0], left : left + lead.shape[1]] += lead
