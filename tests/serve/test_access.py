"""Who may come in: the proxy's header, users in a file, sessions; what each role may; what is refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from argon2 import PasswordHasher
from databases import Server
from entering import Served, serving
from fastapi.testclient import TestClient

from radretrieval.archive.connections import Database
from radretrieval.config import ServeSettings, Settings
from radretrieval.errors import UsageError
from radretrieval.serve.access.access import Access
from radretrieval.serve.access.sessions import Sessions
from radretrieval.serve.access.user import LOCAL, Role
from radretrieval.serve.access.users_file import UsersFile, add
from radretrieval.serve.rendering import language_of
from radretrieval.serve.routes.login import own_page

PASSWORD = "correct horse battery"
PROXY = {"user_header": "X-Remote-User", "groups_header": "X-Groups", "proxies": "10.0.0.0/24"}
GROUPS = {"search_groups": "radiology", "label_groups": "radiology-lead", "admin_groups": "it"}


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Hashes that cost a millisecond, and fewer wrong passwords."""
    hasher = PasswordHasher(time_cost=1, memory_cost=64)
    with (
        patch("radretrieval.serve.access.users_file._HASHER", hasher),
        patch("radretrieval.serve.access.access.WRONG_PASSWORDS", (6, 90.0)),
    ):
        yield


@pytest.fixture(scope="module")
def url(server: Server, migrated_template: str) -> Iterator[str]:
    with server.database(template=migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
def served(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(Settings(home=tmp_path_factory.mktemp("home"), database_url=url)) as serve:
        yield serve


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A users file: anna may search, otto may do everything."""
    path = tmp_path_factory.mktemp("users") / "users"
    add(path, "anna", PASSWORD, [Role.SEARCH])
    add(path, "otto", PASSWORD + "!", list(Role))
    return path


def log_in(client: TestClient, name: str = "anna", password: str = PASSWORD, page: str = "", **headers: str) -> Any:
    return client.post("/login", data={"name": name, "password": password, "next": page}, headers=headers)


def audited(url: str) -> list[tuple[str, str]]:
    with Database(url).connection() as connection:
        rows = connection.execute("SELECT who, action FROM radretrieval.audit ORDER BY id").fetchall()
    return [(row["who"], row["action"]) for row in rows]


# Which roles a group gives, and what each may.


@pytest.mark.parametrize(
    ("groups", "may"),
    [
        ("", set()),
        ("cardiology", set()),
        ("radiology", {"search"}),
        ("cardiology, radiology-lead", {"label"}),
        ("it,radiology", {"search", "admin"}),
        ("Radiology", set()),
        ("radiology-lead-deputy", set()),
    ],
)
def test_each_role_opens_its_routes_and_no_other(served: Served, groups: str, may: set[str]) -> None:
    client = served(client=("10.0.0.9", 1), **PROXY, **GROUPS)
    headers = {"X-Remote-User": "anna", "X-Groups": groups}
    assert client.get("/api/session", headers=headers).json()["roles"] == sorted(may)
    for role in Role:
        answer = client.get(f"/api/of/{role}", headers=headers)
        assert answer.status_code == (200 if role in may else 403), role
        if role in may:
            assert answer.json() == "anna"


def test_every_route_of_data_needs_a_user(served: Served, users: Path) -> None:
    """Whatever routes there are: who has not logged in gets an answer from none but these."""
    client = served(users_file=users)
    document = served().get("/api/openapi.json").json()
    assert client.get("/api/openapi.json").status_code == 401
    assert len(document["paths"]) > 5
    for path, methods in document["paths"].items():
        for method in methods:
            answer = client.request(method, path.replace("{", "").replace("}", ""))
            assert answer.status_code == (200 if path.startswith("/health/") else 401), (method, path)
    for path in ("/", "/app.js", "/nothing"):
        assert client.get(path).status_code == 401
    assert client.get("/login.css").status_code == 200
    assert client.get("/api/x.css").status_code == 401


def test_every_route_of_data_names_a_role(served: Served) -> None:
    """A user of no group gets data from no route."""
    document = served().get("/api/openapi.json").json()
    client = served(client=("10.0.0.9", 1), **PROXY, **GROUPS)
    own = ("/health/", "/api/session", "/api/logout")
    parts = {path: ["get"] for path in ("/", "/it.html", "/analyst.html", "/api/filters")} | {"/api/answer": ["post"]}
    for path, methods in (document["paths"] | parts).items():
        for method in methods:
            answer = client.request(method, path.replace("{", "").replace("}", ""), headers={"X-Remote-User": "nobody"})
            assert path.startswith(own) or answer.status_code == 403, (method, path, answer.text)


# The header of the proxy.


def test_only_the_proxy_may_name_the_user(served: Served) -> None:
    named = {"X-Remote-User": "anna"}
    assert served(client=("10.0.0.9", 1), **PROXY).get("/api/session", headers=named).json()["user"] == "anna"
    assert served(client=("::ffff:10.0.0.9", 1), **PROXY).get("/api/session", headers=named).status_code == 200
    for peer in ("10.0.1.9", "127.0.0.1", "::1", "testclient", ""):
        client = served(client=(peer, 1), **PROXY)
        forged = {**named, "X-Forwarded-For": "10.0.0.9", "Forwarded": "for=10.0.0.9", "X-Real-IP": "10.0.0.9"}
        assert client.get("/api/session", headers=forged).status_code == 401, peer


def test_a_header_that_is_there_twice_or_is_no_name_is_refused(served: Served) -> None:
    client = served(client=("10.0.0.9", 1), **PROXY)
    for value in ("a\tb", "x" * 201):
        assert client.get("/api/session", headers={"X-Remote-User": value}).status_code == 400
    twice = [("X-Remote-User", "anna"), ("X-Remote-User", "otto")]
    assert client.get("/api/session", headers=twice).status_code == 400
    groups = [("X-Remote-User", "anna"), ("X-Groups", "a"), ("X-Groups", "it")]
    assert client.get("/api/session", headers=groups).status_code == 400
    assert client.get("/api/session", headers={"X-Remote-User": " "}).status_code == 401
    assert client.get("/api/session", headers={"X_Remote_User": "anna"}).status_code == 401


# What the settings must be.


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"host": "0.0.0.0"}, "whoever reaches this machine"),
        ({"host": "::"}, "whoever reaches this machine"),
        ({"host": ""}, "whoever reaches this machine"),
        ({"host": "radret.example"}, "RADRETRIEVAL_SERVE_USER_HEADER"),
        ({"user_header": "X-Remote-User"}, "needs RADRETRIEVAL_SERVE_PROXIES"),
        ({"user_header": "X-Remote-User", "proxies": "10.0.0.1/8"}, "has host bits set"),
        ({"user_header": "X-Remote-User", "proxies": "10.0.0.1", "users_file": "x"}, "of which a service has one"),
        ({"users_file": "/nowhere/users"}, "cannot be read"),
        ({"oidc_issuer": "https://id.example"}, "_OIDC_CLIENT"),
        ({"oidc_issuer": "http://id.example", "oidc_client": "x", "url": "https://r.example"}, "not reached by https"),
        ({"tls_key": "key.pem"}, "--tls-cert"),
        ({"url": "radret.example"}, "RADRETRIEVAL_SERVE_URL"),
    ],
)
def test_settings_that_let_everyone_in_or_contradict_each_other_are_refused(options: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Access(ServeSettings(**options))  # type: ignore[arg-type]


def test_loopback_needs_no_login_and_other_addresses_with_one_are_served(users: Path) -> None:
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        Access(ServeSettings(host=host))
    Access(ServeSettings(host="0.0.0.0", users_file=users))


# Users in a file, and their sessions.


def test_a_person_logs_in_and_out(served: Served, users: Path, url: str) -> None:
    client = served(users_file=users)
    asked = client.get("/?sop=1.2.3", headers={"Accept": "text/html"})
    assert (asked.status_code, asked.headers["location"]) == (303, "login?next=%3Fsop%3D1.2.3")
    form = client.get(asked.headers["location"], headers={"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"})
    assert '<html lang="de"' in form.text
    assert 'value="?sop=1.2.3"' in form.text
    assert "<script" not in form.text
    assert "style=" not in form.text
    done = log_in(client, page="?sop=1.2.3")
    assert (done.status_code, done.headers["location"]) == (303, "./?sop=1.2.3")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(done.headers["set-cookie"].split("; "))
    session = client.get("/api/session").json()
    assert (session["user"], session["roles"], session["can_log_out"]) == ("anna", ["search"], True)
    assert client.get("/").headers["cache-control"] == "no-store"
    assert client.get("/app.js").headers["cache-control"] == "no-cache"
    cookie = dict(client.cookies)
    assert client.post("/api/logout").status_code == 403  # without the token
    assert client.post("/api/logout", headers={"X-CSRF-Token": session["csrf"]}).json() == {"next": "login?ended=1"}
    assert not client.cookies
    client.cookies.update(cookie)
    assert client.get("/api/session").status_code == 401
    assert [row for row in audited(url) if row[0] == "anna"][-2:] == [("anna", "login"), ("anna", "logout")]


def test_each_login_is_another_session_and_the_browser_s_earlier_one_ends(served: Served, users: Path) -> None:
    client = served(users_file=users)
    client.cookies.set("radretrieval", "chosen-by-an-attacker", domain="127.0.0.1")
    log_in(client)
    first = client.cookies["radretrieval"]
    assert first != "chosen-by-an-attacker"
    log_in(client)
    assert client.cookies["radretrieval"] != first
    client.cookies.clear()
    assert client.get("/api/session", headers={"Cookie": f"radretrieval={first}"}).status_code == 401


def test_cookies_are_sent_over_tls_only_where_there_is_tls(served: Served, users: Path) -> None:
    options = {"users_file": users, "base": "https://radret.example"}
    cookie = log_in(served(url="https://radret.example/", **options)).headers["set-cookie"]
    assert cookie.startswith("__Host-radretrieval=")
    assert {"Secure", "Path=/"} <= set(cookie.split("; "))
    below = log_in(served(url="https://radret.example/films", **options)).headers["set-cookie"]
    assert below.startswith("radretrieval=")
    assert {"Secure", "Path=/films/"} <= set(below.split("; "))


def test_another_page_cannot_log_somebody_in(served: Served, users: Path) -> None:
    client = served(users_file=users)
    assert log_in(client, Origin="https://evil.example").status_code == 403
    assert log_in(client, Origin="null").status_code == 403
    assert log_in(client, Origin="http://127.0.0.1:8000").status_code == 303


def test_the_way_back_leads_to_a_page_of_ours(served: Served, users: Path) -> None:
    client = served(users_file=users)
    for page in (
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil",
        "javascript:x",
        "a/../../b",
        "?a\r\nb",
    ):
        assert log_in(client, page=page).headers["location"] == "./", page
        client.cookies.clear()
    assert own_page("it.html?x=1&y=//z") == "it.html?x=1&y=//z"
    shown = client.get("/login", params={"next": '"><script>'}).text
    assert "<script>" not in shown


def test_a_program_logs_in_with_name_and_password(served: Served, users: Path) -> None:
    client = served(users_file=users)
    assert client.get("/api/session", auth=("anna", PASSWORD)).json()["user"] == "anna"
    assert client.post("/api/read", auth=("anna", PASSWORD), content=b"1").json() == 1
    assert client.get("/api/session", auth=("anna", "wrong")).status_code == 401
    for given in (b"Basic ?", b"Basic \xff", b"basic", b"Basic " + b"A" * 9000):
        assert client.get("/api/session", headers={b"Authorization": given}).status_code in (400, 401), given
    assert client.get("/api/session").status_code == 401


def test_the_file_as_it_is_now_decides(served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "users"
    add(path, "anna", PASSWORD, [Role.SEARCH])
    add(path, "otto", PASSWORD, [Role.SEARCH])
    client = served(users_file=path)
    log_in(client)
    text = path.read_text()
    path.write_text(text.replace(":search", ":search,label"))
    assert client.get("/api/session").json()["roles"] == ["label", "search"]
    add(path, "anna", PASSWORD + "2", [Role.SEARCH])
    assert client.get("/api/session").status_code == 401  # another password ends the sessions of the old one
    log_in(client, password=PASSWORD + "2")
    assert client.get("/api/session").status_code == 200
    path.write_text("anna\n")
    assert client.get("/api/session").status_code == 401
    assert "nobody can log in" in caplog.text
    path.write_text(text.partition("\n")[2])
    assert log_in(client, "anna").status_code == 401
    assert log_in(client, "otto").status_code == 303


def test_who_guesses_passwords_is_stopped(
    served: Served, users: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = served(users_file=users, hosts="guessing.example")
    with caplog.at_level(logging.DEBUG):
        for n in range(6):
            assert log_in(client, "otto", f"guess {n}").status_code == 401
        late = log_in(client, "otto", PASSWORD + "!")
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) <= 15
        assert client.get("/api/session", auth=("otto", "guess")).status_code == 429
        elsewhere = served(client=("192.0.2.7", 1), users_file=users, hosts="guessing.example")
        assert log_in(elsewhere, "otto", "guess").status_code == 429  # the name, from another address
        assert log_in(elsewhere).status_code == 303  # and another name from there
    assert audited(url).count(("otto", "login refused")) == 6
    assert "guess " not in caplog.text


def test_users_behind_a_proxy_are_told_apart(served: Served, users: Path) -> None:
    client = served(client=("10.0.0.9", 1), users_file=users, proxies="10.0.0.9")
    for n in range(7):
        log_in(client, f"name{n}", "wrong", **{"X-Forwarded-For": "6.6.6.6, 192.0.2.1"})
    assert log_in(client, **{"X-Forwarded-For": f"{n}.1.1.1, 192.0.2.1"}).status_code == 429
    assert log_in(client, **{"X-Forwarded-For": "192.0.2.1, 192.0.2.2"}).status_code == 303


def test_requests_of_a_user_are_limited(served: Served) -> None:
    client = served(client=("10.0.0.9", 1), requests_per_minute=5, **PROXY)
    begun = time.monotonic()
    answers = [client.get("/api/session", headers={"X-Remote-User": "anna"}) for _ in range(6)]
    passed = time.monotonic() - begun
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 11 - passed <= int(answers[-1].headers["retry-after"]) <= 12
    assert client.get("/api/session", headers={"X-Remote-User": "otto"}).status_code == 200


def test_who_has_not_logged_in_sends_no_upload(served: Served, users: Path) -> None:
    client = served(users_file=users)
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield bytes(10_000)

    answer = client.post("/api/taken", headers={"Content-Type": "multipart/form-data; boundary=x"}, content=chunks())
    assert answer.status_code == 401
    assert client.post("/login", content=bytes(20_000)).status_code == 413
    many = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/login", headers=many, content=b"a=&" * 5000).status_code in (400, 401)


def test_sessions_end_and_are_bounded() -> None:
    now = 0.0
    sessions = Sessions(idle=10, absolute=25, most=2, clock=lambda: now)
    token = sessions.begin(LOCAL)
    for now in (9.0, 18.0, 25.0):  # noqa: B007
        assert sessions.find(token) is not None
    now = 26
    assert sessions.find(token) is None  # used, but old
    idle = sessions.begin(LOCAL)
    now = 37
    assert sessions.find(idle) is None
    first, *_ = [sessions.begin(LOCAL) for _ in range(3)]
    assert sessions.find(first) is None
    assert token not in repr(vars(sessions))


# The users file and its command.


def test_the_command_writes_a_line(inside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    path = tmp_path / "users"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    done = inside("users", "add", "anna", "--role", "search", "--role", "label", "--file", path, url=None)
    assert "anna was added" in done.stderr
    assert PASSWORD not in path.read_text() + done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    found = UsersFile(path).check("anna", PASSWORD)
    assert found is not None
    assert found.user.roles == {Role.SEARCH, Role.LABEL}
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    printed = inside("users", "add", "otto", "--role", "admin", "--file", "-", url=None).stdout
    assert printed.startswith("otto:$argon2id$")
    assert printed.endswith(":admin\n")
    for arguments, said in (
        (("anna", "--role", "boss"), "roles are search, label, admin"),
        (("an:na", "--role", "search"), "is no name"),
        (("otto", "--role", "search"), "12 to 256 characters"),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
        refused = inside("users", "add", *arguments, "--file", path, url=None, check=False)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert "short" not in refused.stderr


@pytest.mark.parametrize("line", ["anna", "anna:secret:search", "an na:$argon2id$x:search", "anna:$argon2id$x:boss"])
def test_a_line_that_is_no_user_is_refused_without_its_text(tmp_path: Path, line: str) -> None:
    path = tmp_path / "users"
    path.write_text(f"# users\n\n{line}\n")
    with pytest.raises(UsageError, match="line 3") as refused:
        UsersFile(path)
    assert "secret" not in str(refused.value)
    assert "argon2id" not in str(refused.value)


def test_the_language_is_the_browser_s() -> None:
    assert language_of("") == "en"
    assert language_of("fr, de;q=0.5, en;q=0.4") == "de"
    assert language_of("en-US,en;q=0.9,de;q=0.8") == "en"
    assert language_of("de;q=x, ;;,,") == "de"
