"""The state of the archive for IT, and classes and map for analysts, over HTTP."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from filled import CLASSES, Filled, fill

from radretrieval.archive import images as image_rows
from radretrieval.archive import inbox, pull_state
from radretrieval.archive.connections import Database
from radretrieval.archive.images import Failure
from radretrieval.archive.inbox import Arrival
from radretrieval.config import ServeSettings, Settings
from radretrieval.serve.app import create_app
from radretrieval.storage.content_store import ContentStore

COUNT = 200


@pytest.fixture
def client(archive_url: str, settings: Settings) -> Iterator[TestClient]:
    settings.database_url = archive_url
    with TestClient(create_app(settings, ServeSettings()), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def filled(database: Database) -> Filled:
    with database.connection() as connection:
        return fill(connection, COUNT)


def test_an_empty_archive_has_a_state(client: TestClient) -> None:
    state = client.get("/api/admin").json()
    assert state["images"]["total"] == 0
    assert state["findings"] == []
    assert state["encoders"] == []
    assert state["versions"]["postgresql"]


def test_what_waits_failed_and_came_from_whom(client: TestClient, database: Database, filled: Filled) -> None:
    with database.connection() as connection:
        connection.execute("DELETE FROM cnnc WHERE encoder_id = %s AND image_id > %s", (filled.encoders[0], COUNT - 5))
        connection.execute("UPDATE image SET ingested_at = now() - interval '3 hours' WHERE id = %s", (COUNT - 4,))
        connection.execute("UPDATE image SET origin = 'MODALITY', flat = (id = 7) WHERE id <= 30")
        connection.execute("UPDATE image SET gone_at = now() WHERE id = 9")
        connection.execute(
            "INSERT INTO coding_failure (encoder_id, image_id, error, message) VALUES (%s, %s, 'ImageError', 'empty')",
            (filled.encoders[0], COUNT),
        )
        inbox.add(
            connection, Arrival(b"m" * 32, "store:6d", "MODALITY", "1.2.3"), Arrival(b"a" * 32, "store:61", "CT7")
        )
        connection.execute("UPDATE arrival SET arrived_at = now() - interval '1 hour' WHERE origin = 'CT7'")
        asked = "PatientName=DOE%5EJANE&since=2026-01-01"
        pull_state.keep_mark(connection, "https://pacs/dicom-web", asked, pull_state.Mark(change=4))
    state = client.get("/api/admin").json()
    assert state["images"] | {"oldest_pending": None} == {
        "total": COUNT, "coded": COUNT - 5, "pending": 5, "hidden": 0, "last_day": COUNT, "gone": 1, "same_uid": 0,
        "flat": 1, "oldest_pending": None,
    }  # fmt: skip
    waits = datetime.now(UTC) - datetime.fromisoformat(state["images"]["oldest_pending"])
    assert timedelta(hours=2, minutes=59) < waits < timedelta(hours=3, minutes=5)
    origins = {one["origin"]: one for one in state["origins"]}
    assert {name: (one["images"], one["waiting"]) for name, one in origins.items()} == {
        None: (COUNT - 30, 0),
        "MODALITY": (30, 1),
        "CT7": (0, 1),
    }
    assert state["inbox"] == 2
    assert state["oldest_arrival"] == origins["CT7"]["oldest_waiting"]
    assert [(one["url"], one["query"], one["change"]) for one in state["pulls"]] == [
        ("https://pacs/dicom-web", "PatientName, since=2026-01-01", 4)
    ]
    assert "JANE" not in client.get("/api/admin").text
    assert [(one["active"], one["codes"], one["index"]) for one in state["encoders"]] == [
        (True, COUNT - 5, "none"),
        (False, COUNT, "none"),
    ]
    commands = {one["kind"]: one["command"] for one in state["findings"]}
    assert commands == {
        "pending": "radretrieval work --once",
        "arrived": "radretrieval receive",
        "gone": "radretrieval verify",
        "flat": None,
        "failed": None,
        "waiting_images": "radretrieval work",
        "waiting_files": "radretrieval receive",
    } | {kind: one for kind, one in commands.items() if kind.startswith("disk_")}


REASONS = {
    "is empty (0 bytes); copy the file again": "is empty; copy the file again",
    "the DICOM header is damaged: Doe^Jane is not a number": "the DICOM header is damaged",
    "its data set has no Rows, as read in the syntax 1.2.840": "its data set has no Rows, as read in the syntax N",
    "is not a format: starts with b'Doe'; PNG, JPEG are read": "is not a format; PNG, JPEG are read",
    "is at file:///films/Doe, Jane/1.png, which is none": "is at file",
    "TIFF of kind 'Doe' with axes YX is not read": "TIFF of kind … with axes YX is not read",
    "holds nothing (Doe Jane)": "holds nothing",
    "claims 7×9 pixels: an image without area": "claims N pixels",
}


def test_a_reason_names_nothing_of_the_file(client: TestClient, database: Database) -> None:
    failed = [
        Failure(f"file:///films/Doe/{place}.dcm", b"d" * 32, "ImageError", told) for place, told in enumerate(REASONS)
    ]
    with database.connection() as connection:
        image_rows.keep_failures(connection, failed)
    for answer in (client.get("/api/admin"), client.get("/api/admin/failures")):
        assert sorted(one["reason"] for one in answer.json()["failures"]) == sorted(REASONS.values())
        assert not any(part in answer.text for part in ("Doe", "Jane", "films/"))


def test_failures_are_grouped_and_paged(client: TestClient, database: Database) -> None:
    root = "https://pacs/dicom-web"
    kinds = [(f"is empty ({number} bytes)", f"file:///{number}") for number in range(7)]
    kinds += [("answers 404", f"{root}/studies/1.2/series/1/instances/{number}") for number in range(3)]
    with database.connection() as connection:
        image_rows.keep_failures(connection, [Failure(uri, None, "ImageError", told) for told, uri in kinds])
    state = client.get("/api/admin").json()
    assert [(one["reason"], one["origin"], one["files"]) for one in state["failures"]] == [
        ("is empty", None, 7),
        ("answers 404", root, 3),
    ]
    assert [(one["origin"], one["failed"]) for one in state["origins"]] == [(None, 7), (root, 3)]
    first = client.get("/api/admin/failures", params={"limit": 4, "reason": "is empty"}).json()
    second = client.get(
        "/api/admin/failures", params={"limit": 4, "offset": first["next"], "reason": "is empty"}
    ).json()
    assert (len(first["failures"]), len(second["failures"]), second["next"]) == (4, 3, None)
    assert client.get("/api/admin/failures", params={"limit": 0}).status_code == 422


def test_who_is_connected(client: TestClient, database: Database) -> None:
    worker = Database(f"{database.url}&application_name=radretrieval%20work")
    with worker.connection():
        programs = {one["program"]: one for one in client.get("/api/admin").json()["programs"]}
    assert programs["radretrieval work"]["sessions"] == 1


def test_the_store_is_measured(client: TestClient, settings: Settings) -> None:
    store = ContentStore(settings.store_folder)
    for number in range(3):
        store.put(bytes([number]) * 100)
    state = until(lambda: client.get("/api/admin").json(), lambda one: one["disk"]["store"] is not None)
    assert (state["disk"]["store_files"], state["disk"]["store"], state["disk"]["store_exact"]) == (3, 300, True)
    assert state["disk"]["store_free"] > 0


def test_classes_in_words(client: TestClient, filled: Filled) -> None:
    told = client.get("/api/classes").json()
    assert {one["irma_code"]: one["images"] for one in told["classes"]} == Counter(filled.classes)
    knee = next(one for one in told["classes"] if one["irma_code"] == "1121-120-942-700")
    assert knee["words"][2] == "lower extremity (leg) / left knee"
    assert knee["label"] == "left knee, AP"
    assert knee["coded"] == knee["images"]
    assert (told["images"], told["encoder_id"]) == (COUNT, filled.encoders[0])
    assert client.get("/api/classes").json()["classes"][0]["agreement"] is None


def test_images_of_a_class_a_page_at_a_time(client: TestClient, filled: Filled) -> None:
    for code in (CLASSES[0], None):
        wanted = [place + 1 for place, one in enumerate(filled.classes) if one == code]
        found: list[int] = []
        after: int | None = 0
        while after is not None:
            params = {"after": after, "limit": 7}
            page = client.get(f"/api/classes/{code or 'none'}/images", params=params).json()
            found += [one["id"] for one in page["images"]]
            after = page["next"]
        assert found == wanted
    assert client.get("/api/classes/9999-999-999-999/images").status_code == 404


def test_the_map_shows_every_coded_image(
    client: TestClient, database: Database, filled: Filled, settings: Settings
) -> None:
    with database.connection() as connection:
        connection.execute("DELETE FROM cnnc WHERE encoder_id = %s AND image_id = 3", (filled.encoders[0],))
    shown = until(lambda: client.get("/api/map").json(), lambda one: one["state"] == "ready")["map"]
    assert shown["image_ids"] == [number for number in range(1, COUNT + 1) if number != 3]
    assert (shown["of"], shown["encoder_id"]) == (COUNT - 1, filled.encoders[0])
    codes = shown["columns"]["irma_code"]
    classes = client.get("/api/classes").json()["classes"]
    label = {one["irma_code"]: one["label"] for one in classes} | {None: None}
    told = [codes["terms"][place] if place >= 0 else None for place in codes["values"]]
    assert told == [label[one] for place, one in enumerate(filled.classes) if place != 2]
    assert codes["counts"] == sorted(codes["counts"], reverse=True)
    assert dict(zip(codes["terms"], codes["counts"], strict=True)) == {k: v for k, v in Counter(told).items() if k}
    points = np.column_stack([shown["x"], shown["y"]])
    assert points.min() == 0
    assert points.max() == shown["grid"]
    # codes lie about as many centres as there are classes, image i at that of i modulo classes: so do the points
    near = np.argsort(((points[:, None] - points) ** 2).sum(axis=2), axis=1, kind="stable")[:, 1:6]
    centre = np.array(shown["image_ids"]) % len(CLASSES)
    assert (centre[near] == centre[:, None]).mean() > 0.9
    assert len(list((settings.home / "maps").iterdir())) == 1
    of_class = points[np.array(told) == label[CLASSES[0]]].mean(axis=0) / shown["grid"]
    first = next(one for one in classes if one["irma_code"] == CLASSES[0])
    assert [first["x"], first["y"]] == pytest.approx(of_class)
    assert first["nearest"] in codes["terms"]
    assert first["nearest"] != first["label"]


def test_the_state_is_for_it_alone(archive_url: str, settings: Settings) -> None:
    settings.database_url = archive_url
    groups = {"groups_header": "X-Groups", "search_groups": "radiology", "admin_groups": "it"}
    options = ServeSettings(user_header="X-User", proxies="10.0.0.0/24", **groups)  # type: ignore[arg-type]
    with TestClient(create_app(settings, options), base_url="http://127.0.0.1", client=("10.0.0.9", 1)) as client:
        for group, admin, search in (("it", 200, None), ("radiology", 403, 200), ("", 403, 403)):
            headers = {"X-User": "anna", "X-Groups": group}
            for path in ("/api/admin", "/api/admin/failures"):
                assert client.get(path, headers=headers).status_code == admin
            if search is not None:
                assert client.get("/api/classes", headers=headers).status_code == search


def test_a_page_is_for_its_role_and_a_refusal_is_a_page(archive_url: str, settings: Settings) -> None:
    settings.database_url = archive_url
    groups = {"groups_header": "X-Groups", "search_groups": "radiology", "admin_groups": "it"}
    options = ServeSettings(user_header="X-User", proxies="10.0.0.0/24", **groups)  # type: ignore[arg-type]
    with TestClient(create_app(settings, options), base_url="http://127.0.0.1", client=("10.0.0.9", 1)) as client:
        for group, path, status, said in (
            ("radiology", "/", 200, None),
            ("it", "/", 303, None),
            ("", "/", 403, "anna fehlt dafür die Rolle search."),
            ("radiology", "/it.html", 403, "anna fehlt dafür die Rolle admin."),
            ("it", "/it.html", 200, None),
            ("it", "/it.html?offset=x", 422, "In der Adresse ist offset falsch."),
            ("it", "/analyst.html", 403, "anna fehlt dafür die Rolle search."),
            ("radiology", "/analyst.html?id=x", 422, "In der Adresse ist id falsch."),
            ("radiology", "/analyst.html?class=%3Cb%3E", 404, "Kein Bild hat den IRMA-Code &lt;b&gt;."),
        ):
            headers = {"X-User": "anna", "X-Groups": group, "Accept-Language": "de"}
            answer = client.get(path, headers=headers, follow_redirects=False)
            assert answer.status_code == status, (group, path)
            if said is None:
                assert status == 200 or answer.headers["location"] == "it.html"
                continue
            assert answer.headers["content-type"].startswith("text/html")
            assert f"<span>{said}" in answer.text, (group, path)
            assert 'src="app.js"' not in answer.text
            assert answer.headers["cache-control"] == "no-store"


def test_the_map_needs_an_encoder(client: TestClient) -> None:
    answer = until(lambda: client.get("/api/map"), lambda one: one.status_code != 200)
    assert answer.status_code == 503
    assert "radretrieval train" in answer.json()["detail"]
    assert client.get("/api/classes").json() == {"encoder_id": None, "images": 0, "classes": []}


def until(ask: Any, done: Any, seconds: float = 20) -> Any:
    """The first answer that is as it should be."""
    deadline = time.monotonic() + seconds
    while not done(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer
