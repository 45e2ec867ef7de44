"""Scores of the answers to all queries: error, accuracy, intervals, class sizes, baselines, and comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import UsageError
from radretrieval.irma.code import AXES, axes
from radretrieval.irma.error import axis_errors, paper_axis_errors

BOOTSTRAPS = 2000
PERMUTATIONS = 10_000
SIZES = ((0, 0), (1, 4), (5, 9), (10, 19), (20, 49), (50, 99), (100, 199), (200, None))
NOTHING = "****-***-***-***"  # the answer without any information


def _imageclef(true: str, predicted: str) -> tuple[float, ...]:
    return tuple(error / len(AXES) for error in axis_errors(true, predicted))


# What each axis adds to the error of one image. `imageclef`: 0…1/4 each, hierarchical. `paper`: Eq. 1, literally.
RULES: Mapping[str, Callable[[str, str], tuple[float, ...]]] = {"imageclef": _imageclef, "paper": paper_axis_errors}


@dataclass(frozen=True)
class Score:
    """The scores of one answer to every query.

    Attributes
    ----------
    error_score : sum of the errors (ImageCLEF's figure). error_per_image : their mean.
    first_hit_accuracy : share of queries whose answer is exactly their code.
    axes : mean error of each axis T, D, A, B; 0…1 by ImageCLEF's rule, where their mean is `error_per_image`.
    ci95 : 95 % bootstrap interval of `error_score` over the queries.
    """

    error_score: float
    error_per_image: float
    first_hit_accuracy: float
    axes: dict[str, float]
    ci95: tuple[float, float]


@dataclass(frozen=True)
class SizeScore:
    """The scores of the queries whose classes have `least` … `most` searched images (None: any number from there).

    Shares are None where there is no such query.
    """

    least: int
    most: int | None
    classes: int
    queries: int
    error_score: float
    error_per_image: float | None
    first_hit_accuracy: float | None


@dataclass(frozen=True)
class Baseline:
    """The score of a constant answer, which is chosen by the labels alone."""

    name: str
    irma_code: str
    error_score: float
    first_hit_accuracy: float


@dataclass(frozen=True)
class Comparison:
    """Two answers to the same queries, pair by pair.

    Attributes
    ----------
    difference : error_score of `a` minus that of `b`; below 0 `a` is better. ci95 : its bootstrap interval.
    p_value : of a paired permutation test (signs flipped at random, two-sided) that the errors differ in the mean.
    a_better, b_better, equal : queries whose error is smaller with `a`, with `b`, or the same.
    accuracy_difference : first-hit accuracy of `a` minus that of `b`. accuracy_p_value : McNemar's exact test.
    """

    a: str
    b: str
    difference: float
    ci95: tuple[float, float]
    p_value: float
    a_better: int
    b_better: int
    equal: int
    accuracy_difference: float
    accuracy_p_value: float


def errors(true: Sequence[str], predicted: Sequence[str], rule: str) -> NDArray[np.float64]:
    """What each axis adds to the error of each image: float64 (n, 4), the sum of a row is the image's error.

    Raises
    ------
    UsageError : an unknown rule, or not one answer for each query.
    """
    if rule not in RULES:
        raise UsageError(f"there is no rule {rule!r} of the error; the rules are: {', '.join(RULES)}")
    if len(true) != len(predicted):
        raise UsageError(f"{len(true)} queries but {len(predicted)} answers; every query needs one")
    pair = RULES[rule]
    found = [pair(t, p) for t, p in zip(true, predicted, strict=True)]
    return np.array(found, np.float64).reshape(len(found), len(AXES))


def score(true: Sequence[str], predicted: Sequence[str], rule: str = "imageclef") -> Score:
    """Score one answer to every query.

    Parameters
    ----------
    true, predicted : n codes each, n at least 1; predictions may hold `*`.
    rule : `imageclef`, or `paper` for the literal Eq. 1.

    Raises
    ------
    UsageError : see `errors`.
    """
    parts = errors(true, predicted, rule)
    each = parts.sum(1)
    scale = len(AXES) if rule == "imageclef" else 1
    return Score(
        error_score=float(each.sum()),
        error_per_image=float(each.mean()),
        first_hit_accuracy=float(_right(true, predicted).mean()),
        axes=dict(zip(AXES, (parts.mean(0) * scale).tolist(), strict=True)),
        ci95=_interval(each),
    )


def by_size(true: Sequence[str], predicted: Sequence[str], sizes: NDArray[np.int64], rule: str) -> list[SizeScore]:
    """Scores by the number of searched images of the query's class.

    Parameters
    ----------
    sizes : (n,), how many searched images have the code of each query.
    """
    each, right = errors(true, predicted, rule).sum(1), _right(true, predicted)
    codes = np.array(true)
    found = []
    for least, most in SIZES:
        chosen = (sizes >= least) & (sizes <= (np.inf if most is None else most))
        count, total = int(chosen.sum()), float(each[chosen].sum())
        if least == 0 and not count:
            continue  # usually every query's class has a searched image
        found.append(
            SizeScore(
                least=least,
                most=most,
                classes=len(set(codes[chosen].tolist())),
                queries=count,
                error_score=total,
                error_per_image=total / count if count else None,
                first_hit_accuracy=float(right[chosen].mean()) if count else None,
            )
        )
    return found


def baselines(true: Sequence[str], searched: Sequence[str], rule: str) -> list[Baseline]:
    """Constant answers: the commonest searched code, nothing but `*`, and the best that a constant can do.

    The best are chosen by the true codes, with and without `*`, axis by axis among their values: an upper bound for
    methods that ignore the image.
    """
    commonest = min(Counter(searched).items(), key=lambda item: (-item[1], item[0]))[0]
    answers = {
        "always the commonest code": commonest,
        "always *": NOTHING,
        "best constant without *": _best(true, rule, wildcards=False),
        "best constant": _best(true, rule, wildcards=True),
    }
    return [
        Baseline(
            name,
            code,
            float(errors(true, [code] * len(true), rule).sum()),
            float(_right(true, [code] * len(true)).mean()),
        )
        for name, code in answers.items()
    ]


def compare(names: tuple[str, str], true: Sequence[str], a: Sequence[str], b: Sequence[str], rule: str) -> Comparison:
    """Compare two answers to the same queries, query by query, by a permutation test and McNemar's test."""
    from scipy.stats import binomtest  # heavy; only a comparison needs it

    differences = errors(true, a, rule).sum(1) - errors(true, b, rule).sum(1)
    right_a, right_b = _right(true, a), _right(true, b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return Comparison(
        a=names[0],
        b=names[1],
        difference=float(differences.sum()),
        ci95=_interval(differences),
        p_value=_permuted(differences),
        a_better=int((differences < 0).sum()),
        b_better=int((differences > 0).sum()),
        equal=int((differences == 0).sum()),
        accuracy_difference=float(right_a.mean() - right_b.mean()),
        accuracy_p_value=float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
    )


def _right(true: Sequence[str], predicted: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([t == p for t, p in zip(true, predicted, strict=True)], bool)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % bootstrap interval of the sum, with a fixed seed: equal values give equal intervals."""
    rng = np.random.default_rng(0)
    # how often each query is drawn: the sums are one product, and no (draws, n) select_encoders is held
    sums = np.array([rng.multinomial(len(values), _even(len(values))) @ values for _ in range(BOOTSTRAPS)])
    low, high = np.percentile(sums, [2.5, 97.5])
    return float(low), float(high)


@cache
def _even(n: int) -> NDArray[np.float64]:
    return np.full(n, 1 / n)


def _permuted(differences: NDArray[np.float64]) -> float:
    """Share of random sign flips that give a sum at least as far from zero; never below 1 / (PERMUTATIONS + 1)."""
    some = differences[differences != 0]
    rng = np.random.default_rng(0)
    observed = abs(some.sum()) - 1e-9  # equal sums may differ by rounding
    far = sum(abs(rng.choice((-1.0, 1.0), some.size) @ some) >= observed for _ in range(PERMUTATIONS))
    return float((1 + far) / (1 + PERMUTATIONS))


def _best(true: Sequence[str], rule: str, wildcards: bool) -> str:
    """The constant with the least error; axes are scored independently, so each is chosen alone."""
    counts = Counter(true)
    parts = []
    for place in range(len(AXES)):
        held = {axes(code)[place] for code in counts}
        if wildcards:
            held |= {text[:length].ljust(len(text), "*") for text in held for length in range(len(text))}
        parts.append(min(sorted(held), key=partial(_axis_sum, counts, place, rule)))
    return "-".join(parts)


def _axis_sum(counts: Counter[str], place: int, rule: str, text: str) -> float:
    """The error of answering `text` on one axis, over all queries."""
    parts = NOTHING.split("-")
    answer = "-".join([*parts[:place], text, *parts[place + 1 :]])
    return sum(number * RULES[rule](code, answer)[place] for code, number in counts.items())
