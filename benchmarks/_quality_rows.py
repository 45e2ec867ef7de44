"""The rows of the quality benchmark's tables: which networks are trained, and how each is ranked by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from _quality_peers import frozen, tuned
from _quality_scores import Ranked, by_answer, by_asymmetric, by_codes, by_cosine, by_pixels
from _quality_tasks import Task
from _quality_trained import Learner, Outputs, of_profile, with_shifts

from radretrieval.coding.backbone import backbone_weights
from radretrieval.coding.rerank import BARCODE_ALONE, Weights
from radretrieval.profile import PAPER, STRONG, Profile

Rank = Callable[[Task, Outputs, str], Ranked]
REFERENCE = "paper"

# One change of `strong` at a time: what of its training, or of its network, is another.
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "no logit adjustment": {"training": {"logit_adjustment": 0.0}},
    "no axis loss": {"training": {"axis_weight": 0.0}},
    "no label smoothing": {"training": {"label_smoothing": 0.0}},
    "shifts only": {"training": {"rotation": 0.0, "scale": 0.0, "gamma": 0.0}},
    "5 epochs": {"training": {"epochs": 5}},
    "20 epochs": {"training": {"epochs": 20}},
    "96 px": {"network": {"input_size": 96}},
    "160 px": {"network": {"input_size": 160}},
}


@dataclass(frozen=True)
class Row:
    """A ranking by a network; `learner` is None where nothing is learnt.

    change : one of `strong`, tried on its own. timed : its profile, where the time of a query is told.
    """

    name: str
    learner: Learner | None
    rank: Rank
    change: bool = False
    timed: Profile | None = None


def rows(paper_epochs: int | None) -> list[Row]:
    """All rows, the reference first."""
    given = backbone_weights()
    paper = of_profile("paper", PAPER, epochs=paper_epochs)
    scratch = of_profile("strong from random weights", STRONG)
    found = [
        Row(REFERENCE, paper, _codes(BARCODE_ALONE), timed=PAPER),
        Row("paper, order by code alone", paper, _codes(None)),
        Row("paper, fused order", paper, _codes(Weights.of(STRONG))),
        Row("paper, softmax's answer", paper, by_answer),
        Row("32×32 pixels, nearest", None, lambda task, _, part: by_pixels(task, part)),
        Row("strong from random weights", scratch, _codes(Weights.of(STRONG))),
    ]
    if given is None:
        return found
    strong, fitted = of_profile("strong", STRONG, given.tensors), tuned(given.tensors)
    found += [
        Row("strong", strong, _codes(Weights.of(STRONG)), timed=STRONG),
        Row("strong, softmax's answer", strong, by_answer),
        Row("lite0 frozen, cosine", frozen(given.tensors), by_cosine),
        Row("lite0 fine-tuned, cosine", fitted, by_cosine),
        Row("lite0 fine-tuned, softmax's answer", fitted, by_answer),
        *_rankings(strong),
    ]
    for name, parts in CHANGES.items():
        profile = replace(STRONG, **{part: replace(getattr(STRONG, part), **values) for part, values in parts.items()})
        learner = of_profile(f"strong, {name}", profile, given.tensors)
        found.append(Row(f"strong, {name}", learner, _codes(Weights.of(STRONG)), change=True))
    return found


def _rankings(strong: Learner) -> list[Row]:
    """Other ways to rank by the same network."""
    fused = Weights.of(STRONG)
    ways: dict[str, Rank] = {
        "order by code alone": _codes(None),
        "order by barcode": _codes(BARCODE_ALONE),
        "fused order 25 %": _codes(_share(25)),
        "fused order 75 %": _codes(_share(75)),
        "bits at the training median": _codes(fused, thresholds=True),
        "bits at the median, code alone": _codes(None, thresholds=True),
        "asymmetric distance": by_asymmetric,
        "real-valued cosine": by_cosine,
    }
    named = [Row(f"strong, {name}", strong, rank, change=True) for name, rank in ways.items()]
    return [*named, Row("strong, mean of 5 shifts", with_shifts(strong, STRONG), _codes(fused), change=True)]


def _codes(weights: Weights | None, thresholds: bool = False) -> Rank:
    return lambda task, made, part: by_codes(task, made, part, weights, thresholds)


def _share(percent: int) -> Weights:
    return Weights.of(replace(STRONG, query=replace(STRONG.query, cnnc_percent=percent)))
