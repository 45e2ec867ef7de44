"""What a message of an association may take of memory and disk, and what is answered to one that is not whole."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes import Receiving, a_file, storescu, until
from programs import needs_program
from pydantic import ByteSize
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA
from raw_dicom import ABORTED, ACCEPTED, RELEASED, Sender, command, p_data

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.data_set import file_head
from radretrieval.dicom.scp import data_transfer, pdu, server
from radretrieval.dicom.scp.server import ScpConfig
from radretrieval.dicom.scp.service import StorageScp
from radretrieval.dicom.sop_classes import RADIOGRAPHS
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.draft import IN_MEMORY

CR, EXPLICIT = RADIOGRAPHS[0], "1.2.840.10008.1.2.1"
LIMIT = 100_000


@pytest.fixture
def scp(database: Database, settings: Settings) -> Iterator[StorageScp]:
    """The node in this process, on a free port, with a limit of 100 kB."""
    limited = settings.model_copy(update={"largest_data_set": ByteSize(LIMIT)})
    node = StorageScp(database, limited, ScpConfig("RADRETRIEVAL", "127.0.0.1", 0, RADIOGRAPHS))
    yield node
    node.close()


@contextlib.contextmanager
def association(port: int) -> Iterator[Any]:
    ae = AE("SENDER")
    ae.dimse_timeout = 20
    ae.add_requested_context(CR, EXPLICIT)
    opened = ae.associate("127.0.0.1", port, ae_title="RADRETRIEVAL")
    assert opened.is_established
    yield opened
    if opened.is_established:
        opened.release()


def data_set(path: Path, side: int = 32) -> tuple[str, bytes]:
    """A SOP Instance UID and an encoded data set of 2 · side² bytes and more."""
    uid = a_file(path, side=side)
    raw = path.read_bytes()
    return uid, raw[raw.index(b"\x08\0\x16\0UI") :]


def request(uid: str | None, data: bytes | None, sop_class: str | None = CR) -> C_STORE:
    made = C_STORE()
    made.MessageID, made.Priority = 1, 2
    made.AffectedSOPClassUID, made.AffectedSOPInstanceUID = sop_class, uid
    made.DataSet = None if data is None else io.BytesIO(data)
    return made


def answer(opened: Any, made: C_STORE) -> int | None:
    """The status of the response; None where there is none."""
    opened._reactor_checkpoint.clear()
    until(lambda: opened._is_paused, "the reactor pauses")
    opened.dimse.send_msg(made, 1)
    _, response = opened.dimse.get_msg(block=True)
    opened._reactor_checkpoint.set()
    return None if response is None else int(response.Status)


def fragment(opened: Any, data: bytes) -> None:
    made = P_DATA()
    made.presentation_data_value_list.append((1, data))
    opened.dul.send_pdu(made)


def files(store: Path) -> list[str]:
    return sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())


def test_field_14_a_data_set_above_the_limit_is_refused_while_it_comes(
    scp: StorageScp, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uid, large = data_set(tmp_path / "large.dcm", side=400)
    assert len(large) > 3 * LIMIT
    small_uid, small = data_set(tmp_path / "small.dcm")
    exact_uid, exact = data_set(tmp_path / "exact.dcm", side=200)
    exact = exact + b"\xfc\xff\xfc\xffOB\0\0" + (LIMIT - len(exact) - 12).to_bytes(4, "little")  # trailing padding
    exact += bytes(LIMIT - len(exact))
    with association(scp.port) as opened, caplog.at_level(logging.WARNING):
        assert answer(opened, request(uid, large)) == 0xA700
        assert f"SENDER at 127.0.0.1: {uid}: answered 0xA700: its data set has more than 100,000 bytes; " in caplog.text
        assert "RADRETRIEVAL_LARGEST_DATA_SET" in caplog.text
        assert files(settings.store_folder) == []
        assert answer(opened, request(exact_uid, exact)) == 0
        assert answer(opened, request(exact_uid, exact + b"\0")) == 0xA700
        assert answer(opened, request(small_uid, small)) == 0, "the association goes on"
    assert len(files(settings.store_folder)) == 2


@pytest.mark.parametrize(("text", "size"), [("2GiB", 2**31), ("500 MB", 500_000_000), ("1000", 1000), ("", 2**31)])
def test_field_14_the_limit_is_a_size_with_a_unit(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv("RADRETRIEVAL_LARGEST_DATA_SET", text)
    assert Settings().largest_data_set == size
    for wrong in ("0", "-1", "much"):
        monkeypatch.setenv("RADRETRIEVAL_LARGEST_DATA_SET", wrong)
        with pytest.raises(ValueError, match="largest_data_set"):
            Settings()


def test_field_14_the_limit_is_told_before_a_data_set_ends(
    scp: StorageScp, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A sender that never ends its data set."""
    with association(scp.port) as opened, caplog.at_level(logging.WARNING):
        command = next(iter(message(opened, request("1.2.3", b"x")).encode_msg(1, 16384)))
        opened.dul.send_pdu(command)
        for _ in range(12):
            fragment(opened, b"\0" + bytes(10_000))
        until(
            lambda: "SENDER at 127.0.0.1: 1.2.3: refused while it comes: its data set has more" in caplog.text, "told"
        )
        assert files(settings.store_folder) == []
        opened.abort()


def message(opened: Any, made: C_STORE) -> Any:
    from pynetdicom.dimse_messages import C_STORE_RQ

    found = C_STORE_RQ()
    found.primitive_to_message(made)
    return found


@pytest.mark.parametrize("data", [None, b""], ids=["it says that there is none", "it says that there is one"])
def test_field_14_a_request_without_a_data_set_is_answered(
    scp: StorageScp, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes | None
) -> None:
    monkeypatch.setattr(data_transfer, "DATA_SET_SECONDS", 0.3)
    uid, whole = data_set(tmp_path / "1.dcm")
    with association(scp.port) as opened:
        assert answer(opened, request(uid, data)) == 0xC000
        assert answer(opened, request(uid, whole)) == 0
    assert len(files(settings.store_folder)) == 1


def test_field_14_150_mb_are_received_in_little_memory(archive_url: str, tmp_path: Path) -> None:
    needs_program("storescu")
    uid, head = data_set(tmp_path / "1.dcm")
    side = 8662  # pixels of 16 bits: 150 MB
    with (tmp_path / "large.dcm").open("wb") as file:
        file.write(file_head(CR, uid, EXPLICIT))
        head = head[: head.index(b"\x28\0\x10\0US")]
        for element, value in ((0x10, side), (0x11, side), (0x100, 16), (0x101, 16), (0x102, 15), (0x103, 0)):
            head += b"\x28\0" + element.to_bytes(2, "little") + b"US\2\0" + value.to_bytes(2, "little")
        file.write(head + b"\xe0\x7f\x10\0OW\0\0" + (2 * side * side).to_bytes(4, "little"))
        for _ in range(side):
            file.write(bytes(2 * side))
    with Receiving(tmp_path / "home", archive_url, "--no-intake") as node:
        storescu(node.port, tmp_path / "1.dcm")
        process = Path("/proc", str(node.process.pid))
        (process / "clear_refs").write_text("5")  # the peak of memory, from here on
        before = kilobytes(process, "VmRSS")
        storescu(node.port, tmp_path / "large.dcm")
        grown = kilobytes(process, "VmHWM") - before
        print(f"{grown} kB")
        assert grown < 60_000
        storescu(node.port, tmp_path / "large.dcm")  # the file is compared with the one that is there
        assert kilobytes(process, "VmHWM") - before < 60_000
        assert len(node.files()) == 2
        assert max(path.stat().st_size for path in node.store.folder.rglob("*")) > 150_000_000
        assert node.stop() == 0


def kilobytes(process: Path, what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", (process / "status").read_text())
    assert found is not None
    return int(found[1])


def half(opened: Any, uid: str, data: bytes) -> None:
    """Send a request and half of its data set."""
    for pdata in list(message(opened, request(uid, data)).encode_msg(1, 100_000))[:-2]:
        opened.dul.send_pdu(pdata)


def test_field_14_what_a_killed_node_was_receiving_is_deleted_at_the_next_start(
    archive_url: str, tmp_path: Path
) -> None:
    uid, data = data_set(tmp_path / "1.dcm", side=900)  # above 1 MiB it goes to the disk as it comes
    store = ContentStore(tmp_path / "home" / "store")
    with Receiving(tmp_path / "home", archive_url, "--no-intake") as node, association(node.port) as opened:
        half(opened, uid, data)
        until(lambda: len(node.files()) == 1, "a draft is written")
        node.kill()
    [left] = files(store.folder)
    assert re.fullmatch(r"drafts/\.\w+\.part", left)
    assert [sha256 for _, sha256 in store.files()] == [b""], "verify --tidy sees it too"
    held = store.draft()  # of a process that lives
    held.write(bytes(IN_MEMORY + 1))
    assert held.path is not None
    with Receiving(tmp_path / "home", archive_url, "--no-intake") as node:
        assert files(store.folder) == [f"drafts/{held.path.name}"]
        held.close()
        # a connection that breaks, and one that ends in order
        for end in ("abort", "shutdown"):
            with association(node.port) as opened:
                half(opened, uid, data)
                until(lambda: len(node.files()) == 1, "a draft is written")
                if end == "abort":
                    opened.abort()
                else:
                    opened.dul.socket.socket.shutdown(socket.SHUT_RDWR)
                until(lambda: not node.files(), "the draft is deleted")
        assert node.stop() == 0


@pytest.mark.parametrize("lacking", ["AffectedSOPInstanceUID", "AffectedSOPClassUID"])
def test_a_request_that_cannot_be_answered_ends_the_association(
    scp: StorageScp, tmp_path: Path, caplog: pytest.LogCaptureFixture, lacking: str
) -> None:
    uid, data = data_set(tmp_path / "1.dcm")
    with association(scp.port) as opened, caplog.at_level(logging.WARNING):
        made = request(uid, data)
        setattr(made, lacking, None)
        start = time.monotonic()
        assert answer(opened, made) is None
        until(lambda: opened.is_aborted, "it is aborted")
        assert time.monotonic() - start < 10
        until(
            lambda: (
                f"SENDER at 127.0.0.1: the association is aborted: a C-STORE request has no {lacking}" in caplog.text
            ),
            "told",
        )


def test_an_endless_command_ends_the_association(scp: StorageScp, caplog: pytest.LogCaptureFixture) -> None:
    with association(scp.port) as opened, caplog.at_level(logging.WARNING):
        for _ in range(10):
            fragment(opened, b"\1" + bytes(10_000))
        until(lambda: opened.is_aborted, "it is aborted")
        assert "the command set of a message has more than 65,536 bytes" in caplog.text


def test_requests_without_waiting_for_responses_are_served_one_by_one(
    scp: StorageScp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid, data = data_set(tmp_path / "1.dcm", side=150)
    held: list[str] = []  # drafts that exist at one time
    draft, store = scp._queue.draft, scp._queue.store_draft
    monkeypatch.setattr(scp._queue, "draft", lambda: held.append("") or draft())

    def stored(*of: Any) -> None:
        time.sleep(0.02)
        assert len(held) == 1
        store(*of)
        held.clear()

    monkeypatch.setattr(scp._queue, "store_draft", stored)
    scp._server._new_request.keywords["new_draft"] = scp._queue.draft  # type: ignore[attr-defined]
    with Sender(scp.port) as sender:
        assert sender.associate() == ACCEPTED
        asked = [command(CR.encode(), uid.encode(), number=number) for number in range(1, 41)]
        writer = threading.Thread(target=sender.send, args=[p_data((3, one), (2, data)) for one in asked])
        writer.start()
        answers = [sender.answer() for _ in asked]
        writer.join()
        sender.send(b"\5\0\0\0\0\4\0\0\0\0")
        assert sender.pdu()[0] == RELEASED
    assert [int.from_bytes(one[0x0120], "little") for one in answers] == list(range(1, 41))
    assert {one[0x0900] for one in answers} == {bytes(2)}


def test_a_node_that_stops_answers_what_it_is_storing_and_aborts(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GRACE_SECONDS", 2.0)
    node = StorageScp(database, settings, ScpConfig("RADRETRIEVAL", "127.0.0.1", 0, RADIOGRAPHS))
    uid, data = data_set(tmp_path / "1.dcm")
    storing, store = threading.Event(), node._queue.store_draft

    def stored(*of: Any) -> None:
        storing.set()
        until(lambda: node._server._accepted and all(one._stopping for one in node._server._accepted.values()), "stops")
        store(*of)

    monkeypatch.setattr(node._queue, "store_draft", stored)
    with Sender(node.port) as silent, Sender(node.port) as busy:
        assert silent.associate() == busy.associate() == ACCEPTED
        request = p_data((3, command(CR.encode(), uid.encode())), (2, data))
        busy.send(request, request)  # the second is not begun any more
        assert storing.wait(20)
        node.close()
        assert (busy.status(), busy.pdu()[0], silent.pdu()[0]) == (0, ABORTED, ABORTED)
    assert len(files(settings.store_folder)) == 1


@pytest.mark.parametrize("drips", ["a request", "a PDU", "a message"])
def test_what_comes_byte_by_byte_is_broken_off(
    drips: str,
    database: Database,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pdu, "SLOWEST", 10**6)
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.5)
    config = ScpConfig("RADRETRIEVAL", "127.0.0.1", 0, RADIOGRAPHS, idle_seconds=1.0)
    node = StorageScp(database, settings, config)
    begun = time.monotonic()
    try:
        if drips == "a request":
            with socket.create_connection(("127.0.0.1", node.port)) as raw:
                assert dripped(raw, b"\1\0\0\0\1\0" + bytes(256), 1)
        else:
            with association(node.port) as opened:
                raw = opened.dul.socket.socket
                # P-DATA PDUs of a command set that goes on
                one = b"\4\0\0\0\0\7\0\0\0\3\1\1\0" if drips == "a message" else b"\4\0\0\1\0\0" + bytes(256)
                assert dripped(raw, one * 200, len(one) if drips == "a message" else 1)
        assert time.monotonic() - begun < 15
    finally:
        node.close()
    assert "came too slowly" in caplog.text


def dripped(raw: socket.socket, data: bytes, size: int) -> bool:
    """Whether the peer ends the connection while these bytes are sent, so many at a time."""
    with contextlib.suppress(OSError):
        for start in range(0, len(data), size):
            raw.sendall(data[start : start + size])
            time.sleep(0.1)
        return False
    return True
