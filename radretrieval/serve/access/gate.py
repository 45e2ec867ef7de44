"""The gate: every request passes it before a route reads anything of it, and every response gets its headers here."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radretrieval import metrics
from radretrieval.serve.access import headers
from radretrieval.serve.access.access import Access, Login
from radretrieval.serve.access.limits import Bodies, too_large
from radretrieval.serve.problems import problem

# What is answered before anyone has logged in.
OPEN = frozenset({"/health/live", "/health/ready", "/login", "/callback"})
STYLE = (".css", ".ico", ".svg")  # of the page, as its login needs them
SMALL_BODY = 2**20  # of what is not an upload
UPLOADS_AT_A_TIME = 4  # of the largest size; of smaller ones more
FORM_BODY = 16 * 1024  # of who has not logged in


class Gate:
    """An ASGI application in front of `app`."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access
        self.options = access.options
        self._bodies = Bodies(UPLOADS_AT_A_TIME * int(access.options.largest_upload))
        self._hosts = headers.own_hosts(access.options)
        self._prefix = urlsplit(access.options.url or "").path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        scope = self._below_prefix(scope)
        status = 0
        begun = time.perf_counter()
        path = scope["path"].removeprefix(self._prefix)
        static = not path.startswith("/api/") and path not in OPEN

        async def secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = MutableHeaders(scope=message)
                file = static and message["status"] in (200, 206, 304)
                # A browser that may keep a page shows it as it was, films and all, to who goes back after the logout.
                shown = self.access.login is not Login.NONE and given.get("content-type", "").startswith("text/html")
                headers.secure(given, self.access.frames, kept=file and not shown)
            await send(message)

        try:
            request = Request(scope, receive)
            if (refusal := await self._refusal(request)) is not None:
                await refusal(scope, receive, secured)
            else:
                with self._bodies.limited(receive, self._largest(request)) as limited:
                    await self.app(scope, limited, secured)
        except Exception:
            if not status:
                await problem(500, "this is a fault of radretrieval; its log shows where")(scope, receive, secured)
            raise
        finally:
            route = getattr(scope.get("route"), "path", "") or "other"  # its form, without any id
            metrics.observe(metrics.REQUEST, time.perf_counter() - begun, scope["method"], route, str(status))

    def _below_prefix(self, scope: Scope) -> Scope:
        """The scope as it is below the path that the proxy has the page at, whether the proxy takes that off or not."""
        path = scope["path"]
        if self._prefix and not path.startswith(f"{self._prefix}/"):
            path = self._prefix + path
        return dict(scope, path=path, root_path=self._prefix, state=dict(scope.get("state") or {}))

    def _largest(self, request: Request) -> int:
        if request.state.caller is None:
            return FORM_BODY
        upload = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
        return int(self.options.largest_upload) if upload else SMALL_BODY

    async def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that may not come in; else None, and `request.state.caller` is who makes it."""
        try:
            self._check_origin(request)
            path = request.scope["path"].removeprefix(self._prefix)
            request.state.caller = caller = await self.access.caller(request)
            if caller is None:
                if path in OPEN or (path.endswith(STYLE) and not path.startswith("/api/")):
                    self._check_length(request)
                    return None
                return self._log_in(request, path)
            self.access.check(request, caller, login=path == "/login")
            self._check_length(request)
        except HTTPException as refused:
            return problem(refused.status_code, str(refused.detail), dict(refused.headers or {}))
        return None

    def _check_origin(self, request: Request) -> None:
        if headers.too_many(request.headers):
            raise HTTPException(431, "the headers of the request are too many or too large")
        if "transfer-encoding" in request.headers and "content-length" in request.headers:
            # A proxy in front may have taken the other one for the length; h11 would go on behind the body.
            raise HTTPException(400, "the request says the length of its body twice", {"Connection": "close"})
        if wrong := headers.wrong_host(request.headers, self._hosts):
            raise HTTPException(421, wrong)
        if not request.scope["path"].removeprefix(self._prefix).startswith("/"):
            raise HTTPException(400, "the request names no path of this service")
        if headers.from_elsewhere(request.method, request.headers, self.options.url):
            raise HTTPException(403, "a page of another origin may not make this request")

    def _check_length(self, request: Request) -> None:
        largest = self._largest(request)
        length = request.headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            raise HTTPException(400, "the header Content-Length is no number")
        if len(length) > 18 or int(length) > largest:
            raise too_large(largest)

    def _log_in(self, request: Request, path: str) -> Response:
        """The way to the login, for a person who opens the page; for all else a refusal."""
        page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        way = self.access.login_for(path, request.scope["query_string"].decode("latin-1"))
        if way is None or not page or path.startswith("/api/"):
            raise HTTPException(401, self.access.login.value)
        return Response(status_code=303, headers={"Location": way})
