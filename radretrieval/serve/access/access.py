"""Who may use the service: which kind of login it has, and who makes a request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import math
import secrets
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from radretrieval.config import ServeSettings
from radretrieval.errors import UsageError
from radretrieval.serve.access import headers
from radretrieval.serve.access.limits import Rate, network_of
from radretrieval.serve.access.proxy import Proxies
from radretrieval.serve.access.sessions import Sessions
from radretrieval.serve.access.user import LOCAL, User

if TYPE_CHECKING:
    from radretrieval.serve.access.oidc import Provider
    from radretrieval.serve.access.users_file import Entry, UsersFile

WRONG_PASSWORDS = (20, 300.0)  # of one name, and from one address, in so many seconds
HASHES_AT_A_TIME = 2  # each takes 64 MiB


class CookieOptions(TypedDict):
    """How a cookie is set and taken back."""

    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax"]


class Login(Enum):
    """How the service learns who the user is, and what a program that is nobody is answered."""

    NONE = "nobody has to log in"
    PROXY = "the proxy says who the user is, and it named nobody"
    USERS = "log in first: a person at the page `login`, a program by name and password (HTTP Basic)"
    OIDC = "log in first, at the page `login`"


@dataclass(frozen=True)
class Caller:
    """Who makes a request.

    Attributes
    ----------
    csrf : the token that requests of their page which write must have.
    token : of the session that a cookie names; None without one.
    """

    user: User
    csrf: str
    token: str | None = None


class Access:
    """Who may use the service, as its settings say.

    Attributes
    ----------
    login : how the service learns who the user is.
    frames : the sources of frame-ancestors.
    proxies, provider : as the settings name them; no provider without one.
    cookie_options : of every cookie.

    Raises
    ------
    UsageError : settings that let in whoever reaches the service, or that contradict each other.
    """

    def __init__(self, options: ServeSettings) -> None:
        self.options = options
        self.login = _login_of(options)
        try:
            self.frames = headers.ancestors(options)
        except ValueError as error:
            raise UsageError(f"RADRETRIEVAL_SERVE_FRAME_ANCESTORS names {error}, which is no origin") from None
        self.proxies = Proxies(options)
        self.provider = _provider(options) if self.login is Login.OIDC else None
        self._users = _users(options.users_file) if options.users_file else None
        self._sessions = Sessions(options.idle_minutes * 60, options.session_hours * 3600)
        self._requests = Rate(options.requests_per_minute, 60)
        self._failures = Rate(*WRONG_PASSWORDS)
        self._hashing = asyncio.Semaphore(HASHES_AT_A_TIME)
        self._secret = secrets.token_bytes(32)
        url = urlsplit(options.url or "")
        path = f"{url.path.rstrip('/')}/"
        self._tls = url.scheme == "https" or options.tls_cert is not None
        self.cookie_options: CookieOptions = {"path": path, "secure": self._tls, "httponly": True, "samesite": "lax"}
        # A cookie of this name is taken from this host and over TLS only: no other host of the domain can set it.
        self._cookie = "__Host-radretrieval" if self._tls and path == "/" else "radretrieval"

    async def caller(self, request: Request) -> Caller | None:
        """Who makes this request; None for nobody.

        Raises HTTPException where somebody tries too many passwords, or the proxy contradicts itself.
        """
        if self.login is Login.NONE:
            return Caller(LOCAL, self._token_of(LOCAL.name))
        if self.login is Login.PROXY:
            user = self.proxies.user(request)
            return Caller(user, self._token_of(user.name)) if user else None
        if self._users and request.headers.get("authorization", "")[:6].lower() == "basic ":
            return await self._program(request)
        token = request.cookies.get(self._cookie, "")
        return self._session(token, token) if token else None

    def check(self, request: Request, caller: Caller, *, login: bool) -> None:
        """Raise HTTPException for a write without the token of the page, and for too many requests.

        Parameters
        ----------
        login : it is the form to log in, which has no token yet.
        """
        sent = request.headers.get("x-csrf-token", "").encode()
        if (
            request.method not in headers.SAFE_METHODS
            and not login
            and (caller.token or headers.from_browser(request.headers))
            and not hmac.compare_digest(sent, caller.csrf.encode())
        ):
            raise HTTPException(403, "the header X-CSRF-Token is missing or of another session; load the page anew")
        if self.login is not Login.NONE and (wait := self._requests.take(caller.user.name)):
            raise HTTPException(429, "too many requests in a minute", {"Retry-After": f"{math.ceil(wait)}"})

    def login_for(self, path: str, query: str) -> str | None:
        """Where a person logs in who asked for this path; relative, with the way back. None without such a page."""
        if self.login not in (Login.USERS, Login.OIDC):
            return None
        page = path.removeprefix("/") + (f"?{query}" if query else "")
        return "../" * (path.count("/") - 1) + f"login?next={quote(page, safe='')}"

    async def log_in(self, request: Request, name: str, password: str) -> Entry | None:
        """The line of who has this name and password; None for wrong ones.

        Raises
        ------
        HTTPException : 429 after too many of them, of this name or from this address; nothing is compared then.
        """
        async with self._hashing:
            return await self._compared(request, name, password)

    def begin(self, request: Request, response: Response, user: User, proof: str = "") -> None:
        """Begin a session of this user, whose cookie goes with the response; the browser's earlier one ends.

        Parameters
        ----------
        proof : the hash in the users file.
        """
        self._sessions.end(request.cookies.get(self._cookie, ""))
        token = self._sessions.begin(user, proof)
        response.set_cookie(self._cookie, token, **self.cookie_options)

    def end(self, caller: Caller, response: Response) -> None:
        """End the session of this caller, if there is one, and take its cookie and what the browser kept of films."""
        if caller.token:
            self._sessions.end(caller.token)
        response.delete_cookie(self._cookie, **self.cookie_options)
        if self._tls:  # a browser that was reached over plain HTTP ignores it, and says so on its console
            response.headers["Clear-Site-Data"] = '"cache"'

    async def _program(self, request: Request) -> Caller:
        """Who a program is by its name and password, which are compared once in a session.

        Raises HTTPException for wrong ones.
        """
        given = request.headers["authorization"]
        token = hmac.new(self._secret, given.encode(), hashlib.sha256).hexdigest()
        if (known := self._session(token, None)) is not None:
            return known
        try:
            name, _, password = base64.b64decode(given[6:], validate=True).decode().partition(":")
        except ValueError:
            raise HTTPException(400, "the header Authorization cannot be read") from None
        async with self._hashing:
            # requests of the same program, of which another one was first
            if (known := self._session(token, None)) is not None:
                return known
            entry = await self._compared(request, name[:65], password)
        if entry is None:
            raise HTTPException(401, "wrong name or password")
        self._sessions.begin(entry.user, entry.hash, token)
        return Caller(entry.user, self._token_of(entry.user.name))

    async def _compared(self, request: Request, name: str, password: str) -> Entry | None:
        assert self._users is not None
        keys = (f"address {network_of(self.proxies.address(request))}", f"name {name}")
        for key in keys:
            if wait := self._failures.take(key):
                after = {"Retry-After": f"{math.ceil(wait)}"}
                raise HTTPException(429, "too many wrong passwords; wait some minutes", after)
        entry = await run_in_threadpool(self._users.check, name, password)
        if entry is not None:
            for key in keys:
                self._failures.give_back(key)
        return entry

    def _session(self, token: str, cookie: str | None) -> Caller | None:
        """The caller whose session this is; with a users file, as the file is now."""
        session = self._sessions.find(token)
        if session is None:
            return None
        user = session.user
        if self._users:
            entry = self._users.entry(user.name)
            if entry is None or entry.hash != session.proof:
                self._sessions.end(token)
                return None
            user = entry.user
        return Caller(user, session.csrf, cookie)

    def _token_of(self, name: str) -> str:
        """A token for who has no session of ours."""
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()


def _provider(options: ServeSettings) -> Provider:
    from radretrieval.serve.access.oidc import Provider

    return Provider(options)


def _users(path: Path) -> UsersFile:
    from radretrieval.serve.access.users_file import UsersFile

    return UsersFile(path)


def _login_of(options: ServeSettings) -> Login:
    """How the service learns who the user is.

    Raises
    ------
    UsageError : in several ways, in half of one, or not at all on an address that others reach.
    """
    ways = {Login.PROXY: options.user_header, Login.USERS: options.users_file, Login.OIDC: options.oidc_issuer}
    chosen = [way for way, setting in ways.items() if setting]
    if len(chosen) > 1:
        raise UsageError(
            "RADRETRIEVAL_SERVE_USER_HEADER, _USERS_FILE and _OIDC_ISSUER are ways to log in, of which a service has "
            "one; unset the others"
        )
    if not chosen and not headers.is_loopback(options.host):
        raise UsageError(
            f"on {options.host or 'all addresses'} whoever reaches this machine would see every film. Name who may: "
            "RADRETRIEVAL_SERVE_USER_HEADER with _PROXIES (a proxy says who it is), _OIDC_ISSUER (an OpenID "
            "provider), or _USERS_FILE (`radretrieval users add`); or listen on 127.0.0.1"
        )
    if options.user_header and not options.proxies:
        raise UsageError(
            "RADRETRIEVAL_SERVE_USER_HEADER needs RADRETRIEVAL_SERVE_PROXIES, the addresses that may send it: "
            "from any other one it could be forged"
        )
    if options.url and urlsplit(options.url).scheme not in ("http", "https"):
        raise UsageError("RADRETRIEVAL_SERVE_URL is an address as https://radret.hospital.example/")
    if options.tls_key and not options.tls_cert:
        raise UsageError("--tls-key needs --tls-cert")
    return chosen[0] if chosen else Login.NONE
