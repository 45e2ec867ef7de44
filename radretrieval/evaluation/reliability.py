"""Whether probabilities hold: of the hits that are given 90 %, are 90 in a hundred right?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.calibration import Ranked, mean_distance
from radretrieval.coding.radon import bins
from radretrieval.evaluation.encoder_runs import EncoderRun
from radretrieval.evaluation.rankings import Ranking

BINS = 10


class Bin(NamedTuple):
    """The hits whose probability lies in one tenth of 0 … 1: how many, their mean, and the share that is right."""

    hits: int
    probability: float
    right: float


@dataclass(frozen=True)
class Reliability:
    """The probabilities of the hits against what they are.

    Attributes
    ----------
    bins : of the probabilities of all hits, from 0 on; empty ones are left out.
    calibration_error : the mean distance of probability and share over the hits, bin by bin (expected
        calibration error).
    first_hit_error : the same of the first hits alone.
    nothing_similar : the share of the queries with nothing similar, whose hits have no probability.
    """

    bins: list[Bin]
    calibration_error: float
    first_hit_error: float
    nothing_similar: float

    def document(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        return {**vars(self), "bins": [one._asdict() for one in self.bins]}


def reliability(run: EncoderRun, ranking: Ranking, nearest: Ranking) -> Reliability | None:
    """The reliability of an encoder's probabilities; None for one without calibration.

    Parameters
    ----------
    ranking : `cnnc+rbc`. nearest : `cnnc`, of the same queries.
    """
    calibration = run.encoder.calibration
    if calibration is None:
        return None
    profile, labels = run.encoder.profile, run.searched.labels
    cnnc_bits, rbc_bits = profile.network.code_bits, profile.barcode.angles * bins(profile.barcode.size)
    probabilities, right, first, nothing = [], [], [], 0
    for query, code in enumerate(run.queries.labels):
        there = ranking.places[query] >= 0
        codes = [labels[place] for place in ranking.places[query][there].tolist()]
        cnnc = (ranking.cnnc[query][there] / cnnc_bits).tolist()
        rbc = (ranking.rbc[query][there] / rbc_bits).tolist()
        near = nearest.cnnc[query][nearest.places[query] >= 0].tolist()
        answer = Ranked(codes, cnnc, rbc, mean_distance(near, cnnc_bits))
        nothing += calibration.nothing_similar(answer.distance)
        for place, (own, likely) in enumerate(zip(codes, calibration.likelihoods(answer), strict=True)):
            if likely is not None:
                probabilities.append(likely.code)
                right.append(own == code)
                first.append(place == 0)
    p, truth, leading = np.array(probabilities), np.array(right, float), np.array(first, bool)
    found = in_bins(p, truth)
    errors = calibration_error(found), calibration_error(in_bins(p[leading], truth[leading]))
    return Reliability(found, *errors, nothing / max(len(run.queries.labels), 1))


def in_bins(probabilities: NDArray[np.float64], right: NDArray[np.float64]) -> list[Bin]:
    """Equal tenths of 0 … 1 that have a probability in them."""
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1) if len(probabilities) else np.empty(0, int)
    return [
        Bin(int(own.sum()), float(probabilities[own].mean()), float(right[own].mean()))
        for own in (place == number for number in range(BINS))
        if own.any()
    ]


def calibration_error(found: Sequence[Bin]) -> float:
    """The expected calibration error, 0 … 1; 0 without hits."""
    total = sum(one.hits for one in found)
    return sum(one.hits * abs(one.probability - one.right) for one in found) / max(total, 1)
