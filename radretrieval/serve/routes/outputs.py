"""Answers as files and reports, made by the code of the command line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, Form, Response
from pydantic import BaseModel

from radretrieval.errors import UsageError
from radretrieval.results.outputs import AnswerOutputs
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.audit import note
from radretrieval.serve.dependencies import TURN, Served
from radretrieval.serve.form_query import query_of, search_request
from radretrieval.serve.forms import SearchForm, SendForm
from radretrieval.serve.problems import answers
from radretrieval.serve.service import Service

router = APIRouter(prefix="/api", tags=["outputs"], dependencies=[TURN])
Searching = Annotated[User, Depends(require(Role.SEARCH))]
Search = Annotated[SearchForm, Form(media_type="multipart/form-data")]
Send = Annotated[SendForm, Form(media_type="multipart/form-data")]


_IMPORTING = threading.Lock()


class _Kind(NamedTuple):
    suffix: str
    media_type: str


_KINDS = {
    "sr": _Kind(".dcm", "application/dicom"),
    "sc": _Kind(".dcm", "application/dicom"),
    "picture": _Kind(".png", "image/png"),
    "csv": _Kind(".csv", "text/csv; charset=utf-8"),
    "fhir": _Kind(".json", "application/fhir+json"),
}
_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"description": "the file", "content": {kind.media_type.partition(";")[0]: _FILE for kind in _KINDS.values()}}
}


class Sent(BaseModel):
    """What was sent.

    Attributes
    ----------
    said : what each peer has stored, and warned of, in words.
    remarks : hits that were left out, and those that the report could not refer to.
    """

    said: list[str]
    remarks: list[str]


@router.post("/outputs/{kind}", response_class=Response, responses=_FILES | answers(400, 404, 422, 503))
def output(
    kind: Literal["sr", "sc", "picture", "csv", "fhir"], service: Served, user: Searching, form: Search
) -> Response:
    """The answer to a search as a file: DICOM SR, secondary capture, picture, CSV or FHIR bundle."""
    name = f"{kind}{_KINDS[kind].suffix}"
    with TemporaryDirectory(prefix="radretrieval-") as folder:
        path = Path(folder) / name
        outputs = AnswerOutputs()
        setattr(outputs, kind, path)
        with _made(service, user, form, outputs) as detail:
            note(service.database, user.name, "output", kind=kind, **detail)
        data = path.read_bytes()
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    return Response(data, 200, headers, _KINDS[kind].media_type)


@router.post("/send", responses=answers(400, 404, 422, 503))
def send(service: Served, user: Searching, form: Send) -> Sent:
    """Search, and send a report of the answer to the peers that the settings name."""
    if not service.send_to:
        raise UsageError("no peer is set: RADRETRIEVAL_SERVE_STORE_TO or RADRETRIEVAL_SERVE_STOW names one")
    if form.to is not None and form.to not in service.send_to:
        raise UsageError(f"to {form.to}: it is one of: {', '.join(service.send_to)}")
    peers = [name for name in service.send_to if form.to in (None, name)]
    options = service.options
    with TemporaryDirectory(prefix="radretrieval-") as folder:
        outputs = AnswerOutputs(
            sr=Path(folder) / "sr.dcm" if "sr" in form.what else None,
            sc=Path(folder) / "sc.dcm" if "sc" in form.what else None,
            store_to=options.store_to if options.store_to in peers else None,
            stow=options.stow if options.stow in peers else None,
            ae_title=options.ae_title,
        )
        with _made(service, user, form, outputs) as detail:
            detail |= {"to": peers, "what": sorted(set(form.what))}
            note(service.database, user.name, "send", begun=True, **detail)  # a peer may have it where this fails
            said = list(outputs.send(service.settings))
            note(service.database, user.name, "send", **detail)
    return Sent(said=said, remarks=outputs.remarks)


@contextmanager
def _made(service: Service, user: User, form: SearchForm, outputs: AnswerOutputs) -> Iterator[dict[str, Any]]:
    """Search and write the outputs; gives what the audit has of it."""
    query, upload = query_of(service, user, form)
    request = search_request(query, form)
    with _IMPORTING:  # modules of highdicom need each other: threads that import two of them at once get half of one
        import highdicom  # noqa: F401
    with service.searchers.one(form.encoder) as searcher:
        subject = outputs.subject(searcher, request)
        answer = searcher.search(request)
        outputs.write(searcher, answer, subject)
    yield {
        "query_image_id": answer.query_image_id,
        "query_sha256": None if upload is None else upload.sha256.hex(),
        "hits": outputs.recorded["hits"],
    }
