"""Images of the archive: what is known of one, its pixels, its thumbnail, and pictures of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from pydantic import BaseModel

from radretrieval.archive import images
from radretrieval.errors import ImageError
from radretrieval.files.uris import is_hidden
from radretrieval.imaging.display import Window
from radretrieval.irma.tree import describe
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.bodies import PIXELS, Accepted, Known, LevelName, bodies, film_pixels, picture
from radretrieval.serve.dependencies import TURN, Served
from radretrieval.serve.film import Film
from radretrieval.serve.films import level_for, rendered
from radretrieval.serve.presets import presets
from radretrieval.serve.problems import answers
from radretrieval.serve.service import Service
from radretrieval.storage.source import SourceFile

router = APIRouter(tags=["images"])

ImageId = Annotated[int, Path(ge=0, le=2**63 - 1)]
Searcher = Annotated[User, Depends(require(Role.SEARCH))]

_RENDERING = threading.BoundedSemaphore(2)  # pictures at a time: of a mammogram one takes 250 MB
_WINDOW = r"^-?[0-9]{1,7}(\.[0-9]{1,6})?,[0-9]{1,7}(\.[0-9]{1,6})?$"


class ImageRow(BaseModel):
    """What the archive knows of an image.

    uri : where its file is; None where paths are hidden.
    code_words : the code in words: technique, direction, anatomy, biosystem.
    patient_key : the pseudonym of the patient.
    film : how it is shown; None where it cannot be read, as `problem` says.
    """

    id: int
    uri: str | None
    format: str
    rows: int
    columns: int
    bits_stored: int
    photometric: str
    irma_code: str | None
    code_words: tuple[str, str, str, str] | None
    split: str | None
    patient_key: str | None
    modality: str | None
    body_part: str | None
    view_position: str | None
    laterality: str | None
    withdrawn: bool
    sop_instance_uid: str | None
    series_instance_uid: str | None
    study_instance_uid: str | None
    sop_class_uid: str | None
    frame: int
    same_uid: bool
    study_date: date | None
    manufacturer: str | None
    row_spacing: float | None
    column_spacing: float | None
    kvp: float | None
    exposure: float | None
    flat: bool | None
    header: dict[str, str] | None
    gone_at: datetime | None
    film: Film | None
    problem: str | None


@router.get("/api/images/{image_id}", responses=answers(401, 403, 404, 422))
def image(image_id: ImageId, service: Served, user: Searcher) -> ImageRow:
    """What the archive knows of an image, and how it is shown."""
    row = _row(service, image_id)
    film, problem = None, None
    try:
        with _named(image_id):
            film = service.films.film(_file(row)).film.at(f"api/images/{image_id}/pixels")
    except ImageError as error:
        problem = str(error)
    code = row["irma_code"]
    if film is not None:  # labels may say more than the file
        film.presets = presets(film, row["modality"], row["body_part"], code)
    shown = {"uri": None if is_hidden(row["uri"]) else row["uri"], "code_words": describe(code) if code else None}
    return ImageRow(**{**row, **shown}, film=film, problem=problem)


@router.get(
    "/api/images/{image_id}/pixels", response_class=Response, responses=bodies("application/octet-stream", PIXELS)
)
def pixels(
    image_id: ImageId,
    service: Served,
    user: Searcher,
    level: LevelName = LevelName.FULL,
    accept_encoding: Accepted = "",
    known: Known = None,
) -> Response:
    """The pixels of an image, full size, half or quarter; compressed by gzip where the request accepts it."""
    file = _file(_row(service, image_id))
    with _named(image_id):
        film = service.films.film(file)
        read = partial(service.films.pixels, file, film, level.value)
        return film_pixels(film.key, level, read, accept_encoding, known)


@router.get("/api/images/{image_id}/thumbnail", response_class=Response, responses=bodies("image/png"))
def thumbnail(image_id: ImageId, service: Served, user: Searcher, known: Known = None) -> Response:
    """A picture of an image as it is shown first, 8 bits, its longest side at most 256 pixels."""
    file = _file(_row(service, image_id))
    with _named(image_id):
        return picture(service.films.thumbnail(file), known)


@router.get(
    "/api/images/{image_id}/rendered", response_class=Response, responses=bodies("image/png"), dependencies=[TURN]
)
def render(
    image_id: ImageId,
    service: Served,
    user: Searcher,
    window: Annotated[str | None, Query(pattern=_WINDOW, description="centre,width in modality values")] = None,
    size: Annotated[int, Query(ge=16, le=8192, description="of the longest side, in pixels, at most")] = 1024,
    known: Known = None,
) -> Response:
    """A picture of an image, 8 bits: as it is shown first, or by a window (PS3.3 C.11.2.1.2, LINEAR)."""
    chosen = None
    if window is not None:
        centre, width = map(float, window.split(","))
        chosen = Window(centre, width)
        if chosen.width < 1:
            raise HTTPException(422, f"the window is {window}, and the width of a window is at least 1")
    file = _file(_row(service, image_id))
    with _named(image_id):
        film = service.films.film(file)
        level = level_for(film.film, size)
        data = service.films.pixels(file, film, level.level)
    with _RENDERING:
        png = rendered(film.film, level, data, size, chosen)
    return picture(png, known)


def _row(service: Service, image_id: int) -> dict[str, Any]:
    row = service.read(lambda connection: images.row(connection, image_id))
    if row is None:
        raise HTTPException(404, service.read(lambda connection: images.absent(connection, image_id)))
    return row


def _file(row: dict[str, Any]) -> SourceFile:
    return SourceFile(row["uri"], bytes(row["sha256"]))


@contextmanager
def _named(image_id: int) -> Iterator[None]:
    """Have an ImageError name the image."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"image {image_id} {error}") from error
