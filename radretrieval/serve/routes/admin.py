"""The state of the archive, for the page of IT."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from radretrieval.archive import operation
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.archive_state import ArchiveState, State
from radretrieval.serve.dependencies import Served
from radretrieval.serve.problems import answers

router = APIRouter(prefix="/api/admin", tags=["admin"], responses=answers(503))
Admin = Annotated[User, Depends(require(Role.ADMIN))]


def _state(request: Request) -> ArchiveState:
    state: ArchiveState = request.app.state.archive_state
    return state


class Failed(BaseModel):
    """A file that failed, named by the beginning of its SHA-256, or an image (`id:7`); `reason` has nothing of it."""

    stage: str
    name: str | None
    error: str
    reason: str
    attempts: int
    last_at: datetime


class FailedPage(BaseModel):
    """Some of the failures, the last first; `next` is the offset of the page that follows, None after the last."""

    failures: list[Failed]
    next: int | None


@router.get("")
def state(user: Admin, archive_state: Annotated[ArchiveState, Depends(_state)]) -> State:
    """Counts, queues, failures, sessions, encoders, disks and versions, and what to do about what is wrong."""
    return archive_state.get()


@router.get("/failures", responses=answers(422))
def failures(
    user: Admin,
    service: Served,
    reason: Annotated[str | None, Query(max_length=2000, description="Only those of this reason.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> FailedPage:
    """What failed, a page at a time: no path, no name; those are in the tables ingest_failure and coding_failure."""
    wanted = None if reason is None else reason.replace("\0", "")
    rows = service.read(lambda connection: operation.failures(connection, limit + 1, offset, wanted))
    found = [Failed(**row) for row in rows[:limit]]
    return FailedPage(failures=found, next=offset + limit if len(rows) > limit else None)
