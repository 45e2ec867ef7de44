"""Who the user is, and what the page has to know of the service."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

import radretrieval
from radretrieval.serve.access.access import Access, Caller
from radretrieval.serve.access.user import Role
from radretrieval.serve.audit import note
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


class EndAnswer(BaseModel):
    """Where the browser goes after the session: an address that is relative, or the provider's; none: it stays."""

    next: str | None


@router.get("/api/session")
def session(request: Request, service: Served) -> SessionAnswer:
    """Who the user is, and what the page has to know of the service."""
    options = service.options
    caller: Caller = request.state.caller
    return SessionAnswer(
        user=caller.user.name,
        roles=sorted(caller.user.roles),
        csrf=caller.csrf,
        viewer_url=options.viewer_url,
        send_to=service.send_to,
        languages=["en", "de"],
        largest_upload=options.largest_upload,
        can_log_out=caller.token is not None,
        version=radretrieval.__version__,
    )


@router.post("/api/logout")
def end(request: Request, response: Response, service: Served) -> EndAnswer:
    """End the session; without one, nothing happens."""
    access: Access = request.app.state.access
    caller: Caller = request.state.caller
    if caller.token is None:
        return EndAnswer(next=None)
    access.end(caller, response)
    note(service.database, caller.user.name, "logout")
    elsewhere = access.provider.log_out() if access.provider else None
    return EndAnswer(next=elsewhere or "login?ended=1")
