"""An answer read back from its JSON document."""

from __future__ import annotations

from datetime import date
from typing import Any

from radretrieval.archive.search.nearest import FilterEffect
from radretrieval.coding.calibration import Likelihood
from radretrieval.search.request import Answer, Explanation, Hit, Request, Similarity
from radretrieval.search.roi import Region

# Of a hit, what the document calls as the hit does.
_SAME = (
    *("rank", "image_id", "uri", "irma_code", "cnnc_distance", "rbc_distance", "patient_key", "study_instance_uid"),
    *("modality", "body_part", "view_position", "laterality", "reduced"),
)


def answer_of(document: dict[str, Any], request: Request) -> Answer:
    """The answer that `Answer.document` made this of.

    A document lacks some of it: the SHA-256 of the hits' files (empty here), how many images have no code yet (0), and
    by how many films the encoder was calibrated (0).
    """
    similarity = None
    if document["nothing_similar"] is not None:
        distances = document["nearest_distance"], document["farther_than"]
        similarity = Similarity(document["nothing_similar"], *distances, films=0)
    matched, recall = document["matched"], document["recall"]
    return Answer(
        request=request,
        encoder_id=document["encoder_id"],
        candidates=document["candidates"],
        hits=[_hit(one) for one in document["hits"]],
        path=document["path"],
        recall=None if recall is None else (recall, document["recall_worst"]),
        effect=None if matched is None else FilterEffect(matched, document["hidden"]),
        pending=0,
        query_image_id=document["query_image_id"],
        query_irma_code=document.get("query", {}).get("irma_code"),
        similarity=similarity,
        query_flat=document["query_flat"],
        majority_irma_code=document["majority_irma_code"],
        query_problems=document["query_problems"],
        timings_ms=document["timings_ms"],
    )


def region_of(document: dict[str, Any] | None) -> Region | None:
    """The region that a document describes."""
    return None if document is None else Region(**document)


def _hit(document: dict[str, Any]) -> Hit:
    day, why, code = document["study_date"], document["explanation"], document["probability"]
    if why is not None:
        why = Explanation(**{**why, "angle_distances": tuple(why["angle_distances"])})
    return Hit(
        **{name: document[name] for name in _SAME},
        sha256=b"",
        study_date=None if day is None else date.fromisoformat(day),
        roi=region_of(document["roi"]),
        explanation=why,
        likelihood=None if code is None else Likelihood(code, **document["axis_probabilities"]),
    )
