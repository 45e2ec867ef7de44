"""Hidden paths: names of files are in no table, dump, view, CSV or answer; who has the key reads them."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from conftest import Run
from databases import Server
from PIL import Image
from programs import client_programs
from tiny import add_encoder

from radretrieval.archive.connections import Database
from radretrieval.archive.queries import sql
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, ImageError, UsageError
from radretrieval.files.hidden_paths import hide, reveal
from radretrieval.files.text import shown
from radretrieval.files.uris import frame_of, frame_uri, to_path, to_uri

NAME = "Mueller-Joerg"
SETTING = "RADRETRIEVAL_PATH_KEY_FILE"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "path.key").write_text("p" * 32)
    return tmp_path / "path.key"


def test_a_hidden_path_comes_back_with_its_key_alone(key: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME} \udcff.dcm"
    uri = to_uri(path, key)
    assert uri == to_uri(path, key)
    assert to_path(uri, key) == to_path(frame_uri(uri, 3), key) == path
    assert frame_of(frame_uri(uri, 3)) == 3
    assert shown(uri) == uri
    assert NAME in shown(uri, key)
    (tmp_path / "other.key").write_text("o" * 32)
    for other, message in ((None, SETTING), (tmp_path / "other.key", "another key")):
        with pytest.raises(ImageError, match=message):
            to_path(uri, other)
    letters = [uri[:-1] + letter for letter in "AQgwBCDEFRhx" if letter != uri[-1]]
    for changed in (*letters, uri + "A", uri[:30], "file:hidden/", "file:hidden/é"):
        with pytest.raises(ImageError, match="another key"):
            to_path(changed, key)
    # the length of a name does not show, but for 32 bytes
    assert len({len(hide(b"x" * length, key)) for length in range(1, 33)}) == 1
    assert all(reveal(hide(b"x" * length, key), key) == b"x" * length for length in range(100))


def test_the_key_of_paths_must_be_there_long_and_of_its_own(tmp_path: Path, key: Path) -> None:
    for content, message in ((None, "cannot be read"), ("short", "shorter than 16 bytes")):
        other = tmp_path / f"{content}.key"
        if content:
            other.write_text(content)
        with pytest.raises(EnvironmentUnusable, match=message):
            to_uri("a", other)
    with pytest.raises(UsageError, match="key of the pseudonyms"):
        Settings(home=tmp_path, patient_key_file=key, path_key_file=key)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two films and a file that is none, all named after a patient."""
    folder = tmp_path / NAME
    folder.mkdir()
    for number in (1, 2):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 48), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no film")
    return folder


def texts(url: str) -> Iterator[str]:
    """All rows of all tables of the archive, as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'radretrieval'::regnamespace "
            "AND c.relkind IN ('r', 'v')"
        ).fetchall()
        for (table,) in tables:
            yield from (row for (row,) in connection.execute(f"SELECT t::text FROM {table} t"))


def encoded(url: str) -> None:
    with Database(url).connection() as connection:
        add_encoder(connection)


def test_field_05_no_path_is_stored_or_answered(
    archive_url: str, films: Path, key: Path, tmp_path: Path, inside: Callable[..., Run], server: Server
) -> None:
    with_key = {SETTING: str(key)}
    report = inside("ingest", films, "--json", check=False, **with_key).json
    assert (report["added"], report["failed"]) == (2, 1)
    assert report["failures"][0]["path"] == str(films / "broken.png")  # who ingests is told
    encoded(archive_url)
    assert inside("work", "--once", "--device", "cpu", "--json", **with_key).json["encoded"] == 2
    # a file that is gone: neither the reason of its failure names it
    (films / "2.png").rename(films / "away.png")
    with Database(archive_url).connection() as connection:
        connection.execute("DELETE FROM cnnc WHERE image_id = 2")
    inside("work", "--once", "--device", "cpu", check=False, **with_key)
    found = "\n".join(texts(archive_url))
    assert "is gone" in found
    assert found.count("file:hidden/") >= 5
    (films / "away.png").rename(films / "2.png")
    inside("work", "--once", "--device", "cpu", **with_key)
    # answers, with and without the key
    search = ("search", "id:1", "--device", "cpu")
    for environment in ({}, with_key):
        found += inside(*search, "--json", "--csv", tmp_path / "hits.csv", **environment).stdout
        found += (tmp_path / "hits.csv").read_text()
        inside("search", "--all", "--device", "cpu", "--out", tmp_path / "all.csv", **environment)
        found += (tmp_path / "all.csv").read_text()
        inside("export", tmp_path / f"out{len(environment)}", check=False, **environment)
        found += "".join(p.read_text() for p in (tmp_path / f"out{len(environment)}").glob("*.csv"))
    assert NAME not in found
    # who has the key reads the files; who has not is told what is lacking
    roi = (*search, "--roi", "4,4,16,16", "--json")
    assert "roi" in json.dumps(inside(*roi, **with_key).json["hits"][0])
    refused = inside(*roi, check=False)
    assert (refused.returncode, SETTING in refused.stderr) == (2, True)
    exported = [row["file"] for row in csv.DictReader((tmp_path / "out1" / "index.csv").open())]
    assert all(exported)
    assert not any((tmp_path / "out0" / "images").rglob("*.png"))


def test_field_05_paths_of_before_are_hidden_by_verify_or_the_next_ingestion(
    archive_url: str, films: Path, key: Path, inside: Callable[..., Run]
) -> None:
    inside("ingest", films, check=False)
    encoded(archive_url)
    (films / "2.png").rename(films / "away.png")
    inside("work", "--once", "--device", "cpu", check=False)  # its failure is stored, with the path
    (films / "away.png").rename(films / "2.png")
    assert any(NAME in text and "is gone" in text for text in texts(archive_url))
    assert sum(NAME in text for text in texts(archive_url)) > 3
    with_key = {SETTING: str(key)}
    again = inside("ingest", films / "1.png", "--json", **with_key).json
    assert (again["unchanged"], again["added"]) == (1, 0)
    with psycopg.connect(archive_url) as connection:
        kept = connection.execute("SELECT uri FROM radretrieval.image ORDER BY id").fetchall()
    assert [uri.startswith("file:hidden/") for (uri,) in kept] == [True, False]
    verified = inside("verify", "--json", **with_key).json
    assert (verified["sound"], verified["images"]) == (2, 2)
    assert verified["hidden"] == 2, "of 2.png and of the failure of broken.png"
    assert not any(NAME in text for text in texts(archive_url))
    (films / "1.png").unlink()
    gone = inside("verify", "--json", check=False, **with_key).json
    assert (gone["gone"], gone["failures"][0]["path"]) == (1, str(films / "1.png"))
    # failures are looked up by their hidden paths too
    (films / "broken.png").unlink()
    inside("ingest", films, **with_key)
    with psycopg.connect(archive_url) as connection:
        assert connection.execute("SELECT FROM radretrieval.ingest_failure").fetchall() == []


def test_field_05_a_dump_has_no_path(
    archive_url: str, films: Path, key: Path, inside: Callable[..., Run], server: Server
) -> None:
    inside("ingest", films, check=False, **{SETTING: str(key)})
    dump = subprocess.run([client_programs(server) / "pg_dump", archive_url], check=True, capture_output=True).stdout
    assert b"file:hidden/" in dump
    assert NAME.encode() not in dump


def test_field_05_a_watched_folder_moves_what_it_hides(
    archive_url: str, films: Path, key: Path, tmp_path: Path
) -> None:
    import threading

    from radretrieval.ingest.watch_folder import WatchOptions, watch

    settings = Settings(home=tmp_path / "home", path_key_file=key)
    stop = threading.Event()
    options = WatchOptions(settle=0, every=0.1, move_to=tmp_path / "done", workers=1)
    report = watch(Database(archive_url), settings, [films], options, stop, lambda _: stop.set())
    assert report.added == 2
    with psycopg.connect(archive_url) as connection:
        kept = connection.execute("SELECT uri FROM radretrieval.image ORDER BY uri").fetchall()
    assert all(uri.startswith("file:hidden/") for (uri,) in kept)
    assert {to_path(uri, key) for (uri,) in kept} == {tmp_path / "done" / f"{number}.png" for number in (1, 2)}


def test_field_05_a_host_without_the_key_stores_no_path_and_a_lost_key_is_replaced(
    archive_url: str, films: Path, key: Path, tmp_path: Path, inside: Callable[..., Run]
) -> None:
    (films / "broken.png").unlink()
    inside("ingest", films / "1.png", **{SETTING: str(key)})
    refused = inside("ingest", films, check=False)
    assert (refused.returncode, SETTING in refused.stderr) == (3, True)
    assert not any(NAME in text for text in texts(archive_url))
    other = tmp_path / "other.key"
    other.write_text("another secret of paths, 32 bytes long")
    again = inside("ingest", films, "--json", **{SETTING: str(other)})
    assert (again.json["unchanged"], again.json["added"]) == (1, 1)
    assert "another key" in again.stderr
    verified = inside("verify", "--json", **{SETTING: str(other)}).json
    assert (verified["sound"], verified["images"]) == (2, 2)
    assert "another key" not in inside("ingest", films, **{SETTING: str(other)}).stderr


def test_whether_paths_are_hidden_is_asked_of_an_index(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        plan = connection.execute(f"EXPLAIN {sql('hidden_uri')}").fetchall()
    assert "image_hidden_path_idx" in str(plan)
