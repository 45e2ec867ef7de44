"""Probabilities and distances in the words of a report."""

from __future__ import annotations

from radretrieval.coding.calibration import Likelihood
from radretrieval.search.request import Similarity

_WORDS = ((0.95, "very likely"), (0.75, "likely"), (0.25, "possibly"), (0.05, "unlikely"), (0.0, "very unlikely"))


def in_words(probability: float) -> str:
    """A probability as `very likely (96 %)`; never 0 or 100 %."""
    word = next(word for least, word in _WORDS if probability >= least)
    return f"{word} ({percent(probability)})"


def percent(probability: float) -> str:
    """A probability in whole percent, 1 to 99."""
    return f"{min(max(round(100 * probability), 1), 99)} %"


def axes_in_words(likelihood: Likelihood | None) -> str:
    """The probability of each axis, as `T 99 %, D 80 %, …`; `-` for none."""
    if likelihood is None:
        return "-"
    return ", ".join(f"{axis} {percent(probability)}" for axis, probability in likelihood.axes().items())


def nothing_similar(similarity: Similarity) -> str:
    """What is said of a query that nothing is similar to."""
    share = min(int(1000 * similarity.farther_than) / 10, 99.9)
    return (
        f"nothing similar in the archive: its nearest films are farther away ({similarity.distance:.0f} of 1000 bits) "
        f"than those of {share:g} % of the films that the encoder was tried on; do not rely on the hits"
    )
