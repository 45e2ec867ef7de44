"""Films of the archive are made once, kept in a folder of limited size, and told apart from reduced copies."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from databases import Server
from decoding import decode_here
from fastapi.testclient import TestClient
from screen_films import received
from serving import CODES, dicom_film

from radretrieval.archive.connections import Database
from radretrieval.config import ServeSettings, Settings
from radretrieval.imaging.reader import read_image
from radretrieval.ingest.run import ingest
from radretrieval.serve import archive_films
from radretrieval.serve.app import create_app
from radretrieval.serve.film import Film
from radretrieval.serve.film_cache import FilmCache


def test_what_was_used_least_recently_is_deleted_first(tmp_path: Path) -> None:
    old = FilmCache(tmp_path / "films", "old", 10_000)
    old.put("a" * 64, bytes(400))
    cache = FilmCache(tmp_path / "films", "new", 1000)
    for number, name in enumerate(("one", "two", "three")):
        cache.put(name, bytes([number]) * 200)
        os.utime(cache.path(name), ns=(0, number))
    os.utime(old.path("a" * 64), ns=(0, 9))
    assert cache.get("one") == bytes(200)
    cache.put("four", bytes(200))
    # of 1,200 bytes at most 900 stay
    assert cache.get("two") is cache.get("three") is None
    assert [len(cache.get(name) or b"") for name in ("one", "four")] == [200, 200]
    assert old.get("a" * 64) == bytes(400)
    assert cache.path("one").stat().st_mode & 0o777 == 0o600
    assert cache.path("one").parent.stat().st_mode & 0o777 == 0o700
    cache.put("large", bytes(2000))
    assert cache.get("large") is None


def test_a_disk_that_refuses_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "films").write_bytes(b"no folder")
    with caplog.at_level(logging.WARNING):
        FilmCache(tmp_path / "films", "v", 1000).put("name", b"data")
    assert "cannot take a file" in caplog.text


@dataclass
class Served:
    """An archive of five images and a client; of image 2 a reduced copy is kept, the path of image 5 is hidden."""

    client: TestClient
    files: list[Path]
    settings: Settings

    def row(self, number: int) -> dict[str, Any]:
        answer = self.client.get(f"/api/images/{number}")
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found

    def grey(self, number: int, level: int = 1) -> Any:
        """An image as the browser shows it, 0…1."""
        film = Film.model_validate(self.row(number)["film"])
        size = next(one for one in film.levels if one.level == level)
        body = self.client.get(f"/{size.url}").content
        return film.display().pixels(received(body, size.rows, size.columns) + film.offset)


@pytest.fixture(scope="module")
def served(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("films")
    key = folder / "key"
    key.write_text("a secret of paths, long enough")
    files = [folder / f"film-{number}.dcm" for number in range(5)]
    with server.database(template=migrated_template) as url, pytest.MonkeyPatch.context() as patch:
        decode_here(patch)
        settings = Settings(home=folder / "home", database_url=url, reduced_size=128)
        for number, file in enumerate(files):
            dicom_film(number, CODES[0], size=160).save_as(file, enforce_file_format=True)
            changes = {1: {"keep": "reduced"}, 4: {"path_key_file": key}}.get(number, {})
            ingest(Database(url), settings.model_copy(update=changes), [file], workers=1)
        settings.path_key_file = key
        with TestClient(create_app(settings, ServeSettings()), base_url="http://127.0.0.1") as client:
            yield Served(client, files, settings)


PATHS = ("pixels", "pixels?level=4", "thumbnail", "rendered?size=64")


def test_a_file_that_is_gone(served: Served) -> None:
    for number, told in ((1, str(served.files[0])), (5, "image 5 is gone: bring the file back")):
        served.files[number - 1].unlink()
        row = served.row(number)
        assert row["film"] is None
        assert told in row["problem"]
        for path in PATHS:
            answer = served.client.get(f"/api/images/{number}/{path}")
            assert answer.status_code == 422
            assert answer.json()["detail"] == row["problem"]
    assert (row["uri"], str(served.files[4].parent) in row["problem"]) == (None, False)


def test_the_reduced_copy_stands_in_for_a_file_that_is_gone(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, data = read_image(served.files[1]).pixels, served.files[1].read_bytes()
    served.files[1].unlink()
    film = served.row(2)["film"]
    assert "is gone" in film["reduced"]
    assert (film["bits"], film["rows"], film["columns"], film["windows"]) == (16, *pixels.shape, [])
    grey = served.grey(2)
    assert np.abs(grey - pixels).mean() < 0.02
    assert served.client.get("/api/images/2/rendered").status_code == 200
    served.files[1].write_bytes(data)
    assert served.row(2)["film"]["reduced"]  # for a minute
    monkeypatch.setattr(archive_films, "_REDUCED_SECONDS", -1.0)
    served.client.app.state.service.films._reduced.clear()
    assert served.row(2)["film"]["reduced"] is None
    np.testing.assert_array_equal(served.grey(2), pixels)


def test_what_was_seen_is_not_made_again(served: Served) -> None:
    pixels = read_image(served.files[3]).pixels
    first = [served.client.get(f"/api/images/4/{path}").content for path in PATHS]
    served.files[3].unlink()
    assert [served.client.get(f"/api/images/4/{path}").content for path in PATHS] == first
    np.testing.assert_array_equal(served.grey(4), pixels)
    shutil.rmtree(served.settings.home / "films")
    assert served.client.get("/api/images/4/pixels").status_code == 422


def test_several_who_look_at_once_get_one_film(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    decoders = served.client.app.state.service.decoders
    tasks, submit = [], decoders.submit
    monkeypatch.setattr(decoders, "submit", lambda task: (tasks.append(task), submit(task))[1])
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: served.client.get("/api/images/3/pixels").content, range(6)))
    assert len(tasks) == 1
    assert len(set(answers)) == 1
