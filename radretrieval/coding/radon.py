"""The Radon barcode (RBC): projections of an image, each cut at the median of its positive values.

The Radon transform at fixed angles is a fixed linear map, so it is built once as a sparse matrix and
multiplied with batches of images. The arithmetic is exact: a barcode is a function of the pixels alone, the
same on every machine, in every batch and with every order of summation.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csc_array

    from radretrieval.profile import Barcode

SIZE = 192
ANGLES = 16
LARGEST_SIZE = 1024

# images of one matrix product: more are not faster, and 64 columns of 192×192 pixels are 19 MB
_TILE = 64

# The bit budget of one exact projection value, in float64's 53 bits:
#   a pixel is an integer of at most 2^16;
#   a bin sums at most `bins` samples, each with weights that add up to 1: bins < 2^b, b = bins.bit_length();
#   so a weight may have 53 - 16 - b fraction bits (28 at 192×192, a rounding of 2e-9),
# and every product and every partial sum, in any order, fused or not, is a multiple of 2^-(37 - b) below
# 2^(16 + b).
_PIXEL_BITS = 16
_FLOAT64_BITS = 53


def bins(size: int = SIZE) -> int:
    """Number of bins of one projection: the image's diagonal, rounded up.

    Parameters
    ----------
    size : side of the square image in pixels, 1…1024.

    Returns
    -------
    int, 272 for 192.

    Raises
    ------
    ValueError : the size is out of range.
    """
    if not 1 <= size <= LARGEST_SIZE:
        raise ValueError(f"size is {size}; a barcode's image side is 1…{LARGEST_SIZE} pixels")
    return math.isqrt(2 * size * size - 1) + 1


def code_bytes(size: int = SIZE, angles: int = ANGLES) -> int:
    """Length of a packed barcode in bytes, 544 for 192 pixels and 16 angles."""
    if angles < 1:
        raise ValueError(f"angles is {angles}; a barcode has at least 1 projection")
    return (bins(size) * angles + 7) // 8


def geometry(shape: Barcode) -> tuple[int, int, int, str]:
    """Size, angles, bins and rule of a barcode: only barcodes that are equal in all of them can be compared."""
    return shape.size, shape.angles, bins(shape.size), shape.rule


def barcode(images: NDArray[Any], size: int = SIZE, angles: int = ANGLES) -> NDArray[np.uint8]:
    """Radon barcodes of a batch of images.

    Each projection p is cut at T, the median of its strictly positive values: bit = p > T. A projection
    without positive values gives zeros. Bits stand angle by angle, each from the first bin to the last,
    packed MSB first (`numpy.packbits`); the last byte is filled up with zeros.

    The rule does not depend on an image's scale or unit. Integer pixels of up to 16 bits are taken as they
    are; others are rounded to 16 bits of the image's own range, so that an 8-bit image gives the same barcode
    as k and as k/255.

    Parameters
    ----------
    images : (n, rows, columns), finite; n may be 0. Images that are not size×size are resampled.
    size : side of the square image that is projected, in pixels, 1…1024.
    angles : number of projections, at k·180°/angles, k = 0…angles - 1.

    Returns
    -------
    uint8 (n, bytes), 544 bytes at 192 pixels and 16 angles.

    Raises
    ------
    ValueError : wrong shape or dtype, a pixel that is NaN or infinite, size or angles out of range.

    Source
    ------
    Tizhoosh, "Barcode annotations for medical image retrieval" (ICIP 2015); Liu, Tizhoosh and Kofman (2016).
    The geometry is that of `skimage.transform.radon(circle=False)`.
    """
    images = _checked(images)
    codes = np.empty((len(images), code_bytes(size, angles)), np.uint8)
    for start in range(0, len(codes), _TILE):
        projected, _ = _project(images[start : start + _TILE], size, angles)
        codes[start : start + _TILE] = _cut(projected)
    return codes


def projections(images: NDArray[Any], size: int = SIZE, angles: int = ANGLES) -> NDArray[np.float64]:
    """Radon projections of a batch of images, in the images' own unit.

    Parameters and errors are those of `barcode`.

    Returns
    -------
    float64 (n, angles, bins): exact for integer pixels of up to 16 bits.
    """
    images = _checked(images)
    values = np.empty((len(images), angles, bins(size)))
    for start in range(0, len(values), _TILE):
        projected, scale = _project(images[start : start + _TILE], size, angles)
        values[start : start + _TILE] = projected if scale is None else projected / scale[:, None, None]
    return values


def whole_scale(images: NDArray[Any]) -> NDArray[Any] | None:
    """Factors that bring images to whole numbers of at most 2^16, once rounded.

    Parameters
    ----------
    images : (n, rows, columns), real numbers.

    Returns
    -------
    (n,), or None where the dtype holds nothing but such numbers.

    Raises
    ------
    ValueError : a pixel that is NaN or infinite.
    """
    if images.dtype.kind == "b" or (images.dtype.kind in "ui" and images.dtype.itemsize <= 2):
        return None
    real = np.float32 if images.dtype in (np.float16, np.float32) else np.float64
    peak = np.maximum(images.max(axis=(1, 2)), -images.min(axis=(1, 2)).astype(real)).astype(real)
    finite = np.isfinite(peak)
    if not finite.all():
        raise ValueError(f"image {int(np.argmin(finite))} of the batch has a pixel that is NaN or infinite")
    mantissa, exponent = np.frexp(peak)
    exponent = exponent - (mantissa == 0.5)  # now 2^exponent is the smallest power that is not below the peak
    # 65535 is a multiple of 255: k/255 becomes 257·k. Pixels above 1 have a unit of their own, in which whole
    # numbers stay whole.
    fraction = (peak <= 1) & (images.dtype.kind == "f")
    unit = np.where(fraction, 65535.0, 65536.0)
    scale: NDArray[Any] = np.ldexp(unit, np.clip(-exponent, -1000, 100)).astype(real)
    return scale


def _checked(images: NDArray[Any]) -> NDArray[Any]:
    images = np.asarray(images)
    if images.ndim != 3 or 0 in images.shape[1:]:
        raise ValueError(f"images have the shape {images.shape}; needed is (n, rows, columns)")
    if images.dtype.kind not in "buif":
        raise ValueError(f"images are {images.dtype}; needed are real numbers")
    return images


def _project(images: NDArray[Any], size: int, angles: int) -> tuple[NDArray[np.float64], NDArray[Any] | None]:
    """Exact projections (n, angles, bins) of the images times their scale (None: 1)."""
    if images.shape[1:] != (size, size):
        images = _resampled(images, size)
    scale = whole_scale(images)
    projected = _matrix(size, angles) @ _columns(images, scale)
    return np.ascontiguousarray(projected.T).reshape(len(images), angles, bins(size)), scale


def _cut(projected: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Packed bits p > T of projections (n, angles, bins)."""
    # No value lies between the two middle values of a sorted list, so p > their mean is p > the lower of
    # them, without rounding a mean. Positive values are the last `positive` of the sorted; where there are
    # none, the index is that of the maximum, and no value exceeds it.
    positive = np.count_nonzero(projected > 0, axis=2, keepdims=True)
    middle = projected.shape[2] - positive + (positive - 1) // 2
    threshold = np.take_along_axis(np.sort(projected, axis=2), middle, axis=2)
    return np.packbits((projected > threshold).reshape(len(projected), -1), axis=1)


def _resampled(images: NDArray[Any], size: int) -> NDArray[np.float32]:
    from radretrieval.imaging.resample import resample  # not needed for images that come at their size

    if images.dtype.kind in "ui":
        images = images / np.float32(np.iinfo(images.dtype).max)
    return np.stack([resample(image.astype(np.float32, copy=False), size) for image in images])


def _columns(images: NDArray[Any], scale: NDArray[Any] | None) -> NDArray[np.float64]:
    """The images as columns (pixels, n) of whole numbers."""
    n = len(images)
    flat = images.reshape(n, images.shape[1] * images.shape[2])
    columns = np.empty((flat.shape[1], n))
    # a block that fits in the cache is transposed three times as fast as the whole
    step = max(1, 16384 // max(n, 1))
    for start in range(0, len(columns), step):
        block = flat[:, start : start + step]
        whole = np.ascontiguousarray(block) if scale is None else np.rint(block * scale[:, None])
        columns[start : start + step] = whole.T
    return columns


@lru_cache(maxsize=4)
def _matrix(size: int, angles: int) -> csc_array[np.float64]:
    """The Radon transform (angles·bins, size·size): bilinear samples of the turned image, summed by column.

    Stored by columns: each pixel then adds to a few rows of the result, which stay in the cache.
    """
    from scipy.sparse import csc_array  # 0.1 s, once a process, with the first barcode

    count = bins(size)
    bin_of, pixel_of, weight_of = [], [], []
    for k in range(angles):
        bin_, pixel, weight = _samples(size, k, angles)
        bin_of.append(np.broadcast_to(bin_ + k * count, pixel.shape).ravel())
        pixel_of.append(pixel.ravel())
        weight_of.append(weight.ravel())
    rim = size + 2
    entries = (np.concatenate(weight_of), (np.concatenate(bin_of), np.concatenate(pixel_of)))
    # entries of the same place are added here, exactly
    framed = csc_array(entries, shape=(count * angles, rim * rim))
    inner = np.arange(rim * rim).reshape(rim, rim)[1:-1, 1:-1].ravel()
    matrix = framed[:, inner]
    matrix.eliminate_zeros()
    return matrix


def _samples(size: int, k: int, angles: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Bin (s,), pixels (4, s) and weights (4, s) of the samples at angle k.

    Pixels are counted in the image with a rim of one zero pixel, which the samples at its border reach into.
    """
    count = bins(size)
    bit_length = count.bit_length()
    # sin and cos on a grid so coarse that positions are exact, and that no two C libraries differ in them:
    # the matrix is the same everywhere. What that moves a position (1e-10) is far below the weights' own
    # rounding.
    grid = 2.0 ** (_FLOAT64_BITS - 2 - bit_length)
    cos = round(math.cos(math.pi * k / angles) * grid) / grid
    sin = round(math.sin(math.pi * k / angles) * grid) / grid
    # The axis of rotation is pixel `count // 2` of the zero-padded square, `size // 2` of the image.
    offset = np.arange(count) - count // 2
    column = cos * offset[:, None] + sin * offset + size // 2  # (bins, samples)
    row = cos * offset - sin * offset[:, None] + size // 2
    touches = (column > -1) & (column < size) & (row > -1) & (row < size)
    column, row = column[touches], row[touches]
    left, top = np.floor(column), np.floor(row)
    right_share, low_share = column - left, row - top
    left_share, top_share = 1 - right_share, 1 - low_share
    upper = (top_share * left_share, top_share * right_share)
    lower = (low_share * left_share, low_share * right_share)
    quantum = 2.0 ** -(_FLOAT64_BITS - _PIXEL_BITS - bit_length)
    weight = np.rint(np.stack(upper + lower) / quantum) * quantum
    first = ((top + 1) * (size + 2) + left + 1).astype(np.int32)
    pixel = np.stack([first, first + 1, first + size + 2, first + size + 3])
    return np.nonzero(touches)[0].astype(np.int32), pixel, weight
