"""Answers reach other people's nodes, or it is told why they do not."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from answering import CR, DX, Made, film
from peers_out import Orthanc, namespace, orthanc, scp, storescp, wait_for
from programs import needs_program
from pydicom import Dataset

from radretrieval.archive.connections import Database
from radretrieval.dicom import association
from radretrieval.dicom.address import Address, check_title
from radretrieval.dicom.send import c_store, stow
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.storage.wado import check_root


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with namespace() as place, orthanc(place, tmp_path_factory.mktemp("orthanc")) as peer:
        yield peer


@pytest.fixture
def objects() -> list[Dataset]:
    pixels = np.zeros((8, 8), np.uint8)
    return [film(40, pixels, CR), film(41, pixels, DX)]


def read(files: list[bytes]) -> list[Dataset]:
    return [pydicom.dcmread(io.BytesIO(data)) for data in files]


def test_a_report_and_a_capture_come_back_from_orthanc_as_they_were_sent(answers: Made, pacs: Orthanc) -> None:
    import highdicom as hd

    names = ("--sr", "out-sr.dcm", "--sc", "out-sc.dcm")
    done = answers.search(
        "id:1", "--roi", "5,6,12,10", "--roi-method", "paper", *names, "--store-to", pacs.peer, "--json"
    )
    assert f"{pacs.peer} has stored the report and the secondary capture" in done.stderr
    sent = {one.SOPInstanceUID: one for one in (pydicom.dcmread(answers.folder / name) for name in names[1::2])}
    back = {one.SOPInstanceUID: one for one in read(pacs.files())}
    assert back == sent
    report = hd.sr.srread(io.BytesIO(next(data for data in pacs.files() if b"99RADRET" in data)))
    regions = report.content.get_planar_roi_measurement_groups()
    hits = {hit["rank"]: hit for hit in done.json["hits"]}
    found = {int(numbers["RANK"]): (numbers, group) for group in regions if (numbers := numbers_of(group))}
    assert len(found) == 7
    for rank, (numbers, group) in found.items():
        hit = hits[rank]
        assert (numbers["CNNC"], numbers["RBC"]) == (hit["cnnc_distance"], hit["rbc_distance"])
        assert group.roi.value[0].tolist() == [hit["roi"]["x"], hit["roi"]["y"]]


def numbers_of(group: Any) -> dict[str, float]:
    return {one.name.value: one.value for one in group.get_measurements()}


def test_stow_needs_credentials_and_a_report_is_made_where_none_was_named(answers: Made, pacs: Orthanc) -> None:
    before = len(pacs.files())
    refused = answers.search("id:1", "--stow", pacs.url, check=False)
    assert refused.returncode == 3
    assert f"{pacs.url} answers 401" in refused.stderr
    assert "RADRETRIEVAL_CREDENTIALS" in refused.stderr
    assert "image" in refused.stdout  # the answer is there all the same
    (answers.folder / "credentials").write_text("radio:secret\n")
    done = answers.search("id:1", "--stow", pacs.url + "/", RADRETRIEVAL_CREDENTIALS="credentials")
    assert f"{pacs.url} has stored the report" in done.stderr
    kinds = [one.Modality for one in read(pacs.files())]
    assert len(kinds) == before + 1
    assert kinds.count("SR") >= 1
    wrong = answers.search("id:1", "--stow", pacs.url + "x", check=False, RADRETRIEVAL_CREDENTIALS="credentials")
    assert wrong.returncode == 3
    assert "check that this is the root of its DICOMweb services" in wrong.stderr


def test_a_capture_alone_by_both_ways(answers: Made, pacs: Orthanc, tmp_path: Path) -> None:
    (answers.folder / "credentials").write_text("radio:secret\n")
    with namespace() as other, storescp(other, folder(tmp_path / "scp")) as peer:
        options = ("--sc", "only-sc.dcm", "--store-to", peer, "--stow", pacs.url)
        done = answers.search("id:2", *options, RADRETRIEVAL_CREDENTIALS="credentials")
        wait_for(lambda: len(list((tmp_path / "scp").iterdir())) == 1)
    assert f"{peer} has stored the secondary capture" in done.stderr
    assert f"{pacs.url} has stored the secondary capture" in done.stderr
    (stored,) = (tmp_path / "scp").iterdir()
    assert pydicom.dcmread(stored) == pydicom.dcmread(answers.folder / "only-sc.dcm")


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_peers_that_do_not_take_us(
    answers: Made, pacs: Orthanc, objects: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(association, "ACSE_SECONDS", 60.0)  # a busy machine is not what is tested
    other = Address("OTHER", pacs.address, 14242)
    with pytest.raises(EnvironmentUnusable, match="its AE title is not OTHER; correct it"):
        c_store(other, objects, "US")
    done = answers.search("id:1", "--store-to", str(other), check=False)
    assert (done.returncode, f"error: {other} " in done.stderr) == (3, True)
    with Database(answers.url).connection() as connection:
        rows = connection.execute("SELECT detail FROM audit WHERE action = 'send' ORDER BY id DESC LIMIT 2").fetchall()
    ended, begun = (row["detail"] for row in rows)  # the first before anything was sent
    assert (begun.pop("begun"), ended.pop("error")) == (True, "EnvironmentUnusable")
    assert begun == ended
    assert begun["to"] == [str(other)]
    with (
        scp(lambda event: 0, [CR], require_calling_aet=["FRIEND"]) as name,
        pytest.raises(EnvironmentUnusable, match="it does not know the AE title US.*--ae-title"),
    ):
        c_store(Address.parse(name, "--store-to"), objects[:1], "US")
    with scp(lambda event: 0, [CR], require_calling_aet=["FRIEND"]) as name:
        assert c_store(Address.parse(name, "--store-to"), objects[:1], "FRIEND") == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (
            0xA700,
            r"0xA700 \(Refused: Out of Resources\) to Computed Radiography Image Storage: it is not stored; its adm",
        ),
        (0xA900, "0xA900 .*the attribute that is missing"),
        (0xC123, "0xC123 .*what it does not understand"),
        (0x0122, "0x0122 .*must allow this kind of object"),
        (0x0124, "0x0124 .*must allow our AE title"),
        (0x0110, "0x0110 .*its log has the reason"),
    ],
)
def test_statuses_are_told_in_words(objects: list[Dataset], status: int, reason: str) -> None:
    with scp(lambda event: status, [CR]) as name, pytest.raises(EnvironmentUnusable, match=f"{name}.*{reason}"):
        c_store(Address.parse(name, "--store-to"), objects[:1], "US")


def test_a_warning_is_stored_and_told(objects: list[Dataset]) -> None:
    with scp(lambda event: 0xB000, [CR, DX]) as name:
        told = c_store(Address.parse(name, "--store-to"), objects, "US")
    assert len(told) == 2
    assert "0xB000" in told[0]
    assert told[0].endswith("it is stored")


def test_kinds_that_a_peer_does_not_take(objects: list[Dataset]) -> None:
    with scp(lambda event: 0, [CR]) as name, pytest.raises(EnvironmentUnusable, match="of the kind Digital X-Ray"):
        c_store(Address.parse(name, "--store-to"), objects, "US")
    with scp(lambda event: 0, [CR]) as name, pytest.raises(EnvironmentUnusable, match="none of the kinds"):
        c_store(Address.parse(name, "--store-to"), objects[1:], "US")


def test_a_peer_that_goes_away_in_between(objects: list[Dataset]) -> None:
    def leave(event: Any) -> int:
        event.assoc.abort()
        return 0

    with scp(leave, [CR]) as name, pytest.raises(EnvironmentUnusable, match="whether it has stored it is not known"):
        c_store(Address.parse(name, "--store-to"), objects[:1], "US")


def test_storescp_that_refuses_everything(objects: list[Dataset], tmp_path: Path) -> None:
    needs_program("storescp")
    with (
        namespace() as place,
        storescp(place, folder(tmp_path / "scp"), "--refuse") as name,
        pytest.raises(EnvironmentUnusable, match="refuses the association"),
    ):
        c_store(Address.parse(name, "--store-to"), objects, "US")


def test_unreachable_peers_are_told_within_seconds(answers: Made, objects: list[Dataset]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        begun = time.monotonic()
        for option, value in (("--store-to", f"PACS@127.0.0.1:{port}"), ("--stow", f"http://127.0.0.1:{port}/web")):
            done = answers.search("id:1", option, value, "--sr", "kept.dcm", check=False)
            assert done.returncode == 3
            assert f"{value} cannot be reached (connection refused)" in done.stderr.lower().replace(
                value.lower(), value
            )
            assert (answers.folder / "kept.dcm").exists()  # what was written stays
        assert time.monotonic() - begun < 60
    with pytest.raises(EnvironmentUnusable, match="no.such.host.invalid:104 cannot be reached"):
        c_store(Address("PACS", "no.such.host.invalid", 104), objects, "US")


def test_a_port_that_is_no_dicom_node(objects: list[Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association, "ACSE_SECONDS", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        peer = Address("PACS", "127.0.0.1", silent.getsockname()[1])
        begun = time.monotonic()
        with pytest.raises(EnvironmentUnusable, match="does not answer as a DICOM node"):
            c_store(peer, objects, "US")
        assert time.monotonic() - begun < 30


@contextmanager
def web(code: int, body: bytes, **headers: str) -> Iterator[str]:
    """A web server that answers each POST alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/web"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_STORED = b'{"00081199": {"vr": "SQ", "Value": [{}]}}'
_WARNED = b'{"00081199": {"vr": "SQ", "Value": [{"00081196": {"vr": "US", "Value": [45056]}}]}}'
_FAILED = (
    b'[{"00081198": {"vr": "SQ", "Value": [{"00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.1"]}, '
    b'"00081197": {"vr": "US", "Value": [42752]}}]}}]'
)


def test_what_a_web_server_may_answer(objects: list[Dataset]) -> None:
    for code, body, reason in (
        (409, _FAILED, r"409 Conflict: Computed Radiography Image Storage is not stored, 0xA700 \(Refused"),
        (200, _FAILED, "is not stored"),
        (403, b"", "403 Forbidden: it does not let us store"),
        (500, b"<html>", "500 Internal Server Error for"),
        (302, b"", "302 Found for"),
        (200, b'{"00081199": {"vr": "SQ"}}', "it has stored 0 of 1 objects"),
    ):
        with web(code, body, Location="http://127.0.0.1:9/") as url, pytest.raises(EnvironmentUnusable, match=reason):
            stow(url, objects[:1], None)
    with web(200, _STORED) as url:
        assert stow(url, objects[:1], None) == []
    with web(202, _WARNED) as url:
        (told,) = stow(url, objects[:1], None)
    assert "stored, with the warning 0xB000" in told


def test_names_of_peers() -> None:
    assert Address.parse("PACS 1@pacs.example:104", "--store-to") == Address("PACS 1", "pacs.example", 104)
    assert str(Address.parse("A@[fe80::1]:11112", "--store-to")) == "A@[fe80::1]:11112"
    assert check_root("https://h/dicom-web/", "--stow") == "https://h/dicom-web"
    for wrong in ("PACS", "PACS@h", "@h:1", "P@h:0", "P@h:70000", "P@h h:1", "seventeen_letters@h:104", "P\\Q@h:104"):
        with pytest.raises(UsageError, match="--store-to"):
            Address.parse(wrong, "--store-to")
    for wrong in ("h/web", "http://", "http://h:x/", "http://h/?a=b", "file:///x"):
        with pytest.raises(UsageError, match="--stow"):
            check_root(wrong, "--stow")
    with pytest.raises(UsageError, match="RADRETRIEVAL_CREDENTIALS") as told:
        check_root("https://me:hidden@h/web", "--stow")
    assert "hidden" not in str(told.value)
    with pytest.raises(UsageError, match="--ae-title"):
        check_title("  ", "--ae-title")
