"""Rankings of the quality benchmark, their figures, and paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from _quality_tasks import Task
from _quality_trained import Outputs
from numpy.typing import NDArray

from radretrieval.coding.cnnc import pack
from radretrieval.coding.hamming import distances
from radretrieval.coding.rerank import Weights, rerank_many
from radretrieval.evaluation.scores import NOTHING, SIZES, errors
from radretrieval.profile import PAPER

HITS = PAPER.query.hits
FLAGGED_AT = 0.02  # share of radiographs that may be called unlike everything
BOOTSTRAPS = 2000


class Ranked(NamedTuple):
    """The answers to a part's films.

    places : int (m, n), the training films from the best on; (m, 0) where only a code is answered.
    answers : m codes. nearest : float (m,), how far the nearest training film is; empty where that is unknown.
    """

    places: NDArray[np.int64]
    answers: list[str]
    nearest: NDArray[np.float64]


def by_pixels(task: Task, part: str, side: int = 32) -> Ranked:
    """The nearest films by Euclidean distance of their pixels at `side` × `side`."""
    mine, others = (task.images(name, side).reshape(-1, side * side).astype(np.float64) for name in (part, "train"))
    squares = (mine**2).sum(1)[:, None] + (others**2).sum(1) - 2 * mine @ others.T
    return _ranked(task, np.argsort(squares, axis=1, kind="stable"), squares.min(1))


def by_codes(task: Task, made: Outputs, part: str, weights: Weights | None, thresholds: bool = False) -> Ranked:
    """The nearest codes; the first 50, and ties with the fiftieth, in the order of these weights (None: as they are).

    thresholds : bits are cut at the median of the training films instead of at 0.
    """
    mine, others = (
        pack(made.reals[name] - np.median(made.reals["train"], axis=0)) if thresholds else made.codes[name]
        for name in (part, "train")
    )
    apart = distances(mine, others)
    return _reranked(task, part, apart, weights)


def by_asymmetric(task: Task, made: Outputs, part: str) -> Ranked:
    """The query's reals, by their tanh, against the stored bits: as `by_codes`, but no query is binarized."""
    signs = np.where(made.reals["train"] > 0, 1.0, -1.0)
    apart = -np.tanh(made.reals[part]).astype(np.float64) @ signs.T
    return _ranked(task, np.argsort(apart, axis=1, kind="stable"), apart.min(1))


def by_cosine(task: Task, made: Outputs, part: str) -> Ranked:
    """The nearest reals by cosine, through faiss: what a user of embeddings would do."""
    import faiss

    mine, others = (np.ascontiguousarray(made.reals[name], np.float32) for name in (part, "train"))
    for values in (mine, others):
        faiss.normalize_L2(values)
    index = faiss.IndexFlatIP(others.shape[1])
    index.add(others)
    likeness, places = index.search(mine, len(others))
    return _ranked(task, places, 1 - likeness[:, 0].astype(np.float64))


def by_answer(task: Task, made: Outputs, part: str) -> Ranked:
    """The likeliest class of the softmax layer; there are no hits."""
    none = np.empty((len(made.answers[part]), 0), np.int64)
    return Ranked(none, [task.classes[number] for number in made.answers[part]], np.empty(0))


def _reranked(task: Task, part: str, apart: NDArray[np.int32], weights: Weights | None) -> Ranked:
    order = np.argsort(apart, axis=1, kind="stable")
    sorted_ = np.take_along_axis(apart, order, 1)
    if weights is not None:
        limit = min(PAPER.query.candidates, order.shape[1])
        last = int((sorted_ <= sorted_[:, limit - 1 : limit]).sum(1).max())
        first, near = order[:, :last].copy(), sorted_[:, :last]
        ids = np.where(near <= near[:, limit - 1 : limit], first, -1)
        again, _ = rerank_many(task.barcodes(part), task.barcodes("train")[first], near, ids, weights)
        order[:, :last] = np.take_along_axis(first, again, 1)
    return _ranked(task, order, sorted_[:, 0].astype(np.float64))


def _ranked(task: Task, places: NDArray[np.int64], nearest: NDArray[np.float64]) -> Ranked:
    known = task.codes("train")
    return Ranked(places, [known[place] for place in places[:, 0]], nearest)


class Figures(NamedTuple):
    """The figures of one ranking of one network.

    errors : (m,), ImageCLEF's error of each query. right : (m,), whether the first hit has the query's code.
    precision : of the ten hits. mean_precision : mean average precision over the queries whose code is in train.
    flagged : share of distractors farther from their nearest film than 98 % of the queries. None where unknown.
    """

    errors: NDArray[np.float64]
    right: NDArray[np.bool_]
    precision: float | None
    mean_precision: float | None
    flagged: float | None


def figures(task: Task, part: str, ranked: Ranked, distractors: Ranked | None) -> Figures:
    """The figures of the answers to a part."""
    true, known = np.array(task.codes(part)), np.array(task.codes("train"))
    precision = mean_precision = flagged = None
    if ranked.places.shape[1]:
        same = known[ranked.places] == true[:, None]
        precision = float(same[:, :HITS].mean())
        found = np.cumsum(same, axis=1) * same / np.arange(1, same.shape[1] + 1)
        relevant = same.sum(1)
        mean_precision = float((found.sum(1)[relevant > 0] / relevant[relevant > 0]).mean())
    if distractors is not None and len(distractors.nearest) and len(ranked.nearest):
        flagged = float((distractors.nearest > np.quantile(ranked.nearest, 1 - FLAGGED_AT)).mean())
    wrong = errors(true.tolist(), ranked.answers or [NOTHING] * len(true), "imageclef").sum(1)
    return Figures(wrong, true == np.array(ranked.answers), precision, mean_precision, flagged)


def ratio(mine: Sequence[Figures], theirs: Sequence[Figures]) -> tuple[float, float, float]:
    """Error over error with its 95 % interval: bootstrap over queries, the same of both, and over the seeds of each."""
    a, b = (np.stack([each.errors for each in group]) for group in (mine, theirs))
    rng = np.random.default_rng(0)
    drawn = np.empty(BOOTSTRAPS)
    for place in range(BOOTSTRAPS):
        weight = rng.multinomial(a.shape[1], np.full(a.shape[1], 1 / a.shape[1]))
        over, under = (group[rng.integers(0, len(group), len(group))].mean(0) @ weight for group in (a, b))
        drawn[place] = over / under if under else np.nan
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(a.mean() / b.mean()), float(low), float(high)


def buckets(task: Task, part: str) -> list[tuple[str, NDArray[np.bool_]]]:
    """The queries by the number of training films of their class, as `evaluate` groups them."""
    known = task.codes("train")
    sizes = np.array([known.count(code) for code in task.codes(part)])
    named = []
    for least, most in SIZES:
        chosen = (sizes >= least) & (sizes <= (np.inf if most is None else most))
        if chosen.any():
            named.append((f"{least}" if least == most else f"{least}+" if most is None else f"{least}-{most}", chosen))
    return named
