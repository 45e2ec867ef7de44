"""A query refined by hits that a user called relevant or not: by Rocchio's rule, on CNN codes and on barcodes.

Bits count as +1 and −1. The refined query is a weight for each bit: one part is the query, two are the mean of the
relevant hits, less two parts of the mean of the others; where none is relevant, the query is all three parts, so that
what is wanted always weighs more than what is not. The signs of the weights are a code, whose nearest are looked for;
the sum of the weights of a film's ones, less that of its zeros, orders what was found. Whole numbers throughout.

Source: Rocchio 1971 (relevance feedback).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

QUERY, RELEVANT, NOT_RELEVANT = 1, 2, 2
MOST = 1000  # hits of either kind; keys stay within 64 bits

Bits = NDArray[np.uint8]


class Refined(NamedTuple):
    """A refined query.

    weights : int64 (bits,). code : uint8 (bytes,), their signs, packed; where a weight is 0, the query's bit.
    """

    weights: NDArray[np.int64]
    code: Bits


def refined(query: Bits, relevant: Bits, not_relevant: Bits, bits: int) -> Refined:
    """The query refined by hits.

    Parameters
    ----------
    query : uint8 (bytes,), packed. relevant, not_relevant : uint8 (n, bytes), n at most `MOST`, possibly 0.
    bits : how many there are.
    """
    own = _signs(query[None], bits)[0]
    good, bad = len(relevant), len(not_relevant)
    wanted = QUERY * good * own + RELEVANT * _signs(relevant, bits).sum(0) if good else (QUERY + RELEVANT) * own
    # by the number of hits of either kind, in place of means
    weights = wanted * max(bad, 1) - NOT_RELEVANT * max(good, 1) * _signs(not_relevant, bits).sum(0)
    return Refined(weights, np.packbits(np.where(weights == 0, own, weights) > 0))


def agreement(weights: NDArray[np.int64], codes: Bits) -> NDArray[np.int64]:
    """The sum of the weights of each code's ones less that of its zeros, int64 (n,); codes : uint8 (n, bytes)."""
    total: NDArray[np.int64] = _signs(codes, len(weights)) @ weights
    return total


def order(
    cnnc: NDArray[np.int64], cnnc_bits: int, rbc: NDArray[np.int64], rbc_bits: int, image_ids: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Places of films, the best first: by the mean of the agreements of codes and of barcodes a bit, then by id.

    Parameters
    ----------
    cnnc, rbc : agreements of each film, (n,). cnnc_bits, rbc_bits : how many bits they are of.
    """
    return np.lexsort((image_ids, -(cnnc * rbc_bits + rbc * cnnc_bits)))


def _signs(codes: Bits, bits: int) -> NDArray[np.int64]:
    """Packed bits as +1 and −1, int64 (n, bits)."""
    return np.unpackbits(codes, axis=1, count=bits).astype(np.int64) * 2 - 1
