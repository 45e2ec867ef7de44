"""What users say on the page, of hits and of labels: over HTTP, in SQL, in files, in the label audit."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from databases import Server
from fastapi.testclient import TestClient
from serving import CODES, Films

from radretrieval.archive import connections
from radretrieval.config import ServeSettings
from radretrieval.serve.access.user import LOCAL, Role, User
from radretrieval.serve.app import create_app

RIGHT = CODES[1]


@pytest.fixture
def url(films: Films, server: Server) -> Iterator[str]:
    with films.copy(server) as one:
        yield one


@pytest.fixture
def api(films: Films, url: str) -> Iterator[TestClient]:
    with TestClient(create_app(films.settings(url), ServeSettings()), base_url="http://127.0.0.1") as client:
        yield client


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with connections.connect(url) as connection:
        return [tuple(row.values()) for row in connection.execute(query)]  # type: ignore[arg-type]


def say(api: TestClient, status: int = 204, **said: Any) -> str:
    answer = api.post("/api/feedback", json=said)
    assert answer.status_code == status, answer.text
    return answer.text


def test_the_last_opinion_counts(
    api: TestClient, url: str, films: Films, inside: Callable[..., Run], tmp_path: Path
) -> None:
    with films.new[0].open("rb") as file:
        upload = api.post("/api/search", files={"file": file}).json()["query"]["upload"]
    answer = {"rank": 3, "encoder_id": 1, "cnnc_distance": 40, "rbc_distance": 900}
    say(api, id=3, hit=5, relevant=False, **answer)
    say(api, id=3, hit=5, relevant=True, **answer)
    say(api, id=3, upload="of the same", hit=2, relevant=False)
    say(api, id=3, hit=6, relevant=True)
    say(api, id=3, hit=6, relevant=None)
    say(api, id=3, hit=4, relevant=None)  # there was none
    say(api, upload=upload, hit=2, relevant=True)
    found = api.get("/api/feedback").json()
    assert found["next"] is None
    told = [(one["query_image_id"], one["hit_image_id"], one["relevant"], one["rank"]) for one in found["feedback"]]
    assert told == [(3, 5, True, 3), (3, 2, False, None), (None, 2, True, None)]
    assert len(found["feedback"][2]["query_sha256"]) == 64
    assert len(api.get("/api/feedback", params={"id": 3}).json()["feedback"]) == 2
    assert len(api.get("/api/feedback", params={"after": found["feedback"][0]["id"]}).json()["feedback"]) == 2
    assert rows(url, "SELECT action, count(*)::int FROM audit WHERE action = 'feedback' GROUP BY 1") == [
        ("feedback", 7)
    ]

    inside("feedback", "export", tmp_path / "said.csv", url=url)
    with (tmp_path / "said.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(one["who"], one["hit_image_id"], one["relevant"]) for one in lines] == [
        ("local", "5", "True"), ("local", "2", "False"), ("local", "2", "True")
    ]  # fmt: skip
    classes = [(one["query_irma_code"], one["hit_irma_code"]) for one in lines]
    assert classes == [(CODES[2], CODES[0]), (CODES[2], RIGHT), ("", RIGHT)]
    counted = rows(
        url, "SELECT encoder_id, relevant::int, not_relevant::int, users::int FROM feedback_by_class ORDER BY 1, 2"
    )
    assert counted == [(1, 1, 0, 1), (None, 0, 1, 1), (None, 1, 0, 1)]


def test_what_is_deleted_takes_its_opinions_along_and_an_encoder_does_not(api: TestClient, url: str) -> None:
    say(api, id=1, hit=2, relevant=True, encoder_id=1)
    say(api, id=3, hit=4, relevant=True, encoder_id=1)
    with connections.connect(url) as connection:
        connection.execute("DELETE FROM image WHERE id = 2")
        connection.execute("DROP TABLE cnnc_1; DELETE FROM encoder WHERE id = 1")
    assert rows(url, "SELECT query_image_id, encoder_id FROM feedback") == [(3, None)]
    assert "no image that is the hit" in say(api, 404, id=1, hit=2, relevant=True)
    assert "no image that is the query" in say(api, 404, id=2, hit=1, relevant=True)
    assert "no such encoder" in say(api, 404, id=1, hit=3, relevant=True, encoder_id=1)
    assert "name the query" in say(api, 400, hit=3, relevant=True)
    assert "not kept any more" in say(api, 404, upload="a", hit=3, relevant=True)
    assert rows(url, "SELECT count(*)::int FROM audit WHERE action = 'feedback'") == [(2,)]


def test_everybody_s_opinions_are_for_admins(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    say(api, id=1, hit=2, relevant=True)
    assert len(api.get("/api/feedback", params={"everyone": True}).json()["feedback"]) == 1
    other = User("other", LOCAL.roles - {Role.ADMIN})
    monkeypatch.setattr("radretrieval.serve.access.access.LOCAL", other)
    assert api.get("/api/feedback").json()["feedback"] == []
    assert api.get("/api/feedback", params={"everyone": True}).status_code == 403


def test_reported_labels_come_first_in_the_label_audit(
    api: TestClient, url: str, films: Films, inside: Callable[..., Run], tmp_path: Path
) -> None:
    def report(status: int = 204, **said: Any) -> None:
        answer = api.post("/api/labels/reports", json=said)
        assert answer.status_code == status, answer.text

    def audited(*options: object) -> Any:
        return inside("audit", "labels", "--json", *options, url=url).json["reports"]

    report(image=9, expected=RIGHT.replace("-", "").upper())
    report(image=9, expected=RIGHT, remark=" a hand\n")
    report(image=4, remark="laterality")
    report(404, image=999, remark="a")
    report(400, image=4, expected="nonsense")
    report(image=7, remark="a")
    report(image=7, remark=" ")
    first, second = audited()
    assert (first["who"], first["image_id"], first["expected"], first["remark"]) == ("local", 9, RIGHT, "a hand")
    assert (second["image_id"], second["expected"], second["labels"]["irma_code"]) == (4, None, CODES[3])
    assert [one["image_id"] for one in audited("--where", f"irma_code={CODES[3]}")] == [4]

    inside("audit", "labels", "--csv", tmp_path / "labels.csv", url=url)
    with (tmp_path / "labels.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(one["image_id"], one["reported_by"], one["expected"]) for one in lines[:2]] == [
        ("9", "local", RIGHT), ("4", "local", "")
    ]  # fmt: skip
    assert len({one["file"] for one in lines}) == len(lines)
    lines[0]["irma_code"] = lines[0]["expected"]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    inside("ingest", "--labels", tmp_path / "labels.csv", "--workers", 1, url=url, RADRETRIEVAL_HOME=str(films.home))
    assert [one["image_id"] for one in audited()] == [4], "what was corrected is settled"
    assert "no report 99" in inside("audit", "dismiss", second["report"], 99, url=url, check=False).stderr
    inside("audit", "dismiss", second["report"], url=url)
    assert audited() == []
    noted = rows(url, "SELECT detail FROM audit WHERE action = 'label report dismissed'")
    assert [json.dumps(one[0]["image_id"]) for one in noted] == ["4"]
