"""Who the user is, and what the page has to know of the service."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

import radretrieval
from radretrieval.serve.access.user import Role, User, require
from radretrieval.serve.dependencies import Served

router = APIRouter(tags=["session"])


class SessionAnswer(BaseModel):
    """The user, and what their page needs.

    Attributes
    ----------
    csrf : value of the header X-CSRF-Token of what writes.
    viewer_url : link into the site's viewer, with the UIDs as `{StudyInstanceUID}` and `{SOPInstanceUID}`.
    send_to : names of the nodes that reports can be sent to.
    largest_upload : in bytes.
    can_log_out : whether there is a session of this service to end.
    """

    user: str
    roles: list[Role]
    csrf: str
    viewer_url: str | None
    send_to: list[str]
    languages: list[str]
    largest_upload: int
    can_log_out: bool
    version: str


@router.get("/api/session")
def session(request: Request, service: Served, user: Annotated[User, Depends(require(Role.SEARCH))]) -> SessionAnswer:
    """Who the user is, and what the page has to know of the service."""
    options = service.options
    return SessionAnswer(
        user=user.name,
        roles=sorted(user.roles),
        csrf=request.state.caller.csrf,
        viewer_url=options.viewer_url,
        send_to=[],
        languages=["en", "de"],
        largest_upload=options.largest_upload,
        can_log_out=False,
        version=radretrieval.__version__,
    )
