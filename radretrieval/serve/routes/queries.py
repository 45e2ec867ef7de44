"""Files that a user searches with, as long as they are kept: what is known of one, its pixels, its thumbnail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel

from radretrieval.ingest.inbox_worker import keep_file
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.audit import note
from radretrieval.serve.bodies import PIXELS, Accepted, Known, LevelName, bodies, film_pixels, picture
from radretrieval.serve.dependencies import Served
from radretrieval.serve.documents import QueryDocument
from radretrieval.serve.problems import answers
from radretrieval.serve.uploads import Upload


class Kept(BaseModel):
    """The image that the file has become; None where the archive had its film already, or another process makes it."""

    image_id: int | None


router = APIRouter(prefix="/api/queries", tags=["search"])
Searching = Annotated[User, Depends(require(Role.SEARCH))]
Labelling = Annotated[User, Depends(require(Role.LABEL))]
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


@router.post("/{token}/keep", responses=answers(404, 422, 503))
def keep(token: Token, service: Served, user: Labelling) -> Kept:
    """Bring such a file into the archive; its codes follow with `radretrieval work`."""
    upload = service.uploads.get(user.name, token)
    image_id = keep_file(service.database, service.settings, upload.file.data, f"upload of {user.name}")
    note(service.database, user.name, "keep", query_sha256=upload.sha256.hex(), image_id=image_id)
    return Kept(image_id=image_id)


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
