"""Anchors of the exact index: a few thousand codes by which a search excludes most others without comparing them.

A code is stored with one anchor a and its true distance d to it. By the triangle inequality no code whose d differs
from the query's distance to a by more than t lies within t of the query. That holds for any anchors and any assignment
of codes to them; near anchors exclude more.

Source: Jagadish, Ooi, Tan, Yu and Zhang, "iDistance: an adaptive B+-tree based indexing method for nearest neighbor
search", ACM TODS 30 (2005), carried to Hamming space.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.hamming import distances

SEARCHED = 4.0  # groups of an index, as a multiple of the root of its anchors, before large ones are divided
_LARGE, _PART = 64, 32  # anchors of a group that is divided, and of its parts on average
_ROUNDS = 3  # of the centres of such parts
_BLOCK = 8192  # codes that are assigned at a time
_GROUPS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)  # of anchors to which codes are assigned, likewise: the cheapest of these
_TRIED = 256  # anchors that stand for codes, to tell which is


@dataclass(frozen=True)
class Anchors:
    """Anchors in groups, most of which the assignment of a code excludes without comparing it.

    Attributes
    ----------
    codes : uint8 (k, bytes).
    centres : uint8 (g, bytes), the centre of each group.
    groups : g arrays, the positions of the anchors of each group.
    radii : int32 (g,), the largest distance of a group's anchors from its centre.
    """

    codes: NDArray[np.uint8]
    centres: NDArray[np.uint8]
    groups: list[NDArray[np.intp]]
    radii: NDArray[np.int32]

    @classmethod
    def of(cls, codes: NDArray[np.uint8], groups: float | None = None) -> Anchors:
        """Anchors with these codes, uint8 (k, bytes), k at least 1, in so many times the root of k groups.

        None: as many as make assignment fast, which compares many codes at a time; a search of one code gains by more.
        """
        most = _spread(codes, min(len(codes), round((groups or _GROUPS[-1]) * len(codes) ** 0.5)))
        centres = codes[most if groups else most[: _cheapest(codes, most)]]
        table = distances(centres, codes)
        member = table.argmin(0)
        kept = np.unique(member)
        members = [np.flatnonzero(member == number) for number in kept]
        radii = np.array([table[number, group].max() for number, group in zip(kept, members, strict=True)], np.int32)
        return cls(codes, centres[kept], members, radii)

    def searched(self) -> Anchors:
        """The same anchors in groups for searches, those of each group behind one another.

        Centres far from one another leave most anchors in a few groups, where most codes are: these are divided into
        groups of similar sizes.
        """
        codes, centres = [], []
        for group, centre in zip(self.groups, self.centres, strict=True):
            members, middles, parts = self.codes[group], centre[None], [np.arange(len(group))]
            if len(group) > _LARGE:
                middles, parts = _divided(members, len(group) // _PART)
            codes += [members[part] for part in parts]
            centres.append(middles)
        ends = np.cumsum([0, *map(len, codes)])
        radii = [distances(c, part).max() for c, part in zip(np.concatenate(centres), codes, strict=True)]
        groups = [np.arange(start, end) for start, end in pairwise(ends)]
        return Anchors(np.concatenate(codes), np.concatenate(centres), groups, np.array(radii, np.int32))

    def assign(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The nearest anchor of each code, of equally near ones the first, and its distance.

        Parameters
        ----------
        codes : uint8 (n, bytes).

        Returns
        -------
        Places in `self.codes`, int32 (n,), and Hamming distances, int32 (n,).
        """
        anchor = np.empty(len(codes), np.int32)
        distance = np.empty(len(codes), np.int32)
        for start in range(0, len(codes), _BLOCK):
            part = slice(start, start + _BLOCK)
            anchor[part], distance[part] = self._assigned(codes[part])
        return anchor, distance

    def _assigned(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        anchor, distance = np.zeros(len(codes), np.int32), np.full(len(codes), 8 * codes.shape[1] + 1, np.int32)
        # a lower bound of the distance to the anchors of each group
        least = distances(self.centres, codes) - self.radii[:, None]
        nearest = least.argmin(0)
        order = np.argsort(nearest, kind="stable")
        ends = np.searchsorted(nearest[order], np.arange(len(self.groups)), side="right")
        for group, rows in zip(self.groups, np.split(order, ends[:-1]), strict=True):
            self._compared(codes, rows, group, anchor, distance)
        for number, group in enumerate(self.groups):
            rows = np.flatnonzero(least[number] <= distance)
            self._compared(codes, rows[nearest[rows] != number], group, anchor, distance)
        return anchor, distance

    def _compared(
        self,
        codes: NDArray[np.uint8],
        rows: NDArray[np.intp],
        group: NDArray[np.intp],
        anchor: NDArray[np.int32],
        distance: NDArray[np.int32],
    ) -> None:
        """Take the anchors of a group where they are nearer, or equally near and before."""
        if not len(rows):
            return
        table = distances(self.codes[group], codes[rows])
        found, far = group[table.argmin(0)].astype(np.int32), table.min(0)
        better = (far < distance[rows]) | ((far == distance[rows]) & (found < anchor[rows]))
        anchor[rows[better]], distance[rows[better]] = found[better], far[better]


def choose(sample: NDArray[np.uint8], count: int, rounds: int = 2, seed: int = 0) -> Anchors:
    """Choose anchors by k-majority (k-means in Hamming space) from random members of a sample; group by group.

    Parameters
    ----------
    sample : uint8 (n, bytes), n at least 1; a dozen for each anchor is enough.
    count : how many anchors; fewer where there are fewer distinct codes.
    """
    distinct = np.unique(sample, axis=0)
    picked = np.random.default_rng(seed).permutation(len(distinct))[:count]
    anchors = Anchors.of(distinct[np.sort(picked)])
    for _ in range(rounds if count < len(distinct) else 0):
        member, _ = anchors.assign(sample)
        anchors = Anchors.of(np.unique(_majority(sample, member, anchors.codes), axis=0))
    return Anchors.of(anchors.codes, SEARCHED).searched()


def _spread(codes: NDArray[np.uint8], count: int) -> list[int]:
    """Positions of codes far from one another: the first, then repeatedly the one farthest from those picked."""
    picked = [0]
    apart = distances(codes[0], codes)
    while len(picked) < count:
        picked.append(int(apart.argmax()))
        apart = np.minimum(apart, distances(codes[picked[-1]], codes))
    return picked


def _cheapest(codes: NDArray[np.uint8], picked: list[int]) -> int:
    """How many of these, as centres, leave the fewest comparisons to codes that lie as anchors do.

    With fewer centres than there are clusters far apart, a group that reaches from one to another excludes none.
    """
    tried = np.arange(0, len(codes), max(1, len(codes) // _TRIED))
    table = distances(codes[picked], codes)
    near = np.partition(distances(codes[tried], codes), min(1, len(codes) - 1), axis=1)[:, min(1, len(codes) - 1)]

    def compared(count: int) -> float:
        member = table[:count].argmin(0)
        sizes, reach = np.bincount(member, minlength=count), np.zeros(count, np.int32)
        np.maximum.at(reach, member, table[:count].min(0))
        return count + float(sizes @ (table[:count, tried] - reach[:, None] <= near).mean(1))

    return min(sorted({min(len(picked), round(part * len(codes) ** 0.5)) or 1 for part in _GROUPS}), key=compared)


def _divided(codes: NDArray[np.uint8], count: int) -> tuple[NDArray[np.uint8], list[NDArray[np.intp]]]:
    """Centres and positions of so many groups of similar sizes, or fewer: k-majority from random members."""
    centres = codes[np.sort(np.random.default_rng(0).permutation(len(codes))[:count])]
    for _ in range(_ROUNDS):
        centres = _majority(codes, distances(codes, centres).argmin(1), centres)
    member = distances(codes, centres).argmin(1)
    kept = np.unique(member)
    return centres[kept], [np.flatnonzero(member == number) for number in kept]


def _majority(codes: NDArray[np.uint8], member: NDArray[np.integer], before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bitwise majority of the codes of each member number; a number without codes keeps its code."""
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
