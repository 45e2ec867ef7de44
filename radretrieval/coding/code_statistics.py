"""Statistics of codes: dead, equal and complementary bits, entropies, and distributions of distances.

Codes come in batches and are only counted, so that memory does not grow with the archive. Bits are numbered as they are
packed, MSB first.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.hamming import distances

_BLOCK = 256  # codes whose distances to all others are in memory at a time


@dataclass(frozen=True)
class Duplicates:
    """Bits that are equal or complementary to another bit; dead bits are left out.

    Attributes
    ----------
    equal : groups of two or more bits that have the same value in every code.
    complement : pairs of groups; the bits within a group are equal, and the two groups differ in every code.
    redundant : how many bits could be dropped without loss, keeping one of each group.
    """

    equal: list[list[int]]
    complement: list[tuple[list[int], list[int]]]
    redundant: int


class BitTally:
    """Counts the ones of every bit and finds equal bits over codes that come in batches.

    Memory is that of one unpacked batch: of earlier batches only a 16-byte hash of each bit's column is kept.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.codes = 0
        self.ones = np.zeros(bits, np.int64)
        self._first = np.zeros(bits, np.uint8)
        self._hashes = [hashlib.blake2b(digest_size=16) for _ in range(bits)]

    def add(self, codes: NDArray[np.uint8]) -> None:
        """Count a batch of codes, uint8 (n, bits / 8)."""
        if len(codes) == 0:
            return
        unpacked = np.unpackbits(codes, axis=1, count=self.bits)
        if self.codes == 0:
            self._first = unpacked[0].copy()
        self.codes += len(codes)
        self.ones += unpacked.sum(axis=0, dtype=np.int64)
        # columns that begin with 1 are inverted, so that a bit and its complement have the same hash
        columns = np.packbits(np.ascontiguousarray((unpacked ^ self._first).T), axis=1)
        for column, hashed in zip(columns, self._hashes, strict=True):
            hashed.update(column)

    def dead(self) -> tuple[list[int], list[int]]:
        """The bits that are 0 in every code, and those that are 1 in every code."""
        return np.flatnonzero(self.ones == 0).tolist(), np.flatnonzero(self.ones == self.codes).tolist()

    def duplicates(self) -> Duplicates:
        """The bits that are equal to another bit, or its complement, in every code."""
        same: defaultdict[bytes, list[int]] = defaultdict(list)
        for bit in np.flatnonzero((self.ones > 0) & (self.ones < self.codes)).tolist():
            same[self._hashes[bit].digest()].append(bit)
        groups = [bits for bits in same.values() if len(bits) > 1]
        # bits of a group with the same first value are equal, the others are their complement
        halves = [
            ([bit for bit in bits if self._first[bit] == self._first[bits[0]]],
             [bit for bit in bits if self._first[bit] != self._first[bits[0]]])
            for bits in groups
        ]  # fmt: skip
        return Duplicates(
            equal=sorted(half for pair in halves for half in pair if len(half) > 1),
            complement=[pair for pair in halves if pair[1]],
            redundant=sum(len(bits) - 1 for bits in groups),
        )

    def densities(self) -> NDArray[np.float64]:
        """The share of codes in which each bit is 1: float64 (bits,), 0…1; 0 before the first code."""
        return self.ones / max(self.codes, 1)

    def density_histogram(self, bins: int) -> list[int]:
        """How many bits have a density in each of `bins` equal parts of 0…1; 1 itself falls in the last."""
        # in integers: 0.15 · 20 is less than 3 in floating point
        places = np.minimum(self.ones * bins // max(self.codes, 1), bins - 1)
        return [int(count) for count in np.bincount(places, minlength=bins)]

    def entropy(self) -> float:
        """Sum of the bits' entropies, 0…bits: the entropy of the codes if the bits were independent."""
        p = self.densities()
        p = p[(p > 0) & (p < 1)]
        return float(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).sum())


class NearestTally:
    """The distances from some codes to their k nearest among codes that come in batches.

    Parameters
    ----------
    queries : uint8 (m, bytes), each of them one of the codes that will come.
    k : neighbours, at least 1.
    """

    def __init__(self, queries: NDArray[np.uint8], k: int) -> None:
        self._queries = queries
        self._kept = k + 1  # the code itself is among them, at distance 0
        self._best = np.empty((len(queries), 0), np.int32)

    def add(self, codes: NDArray[np.uint8]) -> None:
        """Compare with a batch of codes, uint8 (n, bytes)."""
        known = np.concatenate([self._best, distances(self._queries, codes)], axis=1)
        if known.shape[1] > self._kept:
            known = np.partition(known, self._kept - 1, axis=1)[:, : self._kept]
        self._best = known

    def nearest(self) -> NDArray[np.int32]:
        """Distances to the other codes, ascending: int32 (m, k), or fewer columns where there are fewer codes."""
        return np.sort(self._best, axis=1)[:, 1:]


def pair_histograms(
    codes: NDArray[np.uint8], classes: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many pairs of codes have each distance, within a class and across classes.

    Parameters
    ----------
    codes : uint8 (n, bytes), packed bits.
    classes : integers (n,), equal for codes of one class.

    Returns
    -------
    within, across : int64 (8·bytes + 1,) each; together they count the n·(n-1)/2 unordered pairs.
    """
    size = 8 * codes.shape[1] + 1
    total = np.zeros(2 * size, np.int64)
    for start in range(0, len(codes), _BLOCK):
        mine = slice(start, start + _BLOCK)
        keys = distances(codes[mine], codes[start:])
        keys += np.where(classes[mine, None] == classes[None, start:], 0, np.int32(size))
        later = np.triu(np.ones(keys.shape, bool), 1)  # each pair once, and no code with itself
        total += np.bincount(keys[later], minlength=2 * size)
    return total[:size], total[size:]


def percentile(histogram: NDArray[np.int64], percent: int) -> int:
    """The smallest distance that at least `percent` % of the pairs do not exceed.

    Parameters
    ----------
    histogram : int64 (distances,), pairs of each distance; not all 0.
    percent : 1…100; 50 is the (lower) median.
    """
    reached = np.cumsum(histogram)
    return int(np.searchsorted(reached, -(-int(reached[-1]) * percent // 100)))


def mean_and_variance(histogram: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and variance of the distances of a histogram that is not all 0."""
    places = np.arange(len(histogram))
    mean = np.average(places, weights=histogram)
    return float(mean), float(np.average((places - mean) ** 2, weights=histogram))


def separability(within: NDArray[np.int64], across: NDArray[np.int64]) -> float:
    """The probability that a pair within a class is nearer than a pair across classes, ties counted half.

    Parameters
    ----------
    within, across : int64 (distances,), pairs of each distance; neither all 0.

    Returns
    -------
    0…1; 1 for perfectly separated classes, 0.5 for chance. It is the area under the ROC curve.
    """
    shares = within / within.sum()
    farther = (across.sum() - np.cumsum(across) + across / 2) / across.sum()
    return float((shares * farther).sum())


def independent_bits(across: NDArray[np.int64]) -> float | None:
    """Degrees of freedom of the distances across classes: the number of independent coin tosses with their variance.

    With p the mean distance and s its standard deviation, both as shares of the code's bits: p · (1 - p) / s².
    Correlated bits make it small; bits of different densities can make it exceed their number. None where all
    distances are equal.

    Source: Daugman, "The importance of being random: statistical principles of iris recognition", Pattern
    Recognition 36 (2003).
    """
    bits = len(across) - 1
    mean, variance = mean_and_variance(across)
    p = mean / bits
    return p * (1 - p) * bits**2 / variance if variance > 0 else None


def binned(histogram: NDArray[np.int64], width: int) -> list[int]:
    """A histogram of distances 0…bits in bins of `width` distances; the largest distance falls in the last bin."""
    last = max(-(-(len(histogram) - 1) // width), 1) - 1
    bins = np.zeros(last + 1, np.int64)
    np.add.at(bins, np.minimum(np.arange(len(histogram)) // width, last), histogram)
    return bins.tolist()
