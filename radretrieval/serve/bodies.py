"""Responses whose body is no JSON: pixels and pictures, which browsers keep and ask for again by their ETag."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Any

from fastapi import Header, Response

from radretrieval.serve.films import GZIP
from radretrieval.serve.problems import answers

Known = Annotated[str | None, Header(alias="If-None-Match")]
Accepted = Annotated[str, Header(alias="Accept-Encoding")]

PIXELS = (
    "Of each row the differences d to the left neighbour (of the first pixel to 0), -32768 ≤ d < 32768, in 16 bits as "
    "2 d where d ≥ 0, else -2 d - 1; the low bytes of all rows, then the high bytes of all. A pixel plus `offset` of "
    "the film is the stored value."
)


class LevelName(IntEnum):
    """Full size, half, quarter."""

    FULL = 1
    HALF = 2
    QUARTER = 4


def bodies(media_type: str, description: str = "") -> dict[int | str, dict[str, Any]]:
    """The answers of a route of bytes, for the OpenAPI document."""
    found: dict[str, Any] = {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}
    if description:
        found["description"] = description
    return {200: found, 304: {"description": "what If-None-Match names is the current one"}} | answers(
        401, 403, 404, 422
    )


def picture(png: bytes, known: str | None) -> Response:
    """A PNG; 304 where `known`, the header If-None-Match, names it."""
    headers = _headers(hashlib.sha256(png).hexdigest())
    if _has(known, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(png, 200, headers, "image/png")


def film_pixels(key: str, level: LevelName, read: Callable[[], bytes], accepted: str, known: str | None) -> Response:
    """The pixels of a level of a film, by gzip where the request accepts it; 304 where `known` names them.

    Parameters
    ----------
    key : hash of the film's pixels. read : gives those of the level, as `films.encoded` makes them.
    """
    packed = "gzip" in accepted
    headers = _headers(f"{key}.{level.value}.{'gz' if packed else 'raw'}") | {"Vary": "Accept-Encoding"}
    if _has(known, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    data = read()
    if packed:
        return Response(data, 200, headers | {"Content-Encoding": "gzip"}, "application/octet-stream")
    return Response(zlib.decompress(data, GZIP), 200, headers, "application/octet-stream")


def _headers(tag: str) -> dict[str, str]:
    """For what only this user may keep, and asks for again: an id may get another file, and a session ends."""
    return {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}


def _has(known: str | None, tag: str) -> bool:
    """Whether If-None-Match names a tag."""
    return known is not None and (tag in known or known.strip() == "*")
