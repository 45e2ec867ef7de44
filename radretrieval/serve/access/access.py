"""Who may use the service: which kind of login it has, and who makes a request."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request

from radretrieval.config import ServeSettings
from radretrieval.errors import UsageError
from radretrieval.serve.access import headers
from radretrieval.serve.access.limits import Rate
from radretrieval.serve.access.user import LOCAL, User


@dataclass(frozen=True)
class Caller:
    """Who makes a request, and the token that requests of their page which write must have."""

    user: User
    csrf: str


class Access:
    """Who may use the service, as its settings say.

    Attributes
    ----------
    frames : the sources of frame-ancestors.
    has_login : whether there is a page to log in.
    how_to_log_in : for a program that is nobody.

    Raises
    ------
    UsageError : settings that let in whoever reaches the service, or that contradict each other.
    """

    has_login = False
    how_to_log_in = "log in first"

    def __init__(self, options: ServeSettings) -> None:
        self.options = options
        self._secret = secrets.token_bytes(32)
        self._requests = Rate(options.requests_per_minute, 60)
        try:
            self.frames = headers.ancestors(options)
        except ValueError as error:
            raise UsageError(f"RADRETRIEVAL_SERVE_FRAME_ANCESTORS names {error}, which is no origin") from None
        if not headers.is_loopback(options.host):
            raise UsageError(
                f"{options.host or 'all addresses'}: whoever reaches it would see every film; listen on 127.0.0.1"
            )

    async def caller(self, request: Request) -> Caller | None:
        """Who makes this request; None for nobody."""
        return Caller(LOCAL, self._token_of(LOCAL.name))

    def check_caller(self, request: Request, caller: Caller, *, login: bool) -> None:
        """Raise HTTPException for a write without the token of the page, and for too many requests.

        Parameters
        ----------
        login : it is the form to log in, which has no token yet.
        """
        sent = request.headers.get("x-csrf-token", "").encode()
        if (
            request.method not in headers.SAFE_METHODS
            and not login
            and headers.from_browser(request.headers)
            and not hmac.compare_digest(sent, caller.csrf.encode())
        ):
            raise HTTPException(403, "the header X-CSRF-Token is missing or of another session; load the page anew")
        if caller.user is not LOCAL and (wait := self._requests.take(caller.user.name)):
            raise HTTPException(429, "too many requests in a minute", {"Retry-After": f"{wait:.0f}"})

    def login_for(self, request: Request) -> str:
        """Where a person logs in, and comes back from to the page of this request; relative."""
        raise NotImplementedError

    def _token_of(self, name: str) -> str:
        """A token for who has no session of ours."""
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()
