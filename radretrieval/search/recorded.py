"""What the audit keeps of a search: the query, how it was asked, and what was found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from radretrieval.archive.filters import Condition
from radretrieval.search.request import Answer, Request

_USUAL = vars(Request(-1))
_OF_ONE = {"patient_key", "study_instance_uid", "series_instance_uid", "sop_instance_uid"}


def recorded(answer: Answer) -> dict[str, Any]:
    """The detail of an answer's row in the audit; no pixels and nothing of a header.

    Returns
    -------
    query_image_id, or else query_sha256 (hexadecimal digits); encoder_id, parameters (as `parameters`), and the ids of
    the hits.
    """
    digest = answer.query_sha256 if answer.query_image_id is None else None
    return {
        "query_image_id": answer.query_image_id,
        "query_sha256": None if digest is None else digest.hex(),
        "encoder_id": answer.encoder_id,
        "parameters": parameters(answer.request),
        "hits": [hit.image_id for hit in answer.hits],
    }


def parameters(request: Request) -> dict[str, Any]:
    """What a request says beside its query and its defaults."""
    changed = {name: value for name, value in vars(request).items() if value != _USUAL[name]}
    del changed["query"]
    if request.where:
        changed["where"] = recorded_where(request.where)
    if request.where_sql is not None:
        changed["where_sql"] = _hashed(request.where_sql)
    return changed


def recorded_where(where: Iterable[Condition]) -> list[str]:
    """Conditions as the audit has them: of what tells of one patient, study or image only the hash of the value."""
    return [f"{one.column}{one.operator}{_hashed(one.value) if one.column in _OF_ONE else one.value}" for one in where]


def _hashed(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
