"""What the nearest images say of a label: votes weighted by distance, and how far they go against the image's own.

Images are near by code and by barcode, in a vote of each. A code is made by a network that has learnt the labels, wrong
ones too, by heart where it was trained for long; a barcode knows no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.hamming import nearest

NONE = -1  # the number of a value that an image does not have
VOTERS = 10  # of each vote: the nearest images that have a value
LOOKED_AT = 50  # the nearest images among which voters are looked for
_PRIOR = 0.02  # weight of a value that no voter has: of ten voters against none, the odds are 51 to 1


@dataclass(frozen=True)
class Neighbours:
    """The nearest images of m images, nearest first; where there are fewer than `LOOKED_AT`, all of them.

    Attributes
    ----------
    places : int64 (m, k), of the images. distances : int32 (m, k), Hamming distances.
    able : bool (m, k), whether it may vote: another image, not known to be of the same patient, with a code.
    """

    places: NDArray[np.int64]
    distances: NDArray[np.int32]
    able: NDArray[np.bool_]


@dataclass(frozen=True)
class Vote:
    """The votes on one label of m images.

    Attributes
    ----------
    suspicion : float64 (m,), the log-odds of the proposed value against the image's own, summed over the votes: above
        0 the neighbours are against it. -inf for an image that has no value, or no voter.
    proposed : int32 (m,), the value, other than its own, with the best odds; `NONE` where all voters have its own.
    voters : of each vote bool (m, k), which neighbours voted.
    """

    suspicion: NDArray[np.float64]
    proposed: NDArray[np.int32]
    voters: list[NDArray[np.bool_]]


def neighbours(
    codes: NDArray[np.uint8], patients: NDArray[np.int32], places: NDArray[np.int64], coded: NDArray[np.bool_]
) -> Neighbours:
    """The images whose codes are nearest to those at some places, by distance, then by place.

    Parameters
    ----------
    codes : uint8 (n, bytes), packed. patients : int32 (n,), equal for one patient; `NONE` where not known.
    places : int64 (m,), the images whose neighbours are wanted.
    coded : bool (n,), whether an image has a code.
    """
    found, distances = nearest(codes[places], codes, LOOKED_AT + 1)
    theirs, own = patients[found], patients[places][:, None]
    others = (found != places[:, None]) & ((theirs != own) | (own == NONE))
    return Neighbours(found, distances, others & coded[found] & coded[places][:, None])


def vote(values: NDArray[np.int32], places: NDArray[np.int64], near: Sequence[Neighbours]) -> Vote:
    """The votes of the neighbours of some images on one label.

    A voter d bits away has the weight exp(-d/s), where s is the mean distance of the voters (at least one bit); the
    weights of a vote sum to 1.

    Parameters
    ----------
    values : int32 (n,), the label of each image, `NONE` where it has none.
    places : int64 (m,), the images that are judged. near : their neighbours, of each vote.
    """
    own = values[places]
    ballots = [_weighted(values, one) for one in near]
    theirs = np.concatenate([values[one.places] for one in near], axis=1)
    proposable = np.concatenate([voters for voters, _ in ballots], axis=1) & (theirs != own[:, None])
    odds = np.zeros(theirs.shape)  # of each voter's value against the own one
    for one, (_, weights) in zip(near, ballots, strict=True):
        said = values[one.places]
        support = np.where(theirs[:, :, None] == said[:, None, :], weights[:, None, :], 0).sum(axis=2)
        support[~proposable] = 0
        for_own = (weights * (said == own[:, None])).sum(axis=1, keepdims=True)
        odds += np.log((support + _PRIOR) / (for_own + _PRIOR))
    best = np.where(proposable, odds, -np.inf).argmax(axis=1)
    rows = np.arange(len(places))
    judged = (own != NONE) & np.any([voters.any(axis=1) for voters, _ in ballots], axis=0)
    against = judged & proposable[rows, best]
    return Vote(
        # rounded, so that equal ballots are equal on any machine
        suspicion=np.where(judged, np.round(odds[rows, best], 9), -np.inf),
        proposed=np.where(against, theirs[rows, best], NONE).astype(np.int32),
        voters=[voters for voters, _ in ballots],
    )


def shared(values: NDArray[np.int32], patients: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether an image of another patient, as far as is known, has an image's value, bool (n,); False without a value.

    Where none has, no voter can be for the value, right or wrong.
    """
    owner = np.where(patients == NONE, -1 - np.arange(len(patients)), patients)  # not known: a patient of its own
    _, pair, of_patient = np.unique(values.astype(np.int64) * 2**33 + owner, return_inverse=True, return_counts=True)
    _, value, of_all = np.unique(values, return_inverse=True, return_counts=True)
    several: NDArray[np.bool_] = (values != NONE) & (of_all[value] > of_patient[pair])
    return several


def _weighted(values: NDArray[np.int32], near: Neighbours) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which neighbours vote, and their weights: bool and float64 (m, k)."""
    able = near.able & (values[near.places] != NONE)
    voters = able & (np.cumsum(able, axis=1) <= VOTERS)
    scale = np.maximum((near.distances * voters).sum(axis=1) / np.maximum(voters.sum(axis=1), 1), 1)
    weights = np.where(voters, np.exp(-near.distances / scale[:, None]), 0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    return voters, weights
