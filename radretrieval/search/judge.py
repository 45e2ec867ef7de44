"""How likely each hit has the query's IRMA code, and whether anything is similar, by the encoder's calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from radretrieval.archive.encoders import Encoder
from radretrieval.coding.calibration import AGREEING, Ranked, mean_distance
from radretrieval.coding.radon import bins
from radretrieval.search.request import Hit, Request, Similarity


def considered(top: int) -> int:
    """How many hits must be ranked: agreement is that of ten, whatever number is asked for."""
    return max(top, AGREEING)


def judge(
    hits: Sequence[Hit], distances: Sequence[int], request: Request, encoder: Encoder
) -> tuple[list[Hit], Similarity | None]:
    """The first `request.top` hits with their likelihoods, and how similar the nearest are.

    Parameters
    ----------
    hits : the first `considered` hits, best first. distances : CNNC distances of all candidates that were compared.

    Returns
    -------
    Hits without likelihoods, and None, for an encoder without calibration, and where nothing was compared. Hits have
    none either where the filter looks at IRMA codes, or may: what agrees then agrees by the filter.
    """
    calibration = encoder.calibration
    if calibration is None or not distances:
        return list(hits[: request.top]), None
    cnnc_bits, barcode = encoder.profile.network.code_bits, encoder.profile.barcode
    rbc_bits = barcode.angles * bins(barcode.size)
    distance = mean_distance(distances, cnnc_bits)
    similarity = Similarity(
        nothing=calibration.nothing_similar(distance),
        distance=distance * cnnc_bits,
        farther_than=calibration.farther_than(distance),
        films=calibration.films,
    )
    if request.where_sql is not None or any(condition.column == "irma_code" for condition in request.where):
        return list(hits[: request.top]), similarity
    ranked = Ranked(
        [hit.irma_code for hit in hits],
        [hit.cnnc_distance / cnnc_bits for hit in hits],
        [hit.rbc_distance / rbc_bits for hit in hits],
        distance,
    )
    likely = calibration.likelihoods(ranked)
    return [replace(hit, likelihood=one) for hit, one in zip(hits, likely, strict=True)][: request.top], similarity
