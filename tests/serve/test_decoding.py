"""The service decodes nothing in its own process: a film that a decoder dies of is an error in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL.Image
import poisoned
import pydicom
import pytest
from answering import uid
from fastapi.testclient import TestClient
from routing import route_of, routes
from serving import CODES, Films

from radretrieval.archive.connections import Database
from radretrieval.config import ServeSettings
from radretrieval.imaging import reader
from radretrieval.serve import service
from radretrieval.serve.app import create_app
from radretrieval.storage import worker_pool

ROI = "60,70,90,80"
DECODERS = [(reader, f"read_{kind}") for kind in ("dicom", "png", "jpeg", "tiff")]
DECODERS += [(PIL.Image, "open"), (pydicom, "dcmread"), (pydicom.filereader, "read_dataset")]
UNCODED = 6  # the image that has no code


@contextmanager
def page(films: Films, url: str, home: Path, **changes: Any) -> Iterator[TestClient]:
    """A client of the service in this process, whose decoding processes are real ones."""
    settings = films.settings(url).model_copy(
        update={"home": home, "patient_key_file": films.home / "patient.key", **changes}
    )
    with TestClient(create_app(settings, ServeSettings()), base_url="http://127.0.0.1") as client:
        yield client


def uncode(url: str) -> None:
    with Database(url).connection() as connection:
        connection.execute("DELETE FROM cnnc WHERE image_id = %s", (UNCODED,))


def calls(films: Films, upload: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, route and request: each way in which a route of data may need the pixels or the header of a film."""
    new = {"file": ("new.dcm", films.new[0].read_bytes())}
    queries: list[dict[str, Any]] = [
        {"files": new, "data": {}},
        {"data": {"upload": upload}},
        {"data": {"id": 3}},
        {"data": {"id": UNCODED}},
        {"data": {"sop": uid("served film", UNCODED - 1)}},
        {"data": {"study": uid("served study", 2)}},
    ]
    made = []
    for query in queries:
        ways = ({}, {"roi": ROI, "roi_method": "paper", "top": 2}, {"roi": ROI})
        made += [("post", "/api/search", {**query, "data": query["data"] | way}) for way in ways]
        made.append(("post", "/api/region", {**query, "data": query["data"] | {"roi": ROI, "images": [1, 2, 30]}}))
    for query in (queries[0], queries[3]):
        data = query["data"] | {"roi": ROI, "top": 3}
        kinds = ("sr", "sc", "picture", "csv", "fhir")
        made += [("post", f"/api/outputs/{kind}", {**query, "data": data}) for kind in kinds]
    for image_id in (1, UNCODED, 30):
        made += [("get", f"/api/images/{image_id}{what}", {}) for what in ("", "/pixels", "/thumbnail", "/rendered")]
    made += [("get", f"/api/queries/{upload}{what}", {}) for what in ("", "/pixels", "/thumbnail")]
    made += [
        ("post", f"/api/queries/{upload}/keep", {}),
        ("post", "/api/feedback", {"json": {"id": 1, "hit": 2, "relevant": True}}),
        ("post", "/api/labels/reports", {"json": {"image": 1, "remark": "no"}}),
        ("post", "/api/send", {"data": {"id": 1}}),  # no peer is set; what would be sent is made as an output is
    ]
    plain = ("admin", "admin/failures", "classes", "classes/none/images", "map", "codes?code=1121-127-500-000")
    return made + [("get", f"/api/{name}", {}) for name in (*plain, "facets", "feedback", "status")]


def test_no_route_decodes_in_the_process_of_the_service(
    films: Films, films_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever routes there are: a decoder that is called in this process fails the test."""
    uncode(films_url)
    here: list[str] = []

    def refuse(*given: Any, **named: Any) -> Any:
        here.append(f"{method} {url} {request.get('data')}")
        raise RuntimeError("decoded in the process of the service")

    with page(films, films_url, tmp_path) as client:
        sent = client.post("/api/search", files={"file": ("new.dcm", films.new[1].read_bytes())}).json()
        for module, name in DECODERS:
            monkeypatch.setattr(module, name, refuse)
        known, called = routes(client), set()
        for method, url, request in calls(films, sent["query"]["upload"]):
            answer = client.request(method, url, **request)
            called.add(route_of(known, method, url))
            expected = 400 if url == "/api/send" else 204 if request.get("json") else 200
            assert answer.status_code == expected, (method, url, request.get("data"), answer.text[:300])
        assert not here
        assert called == known, "each route of data is called here"


def test_a_film_that_its_decoder_dies_of_is_an_error_in_words(
    films: Films, films_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crashed, killed, out of memory, out of time: real processes end so, and the next film is decoded."""
    harm = {1: "crash", 2: "kill", 3: "fill", 4: "hang", UNCODED: "crash"}
    named = " ".join(f"film-{image_id - 1:02}={what}" for image_id, what in harm.items())
    words = {1: "SIGSEGV", 2: "SIGKILL", 3: "needs more than 3000 MB to decode", 4: "took longer than 4 s to decode"}
    monkeypatch.setenv(poisoned.NAMED, named)
    monkeypatch.setattr(service, "call", poisoned.poisoned)
    monkeypatch.setattr(worker_pool, "_KILLED_PAUSES", (0.0, 0.0))
    uncode(films_url)
    with page(films, films_url, tmp_path, decode_seconds=4.0, decode_megabytes=3000) as client:
        asked = {"id": 10, "roi": ROI}
        found = client.post("/api/region", data=asked | {"images": [1, 2, 3, 4, 5]}).json()["regions"]
        for one in found[:4]:
            assert (one["roi"], one["rows"]) == (None, None)
            assert words[one["image_id"]] in one["error"]
        assert found[4]["roi"] is not None
        uncoded = client.post("/api/search", data={"id": UNCODED})
        assert (uncoded.status_code, "SIGSEGV" in uncoded.json()["detail"]) == (400, True)
        image = client.get("/api/images/1").json()
        assert (image["film"], "SIGSEGV" in image["problem"]) == (None, True)
        assert client.get("/api/images/2/thumbnail").status_code == 422
        report = client.post("/api/outputs/sr", data={"id": 1})
        assert report.status_code == 200, "a header needs no decoder of pixels"
        without = {"id": 10, "where": f"irma_code={CODES[1]}"}  # image 2 among its hits
        rows = csv.DictReader(io.StringIO(client.post("/api/outputs/csv", data=without | {"roi": ROI}).text))
        assert {int(row["image_id"]) for row in rows if not row["roi_score"]} == {2}
        picture = client.post("/api/outputs/picture", data=without)
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
        assert client.post("/api/search", files={"file": ("new.dcm", films.new[0].read_bytes())}).status_code == 200
        assert client.get("/health/ready").status_code == 200
