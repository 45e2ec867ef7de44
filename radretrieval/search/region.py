"""The place of a region of the query in another film: the region with its surroundings, as grey and edges of cells.

Grey and directions of edges (histograms of oriented gradients) are compared in three windows around the region. Sums
are exact whole numbers, and places are compared by whole millionths, so that the answer is the same on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import UsageError
from radretrieval.profile import REGION
from radretrieval.search.cells import TRANSFORM, Cells, transform
from radretrieval.search.request import ROI_POLARITIES
from radretrieval.search.roi import Region, Roi, check_roi, correlation

Box = tuple[float, float, float, float]
Reals = NDArray[np.float64]

_MILLION = 1_000_000
_LEAST_SIDE = 8  # of a region, in pixels of the query: less shows nothing that could be found again


def find_region(query: NDArray[np.float32], roi: Roi, image: NDArray[np.float32], *, polarity: str = "same") -> Region:
    """The place of the query's region in one film; see `find_regions`."""
    return find_regions(query, roi, [image], polarity=polarity)[0]


def check_region(roi: Roi, rows: int, columns: int) -> None:
    """Raise UsageError unless the region has 8 × 8 pixels or more and lies inside an image of rows × columns."""
    check_roi(roi, rows, columns)
    x, y, width, height = roi
    if min(width, height) < _LEAST_SIDE:
        raise UsageError(
            f"ROI {x},{y},{width},{height} is too small: {width} × {height} pixels show too little to be found again; "
            f"give width and height of at least {_LEAST_SIDE} (--roi-method paper takes any)"
        )


def find_regions(
    query: NDArray[np.float32], roi: Roi, images: Sequence[NDArray[np.float32]], *, polarity: str = "same"
) -> list[Region]:
    """The place of the query's region in each film, and whether the region is there at all.

    The films are brought to one longest side and cut into cells (`search.cells`). At every place where the region lies
    inside the film, three windows around it, each with the region in its middle, are compared: grey by zero-normalised
    correlation, edges by the cosine of the angle between their descriptors. The weighted mean of the six, less a little
    for a place that lies elsewhere in the film, decides; the first place row by row where several are equal. The
    correlation of the region's pixels settles it within a cell.

    The score is the mean of two numbers: how alike the places are, lowered where the place found leads back to another
    region of the query; and how alike the whole films are, as best as one can be shifted over the other. A region is
    found where the score reaches `REGION.least_score`.

    Parameters
    ----------
    query : float32 (rows, columns).
    roi : x, y, width, height in pixels of the query, inside it; width and height at least 8.
    images : float32 (rows, columns) each, of any sizes.
    polarity : `either` also finds the region where dark and bright are exchanged.

    Returns
    -------
    list of Region, one per image; its box is the best place also where `found` is False.

    Raises
    ------
    UsageError : the ROI is not inside the query, or too small; an unknown polarity.
    ValueError : an image that is not two-dimensional or has a pixel that is NaN or infinite.
    """
    if polarity not in ROI_POLARITIES:
        raise UsageError(f"polarity {polarity!r}: it is one of: {', '.join(ROI_POLARITIES)}")
    for given in (query, *images):
        if given.ndim != 2 or 0 in given.shape:
            raise ValueError(f"an image has the shape {given.shape}; needed is (rows, columns)")
    check_region(roi, *query.shape)
    return regions_of(Cells.of(query), roi, [Cells.of(image) for image in images], polarity=polarity)


def regions_of(query: Cells, roi: Roi, films: Sequence[Cells], *, polarity: str = "same") -> list[Region]:
    """The place of the query's region, in pixels of the query, in each film; see `find_regions`."""
    check_region(roi, *query.shape)
    template = _Template(query, _in_cells(query, roi))
    return [_find(template, film, polarity == "either") for film in films]


def _find(template: _Template, film: Cells, either: bool) -> Region:
    place = template.place_in(film, either)
    back = _Template(film, place.box).place_in(template.film, either)
    returns = _overlap(back.box, template.box)
    whole = _film_likeness(template.film, film, either)
    score = (place.likeness * (0.5 + 0.5 * returns) + whole) / 2
    rounded = round(min(1.0, max(-1.0, score)), 4)
    box = _settled(template, film, place.box, either)
    return Region(*box, rounded, rounded >= REGION.least_score)


class _Place(NamedTuple):
    box: Box  # in cells
    likeness: float


@dataclass(frozen=True)
class _Template:
    """A region of a film, ready to be found in others; its box is in cells."""

    film: Cells
    box: Box

    @cached_property
    def windows(self) -> NDArray[np.int64]:
        """Weights (windows, rows, columns) of the film's cells around the region."""
        x, y, width, height = self.box
        rows, columns = self.film.grey.shape
        planes = []
        for factor, _ in REGION.windows:
            down = _bump(rows, y + height / 2, factor * max(height, REGION.least_cells))
            across = _bump(columns, x + width / 2, factor * max(width, REGION.least_cells))
            planes.append(np.outer(down, across))
        return np.stack(planes)

    @cached_property
    def spectra(self) -> NDArray[np.complex128]:
        """Conjugated transforms (windows, planes, …) of the film's planes under each window."""
        return np.conj(transform(self.windows[:, None] * self.film.planes))

    def place_in(self, film: Cells, either: bool) -> _Place:
        """The best place of the region in a film."""
        x, y, width, height = self.box
        rows, columns = film.grey.shape
        own_rows, own_columns = self.film.grey.shape
        down, across = _shifts(y, height, rows), _shifts(x, width, columns)
        total = np.zeros((down.size, across.size))
        for (_, percent), window, spectra in zip(REGION.windows, self.windows, self.spectra, strict=True):
            sums = _sums(spectra, film.spectra, down, across)
            grey, edges = _likeness(sums, self.film, film)
            inside = np.minimum(
                1.0, 2 * sums[0] / int(window.sum())
            )  # of the window, less than half of which is little
            total += percent / 200 * inside * ((abs(grey) if either else grey) + edges)
        off_y = (y + height / 2 + down) / rows - (y + height / 2) / own_rows
        off_x = (x + width / 2 + across) / columns - (x + width / 2) / own_columns
        away = np.minimum(4.0, 8 * ((off_y * off_y)[:, None] + off_x * off_x))
        millionths = np.rint(_MILLION * (total - REGION.prior_percent / 100 * away))
        top, left = np.unravel_index(np.argmax(millionths), millionths.shape)
        box = (x + int(across[left]), y + int(down[top]), width, height)
        return _Place(box, float(millionths[top, left]) / _MILLION)


def _sums(
    template: NDArray[np.complex128], film: NDArray[np.complex128], down: NDArray[np.int64], across: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Sums over the cells of both films, at every pair of shifts: of the weight w; of the template, w·a, w·a² and
    w·|edges|²; the same three of the film; of the products of grey, and of edges. Exact: the transforms' error is far
    below 0.5."""
    from scipy.fft import irfft2

    products = [template[plane] * film[0] for plane in range(4)]
    products += [template[0] * film[plane] for plane in range(1, 4)]
    products += [template[1] * film[1], (template[4:] * film[4:]).sum(axis=0)]
    sums = np.rint(irfft2(np.stack(products), (TRANSFORM, TRANSFORM))).astype(np.int64)
    found: NDArray[np.int64] = sums[:, (down % TRANSFORM)[:, None], across % TRANSFORM]
    return found


def _likeness(sums: NDArray[np.int64], a: Cells, b: Cells) -> tuple[Reals, Reals]:
    """Zero-normalised correlation of grey, and cosine of edges, each -1…1.

    Where a window is nearly flat, a share of the whole film's energy takes the place of its own: noise correlates with
    anything.
    """
    weight, grey_a, square_a, edges_a, grey_b, square_b, edges_b, grey, edges = sums
    flat = REGION.flat_percent / 100
    (variance_a, length_a), (variance_b, length_b) = a.energies, b.energies
    own = np.maximum(weight * square_a - grey_a * grey_a, flat * variance_a * (weight * weight))
    other = np.maximum(weight * square_b - grey_b * grey_b, flat * variance_b * (weight * weight))
    correlation = _quotient(weight * grey - grey_a * grey_b, own, other)
    own = np.maximum(edges_a, flat * length_a * weight)
    other = np.maximum(edges_b, flat * length_b * weight)
    return correlation, _quotient(edges, own, other)


def _quotient(product: NDArray[np.int64], own: Reals, other: Reals) -> Reals:
    norm = np.sqrt(own) * np.sqrt(other)
    quotient: Reals = np.divide(product, norm, out=np.zeros(norm.shape), where=norm > 0)
    return quotient


def _film_likeness(a: Cells, b: Cells, either: bool) -> float:
    """The whole films' likeness, -1…1, at the best shift of one over the other by a few cells."""
    reach = REGION.film_shift
    shifts = np.arange(-reach, reach + 1)
    grey, edges = _likeness(_sums(np.conj(a.spectra), b.spectra, shifts, shifts), a, b)
    best = ((abs(grey) if either else grey) + edges).max() / 2
    return float(np.rint(best * _MILLION)) / _MILLION


def _settled(template: _Template, film: Cells, box: Box, either: bool) -> Roi:
    """The box in pixels of the film, moved within a cell to where its pixels correlate best with the region's."""
    own, pixels = template.film.pixels, film.pixels
    x, y, width, height = (round(side * REGION.cell) for side in template.box)
    width = max(1, min(width, own.shape[1], pixels.shape[1]))
    height = max(1, min(height, own.shape[0], pixels.shape[0]))
    x, y = min(x, own.shape[1] - width), min(y, own.shape[0] - height)
    region = own[y : y + height, x : x + width]
    left, top = (round(side * REGION.cell) for side in box[:2])
    best, place = -2 * _MILLION, (0, 0)
    reach = range(1 - REGION.cell, REGION.cell)
    for down, across in sorted(((a, b) for a in reach for b in reach), key=lambda by: by[0] ** 2 + by[1] ** 2):
        row, column = top + down, left + across
        if 0 <= row <= pixels.shape[0] - height and 0 <= column <= pixels.shape[1] - width:
            alike = round(correlation(region, pixels[row : row + height, column : column + width]) * _MILLION)
            alike = abs(alike) if either else alike
            if alike > best:
                best, place = alike, (down, across)
    down, across = place
    return _in_pixels(film, (box[0] + across / REGION.cell, box[1] + down / REGION.cell, box[2], box[3]))


def _in_cells(film: Cells, box: Roi) -> Box:
    """A box in pixels of a film as one in cells."""
    down, across = (side / whole / REGION.cell for side, whole in zip(film.pixels.shape, film.shape, strict=True))
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def _in_pixels(film: Cells, box: Box) -> Roi:
    """A box in cells as one in pixels of the film: at least a pixel, inside."""
    rows, columns = film.shape
    down, across = (REGION.cell * whole / side for side, whole in zip(film.pixels.shape, film.shape, strict=True))
    width = max(1, min(columns, math.floor(box[2] * across + 0.5)))
    height = max(1, min(rows, math.floor(box[3] * down + 0.5)))
    x, y = (math.floor(side + 0.5) for side in (box[0] * across, box[1] * down))
    return max(0, min(x, columns - width)), max(0, min(y, rows - height)), width, height


def _bump(cells: int, middle: float, reach: float) -> NDArray[np.int64]:
    """Weights 0…64 along one axis, falling to zero at `reach` cells from the middle: (1 - t²)²."""
    t = (np.arange(cells) + 0.5 - middle) / reach
    falling = np.maximum(0.0, 1 - t * t)
    weights: NDArray[np.int64] = np.rint(64 * falling * falling).astype(np.int64)
    return weights


def _shifts(start: float, length: float, cells: int) -> NDArray[np.int64]:
    """The whole shifts along one axis by which a region stays inside a film but for half a cell; one at least."""
    first, last = math.ceil(-start - 0.5), math.floor(cells - start - length + 0.5)
    if first > last:
        first = last = (first + last) // 2
    return np.arange(first, last + 1)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)
