"""Logging in at an OpenID provider, and what is not believed of it."""

from __future__ import annotations

import base64
import hmac
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from databases import Server
from entering import Served, serving
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import RSAKey
from openid import CLIENT, SECRET, OpenId, provider

from radretrieval.config import Settings

OTHER = RSAKey.generate_key(2048, {"kid": "one"})


@pytest.fixture(scope="module")
def served(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    with server.database(template=migrated_template) as url, serving(Settings(home=home, database_url=url)) as serve:
        yield serve


@pytest.fixture(scope="module")
def only() -> Iterator[OpenId]:
    with provider() as one:
        yield one


@pytest.fixture
def openid(only: OpenId) -> OpenId:
    only.reset()
    return only


@pytest.fixture
def client(served: Served, openid: OpenId, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return new_client(served, openid, tmp_path_factory)


def new_client(served: Served, openid: OpenId, folders: pytest.TempPathFactory, **options: Any) -> TestClient:
    secret = folders.getbasetemp() / "client-secret"
    secret.write_text(f"{SECRET}\n")
    return served(
        base="https://radret.example",
        url="https://radret.example/",
        oidc_issuer=openid.issuer,
        oidc_client=CLIENT,
        oidc_secret_file=secret,
        label_groups="radiology",
        admin_groups="it",
        **options,
    )


def begin(client: TestClient, page: str = "") -> str:
    asked = client.get("/login", params={"next": page})
    assert asked.status_code == 303
    return asked.headers["location"]


def test_a_user_logs_in_at_the_provider_and_out(client: TestClient, openid: OpenId) -> None:
    asked = client.get("/?id=7", headers={"Accept": "text/html"}).headers["location"]
    address = client.get(f"/{asked}").headers["location"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert address.startswith(f"{openid.issuer}/auth?")
    assert query["redirect_uri"] == "https://radret.example/callback"
    assert query["scope"] == "openid profile"
    assert SECRET not in address
    back = openid.log_in(address)
    # The provider's page leads back to us: a browser says so, and the cookie comes with it.
    came = client.get("/callback", params=back, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert (came.status_code, came.headers["location"]) == (303, "./?id=7")
    session = client.get("/api/session").json()
    assert (session["user"], session["roles"]) == ("anna", ["label", "search"])
    out = client.post("/api/logout", headers={"X-CSRF-Token": session["csrf"]})
    assert out.json()["next"].startswith(
        f"{openid.issuer}/end?client_id=radret&post_logout_redirect_uri=https%3A%2F%2F"
    )
    assert out.headers["clear-site-data"] == '"cache"'
    assert client.get("/api/session").status_code == 401
    assert "have logged out" in client.get("/login?ended=1").text
    assert client.get("/callback", params=back).status_code == 403  # once only


def test_groups_come_from_a_path_or_from_userinfo(
    served: Served, openid: OpenId, tmp_path_factory: pytest.TempPathFactory
) -> None:
    client = new_client(served, openid, tmp_path_factory, oidc_groups="realm_access.roles")
    openid.claims = {"realm_access": {"roles": ["it"]}}
    client.get("/callback", params=openid.log_in(begin(client)))
    session = client.get("/api/session").json()
    assert (session["user"], session["roles"]) == ("u-1", ["admin", "search"])
    openid.claims = {}
    openid.userinfo = {"sub": "u-1", "preferred_username": "otto", "realm_access": {"roles": "radiology"}}
    client.cookies.clear()
    client.get("/callback", params=openid.log_in(begin(client)))
    session = client.get("/api/session").json()
    assert (session["user"], session["roles"]) == ("otto", ["label", "search"])
    openid.userinfo["sub"] = "u-2"
    client.cookies.clear()
    assert client.get("/callback", params=openid.log_in(begin(client))).status_code == 403


def signed_by(algorithm: str, secret: bytes, claims: dict[str, Any]) -> str:
    """A token by hand: libraries refuse to make these."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    parts = ({"alg": algorithm, "kid": "one"}, claims)
    body = ".".join(part(json.dumps(one).encode()) for one in parts)
    return f"{body}.{part(hmac.new(secret, body.encode(), 'sha256').digest()) if secret else ''}"


def test_a_token_that_is_wrong_lets_nobody_in(
    client: TestClient, openid: OpenId, caplog: pytest.LogCaptureFixture
) -> None:
    public = openid.key.as_pem(private=False)
    changes: list[dict[str, Any]] = [
        {"aud": "another"},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"aud": [CLIENT, "another"]},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"exp": None},
        {"iat": 2**40},
        {"nonce": "of another login"},
        {"nonce": None},
        {"sub": None},
        {"preferred_username": ["anna"]},
        {"preferred_username": "an\nna"},
        {"preferred_username": "x" * 201},
    ]
    signers = [
        lambda claims: signed_by("none", b"", claims),
        lambda claims: jwt.encode({"alg": "RS256", "kid": "one"}, claims, OTHER),
        lambda claims: signed_by("HS256", public, claims),
        lambda claims: "no token",
    ]
    with caplog.at_level(logging.DEBUG):
        for change in changes:
            openid.change = lambda claims, change=change: {
                name: value for name, value in {**claims, **change}.items() if value is not None
            }
            answer = client.get("/callback", params=openid.log_in(begin(client)))
            assert answer.status_code == 403, change
            assert "set-cookie" not in answer.headers or "__Host-radretrieval=" not in answer.headers["set-cookie"]
            assert SECRET not in answer.text
        openid.reset()
        for signed in signers:
            openid.signed = signed
            assert client.get("/callback", params=openid.log_in(begin(client))).status_code == 403
        assert client.get("/api/session").status_code == 401
    assert SECRET not in caplog.text


def test_a_login_that_another_browser_began_lets_nobody_in(client: TestClient, openid: OpenId) -> None:
    """An attacker's own code, brought to a victim's browser, would log the victim in as the attacker."""
    back = openid.log_in(begin(client))
    cookie = client.cookies["radretrieval-login"]
    client.cookies.clear()
    assert client.get("/callback", params=back).status_code == 403
    begin(client)
    assert client.get("/callback", params=back).status_code == 403  # the state is that of the other login
    forged = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
    for value in (forged, "", ".", "x.y"):
        headers = {"Cookie": f"radretrieval-login={value}"}
        client.cookies.clear()
        assert client.get("/callback", params=back, headers=headers).status_code == 403
    assert not openid.asked  # the code went to nobody
    assert client.get("/callback", params={"error": "access_denied", "state": "x"}).status_code == 403


def test_a_provider_that_cannot_be_believed_is_not_asked(
    served: Served, openid: OpenId, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for number, said in enumerate(
        ({"issuer": "https://evil.example"}, {"authorization_endpoint": "http://evil.example/auth"})
    ):
        openid.said = said
        client = new_client(served, openid, tmp_path_factory, session_hours=1 + number)
        answer = client.get("/login")
        assert answer.status_code == 503
        assert "evil" not in answer.text
    openid.said = {"end_session_endpoint": None}
    assert client.get("/health/live").status_code == 200
