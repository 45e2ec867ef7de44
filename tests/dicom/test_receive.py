"""The node among real senders: who is let in, what is answered, and what is there afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pydicom
import pytest
from databases import Server
from nodes import Receiving, a_file, call, namespace, pixels, profile, storescu, until
from pacs import Orthanc, orthanc
from programs import needs_program

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.sop_classes import RADIOGRAPHS
from radretrieval.ingest.inbox_worker import InboxWorker


@pytest.fixture(scope="module")
def node(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiving]:
    """A node for the tests of this module, that takes everything and makes images of it."""
    needs_program("storescu", "echoscu", "dcmsend")
    folder = tmp_path_factory.mktemp("node")
    with (
        server.database(template=migrated_template) as url,
        Receiving(folder / "home", url, "--all-classes", "--max-associations", 3, "--workers", 2) as running,
    ):
        yield running


@pytest.fixture
def few(archive_url: str, tmp_path: Path) -> Iterator[Receiving]:
    """A node of this test's own that takes radiographs from some peers and makes no images."""
    needs_program("storescu", "echoscu")
    peers = ("--peer", "SENDER@127.0.0.1", "--peer", "AWAY@192.0.2.1", "--no-intake")
    with Receiving(tmp_path / "home", archive_url, *peers) as running:
        yield running


def echo(port: int, title: str = "SENDER", called: str = "RADRETRIEVAL") -> subprocess.CompletedProcess[str]:
    return call("echoscu", "-v", "-aet", title, "-aec", called, "127.0.0.1", port, check=False)


def test_who_is_not_invited_is_told_why(few: Receiving, tmp_path: Path) -> None:
    assert echo(few.port).returncode == 0
    assert "Called AE Title Not Recognized" in echo(few.port, called="ANOTHER").stderr
    few.logged("SENDER at 127.0.0.1: association rejected: it calls 'ANOTHER', this node is 'RADRETRIEVAL'")
    assert "Calling AE Title Not Recognized" in echo(few.port, title="STRANGER").stderr
    few.logged("STRANGER at 127.0.0.1: association rejected: its AE title is not among the peers")
    assert "Calling AE Title Not Recognized" in echo(few.port, title="AWAY").stderr
    few.logged("AWAY at 127.0.0.1: .*it may call from 192.0.2.1 only")

    # another kind of object than a radiograph: that context is refused, the association is not
    a_file(tmp_path / "ct.dcm", sop_class="1.2.840.10008.5.1.4.1.1.2")
    a_file(tmp_path / "cr.dcm")
    told = storescu(few.port, tmp_path / "ct.dcm", check=False, options=["-d"])
    assert "No Acceptable Presentation Contexts" in told.stderr or "No presentation context" in told.stderr
    storescu(few.port, tmp_path / "cr.dcm")
    assert len(few.rows("SELECT FROM arrival")) == 1
    assert few.stop() == 0


def test_what_is_answered_with_success_is_there(few: Receiving, tmp_path: Path) -> None:
    uid = a_file(tmp_path / "1.dcm", 1)
    storescu(few.port, tmp_path / "1.dcm", tmp_path / "1.dcm")
    [row] = few.rows("SELECT * FROM arrival")
    kept = few.store.path(row["sha256"])
    assert sha256(kept.read_bytes()).digest() == row["sha256"]
    assert (row["uri"], row["origin"], row["sop_instance_uid"]) == (f"store:{kept.name}", "SENDER", uid)
    assert few.files() == {kept.name}  # once, and no draft
    assert pixels(kept) == pixels(tmp_path / "1.dcm")
    # the sender's data set, byte by byte, behind a header of ours
    sent = (tmp_path / "1.dcm").read_bytes()
    assert kept.read_bytes().endswith(sent[sent.index(b"\x08\0\x16\0UI") :])


def test_a_data_set_that_is_not_what_the_request_says_is_refused(few: Receiving, tmp_path: Path) -> None:
    from pynetdicom import AE
    from pynetdicom.dimse_primitives import C_STORE

    a_file(tmp_path / "1.dcm")
    ds = pydicom.dcmread(tmp_path / "1.dcm")
    ae = AE("SENDER")
    ae.add_requested_context(RADIOGRAPHS[0], "1.2.840.10008.1.2.1")
    ae.add_requested_context(RADIOGRAPHS[1], "1.2.840.10008.1.2.1")
    association = ae.associate("127.0.0.1", few.port, ae_title="RADRETRIEVAL")
    assert association.is_established
    raw = (tmp_path / "1.dcm").read_bytes()
    body = raw[raw.index(b"\x08\0\x16\0UI") :]

    def answer(sop_class: str, instance: str, data: bytes) -> int:
        from io import BytesIO

        request = C_STORE()
        request.MessageID, request.Priority = 1, 2
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, instance
        request.DataSet = BytesIO(data)
        context = next(c for c in association.accepted_contexts if c.abstract_syntax == sop_class)
        association._reactor_checkpoint.clear()
        while not association._is_paused:
            time.sleep(0.01)
        association.dimse.send_msg(request, context.context_id)
        _, response = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        assert response is not None
        return int(response.Status)

    uid = str(ds.SOPInstanceUID)
    assert answer(RADIOGRAPHS[1], uid, body) == 0xA900
    few.logged(rf"SENDER at 127.0.0.1: {uid}: answered 0xA900: the SOP Class UID of the data set is {RADIOGRAPHS[0]}, ")
    assert answer(RADIOGRAPHS[0], "1.2.3", body) == 0xA900
    few.logged("answered 0xA900: the SOP Instance UID of the data set is")
    assert answer(RADIOGRAPHS[0], uid, b"no data set at all") == 0xC000
    few.logged("answered 0xC000: its data set has no SOP Class UID")
    assert few.rows("SELECT FROM arrival") == []
    assert few.files() == set()
    assert answer(RADIOGRAPHS[0], uid, body) == 0
    association.release()


def test_silent_connections_and_too_many_associations(node: Receiving) -> None:
    from pynetdicom import AE

    with ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(socket.create_connection(("127.0.0.1", node.port)))
        start = time.monotonic()
        assert echo(node.port).returncode == 0
        assert (
            time.monotonic() - start < 10
        )  # without a limit of ours they would be waited for; benchmarks/ has the time
    ae = AE("SENDER")
    ae.add_requested_context("1.2.840.10008.1.1")
    held = [ae.associate("127.0.0.1", node.port, ae_title="RADRETRIEVAL") for _ in range(3)]
    assert all(association.is_established for association in held)
    assert "Local Limit Exceeded" in echo(node.port).stderr
    node.logged("association rejected: 3 associations are open")
    for association in held:
        association.release()
    until(lambda: echo(node.port).returncode == 0, "its place is not free again")


@pytest.fixture
def plain(archive_url: str, tmp_path: Path) -> Iterator[Receiving]:
    """A node of this test's own that takes everything and makes no images."""
    needs_program("storescu", "dcmsend")
    with Receiving(tmp_path / "home", archive_url, "--all-classes", "--no-intake") as running:
        yield running


def test_storescu_sends_every_valid_file_in_its_own_syntax(plain: Receiving, shared: Path, tmp_path: Path) -> None:
    files = valid(shared)
    config = profile(tmp_path / "profile.cfg", files)
    storescu(plain.port, *files, options=["-xf", config, "Default"])
    expect_unchanged(plain, files)
    expect_images(plain, files, tmp_path / "home")


def test_dcmsend_sends_every_valid_file_in_its_own_syntax(plain: Receiving, shared: Path) -> None:
    # it offers the three uncompressed syntaxes together, of which we take explicit little endian
    converted = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2")
    files = [
        path for path in valid(shared) if path.read_bytes()[128:132] == b"DICM" and pixels(path)[1] not in converted
    ]
    call("dcmsend", "-aec", "RADRETRIEVAL", "--decompress-never", "127.0.0.1", plain.port, *files)
    expect_unchanged(plain, files)


def test_orthanc_forwards_every_file_and_the_broken_ones_end_with_a_reason(
    archive_url: str, shared: Path, tmp_path: Path
) -> None:
    needs_program("Orthanc", "curl")
    if "host=/" not in archive_url:
        pytest.skip("from a network namespace only a database with a Unix socket is reached")
    files, broken = valid(shared), sorted((shared / "data" / "dicom" / "broken").glob("*.dcm"))
    with (
        namespace() as inside,
        Receiving(tmp_path / "home", archive_url, "--all-classes", "--no-intake", inside=inside) as node,
        orthanc(tmp_path / "orthanc", inside, node.port) as neighbour,
    ):
        # it keeps one instance of a UID: each file is pushed before the next one is loaded
        for file in files:
            assert push(neighbour, file), file
        expect_unchanged(node, files)
        before = {row["sha256"] for row in node.rows("SELECT sha256 FROM arrival")}
        pushed = [file for file in broken if push(neighbour, file)]
        assert len(pushed) > 5
        rows = node.rows("SELECT sha256, sop_instance_uid FROM arrival")
        new = {row["sha256"]: row["sop_instance_uid"] for row in rows if row["sha256"] not in before}
        expect_images(node, files, tmp_path / "home")
        taken = {row["sha256"] for row in node.rows("SELECT sha256 FROM image")}
        failed = {row["sha256"]: row["message"] for row in node.rows("SELECT sha256, message FROM ingest_failure")}
        told = {row["sop_instance_uid"] for row in node.rows("SELECT sop_instance_uid FROM image")}
        for (
            one,
            uid,
        ) in new.items():  # an image, a failure with its reason, or an image that is there in another encoding
            assert one in taken or failed.get(one) or uid in told
        assert sum(one in failed for one in new) > 3
        assert node.stop() == 0


def valid(shared: Path) -> list[Path]:
    return sorted((shared / "data" / "dicom" / "valid").glob("*.dcm"))


def push(neighbour: Orthanc, file: Path) -> bool:
    """Whether Orthanc takes a file, and the node takes it from Orthanc."""
    instance = neighbour.load(file)
    pushed = instance is not None and neighbour.push(instance)
    if instance is not None:
        neighbour.ask(f"/instances/{instance}", "-X", "DELETE")
    return pushed


def expect_unchanged(node: Receiving, files: list[Path]) -> None:
    """Each of these has arrived once, with its syntax and its pixels."""
    arrived = [row["sha256"] for row in node.rows("SELECT sha256 FROM arrival")]
    assert node.files() == {one.hex() for one in arrived}
    there = [pixels(node.store.path(one)) for one in arrived]
    assert [path.name for path in files if there.count(pixels(path)) != 1] == []
    assert len(there) == len({pixels(path) for path in files})


def expect_images(node: Receiving, files: list[Path], home: Path) -> None:
    """What has arrived is made images, or has failed with a reason; each once, and nothing is kept for nobody."""
    InboxWorker(Database(node.url), Settings(home=home, store=node.store.folder), workers=2).finish()
    assert node.rows("SELECT FROM arrival") == []
    rows = node.rows("SELECT sha256, sop_instance_uid, kept FROM image")
    failed = node.rows("SELECT sha256, message FROM ingest_failure")
    assert all(row["kept"] == "copy" for row in rows)
    assert all(row["message"] for row in failed)
    ended = {row["sop_instance_uid"] for row in rows}
    ended |= {str(pydicom.dcmread(node.store.path(row["sha256"])).SOPInstanceUID) for row in failed}
    assert {pixels(path)[0] for path in files} <= ended
    assert node.files() == {row["sha256"].hex() for row in (*rows, *failed)}
    assert node.rows("SELECT FROM image GROUP BY sop_instance_uid, pixels_sha256 HAVING count(*) > 1") == []


def test_the_same_again_is_no_second_row(node: Receiving, tmp_path: Path) -> None:
    uid = a_file(tmp_path / "1.dcm", 7)
    storescu(node.port, tmp_path / "1.dcm")
    node.settled()
    before = node.files()
    storescu(node.port, tmp_path / "1.dcm")
    node.settled()
    assert len(node.rows(f"SELECT FROM image WHERE sop_instance_uid = '{uid}'")) == 1
    assert node.files() == before

    # in another encoding: the same pixels
    call("dcmconv", "+ti", tmp_path / "1.dcm", tmp_path / "2.dcm")
    storescu(node.port, tmp_path / "2.dcm", options=["-xi"])
    node.settled()
    assert len(node.rows(f"SELECT FROM image WHERE sop_instance_uid = '{uid}'")) == 1
    until(lambda: node.files() == before, "the other encoding is still kept")


def test_field_03_a_correction_by_a_real_sender_moves_the_image(node: Receiving, tmp_path: Path) -> None:
    """dcmodify corrects the patient and the study, storescu sends; and the original again after it."""
    uid = a_file(tmp_path / "1.dcm", 11)
    (tmp_path / "2.dcm").write_bytes((tmp_path / "1.dcm").read_bytes())
    changes = ("(0010,0020)=P2", "(0020,000d)=1.2.3.4", "(0018,0015)=HAND")
    call("dcmodify", "-nb", *(word for change in changes for word in ("-i", change)), tmp_path / "2.dcm")

    def row() -> dict[str, object]:
        (found,) = node.rows(f"SELECT * FROM image WHERE sop_instance_uid = '{uid}'")
        return found

    storescu(node.port, tmp_path / "1.dcm")
    node.settled()
    before, files = row(), node.files()
    storescu(node.port, tmp_path / "2.dcm")
    node.settled()
    after = row()
    assert (after["id"], after["study_instance_uid"], after["body_part"]) == (before["id"], "1.2.3.4", "HAND")
    assert after["patient_key"] != before["patient_key"]
    node.logged(f"image {before['id']} has another header by a newer file from SENDER: .*study_instance_uid")
    until(lambda: len(node.files()) == len(files), "the file from before the correction is still kept")
    assert pydicom.dcmread(node.store.path(after["sha256"])).PatientID == "P2"
    storescu(node.port, tmp_path / "1.dcm")
    node.settled()
    assert row() == before
    assert len(node.rows(f"SELECT FROM image_history WHERE image_id = {before['id']}")) == 2


def test_the_same_uid_with_other_pixels_is_kept_apart_and_flagged(node: Receiving, tmp_path: Path) -> None:
    uid = a_file(tmp_path / "1.dcm", 8)
    a_file(tmp_path / "2.dcm", 9, uid)
    storescu(node.port, tmp_path / "1.dcm")
    node.settled()
    storescu(node.port, tmp_path / "2.dcm")
    node.settled()
    rows = node.rows(f"SELECT same_uid FROM image WHERE sop_instance_uid = '{uid}' ORDER BY id")
    assert [row["same_uid"] for row in rows] == [False, True]
    node.logged(f"its SOP Instance UID {uid} is that of image")


def test_a_file_that_fails_is_kept_with_its_reason_and_tried_when_it_comes_again(
    node: Receiving, tmp_path: Path
) -> None:
    uid = a_file(tmp_path / "1.dcm", 10)
    ds = pydicom.dcmread(tmp_path / "1.dcm")
    del ds.PhotometricInterpretation
    ds.save_as(tmp_path / "1.dcm")
    for attempts in (1, 2):
        storescu(node.port, tmp_path / "1.dcm")
        node.settled()
        [row] = node.rows(
            "SELECT * FROM ingest_failure WHERE message LIKE '%PhotometricInterpretation%' AND "
            "uri LIKE 'store:%' ORDER BY last_at DESC LIMIT 1"
        )
        assert row["attempts"] == attempts
        assert str(pydicom.dcmread(node.store.path(row["sha256"])).SOPInstanceUID) == uid


def test_a_full_disk_is_told_and_nothing_half_is_left(archive_url: str, tmp_path: Path) -> None:
    needs_program("storescu")
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", small]).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        with Receiving(tmp_path / "home", archive_url, "--no-intake", store=small) as node:
            paths = [tmp_path / f"{number}.dcm" for number in range(6)]
            for number, path in enumerate(paths):
                a_file(path, number, side=200)
            told = [storescu(node.port, path, check=False) for path in paths]
            assert told[0].returncode == 0
            assert told[-1].returncode != 0
            assert (
                "0xa700" in (told[-1].stdout + told[-1].stderr).lower()
                or "Refused" in told[-1].stdout + told[-1].stderr
            )
            node.logged("answered 0xA700: the store .* cannot take a file .No space left on device")
            taken = {row["sha256"].hex() for row in node.rows("SELECT sha256 FROM arrival")}
            assert len(taken) == sum(one.returncode == 0 for one in told)
            assert node.files() == taken
            subprocess.run(["mount", "-o", "remount,size=4m", small], check=True)
            storescu(node.port, *paths)
            assert len(node.rows("SELECT FROM arrival")) == len(paths)
            assert node.stop() == 0
    finally:
        subprocess.run(["umount", small], check=True)


def test_it_stops_in_order_whatever_its_peers_do(few: Receiving) -> None:
    from pynetdicom import AE

    ae = AE("SENDER")
    ae.add_requested_context("1.2.840.10008.1.1")
    with ExitStack() as stack:
        _silent, half, huge = (stack.enter_context(socket.create_connection(("127.0.0.1", few.port))) for _ in range(3))
        half.sendall(b"\1\0\0\0\x10\0half")
        huge.sendall(b"\1\0\xff\xff\xff\xff")
        few.logged("it announces a PDU of 4294967295 bytes")
        huge.settimeout(20)
        assert huge.recv(1) == b""
        assert ae.associate("127.0.0.1", few.port, ae_title="RADRETRIEVAL").is_established
        assert few.stop() == 0
        few.logged("SENDER at 127.0.0.1: the association is aborted: this node stops")


def test_it_says_where_it_cannot_listen(few: Receiving, archive_url: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="it ended with 3: .*nothing can listen on 127.0.0.1") as raised:
        Receiving(tmp_path / "other", archive_url, port=few.port)
    assert "--port" in str(raised.value)
