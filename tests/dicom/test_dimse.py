"""`radretrieval pull AET@host:port` against a real dcmqrscp: C-FIND, C-GET, C-MOVE."""

from __future__ import annotations

import io
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from orthanc import Space, corpus, film, space, uid_of
from programs import needs_program

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.address import Address
from radretrieval.dicom.pull.dimse import DimseSource
from radretrieval.dicom.pull.query import PullQuery
from radretrieval.dicom.pull.report import PullReport
from radretrieval.dicom.pull.run import pull as pull_from
from radretrieval.dicom.scp.server import ScpConfig
from radretrieval.dicom.scp.service import StorageScp
from radretrieval.dicom.sop_classes import OTHER_MODALITIES, RADIOGRAPHS
from radretrieval.dicom.transfer_syntaxes import IMPLICIT, TRANSFER_SYNTAXES
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.ingest.inbox_worker import InboxWorker

PORT, MOVED_TO = 11112, 11113
UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")


class Node:
    """A dcmqrscp that takes and gives every transfer syntax, with the AE title QR; it knows us as RADRETRIEVAL."""

    def __init__(self, place: Space, folder: Path) -> None:
        self.space, self.folder = place, folder
        self.name = f"QR@127.0.0.1:{PORT}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, classes: set[str]) -> None:
        (self.folder / "files").mkdir(exist_ok=True)
        (self.folder / "qr.cfg").write_text(
            f"NetworkTCPPort = {PORT}\nMaxPDUSize = 16384\nMaxAssociations = 32\n"
            f"HostTable BEGIN\nmover = (MOVER, 127.0.0.1, {MOVED_TO})\nHostTable END\n"
            "VendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\nQR {self.folder / 'files'} RW (900, 1024mb) ANY\nAETable END\n"
        )
        (self.folder / "association.cfg").write_text(_association(sorted(classes | set(RADIOGRAPHS))))
        config = ["-xf", self.folder / "association.cfg", "Default", "Default", "-c", self.folder / "qr.cfg"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.space.command("dcmqrscp", *config), stdout=log, stderr=log)
        for _ in range(100):
            if self.space.run(self._answers):
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def _answers(self) -> bool:
        try:
            return not list(DimseSource(Address("QR", "127.0.0.1", PORT), "T").studies({}, None, date(1900, 1, 1)))
        except EnvironmentUnusable:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)

    def put(self, *files: bytes) -> None:
        from pydicom import dcmread
        from pynetdicom import AE

        def go() -> None:
            for data in files:
                ds = dcmread(io.BytesIO(data), force=True)
                ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
                ae = AE(ae_title="TEST")
                ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
                association = ae.associate("127.0.0.1", PORT, ae_title="QR")
                assert association.send_c_store(ds).Status == 0
                association.release()

        self.space.run(go)


def _association(classes: list[str]) -> str:
    plain = ["1.2.840.10008.1.1", *(f"1.2.840.10008.5.1.4.1.2.2.{service}" for service in (1, 2, 3))]
    contexts = [f"{one}\\Plain" for one in plain] + [f"{one}\\All" for one in classes]
    return "\n".join(
        (
            "[[TransferSyntaxes]]\n[All]",
            *(f"TransferSyntax{number} = {one}" for number, one in enumerate(TRANSFER_SYNTAXES, 1)),
            f"[Plain]\nTransferSyntax1 = {TRANSFER_SYNTAXES[0]}\nTransferSyntax2 = {IMPLICIT}",
            "[[PresentationContexts]]\n[Any]",
            *(f"PresentationContext{number} = {one}" for number, one in enumerate(contexts, 1)),
            "[[SCPSCURoleSelection]]\n[Both]",
            *(f"Role{number} = {one}\\both" for number, one in enumerate(classes, 1)),
            "[[Profiles]]\n[Default]\nPresentationContexts = Any\nSCPSCURoleSelection = Both\n",
        )
    )


@pytest.fixture
def node(server: Any, tmp_path: Path) -> Iterator[Node]:
    needs_program("dcmqrscp")
    (tmp_path / "node").mkdir()
    with space(server.url) as place:
        made = Node(place, tmp_path / "node")
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def pull(node: Node, tmp_path: Path, archive_url: str) -> Callable[..., Run]:
    def run(*arguments: object, name: str | None = None, check: bool = True) -> Run:
        command = ["pull", name or node.name, "--json", *arguments]
        return node.space.cli(tmp_path / "home", archive_url, *command, check=check)

    return run


def stored(tmp_path: Path, sha256: bytes) -> Any:
    from pydicom import dcmread

    name = sha256.hex()
    return dcmread(tmp_path / "home" / "store" / name[:2] / name[2:4] / name)


def test_films_arrive_with_their_own_pixels_and_syntax(
    node: Node, pull: Callable[..., Run], database: Database, shared: Path, tmp_path: Path
) -> None:
    from pydicom import dcmread

    sent = {}
    for uid, data in corpus(shared).items():
        ds = dcmread(io.BytesIO(data), force=True)
        # dcmqrscp does not list the class: what it calls CT or MR is passed over by that
        other = ds.get("Modality") in OTHER_MODALITIES or ds.SOPClassUID not in RADIOGRAPHS
        if not other and "TransferSyntaxUID" in ds.get("file_meta", {}):
            sent[uid] = ds, data
    assert len(sent) > 10
    node.start(set())
    node.put(*(data for _, data in sent.values()))
    done = pull("--workers", 2)
    assert (done.json["seen"], done.json["added"], done.json["failed"]) == (len(sent), len(sent), 0), done.stderr
    with database.connection() as connection:
        rows = connection.execute("SELECT sop_instance_uid, sha256, uri, origin, kept FROM image").fetchall()
    assert len(rows) == len(sent)
    for row in rows:
        ds, got = sent[row["sop_instance_uid"]][0], stored(tmp_path, bytes(row["sha256"]))
        assert (row["uri"][:6], row["origin"], row["kept"]) == ("store:", node.name, "copy")
        if ds.file_meta.TransferSyntaxUID not in UNCOMPRESSED:  # DCMTK writes those in the one that is asked for first
            assert got.file_meta.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID
            assert got.PixelData == ds.PixelData
        elif ds.file_meta.TransferSyntaxUID == TRANSFER_SYNTAXES[0]:
            assert got.PixelData == ds.PixelData


def test_again_what_is_new_and_what_is_gone(node: Node, pull: Callable[..., Run], database: Database) -> None:
    node.start(set())
    first = film(1, day="20200102")
    node.put(first, film(2, day="20210102"))
    assert pull("--since", "2021-01-01").json["added"] == 1
    node.put(film(3, day="20210103"))
    done = pull("--since", "2021-01-01").json
    assert (done["seen"], done["added"], done["unchanged"]) == (2, 1, 1)
    assert pull().json["added"] == 1
    for path in (node.folder / "files").iterdir():
        if path.suffix == ".dcm" and uid_of(path.read_bytes()) == uid_of(first):
            path.unlink()
    (node.folder / "files" / "index.dat").unlink()  # it is made anew of what is stored now
    node.put(film(2, day="20210102"), film(3, day="20210103"))
    done = pull("--reconcile").json
    assert (done["gone"], done["added"]) == (1, 0)


def test_sent_to_our_own_receiver(node: Node, pull: Callable[..., Run], database: Database, tmp_path: Path) -> None:
    from pynetdicom import AE, AllStoragePresentationContexts, evt

    from radretrieval.archive import inbox
    from radretrieval.archive.inbox import Arrival
    from radretrieval.files.uris import store_uri
    from radretrieval.storage.content_store import ContentStore

    node.start(set())
    node.put(film(1))
    done = pull("--move-to", "MOVER", check=False)  # nobody listens
    assert (done.returncode, done.json["failed"]) == (1, 1)
    assert "receive" in done.json["failures"][0]["message"]
    store = ContentStore(tmp_path / "home" / "store")

    def take(event: Any) -> int:
        data = event.encoded_dataset()
        with database.connection() as connection:
            sha256 = store.put(data)
            uid = str(event.request.AffectedSOPInstanceUID)
            inbox.add(connection, Arrival(sha256, store_uri(sha256), "QR", uid))
        return 0x0000

    ae = AE(ae_title="MOVER")
    ae.supported_contexts = AllStoragePresentationContexts
    server = node.space.run(
        lambda: ae.start_server(("127.0.0.1", MOVED_TO), block=False, evt_handlers=[(evt.EVT_C_STORE, take)])
    )
    try:
        done = pull("--move-to", "MOVER")
    finally:
        server.shutdown()
    assert (done.json["added"], done.json["failed"]) == (1, 0)
    done = pull("--move-to", "STRANGER", check=False)
    assert done.returncode == 0  # nothing is left to be sent
    with database.connection() as connection:
        assert connection.execute("SELECT count(*) AS n FROM arrival").fetchone()["n"] == 1


def test_field_03_what_was_corrected_there_is_corrected_here(
    node: Node, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By C-GET in another study, which any pull sees, and by C-MOVE with --again, which our own receiver takes."""
    from decoding import decode_here
    from pydicom import dcmread

    decode_here(monkeypatch)

    def corrected(**changes: str) -> bytes:
        ds = dcmread(io.BytesIO(film(1)))
        for name, value in changes.items():
            setattr(ds, name, value)
        out = io.BytesIO()
        ds.save_as(out)
        return out.getvalue()

    def pulled(move_to: str | None = None, **query: Any) -> tuple[int, ...]:
        def go() -> PullReport:
            source = DimseSource(Address("QR", "127.0.0.1", PORT), "RADRETRIEVAL", move_to)
            try:
                return pull_from(database, settings, source, PullQuery(**query), deletions=False)
            finally:
                source.close()

        report = node.space.run(go)
        return report.added, report.unchanged, report.updated, report.failed

    node.start(set())
    node.put(film(1))
    assert pulled() == (1, 0, 0, 0)
    for path in (node.folder / "files").iterdir():  # what was moved is no longer where it was
        path.unlink()
    node.put(corrected(StudyInstanceUID="1.2.3", PatientID="P77"))
    assert pulled(since=date(2020, 1, 1)) == (0, 0, 1, 0)
    assert pulled(again=True) == (0, 1, 0, 0)
    node.put(corrected(StudyInstanceUID="1.2.3", PatientID="P78", BodyPartExamined="HAND"))
    config = ScpConfig("MOVER", "127.0.0.1", MOVED_TO, RADIOGRAPHS)
    receiver = node.space.run(lambda: StorageScp(database, settings, config))
    try:
        assert pulled("MOVER", again=True) == (0, 0, 1, 0)
        assert InboxWorker(database, settings, 1).finish().updated == 1
        assert pulled("MOVER", again=True) == (0, 1, 0, 0)
    finally:
        receiver.close()
    with database.connection() as connection:
        (row,) = connection.execute("SELECT body_part, study_instance_uid, origin FROM image").fetchall()
    assert row == {"body_part": "HAND", "study_instance_uid": "1.2.3", "origin": "QR"}


def test_a_node_that_cannot_be_used_is_told(node: Node, pull: Callable[..., Run]) -> None:
    node.start(set())
    node.put(film(1))
    done = pull(name=f"WRONG@127.0.0.1:{PORT}", check=False)
    assert (done.returncode, "WRONG" in done.stderr, "AE title" in done.stderr) == (3, True, True)
    done = pull("--move-to", "STRANGER", check=False)
    assert (done.returncode, "does not know the AE title STRANGER" in done.stderr) == (3, True)
    started = time.monotonic()
    done = pull(name="QR@127.0.0.1:9", check=False)
    assert (done.returncode, time.monotonic() - started < 20) == (3, True)
    assert "QR@127.0.0.1:9" in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("QR@10.0.0.1:104", Address("QR", "10.0.0.1", 104)),
        ("MY PACS@pacs.example.org:11112", Address("MY PACS", "pacs.example.org", 11112)),
        ("QR@[::1]:104", Address("QR", "::1", 104)),
        ("QR@host:0", None),
        ("QR@host", None),
        ("A\\B@host:104", None),
        ("SEVENTEEN-LETTERS@h:104", None),
        ("@h:104", None),
    ],
)
def test_addresses(text: str, expected: Address | None) -> None:
    if expected is not None:
        assert Address.parse(text, "--node") == expected
        assert Address.parse(str(expected), "--node") == expected
        return
    with pytest.raises(UsageError, match="--node"):
        Address.parse(text, "--node")


def test_field_10_a_file_that_the_node_has_lost_is_named_and_the_others_arrive(
    node: Node, pull: Callable[..., Run]
) -> None:
    node.start(set())
    node.put(film(1), film(2), film(3))
    lost = next(path for path in (node.folder / "files").glob("*.dcm") if uid_of(path.read_bytes()) == uid_of(film(2)))
    data = lost.read_bytes()
    lost.unlink()
    done = pull(check=False)
    assert (done.returncode, done.json["added"], done.json["failed"]) == (1, 2, 1)
    assert done.json["failures"][0]["path"].endswith(f"/{uid_of(film(2))}")
    lost.write_bytes(data)
    done = pull()
    assert (done.json["added"], done.json["failed"]) == (1, 0)
