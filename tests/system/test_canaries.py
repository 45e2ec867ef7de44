"""No command logs anything of a patient, or a file's path, and neither metrics, audit nor an analyst's rows have it.

Films whose headers and names are canaries go through every command, with success, with a failure, and with the database
away, with the log as text and as JSON.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psycopg
import pydicom
import pytest
from answering import film, uid
from command_names import command_names
from conftest import Run
from decoding import decode_here
from pynetdicom import AE
from roled import GROUPS, drop_roles
from serving import CODES, Films
from small_web import SmallWeb
from small_web import serving as web_serving
from tiny import TINY

import radretrieval as rr
from radretrieval import demo
from radretrieval.archive import feedback, label_reports, roles
from radretrieval.archive.connections import Database
from radretrieval.archive.schema.rights import role
from radretrieval.config import Settings
from radretrieval.profile import PROFILES
from radretrieval.results.audit_messages import dicom_message, json_line

OF_PATIENT = {
    "PatientName": "Zyxwv^Quorn",
    "PatientID": "4711canary",
    "PatientBirthDate": "19330105",
    "AccessionNumber": "ACC31415",
    "InstitutionName": "Instcanary",
    "ReferringPhysicianName": "Refcanary^Otto",
    "PatientComments": "Commentcanary",
    "ImageComments": "Remarkcanary",
    "StudyDescription": "Descrcanary",
}
HEADER = {word for text in OF_PATIENT.values() for word in text.split("^")} - {"Otto"}
PATHS = {"Foldercanary", "Filecanary"}
SENDER = "AECANARY"  # an AE title stands in receive's log, the metrics by sender, and the column `who`: nowhere else
AWAY = "postgresql://nobody@127.0.0.1:1/away"
# What these say on stderr as text may name a file (docs/privacy.md); as JSON nothing may.
ANSWERS = {"ingest", "verify", "train", "evaluate", "audit labels", "export", "search", "phantom", "demo", "backup"}
ANSWERS |= {"restore", "audit export", "feedback export", "encoder export", "encoder import", "metrics", "users add"}
SERVICES = {"receive", "pull", "serve", "work"}
# Each command with its arguments, and the codes that it ends with; those in lower case are of the world below.
STEPS: list[tuple[str, tuple[str, ...], tuple[int, ...]]] = [
    ("status", ("--json",), (0,)),
    ("health", ("--json",), (0, 1)),
    ("metrics", (), (0,)),
    ("search", ("{good}", "--device", "cpu", "--csv", "{out}/hits.csv"), (0,)),
    ("search", ("{broken}",), (2, 3)),
    ("search", ("{folder}/Filecanary-none.dcm",), (2,)),
    ("search", ("id:1", "--where", "patient_key=4711canary"), (0, 1, 2)),
    ("evaluate", ("--split", "canary", "--against", "train", "--no-network"), (0, 1, 2)),
    ("audit labels", ("--json",), (0, 2)),
    ("audit dismiss", ("{report}",), (0,)),
    ("audit dismiss", ("999999",), (2,)),
    ("audit list", ("--json",), (0,)),
    ("audit verify", (), (0,)),
    ("audit export", ("{out}/rows.jsonl",), (0,)),
    ("audit export", ("{folder}/none/rows.jsonl",), (2, 3)),
    ("audit prune", ("--older-than", "3y"), (0,)),
    ("feedback export", ("{out}/said.csv",), (0,)),
    ("export", ("{out}/Foldercanary", "--images", "--ids", "{image}"), (0, 1)),
    ("export", ("{good}",), (2, 3)),
    ("encoder list", (), (0,)),
    ("encoder report", (), (0, 2)),
    ("encoder export", ("{out}/Filecanary.safetensors",), (0,)),
    ("encoder import", ("{out}/Filecanary.safetensors",), (0,)),
    ("encoder import", ("{good}",), (2, 3)),
    ("encoder delete", ("999",), (2, 3)),
    ("encoder activate", ("1", "--force"), (0,)),
    ("index build", (), (0,)),
    ("index check", (), (0,)),
    ("index audit", (), (0, 2, 3)),
    ("index drop", (), (0,)),
    ("train", ("--split", "canary-none", "--device", "cpu"), (2,)),
    ("verify", (), (1,)),
    ("users add", ("4711canary", "--file", "{out}/none/users"), (2, 3)),
    ("db check", (), (0,)),
    ("db upgrade", (), (0,)),
    ("db url", (), (0,)),
    ("db roles", ("--sql",), (0,)),
    ("db stop", (), (0, 2, 3)),
    ("federation status", (), (2, 3)),
    ("backup", ("{good}",), (2, 3)),
    ("restore", ("{folder}",), (2, 3)),
    ("phantom", ("{good}",), (2, 3)),
    ("demo", ("{good}",), (2, 3)),
    ("patient-key accept", (), (0,)),
    ("patient-key of", ("4711canary", "--issuer", "Instcanary"), (0,)),
    ("patient-key of", (" ",), (2,)),
    ("forget", ("--patient", "4711canary-none"), (2,)),
    ("forget", ("--patient", "4711canary", "--dry-run"), (0,)),
    ("withdraw", ("--patient", "4711canary-none"), (2,)),
    ("withdraw", ("--patient", "4711canary", "--reason", "a wish"), (0,)),
    ("withdraw", ("--patient", "4711canary", "--undo"), (0,)),
]
# These are run by the test itself: they go on until they are ended, or change what the others need.
DRIVEN = {"ingest", "work", "pull", "receive", "serve", "patient-key rotate", "forget"}


def test_every_command_is_among_them() -> None:
    assert {name for name, _, _ in STEPS} | DRIVEN == set(command_names()), "every command is to be tested for canaries"


@dataclass
class World:
    """An archive, the folder of canaries, and what was logged so far."""

    url: str
    home: Path
    folder: Path
    out: Path
    run_inside: Callable[..., Run]
    places: dict[str, object] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    @property
    def database(self) -> Database:
        """Of the archive."""
        return Database(self.url)

    def run(self, name: str, *arguments: str, codes: tuple[int, ...] = (0,), form: str = "json", **more: str) -> Run:
        """Run a command, and keep what of it should not be in its log."""
        words = [word.format(**self.places) for word in arguments]
        url = more.pop("url", self.url)
        done = self.run_inside("--log-format", form, *name.split(), *words, url=url, check=False, **more)
        assert done.returncode in codes, f"{name} {words}: {done.returncode}\n{done.stdout[:2000]}{done.stderr}"
        self.look(f"{name} {arguments} {form}: stderr", done.stderr, paths=form == "json" or name not in ANSWERS)
        if form == "json":
            assert all(json.loads(line)["event"] for line in done.stderr.splitlines()), done.stderr
        if name not in {"receive", "metrics", "audit list"} and SENDER in done.stderr:
            self.found.append(f"{name}: the AE title")
        if name not in {"users add", "audit labels"}:
            self.look(f"{name} {arguments}: stdout", done.stdout, paths=name in {"metrics", "health", "status", "work"})
        return done

    def look(self, where: str, text: str, paths: bool = True) -> None:
        """Keep each canary that is in a text."""
        for word in HEADER | (PATHS if paths else set()):
            self.found += [f"{where}: {line}" for line in text.splitlines() if word in line]


@pytest.fixture
def world(
    films_url: str, films: Films, tmp_path: Path, inside: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> World:
    decode_here(monkeypatch)
    home, folder, out = tmp_path / "home", tmp_path / "Foldercanary", tmp_path / "out"
    for one in (home, folder, out):
        one.mkdir()
    shutil.copy(films.home / "patient.key", home)
    pixels = np.random.default_rng(8).integers(0, 256, (64, 48), np.uint8)
    names = ("good", "broken", "odd", "text", "other")
    good, broken, odd, text, other = (folder / f"Filecanary-{name}.dcm" for name in names)
    film(900, pixels, **OF_PATIENT).save_as(good, enforce_file_format=True)
    broken.write_bytes(good.read_bytes()[:-500])
    changes = {"RescaleSlope": "0", "RescaleIntercept": "5", "SOPInstanceUID": uid("odd canary")}
    film(901, pixels, **OF_PATIENT, **changes).save_as(odd, enforce_file_format=True)
    text.write_text("Zyxwv Quorn, 4711canary, born 19330105")
    film(904, pixels[::-1], **OF_PATIENT).save_as(other, enforce_file_format=True)
    labels = [f"{path.name},{code},canary\n" for path, code in zip((good, other, odd), CODES, strict=False)]
    (folder / "labels.csv").write_text(f"file,irma_code,split\n{''.join(labels)}")
    places = {"good": good, "broken": broken, "folder": folder, "out": out, "odd": odd}
    return World(films_url, home, folder, out, inside, places)


def test_no_command_logs_a_canary(world: World, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for form in ("text", "json"):
        world.run("ingest", "{folder}", "--labels", "{folder}/labels.csv", codes=(1,), form=form)
        world.run("ingest", "{folder}/none", codes=(2,), form=form)
    with world.database.connection() as connection:
        row = connection.execute("SELECT min(id) AS id FROM image WHERE split = 'canary'").fetchone()
        assert row is not None
        world.places["image"] = row["id"]
    Path(str(world.places["odd"])).unlink()  # before `work` reads it
    for form in ("text", "json"):
        world.run("work", "--once", "--device", "cpu", codes=(0, 1), form=form)
    with world.database.connection() as connection:
        label_reports.report(connection, "Dr. A", row["id"], None, "no remark")
        feedback.give(connection, "Dr. A", feedback.Judged(row["id"], None, 1), True)
        given = connection.execute("SELECT id FROM label_report").fetchone()
        assert given is not None
        world.places["report"] = given["id"]
    sent_and_served(world)
    for name, arguments, codes in STEPS:
        world.run(name, *arguments, codes=codes)
        world.run(name, *arguments, codes=(0, 1, 2, 3), form="text", url=AWAY)
    pulled(world)
    saved(world, empty_database_url, monkeypatch)
    trained(world, monkeypatch)
    kept(world)
    world.run("forget", "--patient", "4711canary", "--reason", "a wish")
    assert world.found == []


def sent_and_served(world: World) -> None:
    """`receive` and `serve` in this thread, with their metrics; another one is their client, and ends them."""
    data_set = pydicom.dcmread(str(world.places["good"]))
    refused = pydicom.dcmread(str(world.places["good"]))
    refused.PixelData, refused.SOPInstanceUID = b"\0" * 10, uid("refused canary")
    refused.file_meta.MediaStorageSOPInstanceUID = refused.SOPInstanceUID

    def sends(port: int) -> None:
        for title in (SENDER, "STRANGER"):
            node = AE(title)
            node.add_requested_context(data_set.SOPClassUID, data_set.file_meta.TransferSyntaxUID)
            association = node.associate("127.0.0.1", port, ae_title="RADRETRIEVAL")
            if association.is_established:
                for one in (data_set, refused):
                    association.send_c_store(one)
                association.release()

    def asks(port: int) -> None:
        with Path(str(world.places["good"])).open("rb") as file:
            given = file.read()
        for name, data in (
            ("Filecanary.dcm", given),
            ("Filecanary.txt", b"Zyxwv Quorn"),
            ("Filecanary-b.dcm", given[:900]),
        ):
            ends = b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n\r\n'
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/api/search",
                ends + data + b"\r\n--x--\r\n",
                {"Content-Type": "multipart/form-data; boundary=x", "Origin": f"http://127.0.0.1:{port}"},
            )
            with suppress(urllib.error.HTTPError):
                urllib.request.urlopen(request, timeout=60).read()
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/images?where=patient_key=4711canary", timeout=60)

    for form in ("text", "json"):
        serving(world, ("receive", "--host", "127.0.0.1", "--peer", SENDER), sends, form)
        serving(world, ("serve",), asks, form)


def serving(world: World, words: tuple[str, ...], client: Callable[[int], None], form: str) -> None:
    """Run a service in this thread until its client, in another one, is done with it."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        port, metrics = one.getsockname()[1], two.getsockname()[1]
    problems: list[Exception] = []

    def drive() -> None:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                time.sleep(0.05)
            client(port)
            time.sleep(0.5)
            text = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=60).read().decode()
            world.look(f"{words[0]}: metrics", text)
        except Exception as error:
            problems.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=drive)
    thread.start()
    world.run(*words, "--port", str(port), "--metrics", f"127.0.0.1:{metrics}", codes=(0, 130), form=form)
    thread.join(60)
    assert problems == []


def pulled(world: World) -> None:
    """A server that answers, one that answers nonsense, and none; asked for a patient."""
    good, broken = (Path(str(world.places[name])).read_bytes() for name in ("good", "broken"))
    web = SmallWeb(studies={"1.2.3": {"1.2.3.4": good, "1.2.3.5": broken}}, dates={"1.2.3": "20260102"})
    with web_serving(web):
        for form in ("text", "json"):
            query = ("--query", "PatientID=4711canary", "--query", "PatientName=Zyxwv*")
            world.run("pull", web.root, *query, "--again", codes=(0, 1), form=form)
            world.run("pull", "http://127.0.0.1:1/none", *query, codes=(2, 3), form=form)
            world.run("pull", web.root, *query, codes=(2, 3), form=form, url=AWAY)


def saved(world: World, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup and its restore, and a user, with success."""
    folder, home = ("{out}/Foldercanary-kept", "--keys", "{out}/keys"), f"{world.out}/home"
    world.run("backup", *folder)
    world.run("restore", *folder, url=empty, RADRETRIEVAL_HOME=home)
    monkeypatch.setattr("sys.stdin", io.StringIO("Zyxwv and 4711canary\n"))
    world.run("users add", "anna", "--role", "search", "--file", "{out}/users")


def trained(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder of the canaries, one of which cannot be read, and the demo, by a network of some megabytes."""
    monkeypatch.setitem(PROFILES, TINY.name, TINY)
    options = ("--profile", TINY.name, "--split", "canary", "--epochs", "2", "--device", "cpu")
    learnt = world.run("train", *options, "--curve", "{out}/curve.png", "--json", codes=(1,))
    assert (learnt.json["images"], len(learnt.json["failures"])) == (2, 1)
    for name, value in {"PAPER": TINY, "IMAGES": 24, "CLASSES": 2, "EPOCHS": {TINY: 1}}.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr("radretrieval.coding.backbone.backbone_weights", lambda: None)
    shown = world.run("demo", "{out}/Foldercanary-demo")
    assert "ImageCLEF error" in shown.stdout


def kept(world: World) -> None:
    """The rows of the audit as they are exported, and all that an analyst may read."""
    with rr.open_archive(settings=Settings(home=world.home, database_url=world.url)) as archive:
        rows = list(archive.audit_rows())
    assert {"ingest", "search", "association", "pull", "export"} <= {row.action for row in rows}
    for row in rows:
        world.look(f"audit {row.action}", json_line(row) + dicom_message(row, "test"))
    with psycopg.connect(world.url, autocommit=True) as dba:
        dba.execute(roles.script(patients=False))  # type: ignore[call-overload]
        try:
            dba.execute(f"SET ROLE {role('analyst')}")  # type: ignore[call-overload]
            columns = dba.execute(
                "SELECT table_name, string_agg(quote_ident(column_name), ', ') "
                "FROM information_schema.column_privileges "
                "WHERE table_schema = 'radretrieval' AND privilege_type = 'SELECT' AND grantee IN (%s, 'PUBLIC')"
                " GROUP BY table_name",
                [role("analyst")],
            ).fetchall()
            assert len(columns) > 15
            for table, named in columns:
                rows = dba.execute(f"SELECT {named} FROM radretrieval.{table}").fetchall()  # type: ignore[call-overload]
                world.look(f"analyst: {table}", str(rows))
        finally:
            dba.execute("RESET ROLE")
            drop_roles(dba, [role(one) for one in GROUPS])
