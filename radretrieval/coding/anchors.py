"""Anchors: a few thousand codes that stand for the whole set, so that a search looks at the codes near some of them.

A code is stored with one anchor a and its true distance d to it. By the triangle inequality no code whose d differs
from the query's distance to a by more than t lies within t of the query: a search need not look at it. That holds for
any anchor and any choice of a code's anchor; near ones only leave less to look at.

Source: Jagadish, Ooi, Tan, Yu and Zhang, "iDistance: an adaptive B+-tree based indexing method for nearest neighbor
search", ACM TODS 30 (2005), carried to Hamming space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.hamming import distances

_NEAR = 4  # groups of anchors that are looked through for a code's anchor; more changed nothing measurable
_BLOCK = 8192  # codes that are assigned at a time


@dataclass(frozen=True)
class Anchors:
    """Anchors, with what makes the assignment fast: groups of them, so that a code is compared with few.

    Attributes
    ----------
    codes : uint8 (k, bytes).
    centres : uint8 (g, bytes), the middle of each group.
    nearby : g arrays, the places of the anchors that codes nearest to this centre are compared with.
    """

    codes: NDArray[np.uint8]
    centres: NDArray[np.uint8]
    nearby: list[NDArray[np.intp]]

    @classmethod
    def of(cls, codes: NDArray[np.uint8]) -> Anchors:
        """Anchors with these codes, uint8 (k, bytes), k at least 1; equal codes give equal assignments."""
        count = max(1, round(len(codes) ** 0.5))
        centres = codes[np.linspace(0, len(codes) - 1, count).astype(np.intp)]
        for _ in range(3):
            member = distances(centres, codes).argmin(0)
            centres = _majority(codes, member, centres)
        member = distances(centres, codes).argmin(0)
        near = np.argsort(distances(centres, centres), axis=1, kind="stable")[:, :_NEAR]
        return cls(codes, centres, [np.flatnonzero(np.isin(member, groups)) for groups in near])

    def assign(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The anchor of each code, and its distance to it.

        Parameters
        ----------
        codes : uint8 (n, bytes).

        Returns
        -------
        Places in `self.codes`, int32 (n,), and Hamming distances, int32 (n,): those of a near anchor, mostly the
        nearest.
        """
        anchor = np.empty(len(codes), np.int32)
        distance = np.empty(len(codes), np.int32)
        for start in range(0, len(codes), _BLOCK):
            part = slice(start, start + _BLOCK)
            anchor[part], distance[part] = self._assigned(codes[part])
        return anchor, distance

    def _assigned(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        anchor = np.empty(len(codes), np.int32)
        distance = np.empty(len(codes), np.int32)
        group = distances(self.centres, codes).argmin(0)
        order = np.argsort(group, kind="stable")
        borders = np.flatnonzero(np.diff(group[order])) + 1
        for rows in np.split(order, borders):
            near = self.nearby[group[rows[0]]]
            if len(near) == 0:
                near = np.arange(len(self.codes))
            table = distances(self.codes[near], codes[rows])
            best = table.argmin(0)
            anchor[rows], distance[rows] = near[best], table[best, np.arange(len(rows))]
        return anchor, distance


def choose(sample: NDArray[np.uint8], count: int, rounds: int = 3, seed: int = 0) -> Anchors:
    """Anchors for codes like these: k-majority (k-means in Hamming space) from random members of the sample.

    Parameters
    ----------
    sample : uint8 (n, bytes), n at least 1; some dozens a wanted anchor are enough.
    count : how many anchors; where there are fewer distinct codes, those.
    """
    distinct = np.unique(sample, axis=0)
    picked = np.random.default_rng(seed).permutation(len(distinct))[:count]
    anchors = Anchors.of(distinct[np.sort(picked)])
    for _ in range(rounds if count < len(distinct) else 0):
        member, _ = anchors.assign(sample)
        anchors = Anchors.of(np.unique(_majority(sample, member, anchors.codes), axis=0))
    return anchors


def _majority(codes: NDArray[np.uint8], member: NDArray[np.integer], before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bitwise majority of the codes of each member number; a number that no code has keeps its code."""
    width = codes.shape[1]
    order = np.argsort(member, kind="stable")
    numbers, starts = np.unique(member[order], return_index=True)
    result = before.copy()
    ends = np.append(starts[1:], len(codes))
    for number, start, end in zip(numbers, starts, ends, strict=True):
        ones = np.zeros(width * 8, np.int64)
        for block in range(start, end, _BLOCK):
            ones += np.unpackbits(codes[order[block : min(block + _BLOCK, end)]], axis=1).sum(0, dtype=np.int64)
        result[number] = np.packbits(2 * ones > end - start)
    return result
