"""A small OpenID provider with real keys, in a thread of this process; what it says can be changed to be wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "radret", "s3cret of the client"


@dataclass
class OpenId:
    """The provider.

    Attributes
    ----------
    claims : of the user who logs in next, beside those of the protocol.
    change : what becomes of the claims of a token. signed : what makes the token of claims.
    said : changes of what the provider says of itself. asked : the parameters of each token request.
    """

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=lambda: {"preferred_username": "anna", "groups": ["radiology"]})
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
    signed: Callable[[dict[str, Any]], str] | None = None
    said: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def reset(self) -> None:
        """Be right again."""
        fresh = OpenId(key=self.key)
        self.claims, self.said, self.userinfo, self.asked = fresh.claims, fresh.said, fresh.userinfo, fresh.asked
        self.change, self.signed = fresh.change, None

    def log_in(self, address: str) -> dict[str, str]:
        """Log the user in who follows this address; what the browser brings back to the service."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_hex(8)
        self._codes[code] = query
        return {"code": code, "state": query["state"]}

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """What is answered at this path."""
        if path == "/.well-known/openid-configuration":
            names = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
            said: dict[str, Any] = {name: f"{self.issuer}/{end}" for name, end in names.items()}
            more = {"userinfo_endpoint": f"{self.issuer}/me", "end_session_endpoint": f"{self.issuer}/end"}
            return 200, {"issuer": self.issuer, **said, **more, **self.said}
        if path == "/keys":
            return 200, dict(KeySet([self.key]).as_dict(private=False))
        if path == "/me":
            return 200, self.userinfo
        return self._token(form, authorization)

    def _token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(form)
        begun = self._codes.pop(form.get("code", ""), None)
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if (
            begun is None
            or (unquote(user), unquote(password)) != (CLIENT, SECRET)
            or challenge.rstrip(b"=").decode() != begun["code_challenge"]
            or form["redirect_uri"] != begun["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant", "error_description": SECRET}
        now = int(time.time())
        protocol = {"iss": self.issuer, "aud": CLIENT, "sub": "u-1", "iat": now, "exp": now + 60}
        claims = self.change({**protocol, "nonce": begun["nonce"], **self.claims})
        signed = self.signed or (lambda claims: jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key))
        return 200, {"access_token": "bearer", "token_type": "Bearer", "id_token": signed(claims)}


@contextmanager
def provider() -> Iterator[OpenId]:
    """A provider that answers on a free port."""
    one = OpenId()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
            status, document = one.answer(urlsplit(self.path).path, form, self.headers.get("Authorization") or "")
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        one.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield one
        finally:
            server.shutdown()
            thread.join()
