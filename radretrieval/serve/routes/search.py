"""Searches, and regions of a query in its hits."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response

from radretrieval.report.likelihood import percent
from radretrieval.search.duplicates import duplicates
from radretrieval.search.reading import from_reader
from radretrieval.search.request import Answer
from radretrieval.search.request import Request as SearchRequest
from radretrieval.search.searcher import Searcher
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.audit import noted
from radretrieval.serve.dependencies import TURN, Served
from radretrieval.serve.documents import (
    AnswerDocument,
    HitDocument,
    ImageRegion,
    QueryDocument,
    RegionDocument,
    RegionsDocument,
    in_words,
)
from radretrieval.serve.form_query import query_of, region_request, search_request
from radretrieval.serve.forms import RegionForm, SearchForm
from radretrieval.serve.problems import answers
from radretrieval.serve.rendering import page
from radretrieval.serve.routes.images import image
from radretrieval.serve.routes.queries import described
from radretrieval.serve.service import Service
from radretrieval.serve.uploads import Upload

router = APIRouter(prefix="/api", tags=["search"], dependencies=[TURN], responses=answers(400, 404, 422, 503))
Searching = Annotated[User, Depends(require(Role.SEARCH))]
Search = Annotated[SearchForm, Form(media_type="multipart/form-data")]
Region = Annotated[RegionForm, Form(media_type="multipart/form-data")]


@router.post("/search")
def search(service: Served, user: Searching, form: Search) -> AnswerDocument:
    """Find the images most like a query; it is never among its own hits."""
    query, upload = query_of(service, user, form)
    request = search_request(query, form)
    with service.searchers.one(form.encoder) as searcher:
        attempt = partial(_answered, user, request)
        answer, document = from_reader(searcher, attempt) or attempt(searcher)
    return AnswerDocument(**document, query=_query(service, user, answer, upload))


def _answered(user: User, request: SearchRequest, searcher: Searcher) -> tuple[Answer, dict[str, Any]]:
    """An answer that has its row in the audit, and its document."""
    answer = searcher.search(request)
    folded = duplicates(searcher, [hit.image_id for hit in answer.hits])
    with noted(searcher, user, answer):
        document = answer.document()
        document["hits"] = [
            HitDocument(**hit, duplicate_of=folded.get(hit["image_id"]), words=in_words(hit["irma_code"] or ""))
            for hit in document["hits"]
        ]
    return answer, document


@router.post("/answer", include_in_schema=False)
def answer(request: Request, service: Served, user: Searching, form: Search) -> Response:
    """What `search` finds, with all that the page shows of it."""
    found = search(service, user, form.model_copy(update={"explain": True}))
    values = found.model_dump(include={"matched", "hidden", "returned", "requested"})
    values["bits"] = round(found.nearest_distance or 0)
    values["percent"] = percent(found.farther_than or 0)
    values["problems"] = "; ".join(found.query_problems)
    return page(request, "answer", document=found, values=values)


@router.post("/region")
def region(service: Served, user: Searching, form: Region) -> RegionsDocument:
    """Find a region of a query in images, as `search` finds it in hits."""
    query, _ = query_of(service, user, form)
    request = region_request(query, form)
    with service.searchers.one() as searcher:
        found = searcher.regions(request, form.images)
    return RegionsDocument(
        regions=[
            ImageRegion(
                image_id=image_id,
                rows=one.shape and one.shape[0],
                columns=one.shape and one.shape[1],
                roi=None if one.region is None else RegionDocument(**one.region._asdict()),
                error=one.error,
            )
            for image_id, one in zip(form.images, found, strict=True)
        ]
    )


def _query(service: Service, user: User, answer: Answer, upload: Upload | None) -> QueryDocument:
    if upload is not None:
        upload.image_id, upload.irma_code = answer.query_image_id, answer.query_irma_code
        upload.problems = answer.query_problems
        return described(upload)
    image_id = answer.query_image_id
    return QueryDocument(
        name=f"id:{image_id}",
        upload=None,
        image_id=image_id,
        irma_code=answer.query_irma_code,
        film=None if image_id is None else image(image_id, service, user).film,
        problems=answer.query_problems,
    )
