"""Withdrawing: images are hidden from everything that answers, kept, and found again when that is taken back."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pydicom
import pytest
from conftest import Run, clean_environment
from fastapi.testclient import TestClient
from serving import CODES, Films
from tiny import TINY, add_encoder

import radretrieval as rr
from radretrieval.api.archive import Archive
from radretrieval.archive import codes, feedback, images, label_reports
from radretrieval.archive.connections import Database, connect
from radretrieval.archive.facets import FacetCounts
from radretrieval.archive.search import exact_check
from radretrieval.coding.radon import geometry
from radretrieval.config import ServeSettings, Settings
from radretrieval.errors import NotInArchive
from radretrieval.ingest.failed import ingest_failed
from radretrieval.ingest.inbox_worker import keep_file
from radretrieval.jobs.embedding_map import embedding_map
from radretrieval.jobs.encode import EncodeOptions, encode
from radretrieval.jobs.forget import Forget, forget
from radretrieval.jobs.train import TrainOptions, train
from radretrieval.jobs.withdraw import Withdraw, withdraw
from radretrieval.search.request import Request
from radretrieval.search.searcher import Searcher
from radretrieval.serve.app import create_app
from radretrieval.storage.content_store import ContentStore

FILM = 2  # withdrawn; it has a label, and a patient and a study with others
OTHER = 6  # of its class
ROI = "60,70,90,80"
TABLES = ("cnnc", "barcode")
COLUMNS = {"patient": "patient_key", "study": "study_instance_uid"}
KILLED = """
import os, sys
from radretrieval.archive import withdrawal
statement = withdrawal.sql
withdrawal.sql = lambda name: os.kill(os.getpid(), 9) if name == "withdraw_neighbours_off" else statement(name)
from radretrieval.api.archive import open_archive
with open_archive(os.environ["RADRETRIEVAL_DATABASE_URL"]) as archive:
    archive.withdraw(image=int(sys.argv[1]))
"""


@dataclass
class World:
    """A filled archive, its page, and what both show."""

    database: Database
    settings: Settings
    archive: rr.Archive
    page: TestClient
    films: Films
    folder: Path

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.database.connection() as connection:
            return connection.execute(statement, values).fetchall()

    def ids(self, statement: str, *values: Any) -> list[int]:
        """The numbers of images in the rows of a statement."""
        return sorted({one for row in self.rows(statement, *values) for one in row.values() if one is not None})

    def shown(self) -> dict[str, Any]:
        """What each surface shows: numbers of images, or counts."""
        return {**self.by_sql(), **self.by_functions(), **self.by_page()}

    def by_sql(self) -> dict[str, Any]:
        code = "(SELECT code FROM cnnc WHERE image_id = 6)"
        barcode = "(SELECT code FROM barcode WHERE image_id = 6)"
        (index,) = self.rows("SELECT 'exact_' || id AS name FROM exact_index WHERE live")
        with psycopg.connect(self.database.url, autocommit=True) as plain:
            plain.execute("CALL radretrieval.fill_neighbours(5)")
        found: dict[str, Any] = {
            name: self.ids(statement)
            for name, statement in {
                "cnnc_nearest": f"SELECT image_id FROM cnnc_nearest({code}, 100)",
                "a filter": f'SELECT image_id FROM cnnc_nearest({code}, 100, NULL, \'{{"irma_code": "11*"}}\')',
                "one a patient": f'SELECT image_id FROM cnnc_nearest({code}, 100, NULL, \'{{"one_per": "study"}}\')',
                "similar": "SELECT image_id FROM similar(6, 100)",
                "similar_to": f"SELECT image_id FROM similar_to({code}, 100)",
                "retrieve": "SELECT image_id FROM retrieve(6, 100, 100)",
                "retrieve_by": f"SELECT image_id FROM retrieve_by({code}, {barcode}, 100, 100)",
                "near_duplicates": "SELECT image_id, other_id FROM near_duplicates(1000)",
                "neighbour": "SELECT image_id, neighbour_id FROM neighbour",
                "exact index": f"SELECT image_id FROM {index['name']}",
                "pending or coded": "SELECT image_id FROM pending UNION SELECT image_id FROM cnnc",
            }.items()
        }
        counts = {
            "cnnc_within": f"cnnc_within({code}, 1000)",
            "cnnc_matched": "cnnc_matched(NULL, '{\"frame\": 1}')",
            "coverage": "(SELECT sum(images) FROM coverage)",
            "irma_class": "(SELECT sum(images) FROM irma_class)",
            "neighbours_by_class": "(SELECT sum(relations) FROM neighbours_by_class(5))",
            "feedback_by_class": "(SELECT sum(relevant) FROM feedback_by_class)",
        }
        for name, expression in counts.items():
            found[name] = self.rows(f"SELECT {expression} AS n")[0]["n"]
        return found

    def by_functions(self) -> dict[str, Any]:
        archive = self.archive
        ways: dict[str, dict[str, Any]] = {
            "search": {},
            "a refined search": {"relevant": [7], "not_relevant": [9]},
        }
        found: dict[str, Any] = {
            name: sorted(hit.image_id for hit in archive.search(OTHER, top=40, **options).hits)
            for name, options in ways.items()
        }
        found["a new file"] = sorted(hit.image_id for hit in archive.search(self.films.new[1], top=40).hits)
        found["many"] = sorted({row.image_id for row in archive.search_many([6, 7], top=40)})
        audit = json.dumps(archive.audit_labels(top=1000).document(), default=str)
        found["audit_labels"] = sorted({int(one) for one in re.findall(r'"image_id": (\d+)', audit)})
        found["evaluate"] = archive.evaluate(split="t", against=["t"], network=False).queries.image_ids.tolist()
        found["embedding_map"] = embedding_map(self.database, self.settings).image_ids
        with self.database.connection() as connection:
            found["training"] = len(images.training(connection, "t"))
            found["feedback"] = sorted({one.hit_image_id for one in feedback.given(connection)})
            found["label reports"] = sorted(one.image_id for one in label_reports.pending(connection))
            found["left_out"] = images.left_out(connection, None, True)
        found["facets"] = FacetCounts().count(self.database, []).images
        found["pending"] = archive.status()["pending"]
        return found

    def by_page(self) -> dict[str, Any]:
        page = self.page
        answer = page.post("/api/search", data={"id": OTHER, "top": 40}).json()
        classes = page.get("/api/classes/1121-110-414-700/images").json()["images"]
        return {
            "POST /api/search": sorted(hit["image_id"] for hit in answer["hits"]),
            "GET /api/classes/…/images": [one["id"] for one in classes],
            "GET /api/feedback": sorted(
                one["hit_image_id"] for one in page.get("/api/feedback", params={"everyone": True}).json()["feedback"]
            ),
        }


@pytest.fixture
def world(films: Films, films_url: str, tmp_path: Path) -> Iterator[World]:
    database, settings = Database(films_url), films.settings(films_url)
    with connect(films_url) as connection:
        connection.execute("UPDATE image SET split = 't'")
        connection.execute(
            "INSERT INTO feedback (who, query_image_id, hit_image_id, relevant) "
            "VALUES ('a', 6, 2, true), ('a', 6, 7, true)"
        )
        connection.execute(
            "INSERT INTO label_report (who, image_id, remark, labels) SELECT 'a', i.id, 'r', to_jsonb(l) FROM image i, "
            "LATERAL (SELECT i.irma_code, i.body_part, i.view_position, i.laterality) l WHERE i.id IN (2, 7)"
        )
    with rr.open_archive(settings=settings) as archive:
        archive.build_index()
        app = create_app(settings, ServeSettings())
        with TestClient(app, base_url="http://127.0.0.1") as page:
            yield World(database, settings, archive, page, films, tmp_path)


def has(value: Any) -> bool:
    """Whether a list of images has the film; counts are compared by the caller."""
    return isinstance(value, list) and FILM in value


def test_no_surface_shows_it_until_that_is_taken_back(world: World) -> None:
    before = world.shown()
    lists = {name for name, value in before.items() if isinstance(value, list)}
    assert {name for name in lists if not has(before[name])} == set(), "each can show the film"
    stored = {name: world.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in TABLES}
    assert world.page.get(f"/api/images/{FILM}").status_code == 200
    assert FILM in on_the_map(world)

    done = world.archive.withdraw(image=FILM, reason="a doubt")
    assert (done.images, done.studies, done.codes, done.unchanged, done.same_pixels) == (1, 1, 1, 0, [])
    shown = world.page.get("/api/map").json()["map"]  # at once, though it is kept for a minute
    assert shown is None or FILM not in shown["image_ids"]
    during = world.shown()
    assert FILM not in on_the_map(world)
    assert {name for name, value in during.items() if has(value)} == set()
    for name, value in before.items():
        if isinstance(value, list):
            assert set(value) - {FILM} <= set(during[name]), name
        elif name not in ("pending",):
            assert during[name] != value, name
    assert during["pending"] == before["pending"] == 0
    assert world.archive.status()["hidden"] == 1
    assert exact_check.check(world.database, world.archive.encoder(), 6, 20).sound
    refused_where_it_is_named(world)
    still_there(world)

    assert world.archive.withdraw(image=FILM).unchanged == 1
    done = world.archive.withdraw(image=FILM, undo=True)
    assert (done.images, done.codes) == (1, 1)
    assert {name: world.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in TABLES} == stored
    assert world.rows("SELECT * FROM cnnc_hidden") == []
    assert exact_check.check(world.database, world.archive.encoder(), 6, 20).sound
    assert world.shown() == before
    audit = [row["detail"] for row in world.rows("SELECT detail FROM audit WHERE action = 'withdraw' ORDER BY id")]
    counts = {"images": 1, "studies": 1, "codes": 1, "unchanged": 0}
    first = {"kind": "image", "undo": False, "image_id": FILM, **counts, "reason": "a doubt"}
    assert [audit[0], audit[1]["unchanged"], audit[2]] == [
        first,
        1,
        {"kind": "image", "undo": True, "image_id": FILM, **counts},
    ]


def on_the_map(world: World) -> list[int]:
    """The images on the page's map, once it was computed."""
    for _ in range(600):
        if (shown := world.page.get("/api/map").json()["map"]) is not None:
            return list(shown["image_ids"])
        time.sleep(0.05)
    raise AssertionError("there is no map")


def refused_where_it_is_named(world: World) -> None:
    """By each way in which a user may name an image."""
    paths = [path for path in world.page.get("/api/openapi.json").json()["paths"] if "{image_id}" in path]
    assert len(paths) >= 4
    for path in paths:
        answer = world.page.get(path.replace("{image_id}", str(FILM)))
        assert (answer.status_code, answer.json()["detail"]) == (404, f"image {FILM} is withdrawn from searches")
    asked: list[tuple[str, dict[str, Any]]] = [
        ("search", {"id": FILM}),
        ("search", {"id": OTHER, "relevant": FILM}),
        ("answer", {"id": FILM}),
        ("region", {"id": FILM, "roi": ROI, "images": [OTHER]}),
        *((f"outputs/{kind}", {"id": FILM}) for kind in ("sr", "sc", "picture", "csv", "fhir")),
    ]
    for path, what in asked:
        answer = world.page.post(f"/api/{path}", data=what)
        assert answer.status_code == 404, (path, answer.text)
        assert f"image {FILM} is withdrawn from searches" in answer.text
    (known,) = world.rows("SELECT sop_instance_uid AS sop, study_instance_uid AS study FROM image WHERE id = %s", FILM)
    assert world.page.post("/api/search", data={"sop": known["sop"]}).status_code == 404
    assert world.page.post("/api/search", data={"study": known["study"]}).status_code == 200, "another of the study"
    assert world.page.get("/analyst.html", params={"id": FILM}).status_code == 404
    regions = world.page.post("/api/region", data={"id": OTHER, "roi": ROI, "images": [FILM, 7]}).json()["regions"]
    assert [one["roi"] is None for one in regions] == [True, False]
    assert regions[0]["error"] == "is withdrawn from searches, or not in the archive any more"
    for query, hit in ((OTHER, FILM), (FILM, OTHER)):
        said = {"id": query, "hit": hit, "relevant": True}
        assert world.page.post("/api/feedback", json=said).status_code == 404
    assert world.page.post("/api/labels/reports", json={"image": FILM, "remark": "no"}).status_code == 404
    for query, options in ((FILM, {}), (OTHER, {"not_relevant": [FILM]})):
        with pytest.raises(NotInArchive, match=f"image {FILM} is withdrawn from searches"):
            world.archive.search(query, **options)
    many = world.archive.search_many([FILM])
    assert list(many) == []
    assert f"image {FILM} is withdrawn from searches" in str(list(many.report.failures))
    for function in (f"code_of({FILM})", f"barcode_of({FILM})", f"retrieve({FILM})", f"image_distance(6, {FILM})"):
        with pytest.raises(psycopg.Error, match=rf"image {FILM} is withdrawn .* withdraw --image {FILM} --undo"):
            world.rows(f"SELECT {function}")


def still_there(world: World) -> None:
    """For who keeps the archive; and its own file is a query like any other, of which the archive knows nothing."""
    answer = world.archive.search(world.films.known[FILM - 1])
    assert (answer.query_image_id, answer.query_irma_code) == (None, None)
    assert world.archive.verify(workers=1).images == 30
    assert world.archive.export(world.folder / "out", ids=[FILM], images=False).failed == 0
    assert world.ids("SELECT id FROM image_decoded WHERE hidden_at IS NOT NULL") == [FILM]
    (kept,) = world.rows("SELECT count(*) AS n FROM cnnc_hidden")
    assert kept["n"] == 1


def test_a_worker_that_is_coding_is_waited_for_and_then_passes_over(world: World) -> None:
    """Its code is taken too; no claim of before, of meanwhile or of after brings the image back."""
    statement = "SELECT encoder_id, substring(bit_send(code) FROM 5) AS code FROM cnnc WHERE image_id = %s"
    (stored,) = world.rows(statement, FILM)
    with world.database.connection() as connection:
        connection.execute("DELETE FROM cnnc WHERE image_id = %s", [FILM])
        number = codes.geometry_id(connection, *geometry(world.archive.encoder().profile.barcode))
    encoder, long_ago = int(stored["encoder_id"]), datetime(2020, 1, 1, tzinfo=UTC)
    with connect(world.database.url) as worker, ThreadPoolExecutor(1) as threads:
        claimed, _ = codes.claim(worker, encoder, number, after=0, limit=9, since=long_ago)
        assert [one.image_id for one in claimed] == [FILM]
        done = threads.submit(withdraw, world.database, world.settings, Withdraw(image=FILM), "me")
        waits_for_a_lock(world)
        array = np.frombuffer(stored["code"], np.uint8).reshape(1, -1)
        codes.write_cnnc(worker, encoder, [FILM], array, 1000)
        worker.commit()
        assert done.result(60).codes == 1
        assert world.ids("SELECT image_id FROM cnnc WHERE image_id = %s", FILM) == []
        # and one that a hand has deleted while the image is hidden is nobody's to make
        with world.database.connection() as connection:
            connection.execute("DELETE FROM cnnc_hidden")
        assert codes.claim(worker, encoder, number, after=0, limit=9, since=long_ago)[0] == []
        worker.rollback()
        assert (codes.pending_count(worker, encoder), world.archive.status()["pending"]) == (0, 0)
        assert world.rows("SELECT * FROM pending") == []
        world.archive.withdraw(image=FILM, undo=True)
        assert codes.pending_count(worker, encoder) == 1
        claimed, _ = codes.claim(worker, encoder, number, after=0, limit=9, since=long_ago)
        assert [one.image_id for one in claimed] == [FILM]


def waits_for_a_lock(world: World) -> None:
    """Until a session waits."""
    for _ in range(600):
        if world.rows("SELECT FROM pg_locks WHERE NOT granted"):
            return
        time.sleep(0.05)
    raise AssertionError("nobody waits")


def test_an_encoder_that_came_meanwhile_codes_it_afterwards(world: World) -> None:
    first = world.archive.encoder().id
    world.archive.withdraw(image=FILM)
    coded = "INSERT INTO cnnc SELECT %s, image_id, code FROM cnnc c WHERE encoder_id = %s AND image_id <> ALL (%s)"
    with world.database.connection() as connection:
        second = add_encoder(connection, seed=1)
        connection.execute(coded, [second, first, []])
    world.archive.activate(second)  # which it refuses while images have no code of it
    assert world.archive.status()["pending"] == 0
    assert world.archive.withdraw(image=FILM, undo=True).codes == 1
    assert world.ids("SELECT encoder_id FROM cnnc WHERE image_id = %s", FILM) == [first]
    assert world.archive.status()["pending"] == 1
    # an encoder that is deleted takes its codes of hidden images along
    with world.database.connection() as connection:
        others = [one for one in range(1, 31) if one != FILM]
        connection.execute(coded, [second, first, others])
    assert world.archive.withdraw(image=FILM).codes == 2
    world.archive.delete_encoder(first)
    assert world.ids("SELECT encoder_id FROM cnnc_hidden") == [second]
    assert world.archive.withdraw(image=FILM, undo=True).codes == 1


def test_an_encoder_that_is_trained_meanwhile_neither_learns_nor_codes_it(world: World) -> None:
    labelled = world.ids("SELECT id FROM image WHERE irma_code IS NOT NULL AND NOT withdrawn")
    assert FILM in labelled
    world.archive.withdraw(image=FILM)
    here = world.settings.model_copy(update={"home": world.folder})
    trained = train(world.database, here, TrainOptions(TINY, split="t", epochs=1, device="cpu"))
    assert trained.images == len(labelled) - 1
    options = EncodeOptions(encoder_id=trained.encoder_id, device="cpu")
    assert encode(world.database, here, options).encoded == 29
    coded = "SELECT image_id FROM cnnc WHERE encoder_id = %s"
    assert world.ids(coded, trained.encoder_id) == [one for one in range(1, 31) if one != FILM]
    world.archive.activate(trained.encoder_id)
    assert FILM not in hits(world.archive.search(OTHER, top=40))
    assert world.archive.withdraw(image=FILM, undo=True).codes == 1, "of the encoder that was before"
    assert world.archive.status()["pending"] == 1
    assert encode(world.database, here, options).encoded == 1
    assert FILM in hits(world.archive.search(OTHER, top=40))


def test_labels_that_come_meanwhile_are_those_that_it_is_found_by(world: World) -> None:
    before, now = CODES[(FILM - 1) % 4], CODES[FILM % 4]
    film, labels = world.films.known[FILM - 1], world.folder / "labels.csv"
    labels.write_text(f"file,irma_code\n{film},{now}\n")
    world.archive.withdraw(image=FILM)
    assert world.archive.ingest([film], labels=labels, workers=1).hidden == 1
    assert world.rows("SELECT irma_code FROM image WHERE id = %s", FILM) == [{"irma_code": now}]
    found = {code: hits(world.archive.search(OTHER, top=40, where=[f"irma_code={code}"])) for code in (before, now)}
    assert FILM not in found[before] + found[now]
    assert world.archive.withdraw(image=FILM, undo=True).codes == 1
    found = {code: hits(world.archive.search(OTHER, top=40, where=[f"irma_code={code}"])) for code in (before, now)}
    assert (FILM in found[before], FILM in found[now]) == (False, True)
    assert exact_check.check(world.database, world.archive.encoder(), 6, 20).sound


def test_what_is_written_has_no_hit_that_was_withdrawn_since_it_was_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Searcher.search

    def then_withdrawn(searcher: Searcher, request: Request) -> rr.Answer:
        answer = found(searcher, request)
        assert FILM in hits(answer)
        withdraw(world.database, world.settings, Withdraw(image=FILM), "me")
        return answer

    monkeypatch.setattr(Searcher, "search", then_withdrawn)
    files = {"sr": "sr.dcm", "sc": "sc.dcm", "fhir": "b.json", "csv": "hits.csv"}
    outputs = rr.AnswerOutputs(**{kind: world.folder / name for kind, name in files.items()})
    (known,) = world.rows("SELECT sop_instance_uid AS uid, uri FROM image WHERE id = %s", FILM)
    answer = world.archive.search(OTHER, top=40, outputs=outputs)
    (place,) = [hit.rank for hit in answer.hits if hit.image_id == FILM]
    assert outputs.remarks[0].startswith(f"hit {place} (image {FILM}) is left out of what is written: it was withdrawn")
    written = {kind: str(pydicom.dcmread(world.folder / files[kind])) for kind in ("sr", "sc")}
    written |= {kind: (world.folder / files[kind]).read_text() for kind in ("fhir", "csv")}
    for kind, text in written.items():
        assert known["uid"] not in text, kind
        assert f"image {FILM} of the archive" not in text, kind
        assert Path(known["uri"]).name not in text, kind
        assert f'"id:{FILM}"' not in text, kind
    assert len(written["csv"].splitlines()) == len(answer.hits), "the head, and all others"
    (row,) = world.rows("SELECT detail FROM audit WHERE action = 'output'")
    assert row["detail"]["hits"] == [hit.image_id for hit in answer.hits if hit.image_id != FILM]


def test_a_killed_run_has_changed_nothing(world: World) -> None:
    before = {name: world.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in (*TABLES, "image", "cnnc_hidden")}
    host = clean_environment(world.settings.home, world.database.url)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(FILM)], env=host, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert {name: world.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in before} == before
    assert world.rows("SELECT FROM audit WHERE action = 'withdraw'") == []
    assert world.archive.withdraw(image=FILM).images == 1


def test_what_comes_again_stays_hidden_and_what_changed_is_coded_anew(world: World) -> None:
    file = world.films.known[FILM - 1]
    world.archive.withdraw(image=FILM)
    report = world.archive.ingest([file], workers=1)
    assert (report.unchanged, report.hidden, report.failed) == (1, 1, 0)
    report = world.archive.ingest([world.films.known[OTHER - 1]], workers=1)
    assert (report.unchanged, report.hidden) == (1, 0)
    other_host = Settings(home=world.folder, database_url=world.database.url)
    assert keep_file(world.database, other_host, file.read_bytes(), "CR1") == FILM, "as one that is sent, or pulled"
    key = {"patient_key_file": world.settings.home / "patient.key"}
    ContentStore(other_host.store_folder).put(file.read_bytes())  # and once it had failed
    with world.database.connection() as connection:
        connection.execute(
            "INSERT INTO ingest_failure (uri, sha256, error, message) "
            "SELECT 'store:' || encode(sha256, 'hex'), sha256, 'ImageError', 'm' FROM image WHERE id = %s",
            [FILM],
        )
    report = ingest_failed(world.database, other_host.model_copy(update=key), 1)
    assert (report.seen, report.failed) == (1, 0)
    assert world.ids("SELECT id FROM image WHERE hidden_at IS NOT NULL") == [FILM]
    # the same film with a corrected header: the row follows it, and is as hidden
    ds = pydicom.dcmread(file)
    ds.ViewPosition = "LL" if ds.ViewPosition != "LL" else "PA"
    corrected = world.folder / "corrected.dcm"
    ds.save_as(corrected, enforce_file_format=True)
    assert world.archive.ingest([corrected], workers=1).updated == 1
    assert world.ids("SELECT id FROM image WHERE hidden_at IS NOT NULL") == [FILM]
    assert len(world.rows("SELECT FROM cnnc_hidden")) == 1
    with world.database.connection() as connection:  # with another window its codes are no more those of the picture
        codes.forget(connection, FILM)
    assert world.archive.withdraw(image=FILM, undo=True).codes == 0
    assert world.archive.status()["pending"] == 1


def test_patients_and_studies_are_those_that_are_there(world: World, inside: Callable[..., Run]) -> None:
    home = {"RADRETRIEVAL_HOME": str(world.settings.home)}
    (facts,) = world.rows("SELECT patient_key AS patient, study_instance_uid AS study FROM image WHERE id = %s", FILM)
    of = {name: world.ids(f"SELECT id FROM image WHERE {column} = %s", facts[name]) for name, column in COLUMNS.items()}

    def run(*words: object, check: bool = True) -> Run:
        return inside("withdraw", *words, url=world.database.url, check=check, **home)

    def hidden() -> list[int]:
        return world.ids("SELECT id FROM image WHERE hidden_at IS NOT NULL")

    planned = run("--patient", "patient-0", "--dry-run", "--json")
    assert (planned.json["images"], hidden()) == (len(of["patient"]), [])
    assert planned.stderr == "nothing was changed (--dry-run)\n"
    done = run("--patient", "patient-0", "--json").json
    assert {name: done[name] for name in planned.json if name != "dry_run"} == {
        name: value for name, value in planned.json.items() if name != "dry_run"
    }
    assert hidden() == of["patient"]
    assert done["same_pixels"] == [], "the copy of a film is of the patient too"
    again = run("--patient", facts["patient"], "--json").json  # by the pseudonym
    assert (again["images"], again["unchanged"]) == (0, len(of["patient"]))
    undone = run("--study", facts["study"], "--undo", "--json").json
    assert undone["images"] == len(of["study"])
    assert hidden() == sorted({*of["patient"]} - {*of["study"]})
    assert "images" in run("--patient", "patient-0", "--undo").stdout
    assert hidden() == world.ids("SELECT image_id FROM cnnc_hidden") == []
    named = run("--image", 1, "--dry-run")  # of which there is a copy under other UIDs
    assert "found as before, with the same pixels under other UIDs: images 29\n" in named.stderr
    texts = [repr(row["detail"]) for row in world.rows("SELECT detail FROM audit WHERE action = 'withdraw'")]
    assert len(texts) == 4
    assert not [text for text in texts for name in ("patient-0", *facts.values()) if name in text]
    for words, said in (
        (["--patient", "NOBODY"], "the archive has no image of this patient.*--issuer"),
        (["--image", "99"], "the archive has no image 99"),
        (["--image", "1", "--reason", "M\udcfcller"], r"--reason M.udcfcller: it is not text in UTF-8"),
        (["--study", "1.2", "--image", "7"], "name one"),
        ([], "name one"),
    ):
        ended = run(*words, check=False)
        assert (ended.returncode, bool(re.search(said, ended.stderr))) == (2, True), ended.stderr


def test_what_is_hidden_can_be_forgotten(world: World) -> None:
    world.archive.withdraw(image=FILM)
    with ThreadPoolExecutor(2) as threads:  # beside another that would withdraw it, or have it found
        job = threads.submit(forget, world.database, world.settings, Forget(image=FILM), "me")
        other = threads.submit(withdraw, world.database, world.settings, Withdraw(image=FILM, undo=True), "me")
        assert job.result(60).images == 1
        with suppress(NotInArchive):
            assert other.result(60).images == 1
    assert world.rows("SELECT FROM image WHERE id = %s", FILM) == []
    assert world.rows("SELECT FROM cnnc_hidden") == world.rows("SELECT FROM cnnc WHERE image_id = %s", FILM) == []
    assert exact_check.check(world.database, world.archive.encoder(), 6, 20).sound


def test_a_search_that_starts_after_it_does_not_show_the_image(world: World) -> None:
    """By each index and the page, while it is withdrawn and found again, over and over, under searches."""
    world.archive.build_index("hnsw")
    one, two, three, four = (Archive(world.settings) for _ in range(4))  # one a thread
    patient = world.rows("SELECT patient_key FROM image WHERE id = %s", OTHER)[0]["patient_key"]
    ways: dict[str, Callable[[], list[int]]] = {
        "exact": lambda: hits(one.search(OTHER, top=40)),
        "a filter": lambda: hits(two.search(OTHER, top=40, where=[f"patient_key!={patient}"])),
        "other patients": lambda: hits(three.search(OTHER, top=40, exclude_same_patient=True)),
        "many": lambda: [row.image_id for row in four.search_many([OTHER], top=40)],
        "page": lambda: [
            hit["image_id"] for hit in world.page.post("/api/search", data={"id": OTHER, "top": 40}).json()["hits"]
        ],
        "SQL": lambda: world.ids("SELECT image_id FROM similar(6, 100)"),
        "HNSW": lambda: nearest_by_hnsw(world),
    }
    assert {name for name, way in ways.items() if FILM not in way()} == set()
    hidden_since, wrong, counts, stop = [0.0, 0.0], list[str](), dict.fromkeys(ways, 0), threading.Event()

    def ask(name: str) -> None:
        while not stop.is_set():
            began, phase = time.monotonic(), tuple(hidden_since)
            try:
                found = FILM in ways[name]()
            except Exception as error:
                wrong.append(f"{name}: {error!r}")
                return
            if tuple(hidden_since) != phase or phase[1] % 1:
                continue  # it was changed meanwhile: either answer will do
            if found != (phase[0] == 0.0):
                wrong.append(f"{name} at {began}: {found}")
            counts[name] += 1

    threads = [threading.Thread(target=ask, args=(name,)) for name in ways]
    for thread in threads:
        thread.start()
    for number in range(6):
        hidden_since[1] = number + 0.5  # a change begins
        world.archive.withdraw(image=FILM, undo=number % 2 == 1)
        hidden_since[:] = [1.0 - number % 2, number + 1.0]
        enough = dict(counts)
        for _ in range(600):
            if wrong or all(counts[name] > enough[name] + 1 for name in ways):
                break
            time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    for archive in (one, two, three, four):
        archive.close()
    assert not wrong, "\n".join(wrong)
    assert min(counts.values()) > 6


def hits(answer: rr.Answer) -> list[int]:
    return [hit.image_id for hit in answer.hits]


def nearest_by_hnsw(world: World) -> list[int]:
    """With no other index to answer."""
    with world.database.connection() as connection:
        connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL hnsw.ef_search = 200")
        rows = connection.execute(
            "SELECT image_id FROM cnnc_1 ORDER BY code <~> (SELECT code FROM cnnc WHERE image_id = 6) LIMIT 40"
        ).fetchall()
        connection.rollback()
    return [row["image_id"] for row in rows]


def test_a_restored_backup_hides_it_and_shows_it_again(world: World, empty_database_url: str) -> None:
    before = world.rows("SELECT * FROM cnnc ORDER BY 1, 2")
    world.archive.withdraw(image=FILM)
    world.archive.back_up(world.folder / "backup")
    settings = Settings(home=world.folder / "home", database_url=empty_database_url)
    with Archive(settings) as other:
        other.restore(world.folder / "backup")
        assert other.status()["hidden"] == 1
        assert FILM not in hits(other.search(OTHER, top=40))
        with pytest.raises(NotInArchive, match=f"image {FILM} is withdrawn from searches"):
            other.search(FILM)
        assert other.withdraw(image=FILM, undo=True).codes == 1
        assert FILM in hits(other.search(OTHER, top=40))
    with connect(empty_database_url) as connection:
        assert connection.execute("SELECT * FROM cnnc ORDER BY 1, 2").fetchall() == before


def test_a_patient_of_an_issuer_is_withdrawn_with_it(world: World) -> None:
    ds = pydicom.dcmread(world.films.new[0])
    ds.PatientID, ds.IssuerOfPatientID = "patient-0", "Elsewhere"
    ds.save_as(world.folder / "one.dcm")
    world.archive.ingest([world.folder / "one.dcm"], workers=1)
    (new,) = world.ids("SELECT max(id) FROM image")
    assert world.archive.withdraw(patient="patient-0", issuer="Elsewhere").images == 1
    assert world.ids("SELECT id FROM image WHERE hidden_at IS NOT NULL") == [new]
    assert new not in world.ids("SELECT image_id FROM pending")
    with pytest.raises(NotInArchive):
        world.archive.withdraw(patient="patient-0", issuer="Nowhere")
    assert world.archive.withdraw(patient="patient-0").images > 1
    assert world.archive.withdraw(patient="patient-0", issuer="Elsewhere", undo=True).images == 1
