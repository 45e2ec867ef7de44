"""Forgetting: nothing of a patient, a study or an image is left, and the same files do not come back by any way."""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pydicom
import pytest
from conftest import COMMAND, Run, clean_environment
from data_sets import made, written
from decoding import InThisProcess, decode_here
from nodes import Receiving
from small_web import SmallWeb, serving
from tiny import add_encoder

from radretrieval.archive import pg_programs
from radretrieval.archive.connections import Database
from radretrieval.config import ServeSettings, Settings
from radretrieval.dicom.pull.dicomweb import DicomWebSource
from radretrieval.dicom.pull.query import PullQuery
from radretrieval.dicom.pull.report import PullReport
from radretrieval.dicom.pull.run import pull
from radretrieval.errors import ImageError
from radretrieval.ingest.inbox_worker import keep_file
from radretrieval.jobs import forget as forget_job
from radretrieval.jobs.embedding_map import embedding_map
from radretrieval.privacy import pseudonyms
from radretrieval.serve.archive_films import ArchiveFilms
from radretrieval.storage.decoded import open_decoded
from radretrieval.storage.source import SourceFile
from radretrieval.storage.worker_pool import WorkerPool, call

ROOT = "1.2.826.0.1.3680043.10.77"
WAYS = ("folder", "node", "web")
KILLED = """
import os, sys
from radretrieval.jobs import forget
forget.drop_stored = lambda *given: os.kill(os.getpid(), 9)
from radretrieval.api.archive import open_archive
with open_archive(os.environ["RADRETRIEVAL_DATABASE_URL"]) as archive:
    archive.forget(study=sys.argv[1])
"""


@dataclass(frozen=True)
class Film:
    """A file with canaries in its header and its name, and the way that it comes by."""

    number: int
    patient: str
    study: str
    way: str
    broken: bool = False
    data: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pixels = np.random.default_rng(self.number).integers(0, 4096, (32, 32), np.uint16)
        ds = made(pixels, PatientID=f"CANARYID{self.patient}", PatientName=f"CANARYNAME{self.patient}^X", BitsStored=12)
        ds.SOPInstanceUID, ds.StudyInstanceUID = self.uid, self.study_uid
        ds.SeriesInstanceUID, ds.StudyDate = f"{self.study_uid}.1", "20150102"
        ds.AccessionNumber = f"CANARYACC{self.number}"
        data = written(ds)
        if self.broken:
            ds.PixelData = b"\0" * 10
            data = written(ds)
        object.__setattr__(self, "data", data)

    @property
    def uid(self) -> str:
        """Its SOP Instance UID."""
        return f"{ROOT}.5.{self.number}"

    @property
    def study_uid(self) -> str:
        """That of its study."""
        return f"{ROOT}.4.{self.study}"

    @property
    def sha256(self) -> bytes:
        """Of the file, as the archive has it: what `receive` writes is behind a meta header of its own."""
        return hashlib.sha256(self.data).digest()

    @property
    def name(self) -> str:
        """Of its file in the folder."""
        return f"CANARYFILE{self.number}.dcm"


def films(number: int, patient: str, study: str, *, broken: bool = False) -> list[Film]:
    """A film by each way."""
    return [Film(number + place, patient, study, way, broken) for place, way in enumerate(WAYS)]


ANNA = films(110, "ANNA", "11") + films(120, "ANNA", "12", broken=True)
STUDY = films(210, "BERT", "21")
BERT = films(220, "BERT", "22")
CARL = films(310, "CARL", "31")
IMAGE = CARL[:1]
DORA = films(410, "DORA", "41") + films(420, "DORA", "42", broken=True)
EVERY = [*ANNA, *STUDY, *BERT, *CARL, *DORA]


@dataclass
class World:
    """An archive, its host, and the three ways into it."""

    database: Database
    settings: Settings
    folder: Path
    node: Receiving
    web: SmallWeb
    inside: Callable[..., Run]

    def bring(self, all_films: list[Film]) -> None:
        """Each by its way: a folder is ingested, a node sends, a server is pulled."""
        self.folder.mkdir(exist_ok=True)
        for film in all_films:
            if film.way == "folder":
                (self.folder / film.name).write_bytes(film.data)
            elif film.way == "web":
                self.web.studies.setdefault(film.study_uid, {})[film.uid] = film.data
        self.inside("ingest", self.folder, check=False, RADRETRIEVAL_KEEP="copy")
        self.send([film for film in all_films if film.way == "node"])
        self.pull()

    def send(self, some: list[Film]) -> None:
        """By C-STORE; each is answered with success."""
        from pydicom.uid import ExplicitVRLittleEndian
        from pynetdicom import AE

        entity = AE("SENDER")
        entity.add_requested_context("1.2.840.10008.5.1.4.1.1.1", ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", self.node.port, ae_title="RADRETRIEVAL")
        for film in some:
            assert association.send_c_store(pydicom.dcmread(io.BytesIO(film.data))).Status == 0
        association.release()
        self.node.settled()

    def pull(self) -> PullReport:
        """All that the server has."""
        with closing(DicomWebSource(self.web.root, None, 10**6)) as source:
            return pull(self.database, self.settings, source, PullQuery(again=False), deletions=False)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        with self.database.connection() as connection:
            return connection.execute(statement).fetchall()

    def dump(self) -> str:
        """The whole database as text."""
        (newest, *_) = sorted(pg_programs.installed(), key=lambda one: -one.major)
        done = subprocess.run([newest.folder / "pg_dump", self.database.url], capture_output=True, check=True)
        return done.stdout.decode()

    def traces(self, gone: list[Film], sent: set[str], patients: tuple[str, ...] = ()) -> list[str]:
        """Where something of these films is left: in the database, in the store, in any file of the host."""
        words = {word for f in gone for word in (f.uid, f.sha256.hex(), f.name, f"CANARYACC{f.number}")} | sent
        words |= {f"CANARY{what}{patient}" for patient in patients for what in ("ID", "NAME")}
        text = self.dump()
        found = [f"dump: {word}" for word in words if word in text]
        for path in self.settings.home.rglob("*"):
            if path.is_file() and path.name != "patient.key":
                content = path.read_bytes()
                found += [f"{path}: {w}" for w in words if w in path.name or w.encode() in content]
                hashes = [w for w in words if len(w) == 64]
                found += [f"{path}: bytes of {w}" for w in hashes if bytes.fromhex(w) in content]
        return found


@pytest.fixture
def world(
    database: Database,
    archive_url: str,
    tmp_path: Path,
    inside: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    decode_here(monkeypatch)
    monkeypatch.setattr(forget_job, "WorkerPool", InThisProcess)
    settings = Settings(home=tmp_path / "home", database_url=archive_url, keep="copy")
    with Receiving(tmp_path / "home", archive_url, "--workers", 1) as node, serving(SmallWeb()) as web:
        yield World(database, settings, tmp_path / "files", node, web, inside)


def used(world: World) -> None:
    """Codes, an exact index, opinions, reports, films of serve and of training, a map, neighbours."""
    with world.database.connection() as connection:
        add_encoder(connection)
    world.inside("work", "--once", "--device", "cpu")
    world.inside("index", "build")
    images = world.rows("SELECT id, uri, sha256 FROM image ORDER BY id")
    world.inside("search", f"id:{images[0]['id']}", "--top", 3, "--json")
    with world.database.connection() as connection:
        for one in images:
            connection.execute(
                "INSERT INTO feedback (who, query_sha256, hit_image_id, relevant) VALUES ('a', %s, %s, true)",
                [one["sha256"], images[-1]["id"]],
            )
            connection.execute(
                "INSERT INTO feedback (who, query_image_id, hit_image_id, relevant) VALUES ('a', %s, %s, true)",
                [images[-1]["id"], one["id"]],
            )
            connection.execute(
                "INSERT INTO label_report (who, image_id, remark, labels) VALUES ('a', %s, 'r', '{}')", [one["id"]]
            )
    with psycopg.connect(world.database.url, autocommit=True) as plain:
        plain.execute("CALL radretrieval.fill_neighbours()")
    sources = [SourceFile(one["uri"], bytes(one["sha256"])) for one in images]
    with open_decoded(world.settings.training_folder, 8) as decoded:
        for source in sources:
            decoded.add(source, np.zeros((8, 8)))
        decoded.films(sources)
    embedding_map(world.database, world.settings)
    pool: WorkerPool[Callable[[], Any], Any] = WorkerPool.of(world.settings, call)
    with pool:
        archive_films = ArchiveFilms(world.settings, ServeSettings(), pool)
        for source in sources:
            archive_films.pixels(source, archive_films.film(source), 1)


def cached(world: World) -> tuple[int, int]:
    """Files of the film cache, and films that training keeps."""
    with open_decoded(world.settings.training_folder, 8) as decoded:
        return len(list((world.settings.home / "films").rglob("*.*"))), len(decoded._order)


def test_nothing_is_left_and_nothing_comes_back(world: World) -> None:
    world.bring(EVERY)
    sound = [film for film in EVERY if not film.broken]
    assert len(world.rows("SELECT FROM image")) == len(sound)
    assert len(world.rows("SELECT FROM ingest_failure")) == 6
    used(world)
    assert cached(world)[1] == len(sound)
    sent = {
        film.uid: bytes(row["sha256"]).hex()
        for film in EVERY
        for row in world.rows(
            "SELECT sha256, sop_instance_uid AS uid FROM image UNION SELECT sha256, "
            "substring(message FROM 'SOP Instance UID ([0-9.]+)') FROM ingest_failure"
        )
        if row["uid"] == film.uid and row["sha256"] is not None
    }
    gone = [*ANNA, *STUDY, *IMAGE]
    hashes = {sent[film.uid] for film in gone if film.uid in sent}
    (pseudonym,) = (
        r["k"] for r in world.rows(f"SELECT patient_key k FROM image WHERE sop_instance_uid='{ANNA[0].uid}'")
    )
    (number,) = (r["id"] for r in world.rows(f"SELECT id FROM image WHERE sop_instance_uid = '{IMAGE[0].uid}'"))
    assert world.traces(gone, hashes, ("ANNA",)), "the canaries can be found"

    # counted first, then done
    planned = world.inside("forget", "--patient", "CANARYIDANNA", "--dry-run", "--json").json
    assert len(world.rows("SELECT FROM image")) == len(sound)
    done = world.inside("forget", "--patient", "CANARYIDANNA", "--reason", "her wish", "--json").json
    names = ("images", "studies", "failures", "feedback")
    assert {name: planned[name] for name in names} == {name: done[name] for name in names}
    assert {name: done[name] for name in names} == {"images": 3, "studies": 1, "failures": 3, "feedback": 6}
    assert (done["files"] >= 5, done["left"], done["cached"] > 3 * 3) == (True, 0, True)
    assert world.inside("forget", "--study", STUDY[0].study_uid, "--json").json["images"] == 3
    assert world.inside("forget", "--image", number, "--json").json["images"] == 1

    assert world.traces(gone, hashes, ("ANNA",)) == []
    assert world.dump().count(pseudonym) == 1, "as the digest of the tombstone"
    left = len(sound) - 7
    assert len(world.rows("SELECT FROM image")) == left == cached(world)[1]
    assert len(world.rows("SELECT FROM ingest_failure")) == 3
    world.inside("index", "check")
    audit = world.rows("SELECT detail FROM audit WHERE action = 'forget' ORDER BY id")
    assert audit[0]["detail"] | {"arrivals": 0} == {
        "kind": "patient",
        "images": 3,
        "studies": 1,
        "failures": 3,
        "feedback": 6,
        "reason": "her wish",
        "arrivals": 0,
    }

    # the same files by the same ways: by the folder they fail, by the others they are taken and dropped
    told = len(world.node.lines)
    world.bring(EVERY)
    refused = world.inside("ingest", world.folder, "--json", check=False, RADRETRIEVAL_KEEP="copy")
    assert refused.returncode == 1
    assert {f["path"].rpartition("/")[2] for f in refused.json["failures"] if f["error"] == "Forgotten"} == {
        film.name for film in gone if film.way == "folder" and not film.broken
    }
    assert world.traces(gone, hashes, ("ANNA",)) == []
    assert len(world.rows("SELECT FROM image")) == left
    assert not [line for line in world.node.lines[told:] for film in gone if film.uid in line or "CANARY" in line]
    assert any("a file from SENDER is not taken: it was forgotten on" in line for line in world.node.lines)

    # the server is not even asked for them, nor a second time for a new film of that patient
    world.web.asked.clear()
    world.web.studies[f"{ROOT}.4.13"] = {f"{ROOT}.5.130": Film(130, "ANNA", "13", "web").data}
    first, second = world.pull(), world.pull()
    asked = [path for path in world.web.asked if path.count("/") == 6]
    assert [path for path in asked if any(path.endswith(f"/{film.uid}") for film in gone)] == []
    assert sum(path.endswith(f"{ROOT}.5.130") for path in asked) == 1
    pulled = [film for film in gone if film.way == "web"]
    assert (first.forgotten, second.forgotten) == (len(pulled) + 1, len(pulled) + 1)
    assert first.failed == 1, "the broken film of the patient who stays"
    assert world.traces([*gone, Film(130, "ANNA", "13", "web")], hashes, ("ANNA",)) == []


def test_what_is_taken_back_may_come_again(world: World) -> None:
    files = films(510, "EMIL", "51")[:1]
    world.bring(files)
    assert world.inside("forget", "--patient", "CANARYIDEMIL", "--json").json["images"] == 1
    with pytest.raises(ImageError, match=r"it was forgotten on .* and is not taken again"):
        keep_file(world.database, world.settings, files[0].data, "USER")
    # again, and after the key was replaced
    assert world.inside("forget", "--patient", "CANARYIDEMIL", "--json").json["images"] == 0
    world.node.stop()
    host = clean_environment(world.settings.home, world.database.url)
    for _, handle in pseudonyms._locked.values():  # this process would be one that uses the key
        os.close(handle)
    pseudonyms._locked.clear()
    subprocess.run([COMMAND, "patient-key", "rotate"], env=host, check=True, timeout=60)
    assert world.inside("ingest", world.folder, check=False).returncode == 1
    new = Film(520, "EMIL", "52", "folder")
    (world.folder / new.name).write_bytes(new.data)
    world.inside("ingest", world.folder, check=False)
    assert world.rows("SELECT FROM image") == world.rows("SELECT FROM ingest_failure") == []
    assert world.inside("forget", "--allow", "--patient", "CANARYIDEMIL", "--json").json["allowed"] >= 3
    world.inside("ingest", world.folder)
    assert len(world.rows("SELECT FROM image")) == 2
    assert world.rows("SELECT FROM tombstone") == []


def test_what_a_killed_run_left_is_finished(world: World) -> None:
    study = films(610, "FINN", "61")
    world.bring(study)
    assert len(world.node.files()) == 3
    host = clean_environment(world.settings.home, world.database.url)
    ended = subprocess.run([sys.executable, "-c", KILLED, study[0].study_uid], env=host, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert world.rows("SELECT FROM image") == []
    assert len(world.node.files()) == len(world.rows("SELECT FROM tombstone WHERE content IS NOT NULL")) == 3
    assert world.inside("forget", "--json").json["files"] == 3
    assert world.node.files() == set()
    assert world.rows("SELECT FROM tombstone WHERE content IS NOT NULL") == []


def test_pulls_that_asked_for_somebody_begin_anew(database: Database, settings: Settings) -> None:
    """By a name or an order, which the archive does not have: whom they meant it cannot tell.

    What a pull could not fetch of a study of the patient is forgotten by its address.
    """
    patient, address = "ab" * 16, "https://pacs/studies/{}/series/1.2.9/instances/1.2.9.1"
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric, study_instance_uid, "
            "patient_key) VALUES (sha256('a'), 'store:', 'dicom', 1, 1, 8, 'MONOCHROME2', '1.2.3', %s)",
            (patient,),
        )
        for study in ("1.2.3", "1.2.34"):
            connection.execute(
                "INSERT INTO ingest_failure (uri, error, message) VALUES (%s, 'E', 'm')", (address.format(study),)
            )
        for query in (
            *("ModalitiesInStudy=CR&since=2020-01-01", "PatientName=CANARY%5EX", "PatientID=47%2A"),
            *("AccessionNumber=5", "OtherPatientIDs=4711", "StudyInstanceUID=1.2.3", "StudyInstanceUID=1.2.4", ""),
        ):
            connection.execute("INSERT INTO pull (url, query) VALUES ('http://pacs', %s)", (query,))
    done = forget_job.forget(database, settings, forget_job.Forget(patient=patient), "me")
    assert (done.images, done.failures) == (1, 1)
    with database.connection() as connection:
        left = [row["query"] for row in connection.execute("SELECT query FROM pull ORDER BY 1").fetchall()]
        failures = connection.execute("SELECT uri FROM ingest_failure").fetchall()
    assert left == ["", "ModalitiesInStudy=CR&since=2020-01-01", "StudyInstanceUID=1.2.4"]
    assert failures == [{"uri": address.format("1.2.34")}]


def test_the_old_are_forgotten_by_age_and_sender(world: World) -> None:
    with world.database.connection() as connection:
        connection.execute(
            "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric, sop_instance_uid, "
            "study_instance_uid, origin, study_date, ingested_at) "
            "SELECT sha256(n::text::bytea), 'file:///' || n, 'png', 4, 5, 8, 'MONOCHROME2', "
            "'1.9.' || n, '1.8.' || n / 3, CASE n % 2 WHEN 0 THEN 'CR1' END, "
            "CASE WHEN n < 4 THEN current_date - interval '11 years' END, now() - n * interval '1 year' "
            "FROM generate_series(1, 20) n"
        )
    old = {"11 years old by their study": 3, "older than ten by ingestion": 10}
    assert world.inside("forget", "--older-than", "10y", "--dry-run", "--json").json["images"] == sum(old.values())
    forget_job_batch, forget_job.BATCH = forget_job.BATCH, 3
    try:
        assert world.inside("forget", "--older-than", "10y", "--origin", "CR1", "--json").json["images"] == 1 + 5
        assert world.inside("forget", "--older-than", "10y", "--json").json["images"] == 2 + 5
    finally:
        forget_job.BATCH = forget_job_batch
    assert len(world.rows("SELECT FROM image")) == 7
    assert world.inside("forget", "--older-than", "10y", "--json").json["images"] == 0
    # taken back are those of its study, 1.8.5, which were forgotten in one batch, and nobody else's
    assert len(world.rows("SELECT FROM tombstone")) == 2 * 13
    assert world.inside("forget", "--allow", "--study", "1.9.15", "--json").json["allowed"] == 2 * 2
    assert len(world.rows("SELECT FROM tombstone")) == 2 * 11


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--patient", "NOBODY"], "nothing of this patient, and nothing was forgotten.*--issuer"),
        (["--image", "7"], "nothing of this image"),
        (["--study", "1.2", "--image", "7"], "name one"),
        (["--origin", "CR1"], "--origin is about --older-than"),
        (["--older-than", "ten"], "give a number of years"),
        (["--allow"], "name a patient or a study"),
        (["--allow", "--study", "1.2"], "no such study was forgotten"),
    ],
)
def test_what_cannot_be_forgotten_is_said(words: list[str], said: str, inside: Callable[..., Run]) -> None:
    ended = inside("forget", *words, check=False)
    assert (ended.returncode, bool(re.search(said, ended.stderr))) == (2, True), ended.stderr
