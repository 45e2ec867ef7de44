"""POST /api/search and /api/region answer as the command line does, for what the archive has and for new films."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import clean_environment
from inside import run_inside
from serving import Served

from radretrieval.archive.connections import Database
from radretrieval.serve.film import Film
from radretrieval.serve.films import film_of

ROI = "60,70,90,80"


@pytest.fixture(scope="module")
def api(served: Served) -> httpx.Client:
    with served.client() as client:
        yield client


@pytest.fixture
def command(served: Served, tmp_path: Path) -> Callable[..., Any]:
    """`search --json` on the same archive, in this process."""

    def run(*arguments: object) -> Any:
        environment = clean_environment(served.films.home, served.database_url)
        return run_inside(["search", *arguments, "--device", "cpu", "--json"], environment, tmp_path).json

    return run


def asked(api: httpx.Client, path: Path | None = None, **fields: Any) -> dict[str, Any]:
    files = None if path is None else {"file": (path.name, path.read_bytes())}
    answer = api.post("/api/search", data=fields, files=files)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def same(document: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two answers are equal but for the times, and what only the API says."""
    ours = {name: value for name, value in document.items() if name not in ("timings_ms", "query")}
    ours["hits"] = [
        {name: value for name, value in hit.items() if name not in ("duplicate_of", "words")} for hit in ours["hits"]
    ]
    theirs = {name: value for name, value in other.items() if name != "timings_ms"}
    unfiltered = {"matched_at_least": False, "hidden_at_least": False}
    return ours == unfiltered | theirs


QUERIES = {
    "id": lambda films: (None, {"id": 5}, "id:5"),
    "a known file": lambda films: (films.known[3], {}, films.known[3]),
    "a new film": lambda films: (films.new[0], {}, films.new[0]),
    "a film that nothing is like": lambda films: (films.new[3], {}, films.new[3]),
    "a new picture": lambda films: (films.picture, {}, films.picture),
}


@pytest.mark.parametrize("kind", QUERIES)
def test_the_answer_is_that_of_the_command_line(
    api: httpx.Client, served: Served, command: Callable[..., Any], kind: str
) -> None:
    path, fields, argument = QUERIES[kind](served.films)
    assert same(asked(api, path, **fields), command(argument))
    options = {"top": 4, "roi": ROI, "explain": "true", "where": ["modality=CR", "laterality!=R"], "one_per": "study"}
    wanted = ["--top", 4, "--roi", ROI, "--explain", "--where", "modality=CR", "--where", "laterality!=R"]
    first = asked(api, path, **fields, **options)
    assert same(first, command(argument, *wanted, "--one-per", "study"))
    assert first["matched"] is not None
    assert any(hit["roi"] for hit in first["hits"])
    if path is not None:  # again, by the codes that the upload has kept, and the films that are cells by now
        again = asked(api, upload=first["query"]["upload"], **options)
        assert {**again, "timings_ms": 0} == {**first, "timings_ms": 0}
        other = asked(api, upload=first["query"]["upload"], roi="10,20,50,60", roi_polarity="either")
        assert same(other, command(argument, "--roi", "10,20,50,60", "--roi-polarity", "either"))


def test_a_region_that_is_moved_is_found_as_by_a_search(
    api: httpx.Client, served: Served, command: Callable[..., Any]
) -> None:
    film = served.films.new[1]
    query = asked(api, film)["query"]["upload"]
    for roi in (ROI, "20,30,100,90"):
        expected = {hit["image_id"]: hit["roi"] for hit in command(film, "--roi", roi)["hits"]}
        answer = api.post("/api/region", data={"upload": query, "roi": roi, "images": [*expected, 10_000]}).json()
        assert {one["image_id"]: one["roi"] for one in answer["regions"]} == expected | {10_000: None}
        assert [one["error"] for one in answer["regions"]] == [None] * 10 + [
            "is withdrawn from searches, or not in the archive any more"
        ]
    sizes = [(one["rows"], one["columns"]) for one in answer["regions"]]
    images = [api.get(f"/api/images/{image_id}").json() for image_id in expected]
    assert sizes == [*((one["rows"], one["columns"]) for one in images), (None, None)]


def test_an_image_is_found_by_its_uids(api: httpx.Client, served: Served) -> None:
    with Database(served.database_url).connection() as connection:
        row = connection.execute("SELECT sop_instance_uid AS sop, study_instance_uid AS study FROM image WHERE id = 4")
        uids = row.fetchone()
    assert uids is not None
    assert asked(api, sop=uids["sop"])["query"]["image_id"] == 4
    assert asked(api, study=uids["study"])["query"]["image_id"] == 3


def test_the_page_gets_an_answer_in_which_no_text_is_markup(api: httpx.Client, served: Served) -> None:
    name = "<img src=x onerror=alert(1)>'\".png"
    answer = api.post("/api/answer", data={"top": 3}, files={"file": (name, served.films.picture.read_bytes())})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.count('data-act="choose"') == 3
    assert "Why this hit" in answer.text
    assert "<img src=x" not in answer.text
    filters = api.get("/api/filters", params={"where": f"manufacturer={name}"})
    assert filters.status_code == 200
    assert "&lt;img src=x onerror=alert(1)&gt;" in filters.text
    assert "<img" not in filters.text


def test_near_duplicates_name_the_earlier_hit(api: httpx.Client, served: Served) -> None:
    document = asked(api, served.films.new[0], top=30)
    ids = [hit["image_id"] for hit in document["hits"]]
    folded = {hit["image_id"]: hit["duplicate_of"] for hit in document["hits"] if hit["duplicate_of"]}
    first, second = sorted((1, 29), key=ids.index)  # 29 is the first film with other UIDs
    assert folded == {second: first}


def test_a_known_file_is_not_its_own_hit_and_an_unknown_one_has_no_id(api: httpx.Client, served: Served) -> None:
    document = asked(api, served.films.known[0])
    assert document["query"]["image_id"] == 1
    assert 1 not in [hit["image_id"] for hit in document["hits"]]
    query = asked(api, served.films.new[2])["query"]
    assert (query["name"], query["image_id"]) == ("new-2.dcm", None)


def test_the_film_of_a_query_reaches_the_browser(api: httpx.Client, served: Served) -> None:
    path = served.films.new[0]
    query = asked(api, path)["query"]
    assert api.get(f"/api/queries/{query['upload']}").json() == query
    made = film_of(path.read_bytes(), 10**8)
    film = Film.model_validate(query["film"])
    assert film == made.film.at(f"api/queries/{query['upload']}/pixels")
    for level in film.levels:
        raw = api.get(f"/{level.url}").content
        assert raw == zlib.decompress(made.levels[level.level], 31)
    thumbnail = api.get(f"/api/queries/{query['upload']}/thumbnail")
    assert thumbnail.content == made.thumbnail
    again = api.get(f"/api/queries/{query['upload']}/thumbnail", headers={"If-None-Match": thumbnail.headers["ETag"]})
    assert again.status_code == 304
    assert api.get("/api/queries/other/pixels").status_code == 404
    assert asked(api, id=3)["query"]["film"] == api.get("/api/images/3").json()["film"]


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({}, 400, "exactly one query: file, upload, id, sop, study"),
        ({"id": 1, "sop": "1.2"}, 400, "exactly one query"),
        ({"id": 999}, 404, "the archive has no image 999"),
        ({"sop": "1.2.3"}, 404, "no image with the SOP Instance UID 1.2.3"),
        ({"study": "1.2.3"}, 404, "no image with the Study Instance UID 1.2.3"),
        ({"upload": "x"}, 404, "upload the file again"),
        ({"id": 1, "roi": "1,2"}, 400, "not of the form x,y,width,height"),
        ({"id": 1, "roi": "1,2,9000,9"}, 400, "does not lie inside"),
        ({"id": 1, "where": "nothing=1"}, 400, "nothing"),
        ({"id": 1, "top": 20, "candidates": 10}, 400, "candidates 10 is smaller than top 20"),
        ({"id": 1, "encoder": 77}, 400, "no encoder 77"),
        ({"id": 1, "tops": 3}, 422, "tops"),
        ({"id": 2**63}, 422, "id"),
    ],
)
def test_what_is_not_possible_is_said_in_the_names_of_the_fields(
    api: httpx.Client, fields: dict[str, Any], status: int, said: str
) -> None:
    answer = api.post("/api/search", data=fields)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert said in problem["detail"]


def test_broken_files_are_refused_by_name_and_harm_nothing(api: httpx.Client, served: Served) -> None:
    whole = served.films.new[0].read_bytes()
    broken = [b"", b"no film", whole[:3000], whole[:-5000], whole[:400] + bytes(2000) + whole[2400:]]
    broken += [served.films.picture.read_bytes()[: 100 * place] for place in range(1, 36)]

    def send(place: int) -> tuple[int, str]:
        answer = api.post("/api/search", files={"file": (f"film {place}.dcm", broken[place])})
        return answer.status_code, answer.json()["detail"]

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(send, range(len(broken))))
    assert {status for status, _ in answers} == {422}
    for place, (_, said) in enumerate(answers):
        assert said.startswith(f"film {place}.dcm ")
    assert served.process.poll() is None
    assert asked(api, served.films.new[0])["hits"]


def test_every_search_is_a_row_of_the_audit(api: httpx.Client, served: Served) -> None:
    document = asked(api, served.films.new[1], top=3, where=["modality=DX"])
    with Database(served.database_url).connection() as connection:
        row = connection.execute("SELECT who, action, detail FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None
    assert (row["who"], row["action"]) == ("local", "search")
    assert row["detail"]["hits"] == [hit["image_id"] for hit in document["hits"]]
    assert row["detail"]["parameters"] == {"top": 3, "where": ["modality=DX"]}
    assert len(row["detail"]["query_sha256"]) == 64
