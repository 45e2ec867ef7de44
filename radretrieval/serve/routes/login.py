"""The page to log in, where the service has one."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from radretrieval.serve import rendering
from radretrieval.serve.access.access import Access, Login
from radretrieval.serve.audit import note
from radretrieval.serve.dependencies import Served

router = APIRouter(include_in_schema=False)

PENDING = "radretrieval-login"  # the cookie of a login that was begun at the provider
# A page of ours, relative, with its query; nothing that leads to another host or folder.
_OWN = re.compile(r"[\w.-]*(\?[!\"$-\[\]-~]*)?", re.ASCII)


def _access(request: Request) -> Access:
    access: Access = request.app.state.access
    if access.login not in (Login.USERS, Login.OIDC):
        raise HTTPException(404, "Not Found")
    return access


Entered = Annotated[Access, Depends(_access)]


@router.get("/login")
def login(request: Request, access: Entered) -> Response:
    """The form, or the way to the provider."""
    page = own_page(request.query_params.get("next", ""))
    if getattr(request.state, "caller", None):
        return _go_to(page)
    ended = "ended" in request.query_params
    if access.provider is None or ended:
        return _form(request, page, "ended" if ended else "")
    from radretrieval.serve.access.oidc import KEPT_SECONDS, LoginFailed

    try:
        address, begun = access.provider.begin(page)
    except LoginFailed as error:
        return _form(request, page, "failed", str(error), 503)
    response = Response(status_code=303, headers={"Location": address})
    response.set_cookie(PENDING, begun, max_age=int(KEPT_SECONDS), **access.cookie_options)
    return response


@router.post("/login")
async def log_in(request: Request, access: Entered, service: Served) -> Response:
    """Log in with a name and a password."""
    if access.login is not Login.USERS:
        raise HTTPException(404, "Not Found")
    async with request.form(max_files=0, max_fields=3) as form:
        name, password, page = (str(form.get(field, ""))[:1000] for field in ("name", "password", "next"))
    page = own_page(page)
    shown, address = _shown(name), access.proxies.address(request)
    try:
        entry = await access.log_in(request, name[:65], password)
    except HTTPException as refused:
        return _form(request, page, "many", status=refused.status_code, headers=refused.headers)
    if entry is None:
        await run_in_threadpool(note, service.database, shown, "login refused", address=address)
        return _form(request, page, "wrong", status=401)
    await run_in_threadpool(note, service.database, entry.user.name, "login", address=address)
    response = _go_to(page)
    access.begin(request, response, entry.user, entry.hash)
    return response


@router.get("/callback")
def come_back(request: Request, access: Entered, service: Served) -> Response:
    """Log in with what the provider says of the user who comes back."""
    if access.provider is None:
        raise HTTPException(404, "Not Found")
    from radretrieval.serve.access.oidc import LoginFailed

    address = access.proxies.address(request)
    try:
        user, page = access.provider.finish(dict(request.query_params), request.cookies.get(PENDING, ""))
    except LoginFailed as error:
        note(service.database, "?", "login refused", address=address, reason=str(error))
        response = _form(request, "", "failed", str(error), 403)
    else:
        note(service.database, user.name, "login", address=address)
        response = _go_to(page)
        access.begin(request, response, user)
    response.delete_cookie(PENDING, **access.cookie_options)
    return response


def own_page(page: str) -> str:
    """A page of this service to go to, relative to its first; the first where this is none of ours."""
    return page if _OWN.fullmatch(page) else ""


def _go_to(page: str) -> Response:
    return Response(status_code=303, headers={"Location": f"./{page}"})


def _shown(name: str) -> str:
    """A name that somebody typed, as the audit has it: it may be a password."""
    return name if re.fullmatch(r"[\w.@+-]{1,64}", name) else "?"


def _form(
    request: Request, own: str, message: str = "", more: str = "", status: int = 200, headers: Any = None
) -> Response:
    """The page to log in."""
    users = request.app.state.access.login is Login.USERS
    return rendering.page(request, "login", status, headers, message=message, more=more, next=own, users=users)
