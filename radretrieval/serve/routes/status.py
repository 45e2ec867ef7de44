"""The state of the archive, for programs that watch it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from radretrieval.api.archive import Archive
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.dependencies import Served
from radretrieval.serve.problems import answers

router = APIRouter(prefix="/api", tags=["status"])


@router.get("/status", responses=answers(503))
def status(service: Served, user: Annotated[User, Depends(require(Role.ADMIN))]) -> dict[str, Any]:
    """The document of `radretrieval status --json`."""
    with Archive(service.settings) as archive:
        return archive.status()
