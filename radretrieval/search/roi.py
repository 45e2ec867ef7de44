"""The place of a region of the query (ROI) in a retrieved image: mean-subtracted cross-correlation, by FFT.

Correlations are compared as exact integers, so that rounding never decides between equal places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.radon import whole_scale
from radretrieval.errors import UsageError
from radretrieval.imaging.resample import resample

Roi = tuple[int, int, int, int]

# up to this side the FFT's error is below 0.5 and vanishes by rounding (see _dot_products)
LARGEST_SIDE = 1024


class Region(NamedTuple):
    """The place of a ROI in a retrieved image.

    Attributes
    ----------
    x, y, width, height : box in pixels of the original retrieved image, inside it, origin top left.
    score : how alike the ROI and that place are, -1…1; here their correlation coefficient, 0 where either is constant.
    found : whether the region is taken to be there. The paper's way always takes it to be.
    """

    x: int
    y: int
    width: int
    height: int
    score: float
    found: bool = True


def parse_roi(text: str) -> Roi:
    """Parse `x,y,width,height`; raises UsageError where the text has another form."""
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"ROI {text!r} is not of the form x,y,width,height (four whole numbers, in pixels of the query)"
        ) from None
    return x, y, width, height


def check_roi(roi: Roi, rows: int, columns: int) -> None:
    """Raise UsageError unless the ROI has an area and lies inside an image of rows × columns pixels."""
    x, y, width, height = roi
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > columns or y + height > rows:
        raise UsageError(
            f"ROI {x},{y},{width},{height} does not lie inside the image, which is {columns} pixels wide "
            f"and {rows} high; give x,y,width,height in its pixels, width and height at least 1"
        )


def match(query: NDArray[np.float32], roi: Roi, image: NDArray[np.float32], longest_side: int = 512) -> Region:
    """The place of the query's ROI in one retrieved image; see `match_all`."""
    return match_all(query, roi, [image], longest_side)[0]


def match_all(
    query: NDArray[np.float32], roi: Roi, images: Sequence[NDArray[np.float32]], longest_side: int = 512
) -> list[Region]:
    """The place of the query's ROI in each retrieved image.

    The query's mean is subtracted from it, each image's from the image; the ROI is cut out of the query and
    slid over the image, wholly inside it; the place with the largest dot product is the match, the first one
    row by row where several are equal. Pixels are compared as whole numbers of 16 bits.

    Query and image are first brought to one longest side: the larger of the two, at most `longest_side`; each
    keeps its aspect ratio. Where both have one size of at most `longest_side`, nothing is resampled. A ROI
    that is then wider or higher than the image is cut to the image's width or height, around its own centre.

    Parameters
    ----------
    query : float32 (rows, columns).
    roi : x, y, width, height in pixels of the query, inside it.
    images : float32 (rows, columns) each, of any sizes.
    longest_side : of the images that are compared, in pixels, 1…1024.

    Returns
    -------
    list of Region, one per image.

    Raises
    ------
    UsageError : the ROI is not inside the query.
    ValueError : an image that is not two-dimensional or has a pixel that is NaN or infinite; longest_side out
        of range.

    Source
    ------
    Liu, Tizhoosh and Kofman, "X-ray image retrieval combining CNN codes and Radon barcodes" (2016).
    """
    if not 1 <= longest_side <= LARGEST_SIDE:
        raise ValueError(f"longest_side is {longest_side}; it is 1…{LARGEST_SIDE} pixels")
    for given in (query, *images):
        if given.ndim != 2 or 0 in given.shape:
            raise ValueError(f"an image has the shape {given.shape}; needed is (rows, columns)")
    check_roi(roi, *query.shape)
    queries: dict[int, NDArray[np.int64]] = {}
    templates: dict[tuple[int, ...], _Template] = {}
    matches = []
    for image in images:
        side = min(longest_side, max(*query.shape, *image.shape))
        if side not in queries:
            queries[side] = whole_pixels(query, side)
        pixels = whole_pixels(image, side)
        key = (side, *pixels.shape)
        if key not in templates:
            working_roi = _scaled(roi, query.shape, queries[side].shape)
            templates[key] = _Template.of(queries[side], working_roi, pixels.shape)
        matches.append(templates[key].find(pixels, image.shape))
    return matches


@dataclass(frozen=True)
class _Template:
    """The ROI, ready to be found in images of one working size."""

    pixels: NDArray[np.int64]
    query_mean: tuple[int, int]  # the query's sum and its number of pixels
    spectra: tuple[NDArray[np.complex128], NDArray[np.complex128]]  # of the high and the low byte
    transform: tuple[int, int]

    @classmethod
    def of(cls, query: NDArray[np.int64], roi: Roi, shape: tuple[int, ...]) -> _Template:
        from scipy.fft import next_fast_len, rfft2  # a query without a ROI needs no FFT

        x, y, width, height = roi
        rows, columns = min(height, shape[0]), min(width, shape[1])
        top, left = y + (height - rows) // 2, x + (width - columns) // 2
        pixels = query[top : top + rows, left : left + columns]
        # only places without wrap-around are read, so a transform of the image's size is enough
        transform = (next_fast_len(shape[0], real=True), next_fast_len(shape[1], real=True))
        centred = pixels - int(query.sum()) // query.size
        high = (centred + 128) >> 8
        spectra = (np.conj(rfft2(high, transform)), np.conj(rfft2(centred - 256 * high, transform)))
        return cls(pixels, (int(query.sum()), query.size), spectra, transform)

    def find(self, image: NDArray[np.int64], original: tuple[int, ...]) -> Region:
        """The match in a working image, as a box in the original of that shape."""
        height, width = self.pixels.shape
        centred = image - int(image.sum()) // image.size
        y, x = _first_maximum(self._dot_products(centred), _window_sums(centred, height, width), self.query_mean)
        score = correlation(self.pixels, image[y : y + height, x : x + width])
        return Region(*_scaled((x, y, width, height), image.shape, original), score)

    def _dot_products(self, image: NDArray[np.int64]) -> NDArray[np.int64]:
        """Dot product of the ROI, less the whole part of the query's mean, with every window of the image;
        exact.

        An FFT of 16-bit pixels would err by more than 0.5. Each byte of the ROI by itself stays below: its
        error is at most about 6 eps log2(pixels) |byte plane| |image| = 0.2 at 1024×1024, every pixel at its
        extreme.
        """
        from scipy.fft import irfft2, rfft2

        spectrum = rfft2(image, self.transform)
        rows, columns = (size - own + 1 for size, own in zip(image.shape, self.pixels.shape, strict=True))
        high, low = (
            np.rint(irfft2(spectrum * own, self.transform)[:rows, :columns]).astype(np.int64) for own in self.spectra
        )
        return 256 * high + low


def _first_maximum(
    products: NDArray[np.int64], sums: NDArray[np.int64], query_mean: tuple[int, int]
) -> tuple[int, int]:
    """HitRow and column of the first maximum of the mean-subtracted dot product.

    That is products - f·sums, f = fraction / count being what the query's mean has after the point. (The
    image's mean adds the same to every place.) To compare exactly, whole part and remainder of f·sums are
    taken apart: products - f·sums = (products - quotient) - remainder / count, 0 <= remainder < count.
    """
    total, count = query_mean
    quotient, remainder = np.divmod(sums * (total % count), count)
    whole = products - quotient
    remainder[whole < whole.max()] = count
    y, x = np.unravel_index(np.argmin(remainder), remainder.shape)
    return int(y), int(x)


def _window_sums(image: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    """Sum of every height×width window that lies inside the image."""
    table: NDArray[np.int64] = np.pad(image, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]


def correlation(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Correlation coefficient of two boxes of whole numbers; 0 where either is constant."""
    n, sum_a, sum_b = a.size, int(a.sum()), int(b.sum())
    variance_a = n * int((a * a).sum()) - sum_a * sum_a
    variance_b = n * int((b * b).sum()) - sum_b * sum_b
    if not variance_a or not variance_b:
        return 0.0
    covariance = n * int((a * b).sum()) - sum_a * sum_b
    return max(-1.0, min(1.0, covariance / math.sqrt(variance_a) / math.sqrt(variance_b)))


def whole_pixels(pixels: NDArray[np.float32], longest_side: int) -> NDArray[np.int64]:
    """The image at that longest side, as whole numbers of at most 2^16."""
    rows, columns = pixels.shape
    longest = max(rows, columns)
    if longest != longest_side:
        resized_shape = (_rounded(rows * longest_side, longest), _rounded(columns * longest_side, longest))
        pixels = resample(pixels, (max(1, resized_shape[0]), max(1, resized_shape[1])))
    scale = whole_scale(pixels[None])
    return np.rint(pixels if scale is None else pixels * scale[0]).astype(np.int64)


def _scaled(box: Roi, shape: tuple[int, ...], target: tuple[int, ...]) -> Roi:
    """A box in an image of one shape as a box in the same image at another: at least a pixel, inside."""
    x, y, width, height = box
    left, right = _span(x, x + width, shape[1], target[1])
    top, bottom = _span(y, y + height, shape[0], target[0])
    return left, top, right - left, bottom - top


def _span(start: int, stop: int, length: int, target: int) -> tuple[int, int]:
    first = min(_rounded(start * target, length), target - 1)
    return first, max(first + 1, _rounded(stop * target, length))


def _rounded(numerator: int, denominator: int) -> int:
    """The quotient, rounded half up."""
    return (2 * numerator + denominator) // (2 * denominator)
