"""The application answers, and says in problem documents what is wrong."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio import to_thread
from fastapi import FastAPI
from fastapi.testclient import TestClient

from radretrieval import demo
from radretrieval.archive.connections import Database
from radretrieval.config import ServeSettings, Settings
from radretrieval.serve import dependencies
from radretrieval.serve.app import create_app


@pytest.fixture
def client(archive_url: str, settings: Settings) -> Iterator[TestClient]:
    settings.database_url = archive_url
    with TestClient(create_app(settings, ServeSettings()), base_url="http://127.0.0.1") as client:
        yield client


def test_health(client: TestClient) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_each_route_declares_that_the_database_may_be_missing(client: TestClient) -> None:
    for path, methods in client.get("/api/openapi.json").json()["paths"].items():
        for method, told in methods.items():
            assert "application/problem+json" in told["responses"]["503"]["content"], (method, path)


def test_only_who_runs_the_service_learns_where_the_database_is(
    archive_url: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.database_url = archive_url
    away = "postgresql://somebody@127.0.0.1:1/hospital"
    options = {"user_header": "X-User", "groups_header": "X-Groups", "admin_groups": ("it",), "search_groups": ("*",)}
    app = create_app(settings, ServeSettings(**options, proxies=("127.0.0.1",)))
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        service = app.state.service
        service.database = service.searchers._database = service.read._database = Database(away)
        asked = [("get", "/health/ready", None), ("post", "/api/search", {"id": 1}), ("get", "/api/images/1", None)]
        for user, knows in ({}, False), ({"X-User": "anna"}, False), ({"X-User": "otto", "X-Groups": "it"}, True):
            for method, path, data in asked if user else asked[:1]:
                caplog.clear()
                answer = client.request(method, path, data=data, headers=user)
                assert answer.status_code == 503, answer.text
                assert ("127.0.0.1:1/hospital" in answer.json()["detail"]) == knows, (path, user)
                assert ("tell whoever runs this service" in answer.json()["detail"]) == (bool(user) and not knows)
                assert "somebody@127.0.0.1:1/hospital" in caplog.text
            page = client.get("/analyst.html", headers=user)
            assert not user or page.status_code == 503
            assert ("127.0.0.1:1/hospital" in page.text) == knows


def test_it_is_known_to_live_while_all_threads_are_busy(client: TestClient) -> None:
    assert client.portal is not None
    limiter = client.portal.call(to_thread.current_default_thread_limiter)
    threads, limiter.total_tokens = limiter.total_tokens, 1
    busy = threading.Event()
    waiting = client.portal.start_task_soon(to_thread.run_sync, busy.wait, 5)
    try:
        began = time.monotonic()
        assert client.get("/health/live").status_code == 200
        assert time.monotonic() - began < 3
    finally:
        busy.set()
        waiting.result()
        limiter.total_tokens = threads


def test_searches_leave_threads_to_the_page(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    assert client.portal is not None
    turns = app.state.turns
    assert turns._value < client.portal.call(to_thread.current_default_thread_limiter).total_tokens
    for _ in range(turns._value):
        client.portal.call(turns.acquire)
    monkeypatch.setattr(dependencies, "WAIT_SECONDS", 0.1)
    for path in ("search", "region", "outputs/csv", "send"):
        answer = client.post(
            f"/api/{path}", data={"id": 1, "roi": "0,0,9,9", "images": 1} if path == "region" else {"id": 1}
        )
        assert (answer.status_code, answer.json()["detail"][:17]) == (503, "too many searches")
    assert client.get("/").status_code == 200
    client.portal.call(turns.release)
    for _ in range(2):  # each gives its turn back
        assert "too many" not in client.post("/api/search", data={"id": 1}).text


def test_uploads_do_not_go_to_the_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda self: pytest.fail("written to the disk"))
    answer = client.post("/api/search", files={"file": ("film.dcm", bytes(3_000_000))})
    assert (answer.status_code, answer.json()["detail"][:9]) == (422, "film.dcm ")


def test_an_unknown_address_is_a_problem_document(client: TestClient) -> None:
    answer = client.get("/api/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 404


def test_the_demo_ends_with_the_command_that_opens_its_page(tmp_path: Path) -> None:
    said: list[str] = []
    demo._what_next(tmp_path, said.append)
    assert f"RADRETRIEVAL_HOME={tmp_path}/home radretrieval serve" in said[-1]
