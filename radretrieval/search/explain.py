"""Why a hit stands where it does: the parts of its key, its barcode angle by angle, the axes of its IRMA code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.search.nearest import Candidate
from radretrieval.coding.radon import bins
from radretrieval.coding.rerank import Weights
from radretrieval.errors import UsageError
from radretrieval.irma.code import AXES, axes
from radretrieval.profile import Barcode, Profile
from radretrieval.search.request import Answer, Explanation


def explain(answer: Answer, candidates: Sequence[Candidate], barcode: NDArray[np.uint8], profile: Profile) -> None:
    """Give each hit of an answer its explanation, and the answer the code of most hits.

    Parameters
    ----------
    candidates : all of them, by CNNC distance. barcode : the query's, uint8 (bytes,).
    """
    by_cnnc = {one.image_id: (rank, one.barcode) for rank, one in enumerate(candidates, start=1)}
    weights, refined = Weights.of(profile), answer.request.refined
    whole = 100 * profile.network.code_bits * profile.barcode.angles * bins(profile.barcode.size)
    answer.majority_irma_code = majority([hit.irma_code for hit in answer.hits])
    query, most = _axes(answer.query_irma_code), _axes(answer.majority_irma_code)
    for place, hit in enumerate(answer.hits):
        rank, stored = by_cnnc[hit.image_id]
        assert stored is not None, "a hit has a barcode"
        explanation = Explanation(
            cnnc_rank=rank,
            cnnc_part=None if refined else weights.cnnc * hit.cnnc_distance / whole,
            rbc_part=None if refined else weights.rbc * hit.rbc_distance / whole,
            angle_distances=angle_distances(barcode, np.frombuffer(stored, np.uint8), profile.barcode),
            as_query=_agreement(hit.irma_code, query),
            as_most=_agreement(hit.irma_code, most),
        )
        answer.hits[place] = replace(hit, explanation=explanation)


def angle_distances(one: NDArray[np.uint8], other: NDArray[np.uint8], shape: Barcode) -> tuple[int, ...]:
    """In how many bits each projection of two packed barcodes, uint8 (bytes,), differs; from angle 0° on."""
    differing = np.unpackbits(one ^ other, count=shape.angles * bins(shape.size))
    return tuple(differing.reshape(shape.angles, -1).sum(1, dtype=np.int64).tolist())


def majority(codes: Sequence[str | None]) -> str | None:
    """The IRMA code that has on each axis what most of the codes have, or of equally many the first; None for none."""
    known = [found for code in codes if (found := _axes(code)) is not None]
    return "-".join(Counter(values).most_common(1)[0][0] for values in zip(*known, strict=True)) or None


def _agreement(code: str | None, other: tuple[str, ...] | None) -> dict[str, bool | None]:
    own = _axes(code)
    if own is None or other is None:
        return dict.fromkeys(AXES)
    return {axis: value == wanted for axis, value, wanted in zip(AXES, own, other, strict=True)}


def _axes(code: str | None) -> tuple[str, ...] | None:
    """The four axes of a code; None for no code, or a foreign label."""
    try:
        return axes(code, wildcard=True) if code else None
    except UsageError:
        return None
