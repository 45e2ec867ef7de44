"""How many images have each value that the page offers as a filter."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from radretrieval.archive.facets import FacetCounts, Value
from radretrieval.archive.filters import parse
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.dependencies import Served
from radretrieval.serve.problems import answers
from radretrieval.serve.rendering import page

CHIPS = ("modality", "body_part", "view_position", "laterality", "study_date", "manufacturer")  # in this order

router = APIRouter(prefix="/api", tags=["facets"])


def _counts(request: Request) -> FacetCounts:
    counts: FacetCounts = request.app.state.facets
    return counts


class Chip:
    """A column to filter by: `choices` are (value, how many images have it, its conditions, whether it is chosen).

    Conditions of the address that are of no value are choices too, so that they can be taken back.
    """

    def __init__(self, column: str, values: list[Value], where: list[str]) -> None:
        own = [one for one in where if one.startswith(column)]
        self.column = column
        self.choices: list[tuple[str | None, int | None, str, bool]]
        self.choices = [(one.value, one.images, "\n".join(one.where), set(one.where) <= set(own)) for one in values]
        known = {condition for *_, conditions, chosen in self.choices if chosen for condition in conditions.split("\n")}
        self.choices += [(one, None, one, True) for one in own if one not in known]


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


@router.get("/filters", include_in_schema=False)
def filters(
    request: Request,
    service: Served,
    counts: Annotated[FacetCounts, Depends(_counts)],
    user: Annotated[User, Depends(require(Role.SEARCH))],
    where: Annotated[list[str], Query()] = [],  # noqa: B006
    one_per: str = "",
    exclude_same_patient: str = "",
) -> Response:
    """The filters of the page, as a form whose checkboxes have the conditions that they ask for, one a line."""
    found = counts.count(service.database, [parse(one) for one in where])
    chips = [Chip(column, found.values[column], where) for column in CHIPS]
    other_patients = exclude_same_patient == "true"
    return page(
        request, "filters", where=where, chips=chips, one_per=one_per == "patient", other_patients=other_patients
    )


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
