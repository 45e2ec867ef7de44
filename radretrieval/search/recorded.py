"""What the audit keeps of a search: the query, how it was asked, and what was found."""

from __future__ import annotations

from typing import Any

from radretrieval.search.request import Answer, Request


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
    usual = Request(-1)
    changed = {name: value for name, value in vars(request).items() if value != getattr(usual, name)}
    del changed["query"]
    if request.where:
        changed["where"] = [f"{one.column}{one.operator}{one.value}" for one in request.where]
    return changed
