"""How wrong a predicted IRMA code is: the hierarchical error of ImageCLEF.

Source: the error counting scheme of ImageCLEFmed (2007-2009), which the paper's Eq. 1 shortens.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from radretrieval.irma.code import AXES, axes
from radretrieval.irma.tree import branching, is_clutter

WRONG = 1.0
UNDECIDED = 0.5


def irma_error(true_code: str, predicted_code: str) -> float:
    """The error of one prediction: the mean of its four axis errors.

    Parameters
    ----------
    true_code : the annotated code; it holds no `*`.
    predicted_code : the answer; `*` means "don't know".

    Returns
    -------
    0 (right) … 1 (every axis wrong from its first character).

    Raises
    ------
    UsageError : one of the two is not an IRMA code.

    Examples
    --------
    >>> irma_error("1121-127-700-500", "1121-127-700-400")
    0.25
    """
    return sum(axis_errors(true_code, predicted_code)) / len(AXES)


@lru_cache(maxsize=1 << 17)
def axis_errors(true_code: str, predicted_code: str) -> tuple[float, float, float, float]:
    """The errors of the axes (T, D, A, B), each 0…1: Σ δ_i w_i / Σ w_i with w_i = 1 / (b_i · i).

    b_i is the number of children of the node that the true characters before position i reach. δ_i is 0 while
    the prediction is right, 1 from its first wrong character on, and 0.5 from its first `*` on, whatever
    follows; a position from the `*` on whose true character is `0` costs nothing. A true axis of clutter
    (`C`) costs nothing.

    Raises
    ------
    UsageError : one of the two is not an IRMA code.
    """
    t, d, a, b = (
        _axis_error(axis, true, predicted)
        for axis, true, predicted in zip(AXES, axes(true_code), axes(predicted_code, wildcard=True), strict=True)
    )
    return t, d, a, b


def paper_error(true_code: str, predicted_code: str) -> float:
    """The paper's Eq. 1, taken literally: Σ over the axes and positions of δ_i / (b_i · i).

    Unlike `irma_error` it is not normalised, and δ_i looks at position i alone (0 equal, 0.5 for `*`, 1
    else): a right character after a wrong one costs nothing. Its largest value depends on the true code.

    Raises
    ------
    UsageError : one of the two is not an IRMA code.
    """
    return sum(paper_axis_errors(true_code, predicted_code))


@lru_cache(maxsize=1 << 17)
def paper_axis_errors(true_code: str, predicted_code: str) -> tuple[float, float, float, float]:
    """The parts of `paper_error` that the axes (T, D, A, B) add to it."""
    t, d, a, b = (
        sum(
            weight * (0.0 if truth == guess else UNDECIDED if guess == "*" else WRONG)
            for weight, truth, guess in zip(_weights(axis, true), true, predicted, strict=True)
        )
        for axis, true, predicted in zip(AXES, axes(true_code), axes(predicted_code, wildcard=True), strict=True)
    )
    return t, d, a, b


def _axis_error(axis: str, true: str, predicted: str) -> float:
    if is_clutter(axis, true):
        return 0.0
    weights = _weights(axis, true)
    costs = _costs(true, predicted)
    return sum(cost * weight for cost, weight in zip(costs, weights, strict=True)) / sum(weights)


def _costs(true: str, predicted: str) -> Iterator[float]:
    """δ_i of each position."""
    state = 0.0
    for truth, guess in zip(true, predicted, strict=True):
        if state == 0.0 and guess != truth:
            state = UNDECIDED if guess == "*" else WRONG
        yield 0.0 if state == UNDECIDED and truth == "0" else state


def _weights(axis: str, true: str) -> list[float]:
    return [1.0 / (branching(axis, true[: i - 1]) * i) for i in range(1, len(true) + 1)]
