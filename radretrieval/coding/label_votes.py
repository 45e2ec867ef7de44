"""What the nearest codes say of a label: a vote weighted by distance, and how far it goes against the image's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.hamming import nearest

NONE = -1  # the number of a value that an image does not have
VOTERS = 10  # the nearest images that have a value
LOOKED_AT = 50  # the nearest images among which voters are looked for
_PRIOR = 0.02  # weight of a value that no voter has: of ten voters against none, the odds are 50 to 1


@dataclass(frozen=True)
class Neighbours:
    """The nearest images of m images, nearest first; where there are fewer than `LOOKED_AT`, all of them.

    Attributes
    ----------
    places : int64 (m, k), of the images. distances : int32 (m, k), Hamming distances.
    others : bool (m, k), whether it is another image, and not known to be of the same patient.
    """

    places: NDArray[np.int64]
    distances: NDArray[np.int32]
    others: NDArray[np.bool_]


@dataclass(frozen=True)
class Vote:
    """The vote on one label of m images.

    Attributes
    ----------
    suspicion : float64 (m,), the log-odds of the proposed value against the image's own: above 0 the neighbours are
        against it. -inf for an image that has no value, or no voter.
    proposed : int32 (m,), the value, other than its own, of the largest weight; `NONE` where all voters have its own.
    voters : bool (m, k), which neighbours voted.
    """

    suspicion: NDArray[np.float64]
    proposed: NDArray[np.int32]
    voters: NDArray[np.bool_]


def neighbours(cnnc: NDArray[np.uint8], patients: NDArray[np.int32], places: NDArray[np.int64]) -> Neighbours:
    """The images whose codes are nearest to those at some places, by distance, then by place.

    Parameters
    ----------
    cnnc : uint8 (n, bytes), packed codes. patients : int32 (n,), equal for one patient; `NONE` where not known.
    places : int64 (m,), the images whose neighbours are wanted.
    """
    found, distances = nearest(cnnc[places], cnnc, LOOKED_AT + 1)
    theirs, own = patients[found], patients[places][:, None]
    others = (found != places[:, None]) & ((theirs != own) | (own == NONE))
    return Neighbours(found, distances, others)


def vote(values: NDArray[np.int32], places: NDArray[np.int64], near: Neighbours) -> Vote:
    """The vote of the neighbours of some images on one label.

    A voter d bits away has the weight exp(-d/s), where s is the mean distance of the voters (at least one bit).

    Parameters
    ----------
    values : int32 (n,), the label of each image, `NONE` where it has none.
    places : int64 (m,), the images that are judged. near : their neighbours.
    """
    own, theirs = values[places], values[near.places]
    able = near.others & (theirs != NONE)
    voters = able & (np.cumsum(able, axis=1) <= VOTERS)
    counts = voters.sum(axis=1)
    scale = np.maximum((near.distances * voters).sum(axis=1) / np.maximum(counts, 1), 1)
    weights = np.where(voters, np.exp(-near.distances / scale[:, None]), 0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    for_own = (weights * (theirs == own[:, None])).sum(axis=1)
    # of each voter, the weight of all voters with its value
    support = np.where(theirs[:, :, None] == theirs[:, None, :], weights[:, None, :], 0).sum(axis=2)
    support[~voters | (theirs == own[:, None])] = 0
    best = support.argmax(axis=1)
    rows = np.arange(len(places))
    against = support[rows, best]
    suspicion = np.log((against + _PRIOR) / (for_own + _PRIOR))
    judged = (own != NONE) & (counts > 0)
    return Vote(
        suspicion=np.where(judged, suspicion, -np.inf),
        proposed=np.where(judged & (against > 0), theirs[rows, best], NONE).astype(np.int32),
        voters=voters,
    )
