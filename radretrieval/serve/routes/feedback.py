"""What users say: which hits are relevant, which labels are wrong."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from radretrieval.archive import feedback, label_reports
from radretrieval.archive.feedback import Opinion
from radretrieval.errors import UsageError
from radretrieval.files.text import printable
from radretrieval.irma.code import normalise
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.dependencies import Served
from radretrieval.serve.forms import ImageId
from radretrieval.serve.problems import answers

router = APIRouter(prefix="/api", tags=["feedback"], responses=answers(400, 404, 422, 503))
Saying = Annotated[User, Depends(require(Role.LABEL))]
PAGE = 1000  # opinions of one answer
Small = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Judgement(BaseModel):
    """A hit of a query, and whether it is relevant; null takes an earlier opinion back.

    id, upload : the query, as the answer names it; of a file that is an image of the archive, the image counts.
    rank, encoder_id, cnnc_distance, rbc_distance : as the answer has them.
    """

    model_config = ConfigDict(extra="forbid")

    id: ImageId | None = None
    upload: Annotated[str, Field(max_length=64)] | None = None
    hit: ImageId
    relevant: bool | None
    rank: Small | None = None
    encoder_id: Small | None = None
    cnnc_distance: Small | None = None
    rbc_distance: Small | None = None


class Opinions(BaseModel):
    """Opinions by number; `next` is the `after` of the following ones, null where these are the last."""

    feedback: list[Opinion]
    next: int | None


class LabelComplaint(BaseModel):
    """A wrong label: the IRMA code that is expected, a remark, or both; neither takes the user's report back."""

    model_config = ConfigDict(extra="forbid")

    image: ImageId
    expected: Annotated[str, Field(max_length=100)] | None = None
    remark: Annotated[str, Field(max_length=2000)] | None = None


@router.post("/feedback", status_code=204)
def give(service: Served, user: Saying, said: Judgement) -> None:
    """Say whether a hit is relevant to a query; the user's last word on it counts."""
    digest = None
    if said.id is None:
        if said.upload is None:
            raise UsageError("name the query: id or upload")
        digest = service.uploads.get(user.name, said.upload).sha256
    numbers = said.encoder_id, said.rank, said.cnnc_distance, said.rbc_distance
    judged = feedback.Judged(said.id, digest, said.hit, *numbers)
    with service.database.connection() as connection:
        feedback.give(connection, user.name, judged, said.relevant)


@router.get("/feedback")
def given(
    service: Served,
    user: Annotated[User, Depends(require(Role.SEARCH))],
    everyone: Annotated[bool, Query(description="Of all users; for admins.")] = False,
    id: Annotated[ImageId | None, Query(description="On the hits of this image only.")] = None,
    after: Annotated[ImageId, Query(description="Those with a larger number.")] = 0,
) -> Opinions:
    """The user's opinions, or everybody's: a thousand at a time."""
    if everyone and Role.ADMIN not in user.roles:
        raise HTTPException(403, f"{user.name} may not do this: it needs the role {Role.ADMIN}")
    who = None if everyone else user.name
    with service.database.connection() as connection:
        found = list(feedback.given(connection, who=who, query=id, after=after, limit=PAGE))
    return Opinions(feedback=found, next=found[-1].id if len(found) == PAGE else None)


@router.post("/labels/reports", status_code=204)
def report(service: Served, user: Saying, said: LabelComplaint) -> None:
    """Report a wrong label; `radretrieval audit labels` lists it until a label of the image changes."""
    expected = normalise(said.expected) if said.expected else None
    remark = printable(said.remark.strip()) if said.remark else None
    with service.database.connection() as connection:
        label_reports.report(connection, user.name, said.image, expected, remark or None)
