"""What is said of a bad value names fields of the request: nobody at a browser has the options of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from routing import route_of, routes
from serving import Served

from radretrieval.errors import ImageError
from radretrieval.imaging.reader import decode_image
from radretrieval.serve.problems import in_fields
from radretrieval.serve.rendering import TEXTS, Words

ROI = "60,70,90,80"
PLAIN = ("admin", "classes", "map", "status")  # routes that take no value
OPTION = re.compile(r"(?<!\w)--\w")
# The details of refusals that have a translation, as their patterns say them, which no value here causes.
RARE = (
    "log in first", "the archive has no encoder", "(.+?) (?:is empty", "(.+?) claims", "(.+?) (?:the .* is damaged",
    "(.+?) holds no", "(.*) may not do this", "the header X-CSRF-Token", "the request is larger", "too many",
    "the database of the archive", "this is a fault", "image (\\d+) is withdrawn", "the query or the hit is withdrawn",
)  # fmt: skip
FILES = {
    b"": "film.dcm ist unvollständig: Kopieren Sie die Datei noch einmal.",
    b"%PDF-1.4 of a letter": "film.dcm ist keine Röntgenaufnahme: Gelesen werden DICOM, PNG, JPEG und TIFF.",
    b"\x89PNG\r\n\x1a\n" + bytes(20): "film.dcm ist beschädigt.",
}
SEARCHES = [
    {},
    {"id": "left hand"},
    {"id": 1, "sop": "1.2"},
    {"id": 10_000},
    {"sop": "1.2"},
    {"study": "1.2"},
    {"upload": "none"},
    {"id": 1, "unknown": 1},
]
FIELDS: list[dict[str, Any]] = [
    {"top": 0},
    {"top": 20, "candidates": 10},
    {"candidates": 0},
    *({"roi": roi} for roi in ("1,2,3", "0,0,9999,9", "0,0,2,2", "--")),
    {"roi": ROI, "roi_method": "edges"},
    {"roi": ROI, "roi_polarity": "both"},
    {"roi": ROI, "roi_method": "paper", "roi_polarity": "either"},
    *({"where": where} for where in ("modality", "sql=1", "one_per=patient", "not_patient=1", "max_distance=1", "x=1")),
    *({"where": where} for where in ("rows=a", "study_date>=x", "modality=\x01", "withdrawn=x", ["id=1", "id!=2"])),
    {"where": ["modality=CR", "modality!=DX"]},
    {"one_per": "series"},
    {"max_distance": 1001},
    {"encoder": 999},
    {"relevant": [2], "not_relevant": [2]},
    {"relevant": [10_000]},
    {"not_relevant": list(range(2, 300))},
]


def requests(picture: bytes) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in ("search", "region", "send", "outputs/sr", "outputs/none"):
        both = {"roi": ROI, "images": 1} if path == "region" else {}
        fields = FIELDS if path == "search" else FIELDS[:8]
        for data in (*(both | one for one in SEARCHES), *({"id": 1, **both} | one for one in fields)):
            yield "post", f"/api/{path}", {"data": data}
        film = {"file": ("new.png", picture)}  # names no patient, and is no DICOM object
        yield "post", f"/api/{path}", {"files": film, "data": both | {"exclude_same_patient": True}}
        yield "post", f"/api/{path}", {"files": {"file": ("text.txt", b"text")}, "data": both}
    yield "post", "/api/region", {"data": {"id": 1, "roi": ROI, "images": "x"}}
    for path in ("feedback", "labels/reports"):
        for said in ({}, {"hit": 2}, {"hit": 2, "relevant": True}, {"id": 10_000, "hit": 2, "relevant": True}, [1]):
            yield "post", f"/api/{path}", {"json": said}
        for code in ("x", "1123-127-500-00", "--"):
            yield "post", f"/api/{path}", {"json": {"image": 1, "expected": code}}
        yield "post", f"/api/{path}", {"json": {"image": 10_000, "remark": "--"}}
    for number in ("10000", "-1", "x", str(2**64)):
        for what in ("", "/pixels?level=3", "/thumbnail", "/rendered?window=x", "/rendered?size=1"):
            yield "get", f"/api/images/{number}{what}", {}
    yield "get", "/api/images/1/rendered?window=1,0", {}
    for what in ("", "/pixels", "/thumbnail"):
        yield "get", f"/api/queries/none{what}", {}
    yield "post", "/api/queries/none/keep", {}
    for path in (
        "codes",
        "codes?code=x",
        "classes/x/images",
        "classes/none/images?limit=0",
        "map",
        "status",
        "admin",
        "classes",
    ):
        yield "get", f"/api/{path}", {}
    for path in (
        "facets?where=x",
        "facets?where=x=1",
        "feedback?id=-1",
        "feedback?after=x",
        "classes?x=1",
        "admin?x=1",
    ):
        yield "get", f"/api/{path}", {}
    yield "get", "/api/admin/failures?limit=0", {}


def test_no_answer_to_a_bad_value_names_an_option_of_the_command_line(served: Served) -> None:
    said: dict[str, str] = {}
    with served.client() as client:
        known, refused = routes(client), set()
        for method, url, request in requests(served.films.picture.read_bytes()):
            answer = client.request(method, url, **request)
            route = route_of(known, method, url)
            assert answer.status_code < 500, (method, url, request.get("data"), answer.text)
            if answer.status_code >= 400:
                refused.add(route)
                said[f"{method} {url} {request.get('data') or request.get('json')}"] = answer.json()["detail"]
        assert known - refused == {
            ("get", f"/api/{name}") for name in ("admin", "classes", "map", "status", "admin", "classes")
        }
        region = client.post("/api/region", data={"id": 1, "roi": ROI, "images": [10_000]}).json()
    found = {request: detail for request, detail in said.items() if OPTION.search(detail)}
    assert not found
    assert len(said) > 100
    patterns, answers = TEXTS["de"]["refused"], said.values()
    rare = [one for one in patterns if not any(re.fullmatch(one, answer) for answer in answers)]
    assert [one for one in rare if not one.startswith(RARE)] == []
    assert not OPTION.search(region["regions"][0]["error"])
    assert any("one_per patient or one_per study" in detail for detail in said.values())


@pytest.mark.parametrize("data", FILES)
def test_a_file_that_cannot_be_read_is_refused_in_german(data: bytes) -> None:
    with pytest.raises(ImageError) as refused:
        decode_image(data)
    assert Words("de").refused(f"film.dcm {refused.value}") == FILES[data]


def test_commands_are_left_as_they_are() -> None:
    assert in_fields("--one-per x: it is one of: a, --b") == "one_per x: it is one of: a, b"
    told = "no code yet (5 wait); run: radretrieval work --once --encoder 3"
    assert in_fields(told) == told
    assert (
        in_fields("`radretrieval index build --kind hnsw`, --top 3") == "`radretrieval index build --kind hnsw`, top 3"
    )
    assert in_fields("a--b ---c") == "a--b ---c"
