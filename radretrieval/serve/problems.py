"""Errors as problem documents (RFC 9457), in the words of the command line."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from radretrieval.errors import (
    DatabaseUnavailable,
    EmbeddedServerError,
    EnvironmentUnusable,
    ImageError,
    NotInArchive,
    PrivilegeMissing,
    RadretrievalError,
    SchemaOutdated,
    UsageError,
    WrongPatientKey,
)
from radretrieval.files.text import printable_lines
from radretrieval.logs import Log
from radretrieval.serve.access.user import Role

log = Log(__name__)

MEDIA_TYPE = "application/problem+json"
# These name the database, its role or its tables, which only who runs the service has to know.
_OF_THE_DATABASE = (DatabaseUnavailable, EmbeddedServerError, PrivilegeMissing, SchemaOutdated, WrongPatientKey)
# A command, which stays as it is, or an option of `radretrieval search`: a field of a request has the same name.
_OPTION = re.compile(r"radretrieval [^;,)`]*|(?<![\w-])--([a-z][a-z-]*)")


class Problem(BaseModel):
    """What went wrong: `title` names the status, `detail` says what, why and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A response that says what went wrong; what is not printable in it, of a value that it quotes, is escaped."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=printable_lines(detail))
    return JSONResponse(body.model_dump(), status, headers, media_type=MEDIA_TYPE)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses as problem documents, for the OpenAPI document of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"model": Problem, "content": content} for status in statuses}


def add_handlers(app: FastAPI) -> None:
    """Answer every exception with a problem document."""

    @app.exception_handler(RadretrievalError)
    async def ours(request: Request, error: RadretrievalError) -> JSONResponse:
        return problem(*refusal(error, request))

    @app.exception_handler(RequestValidationError)
    async def of_values(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(422, not_valid(error))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        return problem(500, "this is a fault of radretrieval; its log shows where")


def not_valid(error: RequestValidationError) -> str:
    """What is wrong with the values of a request, each by its place."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())


def refusal(error: RadretrievalError, request: Request) -> tuple[int, str]:
    """The status of an error, and what is said of it to the user; the log has what the environment has to mend."""
    status = status_of(error)
    if status < 500:
        return status, in_fields(str(error))
    log.warning("request_failed", "%(route)s: %(reason)s", route=request.url.path, reason=error)
    return status, _said(error, request)


def in_fields(message: str) -> str:
    """A message of the command line with the names of a request's fields for its options: `one_per` for --one-per."""
    return _OPTION.sub(lambda found: found[1].replace("-", "_") if found[1] else found[0], message)


def _said(error: RadretrievalError, request: Request) -> str:
    """What is said to the user of an error that the environment causes; the log has the whole of it."""
    caller = getattr(request.state, "caller", None)
    if caller is None:  # health, login
        return "the archive cannot be used; the log of the service says why"
    if isinstance(error, _OF_THE_DATABASE) and Role.ADMIN not in caller.user.roles:
        return (
            "the database of the archive cannot be used; try again in a minute, and if that does not help, tell "
            "whoever runs this service: its log says why"
        )
    return str(error)


def status_of(error: RadretrievalError) -> int:
    """The status of an error: 503 what the environment has to mend, 422 an unreadable file, 404 or 400 a request."""
    if isinstance(error, NotInArchive):
        return 404
    if isinstance(error, EnvironmentUnusable):
        return 503
    if isinstance(error, ImageError):
        return 422
    return 400 if isinstance(error, UsageError) else 500
