"""Re-ranking: the candidates of a search, ordered by the distance of their barcodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.hamming import paired


def rerank(
    query: NDArray[np.uint8],
    barcodes: NDArray[np.uint8],
    cnnc_distances: Sequence[int] | NDArray[np.int32],
    image_ids: Sequence[int] | NDArray[np.int64],
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Order a query's candidates by the Hamming distance of their barcodes, then by CNNC distance, then by image id.

    Parameters
    ----------
    query : uint8 (bytes,), the query's barcode.
    barcodes : uint8 (n, bytes). cnnc_distances, image_ids : n each.

    Returns
    -------
    The positions of the candidates from the best on, (n,), and the barcode distance of each candidate, (n,).

    Source: the paper, section 3.3.
    """
    order, rbc = rerank_many(query[None], barcodes[None], np.asarray(cnnc_distances)[None], np.asarray(image_ids)[None])
    return order[0], rbc[0]


def rerank_many(
    queries: NDArray[np.uint8],
    barcodes: NDArray[np.uint8],
    distances: NDArray[np.int32] | NDArray[np.float64],
    image_ids: NDArray[np.int64],
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """`rerank` of many queries at once, each with its own candidates.

    Parameters
    ----------
    queries : uint8 (m, bytes). barcodes : uint8 (m, k, bytes).
    distances : (m, k), of the first stage.
    image_ids : int64 (m, k); a place whose id is negative holds no candidate and comes last.

    Returns
    -------
    Positions from the best on, (m, k), and barcode distances, int32 (m, k).
    """
    rbc = paired(queries, barcodes)
    return np.lexsort((image_ids, distances, rbc, image_ids < 0), axis=-1), rbc
