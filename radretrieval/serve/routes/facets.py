"""How many images have each value that the page offers as a filter."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from radretrieval.archive.facets import FacetCounts
from radretrieval.archive.filters import parse
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.dependencies import Served
from radretrieval.serve.problems import answers

router = APIRouter(prefix="/api", tags=["facets"])


def _counts(request: Request) -> FacetCounts:
    counts: FacetCounts = request.app.state.facets
    return counts


class FacetValue(BaseModel):
    """A value of a column, null where images have none (of study_date a year), and how many images have it.

    `where` are the conditions that ask for it, as `POST /api/search` takes them in place of those on the column.
    """

    value: str | None
    images: int
    where: list[str]


class Facet(BaseModel):
    """A column and its 100 most frequent values, these first."""

    column: str
    values: list[FacetValue]


class FacetAnswer(BaseModel):
    """How many images pass the filter, coded or not, and what they have."""

    images: int
    facets: list[Facet]


@router.get("/facets", responses=answers(400, 422, 503))
def facets(
    service: Served,
    counts: Annotated[FacetCounts, Depends(_counts)],
    user: Annotated[User, Depends(require(Role.SEARCH))],
    where: Annotated[list[str], Query(description="Conditions as COL=VALUE, COL!=VALUE, COL>=VALUE, COL<VALUE.")] = [],  # noqa: B006
) -> FacetAnswer:
    """Count the images of each value under a filter; of each column without the conditions on the column itself.

    Counts are at most 30 seconds old.
    """
    found = counts.count(service.database, [parse(one) for one in where])
    return FacetAnswer(
        images=found.images,
        facets=[
            Facet(column=column, values=[FacetValue(**vars(one)) for one in values])
            for column, values in found.values.items()
        ],
    )
