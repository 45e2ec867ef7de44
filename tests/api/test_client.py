"""An archive that is served answers as the same archive does in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import certifi
import pytest
from listening import certificate, listening
from serving import Served

import radretrieval as rr


@pytest.fixture
def remote(served: Served) -> Iterator[rr.RemoteArchive]:
    with rr.open_archive(served.url) as archive:
        yield archive


@pytest.fixture
def local(served: Served) -> Iterator[rr.Archive]:
    with rr.open_archive(settings=served.films.settings(served.database_url)) as archive:
        yield archive


def told(answer: rr.Answer) -> rr.Answer:
    """What an answer says, but for times and what its JSON has not."""
    hits = [replace(hit, sha256=b"") for hit in answer.hits]
    similarity = None if answer.similarity is None else replace(answer.similarity, films=0)
    return replace(answer, hits=hits, similarity=similarity, timings_ms={}, pending=0, query_sha256=None)


def test_a_search_is_that_of_the_archive(remote: rr.RemoteArchive, local: rr.Archive, served: Served) -> None:
    film = served.films.new[0]
    assert told(remote.search(film)) == told(local.search(film))
    options = {"top": 4, "roi": (60, 70, 90, 80), "explain": True, "where": {"modality": ["CR", "DX"]}}
    expected = local.search(film, **options)  # type: ignore[arg-type]
    answer = remote.search(film, **options)  # type: ignore[arg-type]
    assert told(answer) == told(expected)
    assert answer.to_records() == expected.to_records()
    assert told(remote.search("id:5", one_per="patient")) == told(local.search(5, one_per="patient"))
    regions = {hit.image_id: hit.roi for hit in expected.hits}
    assert remote.find_region(film, (60, 70, 90, 80), regions) == regions
    assert remote.status()["images"] == local.status()["images"]
    remote.say_relevant(5, expected.hits[0].image_id, None)


def test_what_is_wrong_is_said_in_the_same_words(
    remote: rr.RemoteArchive, local: rr.Archive, served: Served, tmp_path: Path
) -> None:
    for wrong in ({"query": 999}, {"query": 1, "roi": (1, 2, 9000, 9)}, {"query": 1, "where": "modality"}):
        said = []
        for archive in (remote, local):
            with pytest.raises(rr.UsageError) as error:
                archive.search(**wrong)  # type: ignore[arg-type]
            said.append(str(error.value))
        assert said[0] == said[1]
    with pytest.raises(rr.UsageError, match=r"broken\.dcm"):
        remote.search(served.films.broken)
    with pytest.raises(rr.InputMissing, match=r"nothing\.png"):
        remote.search(tmp_path / "nothing.png")
    with pytest.raises(rr.EnvironmentUnusable, match="cannot be reached"):
        rr.open_archive("http://127.0.0.1:9/")
    with pytest.raises(rr.UsageError, match="auth"):
        rr.open_archive("postgresql://host/database", auth=("a", "b"))


def test_a_certificate_of_the_sites_own_is_trusted_where_it_is_named(
    archive_url: str, settings: rr.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.database_url = archive_url
    key, certified = certificate(tmp_path, "localhost")
    with listening(settings, tls_cert=certified, tls_key=key) as port:
        url = f"https://localhost:{port}"
        with pytest.raises(rr.EnvironmentUnusable, match=r"not trusted here.*verify=.*REQUESTS_CA_BUNDLE"):
            rr.open_archive(url)
        with pytest.raises(rr.UsageError, match=r"none\.pem.*check verify="):
            rr.open_archive(url, verify=str(tmp_path / "none.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
        with rr.open_archive(url, verify=certified) as archive:
            assert archive.status()["images"] == 0
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certified))
        with rr.open_archive(url) as archive:
            assert archive.status()["images"] == 0
