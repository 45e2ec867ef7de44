"""Images of the archive over HTTP: the row, the pixels, thumbnails and pictures."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from screen_films import received
from serving import Films, Served

from radretrieval.config import ServeSettings
from radretrieval.imaging.reader import read_image
from radretrieval.serve.app import create_app
from radretrieval.serve.film import Film
from radretrieval.serve.routes import images


@pytest.fixture
def client(served: Served) -> httpx.Client:
    return served.client()


def test_the_row_and_the_pixels_of_an_image(served: Served, client: httpx.Client) -> None:
    row = client.get("/api/images/1").json()
    assert row["uri"] == served.films.known[0].as_uri()
    assert row["patient_key"]
    assert "patient-" not in row["patient_key"]
    assert (row["irma_code"], row["problem"]) == (None, None)
    assert client.get("/api/images/2").json()["code_words"][2] == "upper extremity (arm) / left hand"
    film = Film.model_validate(row["film"])
    radiograph = read_image(served.films.known[0])
    for level in film.levels:
        answer = client.get(f"/{level.url}")
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert len(answer.content) == 2 * level.rows * level.columns
    values = received(client.get(f"/{film.levels[0].url}").content, film.rows, film.columns)
    np.testing.assert_array_equal(film.display().pixels(values + film.offset), radiograph.pixels)
    assert [window.name for window in film.windows] == ["whole", "dense"]
    assert [window["name"] for window in client.get("/api/images/2").json()["film"]["presets"]] == [
        "soft tissue",
        "bone",
    ]


def test_what_the_browser_has_is_not_sent_again(client: httpx.Client) -> None:
    for path in ("pixels?level=4", "thumbnail", "rendered?size=64"):
        first = client.get(f"/api/images/3/{path}")
        again = client.get(f"/api/images/3/{path}", headers={"If-None-Match": f'W/{first.headers["ETag"]}, "other"'})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    gz, raw = (
        client.get("/api/images/3/pixels?level=4", headers={"Accept-Encoding": encoding})
        for encoding in ("gzip", "identity")
    )
    assert gz.content == raw.content
    assert "Content-Encoding" not in raw.headers
    assert gz.headers["ETag"] != raw.headers["ETag"]


def test_two_pictures_are_made_at_a_time(films: Films, films_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[float] = []
    ended: list[float] = []

    def slow(*_: object) -> bytes:
        began.append(time.monotonic())
        time.sleep(0.2)
        ended.append(time.monotonic())
        return b""

    monkeypatch.setattr(images, "rendered", slow)
    app = create_app(films.settings(films_url), ServeSettings())
    with TestClient(app, base_url="http://127.0.0.1") as client, ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(client.get, ["/api/images/2/rendered"] * 6))
    assert {one.status_code for one in answers} == {200}
    assert max(sum(start <= moment for start in began) - sum(end <= moment for end in ended) for moment in began) == 2


def test_pictures(served: Served, client: httpx.Client) -> None:
    thumbnail = Image.open(io.BytesIO(client.get("/api/images/2/thumbnail").content))
    assert max(thumbnail.size) == 256
    whole = np.asarray(Image.open(io.BytesIO(client.get("/api/images/2/rendered?size=8192").content)))
    pixels = read_image(served.films.known[1]).pixels.astype(np.float64)
    np.testing.assert_array_equal(whole, np.floor(255 * pixels + 0.5))
    dark = np.asarray(Image.open(io.BytesIO(client.get("/api/images/2/rendered?window=8000,2").content)))
    assert dark.max() == 0


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("999", 404, "no image 999"),
        ("999/pixels", 404, "no image 999"),
        ("-1/thumbnail", 422, "image_id"),
        ("9223372036854775808", 422, "image_id"),
        ("1/pixels?level=3", 422, "level"),
        ("1/rendered?window=1", 422, "window"),
        ("1/rendered?window=100,0.5", 422, "at least 1"),
        ("1/rendered?size=0", 422, "size"),
    ],
)
def test_what_is_refused(client: httpx.Client, path: str, status: int, told: str) -> None:
    answer = client.get(f"/api/images/{path}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert told in answer.json()["detail"]
