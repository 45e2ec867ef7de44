"""Classes and the embedding map, for the page of analysts."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel

from radretrieval.archive import classes
from radretrieval.archive.connections import Connection
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.analysis import Analysis, ClassList, Map
from radretrieval.serve.dependencies import Served
from radretrieval.serve.problems import answers

router = APIRouter(prefix="/api", tags=["analysis"], responses=answers(503))
Searcher = Annotated[User, Depends(require(Role.SEARCH))]


def _analysis(request: Request) -> Analysis:
    analysis: Analysis = request.app.state.analysis
    return analysis


Analysed = Annotated[Analysis, Depends(_analysis)]


class ClassImage(BaseModel):
    """An image of a class; `coded` is whether it can be found."""

    id: int
    modality: str | None
    body_part: str | None
    view_position: str | None
    laterality: str | None
    study_date: date | None
    split: str | None
    withdrawn: bool
    coded: bool


class ClassImages(BaseModel):
    """Some images of a class, by id; `next` is the `after` of the page that follows, None after the last."""

    images: list[ClassImage]
    next: int | None


class MapAnswer(BaseModel):
    """The map; None while the first one is computed. `stale` is whether a newer one is being computed."""

    state: Literal["ready", "computing"]
    stale: bool
    map: Map | None


@router.get("/classes")
def all_classes(user: Searcher, analysis: Analysed) -> ClassList:
    """Every class of the archive in words, the largest first, with how many images it has and how many are coded."""
    return analysis.classes()


@router.get("/classes/{code}/images", responses=answers(404, 422))
def images_of_class(
    user: Searcher,
    service: Served,
    analysis: Analysed,
    code: Annotated[str, Path(max_length=20, description="An IRMA code, or `none` for images without a label.")],
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Only images with larger ids.")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ClassImages:
    """Images of one class, by id, a page at a time."""
    wanted = None if code == "none" else code.replace("\0", "")

    def read(connection: Connection) -> list[dict[str, Any]]:
        encoder = analysis.encoder_id(connection)
        return classes.images(connection, wanted, encoder, after=after, limit=limit + 1)

    rows = service.read(read)
    if not rows and not after:
        raise HTTPException(404, f"no image has the IRMA code {code}")
    found = [ClassImage(**row) for row in rows[:limit]]
    return ClassImages(images=found, next=found[-1].id if len(rows) > limit else None)


@router.get("/map")
def embedding_map(user: Searcher, analysis: Analysed) -> MapAnswer:
    """At most 20,000 images as points, near where their codes are near; a first call has it computed, and says so."""
    found, computing = analysis.map()
    return MapAnswer(state="ready" if found else "computing", stale=found is not None and computing, map=found)
