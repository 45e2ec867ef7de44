"""Which command is which row of the audit; and none has an identifier of a patient, or the name of a file."""

from __future__ import annotations

import base64
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from answering import film
from command_names import command_names
from conftest import Run
from pynetdicom import AE
from serving import CODES, Films
from small_web import SmallWeb
from small_web import serving as web_serving
from tiny import TINY

import radretrieval as rr
from radretrieval.archive import connections, feedback, label_reports
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.results.audit_messages import EVENTS, dicom_message, json_line

# Each command, and the actions of the rows that it adds; none for a reason.
COMMANDS: dict[str, tuple[str, ...] | str] = {
    "audit dismiss": ("label report dismissed",),
    "audit export": ("audit export",),
    "audit labels": "reads; of no patient more than the archive's reader sees",
    "audit list": "reads the audit itself",
    "audit prune": ("audit prune",),
    "audit verify": "reads the audit itself",
    "backup": ("backup",),
    "db check": "reads no image",
    "db roles": ("db roles",),
    "db stop": "needs no database",
    "db upgrade": "alembic_version and schema_object have it",
    "db url": "reads no image",
    "demo": "an archive of phantoms of its own",
    "encoder activate": ("encoder activate",),
    "encoder delete": ("encoder delete",),
    "encoder export": ("encoder export",),
    "encoder import": ("encoder import",),
    "encoder list": "reads no image",
    "encoder report": "counts",
    "evaluate": "counts",
    "export": ("export",),
    "federation status": "reads no image",
    "feedback export": ("feedback export",),
    "forget": ("forget",),
    "health": "reads no image",
    "index audit": "counts",
    "index build": ("index build",),
    "index check": "counts",
    "index drop": ("index drop",),
    "ingest": ("ingest",),
    "metrics": "counts",
    "patient-key accept": ("patient-key accept",),
    "patient-key of": ("patient-key of",),
    "patient-key rotate": ("patient-key rotate",),
    "phantom": "needs no database",
    "pull": ("pull",),
    "receive": ("association", "association rejected"),
    "restore": ("restore",),
    "search": ("search", "search many", "output", "send"),
    "serve": ("search", "output", "send", "keep", "feedback", "label report", "login", "login refused", "logout"),
    "status": "counts",
    "train": ("train",),
    "users add": "a line of a file",
    "verify": ("verify",),
    "withdraw": ("withdraw",),
    "work": "each code is a row with its encoder",
}
NAMES = ("Zyxwv", "Quorn", "4711-canary", "ACC-31415", "19330105", "no such remark")


def test_every_command_is_known_to_be_a_row_of_the_audit_or_none() -> None:
    assert sorted(command_names()) == sorted(COMMANDS), "say here which row of the audit a command adds"
    actions = {action for kinds in COMMANDS.values() if isinstance(kinds, tuple) for action in kinds}
    assert actions <= set(EVENTS), "say in results/audit_messages.py which event an action is in DICOM"


class Audited:
    """An archive, and the actions of the rows that its audit has got since they were last asked for."""

    def __init__(self, url: str, settings: Settings, run: Callable[..., Run]) -> None:
        self.url, self.settings, self._run, self._last = url, settings, run, 0
        self.database = Database(url)
        self.seen: set[str] = set()

    def run(self, *arguments: object, **environment: str) -> Run:
        return self._run(*arguments, url=self.url, **environment)

    def added(self) -> list[str]:
        with self.database.connection() as connection:
            found = connection.execute("SELECT id, action FROM audit WHERE id > %s ORDER BY id", (self._last,))
            rows = found.fetchall()
        self._last = rows[-1]["id"] if rows else self._last
        self.seen |= {row["action"] for row in rows}
        return [row["action"] for row in rows]


@pytest.fixture
def audited(films_url: str, films: Films, tmp_path: Path, inside: Callable[..., Run]) -> Audited:
    (tmp_path / "home").mkdir()
    shutil.copy(films.home / "patient.key", tmp_path / "home")
    return Audited(films_url, Settings(home=tmp_path / "home", database_url=films_url), inside)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A film with identifiers, in a file that is named by its patient."""
    path = tmp_path / "Zyxwv_Quorn.dcm"
    identifiers = {"PatientName": "Zyxwv^Quorn", "PatientID": "4711-canary", "AccessionNumber": "ACC-31415"}
    pixels = np.random.default_rng(8).integers(0, 256, (64, 48), np.uint8)
    film(900, pixels, **identifiers, PatientBirthDate="19330105").save_as(path, enforce_file_format=True)
    return path


def test_commands_are_rows_without_identifiers(
    audited: Audited, canary: Path, tmp_path: Path, cli: Callable[..., Run]
) -> None:
    cli("patient-key", "rotate", url=audited.url)  # before this process uses the key
    audited.run("patient-key", "accept")
    audited.run("patient-key", "of", "4711-canary")
    assert audited.added() == ["patient-key rotate", "patient-key accept", "patient-key of"]
    bring_in(audited, canary, tmp_path)
    ask(audited, canary, tmp_path)
    keep_up(audited, tmp_path)
    send_and_pull(audited, canary)
    by_commands = {action for name, kinds in COMMANDS.items() if isinstance(kinds, tuple) for action in kinds}
    of_serve = {"send", "keep", "login", "login refused", "logout"}
    elsewhere = {"db roles", "backup", "restore", "forget", "withdraw", "audit prune", *of_serve}
    assert by_commands - audited.seen == elsewhere
    with rr.open_archive(settings=audited.settings) as archive:
        assert archive.verify_audit().finding is None
        rows = list(archive.audit_rows())
    for row in rows:
        message = dicom_message(row, "test")
        coded = re.findall(r'(?:value="|Query>)([A-Za-z0-9+/=]*)["<]', message)
        inner = [base64.b64decode(one).decode() for one in coded]
        for text in (json_line(row), message, *inner):
            assert [name for name in NAMES if name in text] == [], text


def bring_in(audited: Audited, canary: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(f"file,irma_code\n{canary.name},{CODES[0]}\n")
    audited.run("ingest", canary, "--labels", labels)
    assert audited.added() == ["ingest"]
    (broken := tmp_path / "Quorn.dcm").write_bytes(canary.read_bytes()[:900])
    audited._run("ingest", broken, url=audited.url, check=False)
    assert audited.added() == ["ingest"]
    with audited.database.connection() as connection:
        rows = connection.execute("SELECT detail FROM audit WHERE action = 'ingest' ORDER BY id").fetchall()
    assert (rows[0]["detail"]["added"], rows[0]["detail"]["labels"], rows[1]["detail"]["failed"]) == (1, True, 1)
    broken.unlink()
    audited.run("work", "--once", "--device", "cpu")
    assert audited.added() == []
    audited.run("verify")
    assert audited.added() == ["verify"]


def ask(audited: Audited, canary: Path, tmp_path: Path) -> None:
    with audited.database.connection() as connection:
        row = connection.execute("SELECT id, patient_key, study_instance_uid FROM image ORDER BY id DESC").fetchone()
    assert row is not None
    audited.run("search", canary, "--device", "cpu")
    where = f"patient_key={row['patient_key']}"
    audited.run("search", f"id:{row['id']}", "--csv", tmp_path / "Quorn.csv", "--where", where)
    audited.run("search", f"id:{row['id']}", "--where-sql", "i.uri LIKE '%Quorn%'")
    audited.run("search", "--all", "--out", tmp_path / "hits.csv")
    assert audited.added() == ["search", "search", "output", "search", "search many"]
    audited.run("export", tmp_path / "Quorn", "--where", f"study_instance_uid={row['study_instance_uid']}")
    assert audited.added() == ["export", "export"]  # when it began, and at its end
    with audited.database.connection() as connection:
        text = str(connection.execute("SELECT detail FROM audit").fetchall())
        assert (row["patient_key"] in text, row["study_instance_uid"] in text, "patient_key=sha256:" in text) == (
            *(False, False, True),
        )
        label_reports.report(connection, "Dr. A", row["id"], None, "no such remark: Quorn")
        feedback.give(connection, "Dr. A", feedback.Judged(row["id"], None, 1), True)
        report = connection.execute("SELECT id FROM label_report").fetchone()
    assert report is not None
    audited.run("audit", "dismiss", report["id"])
    audited.run("feedback", "export", tmp_path / "Quorn-feedback.csv")
    assert audited.added() == ["label report", "feedback", "label report dismissed", "feedback export"]


def keep_up(audited: Audited, tmp_path: Path) -> None:
    file = tmp_path / "Quorn.safetensors"
    audited.run("encoder", "export", file)
    audited.run("encoder", "import", file)
    assert audited.added() == ["encoder export", "encoder import"]
    audited.run("index", "build")
    audited.run("index", "drop")
    assert audited.added() == ["index build", "index drop"]
    with audited.database.connection() as connection:
        connection.execute("UPDATE image SET split = 'train' WHERE irma_code IS NOT NULL")
    with rr.open_archive(settings=audited.settings) as archive:
        trained = archive.train(profile=TINY, epochs=1, device="cpu")
    audited.run("encoder", "activate", trained.encoder_id, "--force")
    audited.run("encoder", "activate", 1)
    audited.run("encoder", "delete", trained.encoder_id)
    assert audited.added() == ["train", "encoder activate", "encoder activate", "encoder delete"]
    with connections.connect(audited.url) as connection:
        row = connection.execute("SELECT detail FROM audit WHERE action = 'encoder delete'").fetchone()
    assert row is not None
    assert (row["detail"]["encoder_id"], row["detail"]["profile"]) == (trained.encoder_id, "tiny")
    audited.run("audit", "export", tmp_path / "Quorn.jsonl", "--since", "last")
    assert audited.added() == ["audit export"]


def send_and_pull(audited: Audited, canary: Path) -> None:
    web = SmallWeb(studies={"1.2.3": {"1.2.3.4": canary.read_bytes()}}, dates={"1.2.3": "20260102"})
    with web_serving(web), rr.open_archive(settings=audited.settings) as archive:
        archive.pull(web.root, query=["PatientID=4711-canary"], since="2026-01-01")
    assert audited.added() == ["pull"]
    with audited.database.connection() as connection:
        row = connection.execute("SELECT detail FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None
    assert (row["detail"]["query"], row["detail"]["from"]) == (["PatientID"], web.root)
    stop = threading.Event()
    ports: list[int] = []

    def receive() -> None:
        with rr.open_archive(settings=audited.settings) as archive:
            options: dict[str, Any] = {"port": 0, "host": "127.0.0.1", "peers": ["SENDER"], "intake": False}
            archive.receive(**options, stop=stop, on_ready=lambda _, port: ports.append(port))

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        while not ports and thread.is_alive():
            stop.wait(0.05)
        data_set = pydicom.dcmread(canary)
        for title in ("SENDER", "STRANGER"):
            node = AE(title)
            node.add_requested_context(data_set.SOPClassUID, data_set.file_meta.TransferSyntaxUID)
            association = node.associate("127.0.0.1", ports[0], ae_title="RADRETRIEVAL")
            if association.is_established:
                association.send_c_store(data_set)
                association.release()
    finally:
        stop.set()
        thread.join(30)
    assert audited.added() == ["association", "association rejected"]
    with audited.database.connection() as connection:
        rows = connection.execute("SELECT who, detail FROM audit ORDER BY id DESC LIMIT 2").fetchall()
    assert rows[1] == {"who": "SENDER", "detail": {"address": "127.0.0.1", "stored": 1, "refused": 0}}
    assert (rows[0]["who"], "not among the peers" in rows[0]["detail"]["reason"]) == ("STRANGER", True)
