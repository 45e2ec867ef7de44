"""Logging in at an OpenID provider: authorization code flow with PKCE, state and nonce."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization

from radretrieval.config import ServeSettings
from radretrieval.errors import UsageError
from radretrieval.serve.access.headers import is_loopback
from radretrieval.serve.access.user import User, roles_of

SECONDS = 10.0  # for an answer of the provider
KEPT_SECONDS = 600.0  # what the provider says of itself; also how long a login may take
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LONGEST_NAME = 200


class LoginFailed(Exception):
    """The provider let nobody in, or what it sent is not to be trusted; the message is for the user."""


@dataclass(frozen=True)
class Begun:
    """A login that was begun; it comes back in a cookie of the browser that began it.

    Attributes
    ----------
    page : where the user goes afterwards.
    until : seconds of the epoch.
    """

    state: str
    nonce: str
    verifier: str
    page: str
    until: float


class Provider:
    """The OpenID provider that the settings name.

    Raises
    ------
    UsageError : settings that are missing or cannot be used.
    """

    def __init__(self, options: ServeSettings) -> None:
        self._options = options
        self._issuer = options.oidc_issuer or ""
        self._redirect = f"{(options.url or '').rstrip('/')}/callback"
        if not options.oidc_client or not options.url:
            raise UsageError(
                "RADRETRIEVAL_SERVE_OIDC_ISSUER needs _OIDC_CLIENT, the client id at the provider, and _URL, the "
                "address of this service, to which the provider sends users back"
            )
        _check_address(self._issuer)
        self._secret = None
        if options.oidc_secret_file:
            try:
                self._secret = options.oidc_secret_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"RADRETRIEVAL_SERVE_OIDC_SECRET_FILE cannot be read: {error}") from None
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._said: tuple[float, dict[str, Any]] | None = None

    def begin(self, page: str) -> tuple[str, str]:
        """Begin a login; returns the provider's address for the browser, and the cookie that it brings back.

        Raises LoginFailed where the provider does not answer.
        """
        until = time.time() + KEPT_SECONDS
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        begun = Begun(state, nonce, verifier, page, until)
        address, _ = self._client().create_authorization_url(
            self._endpoint("authorization_endpoint"),
            state=begun.state,
            nonce=begun.nonce,
            code_verifier=begun.verifier,
        )
        body = base64.urlsafe_b64encode(json.dumps(asdict(begun)).encode()).decode()
        return address, f"{body}.{self._sign(body)}"

    def finish(self, answer: dict[str, str], cookie: str) -> tuple[User, str]:
        """The user who comes back with this answer of the provider, and the page that they go to.

        Raises LoginFailed.
        """
        begun = self._begun(cookie)
        if begun is None or not hmac.compare_digest(answer.get("state", "").encode(), begun.state.encode()):
            raise LoginFailed("this login was begun elsewhere or too long ago; begin it anew")
        if answer.get("iss", self._issuer) != self._issuer or not answer.get("code"):
            raise LoginFailed("the provider let nobody in")
        try:
            token = self._client().fetch_token(
                self._endpoint("token_endpoint"),
                code=answer["code"],
                code_verifier=begun.verifier,
                timeout=SECONDS,
                allow_redirects=False,
            )
            keys = KeySet.import_key_set(cast(KeySetSerialization, self._fetch(self._endpoint("jwks_uri"))))
            claims = jwt.decode(token["id_token"], keys, algorithms=ALGORITHMS).claims
            self._check(claims, begun.nonce)
        except (OAuthError, JoseError, requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise LoginFailed(f"the provider's answer cannot be used ({type(error).__name__})") from None
        return self._user(self._more(claims, token.get("access_token"))), begun.page

    def log_out(self) -> str | None:
        """Where the browser goes to end the session at the provider too, if it has such an address."""
        try:
            address = self._metadata().get("end_session_endpoint")
        except LoginFailed:
            return None
        back = {
            "client_id": self._options.oidc_client,
            "post_logout_redirect_uri": f"{self._redirect[:-8]}login?ended=1",
        }
        return f"{address}?{urlencode(back)}" if isinstance(address, str) else None

    def _client(self) -> OAuth2Session:
        ways = self._metadata().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        way = "client_secret_basic" if "client_secret_basic" in ways else "client_secret_post"
        return OAuth2Session(
            self._options.oidc_client,
            self._secret,
            token_endpoint_auth_method=way if self._secret else "none",
            scope=self._options.oidc_scopes,
            redirect_uri=self._redirect,
            code_challenge_method="S256",
        )

    def _metadata(self) -> dict[str, Any]:
        """What the provider says of itself."""
        with self._lock:
            if self._said is None or time.monotonic() - self._said[0] > KEPT_SECONDS:
                try:
                    said = self._fetch(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                except (requests.RequestException, ValueError) as error:
                    raise LoginFailed(f"the provider cannot be reached ({type(error).__name__})") from None
                if said.get("issuer") != self._issuer:
                    raise LoginFailed("the provider calls itself otherwise than RADRETRIEVAL_SERVE_OIDC_ISSUER")
                self._said = (time.monotonic(), said)
            return self._said[1]

    def _endpoint(self, name: str) -> str:
        address = self._metadata().get(name)
        try:
            _check_address(str(address))
        except UsageError:
            raise LoginFailed(f"the provider names no usable {name}") from None
        return str(address)

    def _fetch(self, address: str, bearer: str | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        response = requests.get(address, headers=headers, timeout=SECONDS, allow_redirects=False)
        response.raise_for_status()
        found = response.json()
        if response.status_code != 200 or not isinstance(found, dict):
            raise ValueError("no JSON object")
        return found

    def _check(self, claims: dict[str, Any], nonce: str) -> None:
        """Raise JoseError for a token that is not for us, not of this login, or not of now."""
        client = self._options.oidc_client or ""
        jwt.JWTClaimsRegistry(
            leeway=60,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": client},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
            azp={"essential": isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1, "value": client},
        ).validate(claims)

    def _more(self, claims: dict[str, Any], bearer: str | None) -> dict[str, Any]:
        """The claims, with those of the userinfo endpoint where the token has no groups."""
        if _at(claims, self._options.oidc_groups) is not None or not bearer:
            return claims
        if not self._metadata().get("userinfo_endpoint"):
            return claims
        try:
            more = self._fetch(self._endpoint("userinfo_endpoint"), bearer)
        except (requests.RequestException, ValueError) as error:
            raise LoginFailed(f"the provider does not say who this is ({type(error).__name__})") from None
        if more.get("sub") != claims["sub"]:
            raise LoginFailed("the provider speaks of another user")
        return {**more, **claims}

    def _user(self, claims: dict[str, Any]) -> User:
        name = claims.get(self._options.oidc_user) or claims["sub"]
        if not isinstance(name, str) or not name.isprintable() or len(name) > LONGEST_NAME:
            raise LoginFailed(f"the claim {self._options.oidc_user} is no name")
        groups = _at(claims, self._options.oidc_groups)
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return User(name, roles_of([one for one in listed if isinstance(one, str)], self._options))

    def _begun(self, cookie: str) -> Begun | None:
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(body).encode()):
            return None
        begun = Begun(**json.loads(base64.urlsafe_b64decode(body)))
        return begun if begun.until > time.time() else None

    def _sign(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), hashlib.sha256).hexdigest()


def _check_address(address: str) -> None:
    """Raise UsageError for an address over which a login could be read or changed."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise UsageError(f"the OpenID provider {address} is not reached by https")


def _at(claims: dict[str, Any], path: str) -> Any:
    """The claim of this name, else what the path of names leads to; None where there is neither."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
