"""IRMA codes in words."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from radretrieval.errors import UsageError
from radretrieval.irma.tree import describe, in_short
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.problems import answers

router = APIRouter(tags=["codes"])


class CodeInWords(BaseModel):
    """A code in words: `axes` of technique, direction, anatomy and biosystem; `short` for a small space."""

    axes: tuple[str, str, str, str]
    short: list[str]


@router.get("/api/codes", responses=answers(401, 403, 422))
def codes(
    code: Annotated[list[str], Query(min_length=1, max_length=200)],
    user: Annotated[User, Depends(require(Role.SEARCH))],
) -> dict[str, CodeInWords]:
    """These IRMA codes in words, by code; what is no IRMA code is left out."""
    found = {}
    for one in code:
        try:
            found[one] = CodeInWords(axes=describe(one), short=list(in_short(one)))
        except UsageError:
            continue
    return found
