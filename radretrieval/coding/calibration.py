"""How likely a hit is right, and whether the archive has nothing similar: fitted on films that training held out.

Three numbers describe a hit: agreement (the share of the first ten hits that carry its code, or its value of an axis),
its CNNC distance and its RBC distance, as shares of the bits. A logistic regression makes a score of them, and isotonic
regression a probability of the score: one curve for the IRMA code, one for each axis. A mean distance of the three
nearest codes beyond that of the films held out says that the archive has nothing similar.
Evaluation takes additions, multiplications, divisions and one interpolation, in one order, so that
archive/sql/functions/calibrated.sql gives the same numbers to the last bit.

Source: Zadrozny and Elkan 2002 (isotonic regression on scores).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.irma.code import AXES

AGREEING = 10  # agreement is that of the first ten hits, however many are asked for
NEAREST = 3  # candidates whose mean distance is that of an answer
FEWEST = 30  # films held out; fewer tell too little
PARTS = ("code", *AXES)
_SLICES = {"code": slice(0, 16), "T": slice(0, 4), "D": slice(5, 8), "A": slice(9, 12), "B": slice(13, 16)}
_KNOTS = 20  # of a curve, and of the shares of distances
_RIDGE = 1.0  # of the regression, on standardised features
_PRIOR = 2.0  # films: so much the logistic regression counts at each knot beside what was seen there
_FAR = 0.015  # of the films held out, at most so many are said to have nothing similar

Reals = NDArray[np.float64]


class Ranked(NamedTuple):
    """A query's hits, best first.

    `codes` are their IRMA codes, `cnnc` and `rbc` their distances as shares of the bits; `distance` is that of the
    candidates, see `mean_distance`.
    """

    codes: Sequence[str | None]
    cnnc: Sequence[float]
    rbc: Sequence[float]
    distance: float


class Likelihood(NamedTuple):
    """The probabilities, 0 … 1, that a hit's IRMA code, and its value of each axis, is the query's."""

    code: float
    T: float
    D: float
    A: float
    B: float

    def axes(self) -> dict[str, float]:
        """The probabilities of the axes, by their letters."""
        return {axis: getattr(self, axis) for axis in AXES}


@dataclass(frozen=True)
class Curve:
    """A share, 0 … 1, that rises with a weighted sum.

    Attributes
    ----------
    weights : the constant, then one for each feature.
    scores : knots, ascending. values : the share at each; linear between, constant outside, the later of equal knots.
    """

    weights: tuple[float, ...]
    scores: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, features: Sequence[float]) -> float:
        """The value at these features."""
        score = self.weights[0]
        for weight, feature in zip(self.weights[1:], features, strict=True):
            score += weight * feature
        right = bisect_right(self.scores, score)
        if right in (0, len(self.scores)):
            return self.values[max(right - 1, 0)]
        (x0, x1), (y0, y1) = self.scores[right - 1 : right + 1], self.values[right - 1 : right + 1]
        return y0 + (score - x0) / (x1 - x0) * (y1 - y0)

    @classmethod
    def from_json(cls, document: dict[str, Any], features: int) -> Curve:
        """The curve of these members, of so many features; raises KeyError, TypeError or ValueError for no such."""
        weights, scores, values = (tuple(map(_real, document[name])) for name in ("weights", "scores", "values"))
        if len(weights) != features + 1:
            raise ValueError(f"a curve of the calibration has {len(weights)} weights, not {features + 1}")
        if not scores or len(scores) != len(values):
            raise ValueError(f"a curve of the calibration has {len(scores)} scores and {len(values)} values")
        if list(scores) != sorted(scores):
            raise ValueError("the scores of a curve of the calibration do not ascend")
        if not all(0 <= value <= 1 for value in values):
            raise ValueError("a curve of the calibration has values outside 0 … 1")
        return cls(weights, scores, values)


def _real(value: Any) -> float:
    """A number whose products and quotients with others neither overflow nor underflow, in SQL an error."""
    if type(value) not in (int, float) or not (value == 0 or 1e-100 <= abs(value) <= 1e15):
        raise ValueError(f"the calibration has {value!r:.40} for a number")
    return float(value)


@dataclass(frozen=True)
class Calibration:
    """What the films held out at training say about answers.

    Attributes
    ----------
    films : how many there were.
    curves : one for each of `PARTS`.
    far : beyond this distance (see `mean_distance`) the archive has nothing similar.
    farther : the share of the films whose distance is smaller, as a curve of the distance.
    """

    films: int
    curves: dict[str, Curve]
    far: float
    farther: Curve

    def likelihoods(self, ranked: Ranked) -> list[Likelihood | None]:
        """The likelihood of each hit; None for a hit without an IRMA code, and where there is nothing similar.

        The films held out were all of classes that were learnt: of a query unlike all of them the curves say nothing.
        """
        if self.nothing_similar(ranked.distance):
            return [None] * len(ranked.codes)
        agreements = [agreement(ranked.codes, part) for part in PARTS]
        found: list[Likelihood | None] = []
        for code, *shares, cnnc, rbc in zip(ranked.codes, *agreements, ranked.cnnc, ranked.rbc, strict=True):
            parts = [self.curves[part]((share, cnnc, rbc)) for part, share in zip(PARTS, shares, strict=True)]
            # whose code is the query's, each of its axes is
            found.append(None if code is None else Likelihood(*(max(parts[0], part) for part in parts)))
        return found

    def nothing_similar(self, distance: float) -> bool:
        """Whether an answer whose candidates are this far has nothing similar."""
        return distance > self.far

    def farther_than(self, distance: float) -> float:
        """The share of the held-out films whose candidates were nearer, below 1."""
        return self.farther((distance,))

    def as_json(self) -> dict[str, Any]:
        """The calibration as plain JSON values, as `encoder.calibration` holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Calibration:
        """The calibration that `as_json` wrote; raises KeyError, TypeError or ValueError for anything else."""
        curves = {part: Curve.from_json(document["curves"][part], 3) for part in PARTS}
        farther = Curve.from_json(document["farther"], 1)
        films, far = document["films"], _real(document["far"])
        if type(films) is not int or not 1 <= films < 2**31:
            raise ValueError(f"the calibration has {films!r:.40} films")
        if not 0 <= far <= 1:
            raise ValueError(f"the calibration has the largest distance {far}, which is not within 0 … 1")
        return cls(films, curves, far, farther)


def mean_distance(cnnc: Sequence[int], bits: int) -> float:
    """The mean CNNC distance of a query's three nearest candidates (of all, where there are fewer); 1 for none."""
    nearest = sorted(cnnc)[:NEAREST]
    return sum(nearest) / (len(nearest) * bits) if nearest else 1.0


def agreement(codes: Sequence[str | None], part: str) -> list[float]:
    """For each hit, the share of the first ten hits whose value of this part is its own.

    Hits without a code do not count, and have 0.
    """
    values = [None if code is None else code[_SLICES[part]] for code in codes]
    counts = Counter(value for value in values[:AGREEING] if value is not None)
    total = counts.total()
    return [counts[value] / total if value is not None and total else 0.0 for value in values]


def fit(answers: Sequence[Ranked], codes: Sequence[str]) -> Calibration | None:
    """Fit on the answers to films that were held out; each film counts once, however many hits it has.

    Parameters
    ----------
    answers : of each film, among the films that were learnt. codes : the IRMA code of each.

    Returns
    -------
    None for fewer than `FEWEST` films.
    """
    asked = [(answer, code) for answer, code in zip(answers, codes, strict=True) if answer.codes]
    if len(asked) < FEWEST:
        return None
    weights = np.array([1 / len(answer.codes) for answer, _ in asked for _ in answer.codes])
    distances = np.sort([answer.distance for answer, _ in asked])
    return Calibration(
        films=len(asked),
        curves={part: fit_curve(*_examples(asked, part), weights) for part in PARTS},
        far=float(distances[-1 - int(_FAR * len(asked))]),
        farther=_shares_below(distances),
    )


def _shares_below(distances: Reals) -> Curve:
    """The share of sorted distances that are below one; it stays below 1, for a farther film may come."""
    shares = np.linspace(0, 1, _KNOTS)
    knots = np.quantile(distances, shares).tolist()
    return Curve((0.0, 1.0), tuple(knots), tuple((shares * len(distances) / (len(distances) + 1)).tolist()))


def _examples(asked: Sequence[tuple[Ranked, str]], part: str) -> tuple[Reals, Reals]:
    """The features of every hit, (n, 3), and whether it is right, (n,)."""
    features, right = [], []
    for answer, code in asked:
        rows = zip(agreement(answer.codes, part), answer.cnnc, answer.rbc, strict=True)
        features += list(rows)
        right += [own is not None and own[_SLICES[part]] == code[_SLICES[part]] for own in answer.codes]
    return np.array(features, float), np.array(right, float)


def fit_curve(features: Reals, right: Reals, weights: Reals) -> Curve:
    """Logistic regression of `right` (n,) on `features` (n, f), then isotonic regression on its score.

    At each knot the share of the nearest scores that are right is averaged with the logistic probability, which counts
    as two films: few films change little. No value is nearer to 0 or 1 than half a film in all of them.
    """
    of = regression(features, right, weights)
    score = of[0] + features @ of[1:]
    knots = _knots(score, right, weights)
    nearest = np.abs(score[:, None] - knots).argmin(1)
    seen: Reals = np.bincount(nearest, weights, len(knots)) + np.float64(_PRIOR)
    values = (np.bincount(nearest, weights * right, len(knots)) + _PRIOR * logistic(knots)) / seen
    least = 0.5 / (weights.sum() + 1)
    return Curve(tuple(of.tolist()), tuple(knots.tolist()), isotonic(np.clip(values, least, 1 - least), seen))


def _knots(score: Reals, right: Reals, weights: Reals) -> Reals:
    """At most 20 quantiles of the scores, ascending, where hits that are right count as much as those that are not.

    Nearly all are right: by their number alone no knot would lie where the curve rises.
    """
    if np.ptp(score) < 1e-9:
        return score[:1]
    totals = np.bincount(right.astype(int), weights, 2)
    order = np.argsort(score, kind="stable")
    below = np.cumsum((weights / totals[right.astype(int)])[order])
    return np.unique(np.interp(np.linspace(0, below[-1], _KNOTS), below, score[order]))


def logistic(score: Reals) -> Reals:
    """1 / (1 + exp(−score)), at most 0.9995 and at least 0.0005, which hundreds of films cannot exceed."""
    return np.clip(1 / (1 + np.exp(-np.clip(score, -30, 30))), 0.0005, 0.9995)


def regression(features: Reals, right: Reals, weights: Reals) -> Reals:
    """Logistic regression by Newton's method with an L2 penalty: the constant and the weights, (f + 1,)."""
    middle = weights @ features / weights.sum()
    spread = np.sqrt(weights @ (features - middle) ** 2 / weights.sum())
    spread[spread < 1e-9] = 1.0
    x = np.column_stack([np.ones(len(features)), (features - middle) / spread])
    penalty = np.full(x.shape[1], _RIDGE)
    penalty[0] = 0.1  # where all are right, the constant stays finite
    found = np.zeros(x.shape[1])
    for _ in range(100):
        p = logistic(x @ found)
        slope = x.T @ (weights * (right - p)) - penalty * found
        curvature = (x * (weights * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        found = found + step * min(1.0, 2 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    own = found[1:] / spread
    return np.concatenate([[found[0] - own @ middle], own])


def isotonic(values: Reals, weights: Reals) -> tuple[float, ...]:
    """The rising values nearest to `values` by weighted squares: neighbours that fall are pooled."""
    pooled: list[tuple[float, float, int]] = []  # weight, weighted sum, how many values
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pooled.append((weight, weight * value, 1))
        while len(pooled) > 1 and pooled[-2][1] * pooled[-1][0] >= pooled[-1][1] * pooled[-2][0]:
            later, before = pooled.pop(), pooled.pop()
            pooled.append((before[0] + later[0], before[1] + later[1], before[2] + later[2]))
    return tuple(total / weight for weight, total, count in pooled for _ in range(count))
