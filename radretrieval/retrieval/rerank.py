"""The second stage: the candidates in the order of their barcodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.hamming import distances


def rerank(
    query: NDArray[np.uint8],
    barcodes: NDArray[np.uint8],
    cnnc_distances: Sequence[int] | NDArray[np.int32],
    image_ids: Sequence[int] | NDArray[np.int64],
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Order candidates by the Hamming distance of their barcodes; ties by CNNC distance, then by image id.

    Parameters
    ----------
    query : uint8 (bytes,), the query's barcode.
    barcodes : uint8 (n, bytes). cnnc_distances, image_ids : n each.

    Returns
    -------
    The positions of the candidates from the best on, (n,), and the barcode distance of each candidate, (n,).

    Source: the paper, section 3.3.
    """
    rbc = distances(query, barcodes)
    return np.lexsort((np.asarray(image_ids), np.asarray(cnnc_distances), rbc)), rbc
