"""Requests become queries: a file that comes with one is decoded in a process of its own."""

from __future__ import annotations

import os
from functools import partial

from fastapi import UploadFile

from radretrieval.archive import images
from radretrieval.archive.filters import parse
from radretrieval.errors import ImageError, NotInArchive, UsageError
from radretrieval.files.text import printable
from radretrieval.search.query import Query, QueryFile
from radretrieval.search.request import Request
from radretrieval.search.roi import parse_roi
from radretrieval.serve.access.user import User
from radretrieval.serve.films import received
from radretrieval.serve.forms import QueryForm, RegionForm, SearchForm
from radretrieval.serve.service import Service
from radretrieval.serve.uploads import Upload

FoundQuery = tuple[Query, Upload | None]


def query_of(service: Service, user: User, form: QueryForm) -> FoundQuery:
    """The query that a form names, and the upload that it is.

    Raises
    ------
    UsageError : not exactly one query. NotInArchive : an upload, id or UID that is not there.
    ImageError : a file that cannot be read.
    """
    given = [name for name in QueryForm.model_fields if getattr(form, name) is not None]
    if len(given) != 1:
        raise UsageError(f"name exactly one query: {', '.join(QueryForm.model_fields)}")
    if form.id is not None:
        return form.id, None
    if form.sop is not None or form.study is not None:
        return _image(service, form), None
    if form.upload is not None:
        upload = service.uploads.get(user.name, form.upload)
    else:
        assert form.file is not None
        upload = _received(service, user, form.file)
    return upload.file, upload


def _received(service: Service, user: User, file: UploadFile) -> Upload:
    """A file that came with a request, kept; raises ImageError, which names it, where it cannot be read."""
    name = printable(os.path.basename(file.filename or "") or "file")[:200]
    data = file.file.read()
    try:
        reading = service.decoders.submit(partial(received, data, max_pixels=service.settings.max_pixels))
        radiograph, film = reading.result()
    except ImageError as error:
        raise ImageError(f"{name} {error}") from error
    return service.uploads.add(user.name, QueryFile(name, data, radiograph), film)


def _image(service: Service, form: QueryForm) -> int:
    if form.sop is not None:
        rows = service.read(lambda connection: images.by_sop_instance(connection, [form.sop or ""]))
        if rows:
            return int(min(rows, key=lambda row: (row["hidden_at"] is not None, row["id"]))["id"])
    uid = form.sop or form.study or ""
    found = service.read(lambda connection: images.first_of_study(connection, uid))
    if found is None:
        what = f"SOP Instance UID {uid}, and no study with it" if form.sop is not None else f"Study Instance UID {uid}"
        raise NotInArchive(f"the archive has no image with the {what}")
    return int(found)


def search_request(query: Query, form: SearchForm) -> Request:
    """The request of a form; raises UsageError for a condition or region that is none."""
    return Request(
        query=query,
        top=form.top,
        candidates=form.candidates,
        roi=None if form.roi is None else parse_roi(form.roi),
        roi_method=form.roi_method,
        roi_polarity=form.roi_polarity,
        where=tuple(map(parse, form.where)),
        one_per=form.one_per,
        max_distance=form.max_distance,
        exclude_same_patient=form.exclude_same_patient,
        explain=form.explain,
        relevant=tuple(form.relevant),
        not_relevant=tuple(form.not_relevant),
    )


def region_request(query: Query, form: RegionForm) -> Request:
    """The request of a form; raises UsageError for a region that is none."""
    return Request(query, roi=parse_roi(form.roi), roi_polarity=form.roi_polarity)
