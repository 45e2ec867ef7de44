"""Every request passes the gate: its Host, its origin, its size; every response has the headers of the page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from databases import Server
from entering import Served, serving
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from radretrieval.config import Settings
from radretrieval.errors import UsageError
from radretrieval.serve.access.limits import Bodies, Rate


@pytest.fixture(scope="module")
def served(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A client of the application with these settings, which has three routes more."""
    home = tmp_path_factory.mktemp("home")
    with server.database(template=migrated_template) as url, serving(Settings(home=home, database_url=url)) as serve:
        yield serve


@pytest.mark.parametrize("path", ["/", "/api/session", "/api/nothing", "/api/fails", "/health/live", "/nothing.js"])
def test_every_response_has_the_headers(served: Served, path: str) -> None:
    headers = served().get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == ("no-cache" if path == "/" else "no-store")


def test_a_fault_is_a_problem_document_without_its_text(served: Served) -> None:
    answer = served().get("/api/fails")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_who_may_frame_the_page_is_a_setting(served: Served) -> None:
    headers = served(frame_ancestors="https://portal.example, 'self'".partition(", '")[0]).get("/").headers
    assert headers["content-security-policy"].endswith("frame-ancestors https://portal.example")
    assert "x-frame-options" not in headers
    with pytest.raises(UsageError, match="no origin"):
        served(frame_ancestors="https://portal.example; script-src *")


def test_names_of_the_service_are_answered_and_others_refused(served: Served) -> None:
    client = served(hosts="radret.example")
    for host in ("127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "10.1.2.3", "radret.example"):
        assert client.get("/api/session", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b", "x@localhost"):
        answer = client.get("/api/session", headers={"Host": host})
        assert answer.status_code == 421, host
        assert "csrf" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8001"},
        {"Origin": "file://"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_what_another_origin_writes_is_refused(served: Served, headers: dict[str, str]) -> None:
    client = served()
    token = client.get("/api/session").json()["csrf"]
    answer = client.post("/api/read", headers=headers | {"X-CSRF-Token": token}, content=b"1")
    assert answer.status_code == 403


def test_what_a_page_writes_has_its_token(served: Served) -> None:
    client = served()
    token = client.get("/api/session").json()["csrf"]
    page = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/read", headers=page, content=b"1").status_code == 403
    assert client.post("/api/read", headers=page | {"X-CSRF-Token": "0" * 64}, content=b"1").status_code == 403
    assert client.post("/api/read", headers=page | {"X-CSRF-Token": token}, content=b"1").json() == 1
    assert client.post("/api/read", content=b"1").json() == 1  # a program is no page


def test_another_page_may_link_to_us_and_embed_nothing(served: Served) -> None:
    client = served()
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert client.get("/", headers=foreign | {"Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert client.get("/api/session", headers=foreign | {"Sec-Fetch-Mode": "no-cors"}).status_code == 403


def test_a_body_that_is_too_large_is_refused_while_it_comes(served: Served) -> None:
    client = served(largest_upload="100 kB")
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(50):
            sent += 10_000
            yield bytes(10_000)
        yield b"\r\n--x--\r\n"

    form = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/api/taken", headers=form, content=chunks())
    assert answer.status_code == 413
    assert answer.json()["status"] == 413
    assert client.post("/api/taken", files={"file": bytes(200_000)}).status_code == 413
    assert client.post("/api/taken", files={"file": bytes(90_000)}).json() == 90_000
    assert client.post("/api/read", content=bytes(2**20 + 1)).status_code == 413


@pytest.mark.parametrize(
    "path",
    ["/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "/%2e%2e%2f%2e%2e%2fconfig.py", "//etc/passwd", "/..\\app.py"],
)
def test_the_page_s_files_are_all_that_is_served(served: Served, path: str) -> None:
    answer = served().get(path)
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_it_may_stand_below_a_path_of_the_proxy(served: Served) -> None:
    client = served(url="https://radret.example/films/", base="http://radret.example")
    for path in ("/films/api/session", "/api/session"):  # as the proxy sends it, or as it was asked
        assert client.get(path).status_code == 200
    assert client.get("/films/").status_code == 200
    assert client.get("/films/api/nothing").headers["cache-control"] == "no-store"
    page = {"Origin": "https://radret.example", "X-CSRF-Token": client.get("/api/session").json()["csrf"]}
    assert client.post("/films/api/read", headers=page, content=b"1").json() == 1
    assert client.post("/films/api/read", headers=page | {"Origin": "http://radret.example"}).status_code == 403


def test_the_session_says_who_one_is(served: Served) -> None:
    said = served(viewer_url="https://pacs.example/?study={StudyInstanceUID}").get("/api/session").json()
    assert said["user"] == "local"
    assert said["roles"] == ["admin", "label", "search"]
    assert said["languages"] == ["en", "de"]
    assert said["viewer_url"] == "https://pacs.example/?study={StudyInstanceUID}"


def test_a_rate_forgets_what_is_old_and_remembers_no_more_than_it_may() -> None:
    now = 0.0
    rate = Rate(2, 60, most=3, clock=lambda: now)
    assert [rate.take("a") for _ in range(3)] == [0, 0, 30]
    now = 30
    assert [rate.take("a"), rate.take("a")] == [0, 30]
    for other in "bcd":
        rate.take(other)
    assert rate.take("a") == 0  # forgotten
    assert len(rate._left) == 3


def test_bodies_are_limited_together_and_in_time() -> None:
    now = 0.0
    bodies = Bodies(100, clock=lambda: now)

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(60), "more_body": True}

    async def silent() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def tried(more: Receive) -> int:
        try:
            await more()
        except HTTPException as refused:
            return refused.status_code
        return 200

    async def run() -> list[int]:
        nonlocal now
        with bodies.limited(receive, 70) as first, bodies.limited(receive, 70) as second:
            seen = [await tried(first), await tried(second)]
        with bodies.limited(receive, 70) as third:
            seen += [await tried(third), await tried(third)]
        with bodies.limited(silent, 70) as slow:
            now = 61.0
            seen.append(await tried(slow))
        return seen

    assert asyncio.run(run()) == [200, 503, 200, 413, 408]
    assert bodies.held == 0


def test_forms_that_cost_much_are_refused(served: Served) -> None:
    client = served()
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/api/taken", headers=form, content=part * 20_000 + b"--x--\r\n").status_code == 400
    large = part[:-2] + bytes(2_000_000) + b"\r\n--x--\r\n"
    assert client.post("/api/taken", headers=form, content=large).status_code == 400
    header = b"--x\r\n" + b"A: " + b"a" * 2_000_000 + b"\r\n\r\n\r\n--x--\r\n"
    assert client.post("/api/taken", headers=form, content=header).status_code in (400, 422)
    for boundary in ("", "; boundary=", "; boundary=" + "x" * 2000, '; boundary="\u00e9"'):
        odd = {b"Content-Type": f"multipart/form-data{boundary}".encode("latin-1")}
        assert client.post("/api/taken", headers=odd, content=b"--x--\r\n").status_code in (400, 422)
    for n in (90, 200):
        many = {f"X-{i}": "1" for i in range(n)}
        assert client.get("/api/session", headers=many).status_code == (200 if n == 90 else 431)


def test_headers_of_any_bytes_are_answered_in_order(served: Served) -> None:
    client = served(users_file=None)
    odd = "\xff\xfe\x80".encode("latin-1")
    for name in (
        b"Cookie",
        b"Authorization",
        b"X-CSRF-Token",
        b"Accept-Language",
        b"Accept",
        b"X-Forwarded-For",
        b"Range",
    ):
        for value in (odd, b"Basic " + odd, b"radretrieval=" + odd, b"bytes=9-1,,-", b"a" * 9000):
            assert client.get("/api/session", headers={name: value}).status_code == 200
            assert client.get("/", headers={name: value}).status_code in (200, 206, 400, 416), (name, value)
    assert client.get("/api/session", headers={b"Content-Length": "\xb2".encode("latin-1")}).status_code == 400
