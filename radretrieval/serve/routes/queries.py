"""Files that a user searches with, as long as they are kept: what is known of one, its pixels, its thumbnail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.bodies import PIXELS, Accepted, Known, LevelName, bodies, film_pixels, picture
from radretrieval.serve.dependencies import Served
from radretrieval.serve.documents import QueryDocument
from radretrieval.serve.problems import answers
from radretrieval.serve.uploads import Upload

router = APIRouter(prefix="/api/queries", tags=["search"])
Searching = Annotated[User, Depends(require(Role.SEARCH))]
Token = Annotated[str, Path(max_length=64)]


@router.get("/{token}", responses=answers(404, 422))
def query(token: Token, service: Served, user: Searching) -> QueryDocument:
    """What is known of a file that was sent with a search, and how it is shown."""
    return described(service.uploads.get(user.name, token))


@router.get("/{token}/pixels", response_class=Response, responses=bodies("application/octet-stream", PIXELS))
def pixels(
    token: Token,
    service: Served,
    user: Searching,
    level: LevelName = LevelName.FULL,
    accepted: Accepted = "",
    known: Known = None,
) -> Response:
    """The pixels of such a file, full size, half or quarter; compressed by gzip where the request accepts it."""
    film = service.uploads.get(user.name, token).film
    return film_pixels(film.key, level, lambda: film.levels[level.value], accepted, known)


@router.get("/{token}/thumbnail", response_class=Response, responses=bodies("image/png"))
def thumbnail(token: Token, service: Served, user: Searching, known: Known = None) -> Response:
    """A picture of such a file as it is shown first, 8 bits, its longest side at most 256 pixels."""
    return picture(service.uploads.get(user.name, token).film.thumbnail, known)


def described(upload: Upload) -> QueryDocument:
    """What is known of an upload."""
    return QueryDocument(
        name=upload.file.name,
        upload=upload.token,
        image_id=upload.image_id,
        irma_code=upload.irma_code,
        film=upload.film.film.at(f"api/queries/{upload.token}/pixels"),
        problems=upload.problems,
    )
