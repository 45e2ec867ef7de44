"""What others report of peers and of comparable nodes, tried on ours; docs/field-reports.md has the sources."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from databases import Server
from nodes import PATIENCE, Receiving, a_file, call, until
from programs import needs_program
from raw_dicom import ABORTED, ACCEPTED, CR, EXPLICIT, Sender, command, item, p_data

from radretrieval.dicom.address import Address
from radretrieval.dicom.send import c_store

DEFLATED = "1.2.840.10008.1.2.1.99"


@pytest.fixture(scope="module")
def node(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiving]:
    folder = tmp_path_factory.mktemp("node")
    with (
        server.database(template=migrated_template) as url,
        Receiving(folder / "home", url, "--no-intake", "--max-associations", 5) as running,
    ):
        yield running


@pytest.fixture
def film(tmp_path: Path) -> tuple[bytes, bytes]:
    """A SOP Instance UID, and an encoded data set."""
    found = a_file(tmp_path / "film.dcm", seed=time.time_ns() % 10**6)
    raw = (tmp_path / "film.dcm").read_bytes()
    return found.encode(), raw[raw.index(b"\x08\0\x16\0UI") :]


def arrived(node: Receiving, uid: bytes) -> list[dict[str, object]]:
    return node.rows(f"SELECT origin, sha256 FROM arrival WHERE sop_instance_uid = '{uid.decode()}'")


def instance(uid: bytes, padding: bytes = b"\0") -> bytes:
    """The element SOP Instance UID in explicit VR."""
    value = uid + padding * (len(uid) % 2)
    return b"\x08\0\x18\0UI" + len(value).to_bytes(2, "little") + value


def store(sender: Sender, uid: bytes, data: bytes) -> int | None:
    sender.send(p_data((3, command(CR.encode(), uid))), p_data((2, data)))
    return sender.status()


def test_titles_padded_with_nulls(node: Receiving, film: tuple[bytes, bytes]) -> None:
    titles = {"called": b"RADRETRIEVAL".ljust(16, b"\0"), "calling": b"EFILM".ljust(16, b"\0")}
    with Sender(node.port, **titles) as sender:
        assert sender.associate() == ACCEPTED
        assert store(sender, *film) == 0
    assert [row["origin"] for row in arrived(node, film[0])] == ["EFILM"]


def test_what_is_no_association_request_is_named_in_the_log(node: Receiving) -> None:
    with Sender(node.port, calling=b" " * 16) as sender:
        assert sender.associate() == ABORTED
    node.logged("127.0.0.1: association refused: its calling AE title is blank; set one on the device")
    with Sender(node.port) as sender:
        sender.send(b"GET / HTTP/1.1\r\n\r\n")
        assert sender.pdu()[0] == ABORTED
    node.logged("127.0.0.1: the connection is ended: no valid association request came")


@pytest.mark.parametrize(
    "fields",
    [
        {"implementation": b"1.2.3.4\0"},
        {"implementation": b""},
        {"more": item(0x55, b"")},
        {"max_pdu": 0},
        {"max_pdu": None},
        {"max_pdu": 2**32 - 1},
        {"more": item(0x53, b"\0\0\0\0")},
        {"more": item(0x58, b"\2\1\0\4user\0\4word")},
        {"more": item(0x77, b"unknown")},
    ],
    ids=str,
)
def test_user_information_of_other_makes(node: Receiving, film: tuple[bytes, bytes], fields: dict[str, object]) -> None:
    with Sender(node.port, **fields) as sender:  # type: ignore[arg-type]
        assert sender.associate() == ACCEPTED
        assert store(sender, *film) == 0


def test_fragments_in_every_order_that_is_allowed(node: Receiving, film: tuple[bytes, bytes]) -> None:
    uid, data = film
    head = command(CR.encode(), uid)
    for pdus in (
        [p_data((3, head), (2, data))],  # command and data set in one PDU
        [p_data((3, head), (0, data[:100])), p_data((0, data[100:])), p_data((2, b""))],  # an empty last fragment
        [p_data((1, head[:7])), p_data((3, head[7:])), p_data((0, b"")), p_data((0, data[:1]), (2, data[1:]))],
        [p_data((0x43, head)), p_data((0xF2, data))],  # bits of the header that mean nothing
    ):
        with Sender(node.port) as sender:
            assert sender.associate() == ACCEPTED
            sender.send(*pdus)
            found = sender.answer()
            assert int.from_bytes(found[0x0900], "little") == 0
            assert found[0x1000].rstrip(b"\0") == uid
            assert found[0x0002].rstrip(b"\0") == CR.encode()
    assert len(arrived(node, uid)) == 1


def test_a_pdu_larger_than_negotiated(node: Receiving, tmp_path: Path) -> None:
    uid = a_file(tmp_path / "1.dcm", side=400).encode()
    raw = (tmp_path / "1.dcm").read_bytes()
    with Sender(node.port) as sender:
        assert sender.associate() == ACCEPTED
        assert store(sender, uid, raw[raw.index(b"\x08\0\x16\0UI") :]) == 0
    assert len(arrived(node, uid)) == 1


@pytest.mark.parametrize("where", ["request", "data set", "both"])
def test_uids_padded_with_a_blank(node: Receiving, film: tuple[bytes, bytes], where: str) -> None:
    uid, data = film
    even = uid[:-1] if len(uid) % 2 == 0 else uid  # of odd length, so that it is padded
    changed = data.replace(instance(uid), instance(even, b"\0" if where == "request" else b" "))
    assert changed != data or where == "request"
    with Sender(node.port) as sender:
        assert sender.associate() == ACCEPTED
        assert store(sender, even + (b" " if where != "data set" else b""), changed) == 0
    assert len(arrived(node, even)) == 1


def test_deflated_at_every_level(node: Receiving, tmp_path: Path) -> None:
    needs_program("storescu")
    a_file(tmp_path / "1.dcm", seed=77, side=63)
    for level in range(10):
        call("storescu", "-aec", "RADRETRIEVAL", "-xd", "+cl", level, "127.0.0.1", node.port, tmp_path / "1.dcm")
    told = pydicom.dcmread(tmp_path / "1.dcm")
    rows = arrived(node, str(told.SOPInstanceUID).encode())
    assert len(rows) > 1
    for row in rows:
        ds = pydicom.dcmread(node.store.path(row["sha256"]))  # type: ignore[arg-type]
        assert (ds.file_meta.TransferSyntaxUID, ds.PixelData) == (DEFLATED, told.PixelData)


@pytest.mark.parametrize(
    ("uid", "status"), [(b"1.2." + b"3" * 70, 0xC000), (b"1.2\x003", 0xC000), (b"not-a-uid", 0), (b"1.2.03", 0)]
)
def test_an_instance_uid_that_is_none_costs_itself(
    node: Receiving, film: tuple[bytes, bytes], uid: bytes, status: int
) -> None:
    good, data = film
    bad = data.replace(instance(good), instance(uid))
    assert bad != data
    with Sender(node.port) as sender:
        assert sender.associate() == ACCEPTED
        assert store(sender, uid, bad) == status
        assert store(sender, good, data) == 0, "the association goes on"


def test_a_request_in_a_context_that_was_not_accepted(node: Receiving, film: tuple[bytes, bytes]) -> None:
    contexts = (("1.2.840.10008.5.1.4.1.1.2", (EXPLICIT,)), (CR, (EXPLICIT,)))
    with Sender(node.port, contexts=contexts) as sender:
        assert sender.associate() == ACCEPTED
        sender.send(p_data((3, command(b"1.2.840.10008.5.1.4.1.1.2", film[0]))), p_data((2, film[1])))
        assert sender.pdu()[0] in (ABORTED, 0)
    node.logged("SENDER at 127.0.0.1: the association is aborted: .* a presentation context that was not accepted")


@pytest.mark.parametrize(
    "garbage",
    [
        p_data((3, b"\xff" * 40)),
        p_data((3, b"")),
        p_data((2, b"data")),
        p_data((3, command(CR.encode(), b"1.2.3", kind=0x7FFF, data_set=0x0101))),
        b"\x04\0\0\0\0\x06\0\0\0\0\1\3",
        b"\x09\0\0\0\0\0",
    ],
    ids=range(6),
)
def test_what_is_no_message_ends_the_association_and_no_other(
    node: Receiving, film: tuple[bytes, bytes], garbage: bytes
) -> None:
    with Sender(node.port) as other:
        assert other.associate() == ACCEPTED
        for _ in range(5):  # as many as there may be
            with accepted(node.port) as sender:
                sender.send(garbage)
                assert sender.pdu()[0] in (ABORTED, 0)
        assert store(other, *film) == 0


@contextmanager
def accepted(port: int) -> Iterator[Sender]:
    """An association, as soon as there is a place for it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with Sender(port) as sender:
            if sender.associate() == ACCEPTED:
                yield sender
                return
        assert time.monotonic() < deadline, "there is no place"
        time.sleep(0.05)


def test_a_sender_that_leaves_before_the_response(node: Receiving, film: tuple[bytes, bytes]) -> None:
    uid, data = film
    for _ in range(8):  # more than there may be associations
        with accepted(node.port) as sender:
            sender.send(p_data((3, command(CR.encode(), uid))), p_data((2, data)))
    until(lambda: arrived(node, uid), "what was received whole is stored")
    with accepted(node.port):
        pass


@pytest.mark.parametrize(("syntax", "max_pdu"), [("1.2.840.10008.1.2", 16384), (EXPLICIT, 0)])
def test_our_objects_reach_a_peer_of_one_syntax_or_without_a_largest_pdu(
    tmp_path: Path, syntax: str, max_pdu: int
) -> None:
    from pynetdicom import AE, evt

    a_file(tmp_path / "1.dcm", side=300)
    sent = pydicom.dcmread(tmp_path / "1.dcm")
    got: list[tuple[str, bytes]] = []

    def keep(event: evt.Event) -> int:
        got.append((str(event.context.transfer_syntax), bytes(event.dataset.PixelData)))
        return 0

    ae = AE("PEER")
    ae.maximum_pdu_size = max_pdu
    ae.add_supported_context(CR, syntax)
    peer = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    try:
        assert c_store(Address("PEER", "127.0.0.1", peer.server_address[1]), [sent], "RADRETRIEVAL") == []
    finally:
        peer.shutdown()
    assert got == [(syntax, sent.PixelData)]
