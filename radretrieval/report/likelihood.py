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


def nothing_similar(similarity: Similarity, filtered: bool) -> str:
    """What is said of a query that nothing is similar to, in the archive or among what passes the filter."""
    nearer = int(similarity.farther_than * (similarity.films + 1) + 1e-6)
    share = "all" if nearer >= similarity.films else f"{nearer} of the"
    which = "of those that pass are" if filtered else "are"
    return (
        f"{nothing_where(filtered)}: the nearest films {which} farther away ({similarity.distance:.0f} of 1000 bits) "
        f"than those of {share} {similarity.films} films that the encoder was tried on; do not rely on the hits"
    )


def nothing_where(filtered: bool) -> str:
    """In short, among what nothing is similar."""
    return "nothing similar passes the filter" if filtered else "nothing similar in the archive"
