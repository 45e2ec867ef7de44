"""IRMA codes in words."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.documents import CodeInWords, in_words
from radretrieval.serve.problems import answers

router = APIRouter(tags=["codes"])


@router.get("/api/codes", responses=answers(401, 403, 422))
def codes(
    code: Annotated[list[str], Query(min_length=1, max_length=200)],
    user: Annotated[User, Depends(require(Role.SEARCH))],
) -> dict[str, CodeInWords]:
    """These IRMA codes in words, by code; what is no IRMA code is left out."""
    found = {one: in_words(one) for one in code}
    return {one: words for one, words in found.items() if words is not None}
