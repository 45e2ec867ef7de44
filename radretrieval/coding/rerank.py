"""Re-ranking: the candidates of a search in the order of their barcodes, or of barcodes and codes, by the profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.hamming import paired
from radretrieval.coding.radon import bins
from radretrieval.profile import Profile


class Weights(NamedTuple):
    """What one bit of each distance adds to a candidate's key; candidates with smaller keys come first.

    Whole numbers, so that Python and SQL (the function `retrieve_by`) agree on every tie.
    """

    cnnc: int
    rbc: int

    @classmethod
    def of(cls, profile: Profile) -> Weights:
        """The weights of an encoder's profile: each distance counts as a share of its bits, in percent."""
        percent = profile.query.cnnc_percent
        rbc_bits = profile.barcode.angles * bins(profile.barcode.size)
        return cls(percent * rbc_bits, (100 - percent) * profile.network.code_bits)


def order_in_words(profile: Profile) -> str:
    """How candidates are put in order, as the end of a sentence about them."""
    percent = profile.query.cnnc_percent
    codes = f"CNN code ({percent} %) and Radon barcode ({100 - percent} %)" if percent else "Radon barcode"
    return f"re-ranked by {codes}"


BARCODE_ALONE = Weights(0, 1)  # the paper, section 3.3


def rerank(
    query: NDArray[np.uint8],
    barcodes: NDArray[np.uint8],
    cnnc_distances: Sequence[int] | NDArray[np.int32],
    image_ids: Sequence[int] | NDArray[np.int64],
    weights: Weights,
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Order a query's candidates by their weighted distances, then by barcode distance, CNNC distance and image id.

    Parameters
    ----------
    query : uint8 (bytes,), the query's barcode.
    barcodes : uint8 (n, bytes). cnnc_distances, image_ids : n each.

    Returns
    -------
    The positions of the candidates from the best on, (n,), and the barcode distance of each candidate, (n,).
    """
    near, ids = np.asarray(cnnc_distances), np.asarray(image_ids)
    order, rbc = rerank_many(query[None], barcodes[None], near[None], ids[None], weights)
    return order[0], rbc[0]


def rerank_many(
    queries: NDArray[np.uint8],
    barcodes: NDArray[np.uint8],
    distances: NDArray[np.int32] | NDArray[np.float64],
    image_ids: NDArray[np.int64],
    weights: Weights,
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """`rerank` of many queries at once, each with its own candidates.

    Parameters
    ----------
    queries : uint8 (m, bytes). barcodes : uint8 (m, k, bytes).
    distances : (m, k), of the first stage; real ones only where `weights` leaves them out of the key.
    image_ids : int64 (m, k); a place whose id is negative holds no candidate and comes last.

    Returns
    -------
    Positions from the best on, (m, k), and barcode distances, int32 (m, k).
    """
    rbc = paired(queries, barcodes)
    key: NDArray[Any] = rbc * np.int64(weights.rbc)
    if weights.cnnc:
        key = key + distances * np.int64(weights.cnnc)
    return np.lexsort((image_ids, distances, rbc, key, image_ids < 0), axis=-1), rbc
