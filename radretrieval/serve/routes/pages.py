"""The pages, as HTML."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from radretrieval.errors import NoEncoder, RadretrievalError
from radretrieval.search.request import Hit
from radretrieval.search.request import Request as SearchRequest
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.analysis import Analysis, ClassCount
from radretrieval.serve.audit import noted
from radretrieval.serve.dependencies import TURN, Served
from radretrieval.serve.problems import not_valid, refusal
from radretrieval.serve.rendering import KEYS, page
from radretrieval.serve.routes.admin import Admin, failures
from radretrieval.serve.routes.analyst import images_of_class
from radretrieval.serve.service import Service

FAILURES, IMAGES, NEIGHBOURS = 20, 24, 6  # of a list


class Page(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of this route, around that of FastAPI."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except HTTPException as error:
                return page(request, self.name, error.status_code, error.headers, problem=str(error.detail))
            except RequestValidationError as error:
                return page(request, self.name, 422, problem=not_valid(error))
            except RadretrievalError as error:
                status, said = refusal(error, request)
                return page(request, self.name, status, problem=said)

        return answer


router = APIRouter(include_in_schema=False, route_class=Page)
Searching = Annotated[User, Depends(require(Role.SEARCH))]
Place = Annotated[int, Query(ge=0, le=2**63 - 1)]


@router.api_route("/", methods=["GET", "HEAD"], name="index")
@router.api_route("/index.html", methods=["GET", "HEAD"], name="index")
def index(request: Request, service: Served) -> Response:
    """The page to search; who may only see the state of the archive is led there."""
    roles = request.state.caller.user.roles
    if Role.ADMIN in roles and Role.SEARCH not in roles:
        return RedirectResponse("it.html", 303)
    require(Role.SEARCH)(request)
    return page(
        request,
        "index",
        label="" if Role.LABEL in roles else "hidden",
        keys=request.cookies.get(KEYS) != "off",
        send_to=service.send_to,
        viewer_url=service.options.viewer_url or "",
    )


@router.get("/it.html", name="it")
def it(
    request: Request,
    user: Admin,
    service: Served,
    reason: Annotated[str | None, Query(max_length=2000)] = None,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """The state of the archive, and what failed for one reason."""
    state = request.app.state.archive_state.get()
    listed = None if reason is None else failures(user, service, reason, FAILURES, offset)
    return page(request, "it", state=state, listed=listed, reason=reason, offset=offset)


@router.get("/analyst.html", name="analyst", dependencies=[TURN])
def analyst(
    request: Request,
    user: Searching,
    service: Served,
    find: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str | None, Query(alias="class", max_length=20)] = None,
    after: Place = 0,
    id: Place | None = None,
) -> Response:
    """Classes and map, the images of one class, and an image with those nearest to it."""
    analysis: Analysis = request.app.state.analysis
    every = analysis.classes().classes
    labels = {one.irma_code: one.label for one in every}
    return page(
        request,
        "analyst",
        **_map(analysis),
        find=find,
        classes=[one for one in every if find.lower() in _text(one)],
        code=code,
        label=labels.get(code),
        listed=None if code is None else images_of_class(user, service, analysis, code, after, IMAGES),
        shown=None if id is None else _shown(service, analysis, user, id, labels),
    )


def _map(analysis: Analysis) -> dict[str, Any]:
    try:
        return {"map": analysis.map()[0], "map_problem": None}
    except NoEncoder as error:
        return {"map": None, "map_problem": str(error)}


def _text(one: ClassCount) -> str:
    """What a class is found by."""
    return " ".join([one.irma_code or "", one.label, *one.words]).lower()


@dataclass(frozen=True)
class Shown:
    """An image: what is known of it, and the images nearest to it, each with what its class is called."""

    id: int
    facts: list[tuple[str, str]]
    near: list[tuple[Hit, str]]


def _shown(service: Service, analysis: Analysis, user: User, id: int, labels: dict[str | None, str]) -> Shown:
    facts = service.read(lambda connection: analysis.facts(connection, id))
    with service.searchers.one() as searcher:
        answer = searcher.search(SearchRequest(query=id, top=NEIGHBOURS))
        with noted(searcher, user, answer):
            near = [(hit, labels.get(hit.irma_code, "")) for hit in answer.hits]
    return Shown(id, list(facts.items()), near)
