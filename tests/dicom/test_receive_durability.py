"""What is on the disk and committed before a C-STORE request is answered with success, and what is answered else."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pydicom
import pytest
from nodes import a_file, until
from recording import names_to_the_disk, order, record

from radretrieval.archive import inbox
from radretrieval.archive.connections import Database, connect
from radretrieval.config import Settings
from radretrieval.dicom.scp import commit_queue, service
from radretrieval.dicom.scp.server import ScpConfig
from radretrieval.dicom.scp.service import StorageScp
from radretrieval.dicom.sop_classes import RADIOGRAPHS
from radretrieval.files import atomic
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.draft import Draft

OUT_OF_RESOURCES, PROCESSING_FAILURE = 0xA700, 0x0110


@pytest.fixture
def scp(database: Database, settings: Settings) -> Iterator[StorageScp]:
    """The node in this process, on a free port."""
    node = StorageScp(database, settings, ScpConfig("RADRETRIEVAL", "127.0.0.1", 0, RADIOGRAPHS))
    yield node
    node.close()


@contextlib.contextmanager
def association(scp: StorageScp) -> Iterator[Any]:
    from pynetdicom import AE

    ae = AE("SENDER")
    ae.add_requested_context(RADIOGRAPHS[0], "1.2.840.10008.1.2.1")
    opened = ae.associate("127.0.0.1", scp.port, ae_title="RADRETRIEVAL")
    assert opened.is_established
    yield opened
    opened.release()


def send(scp: StorageScp, *paths: Path) -> list[int | None]:
    """The statuses that are answered, None where none is; the row of the audit on the association is there then."""
    before = audited(scp)
    with association(scp) as opened:
        answered = [opened.send_c_store(pydicom.dcmread(path)).get("Status") for path in paths]
    until(lambda: audited(scp) > before, "the association is no row of the audit")
    return answered


def audited(scp: StorageScp) -> int:
    connection = connect(scp._database.url, autocommit=True)  # which records no commit of its own
    row = connection.execute("SELECT count(*) AS rows FROM audit").fetchone()
    connection.close()
    assert row is not None
    return int(row["rows"])


def arrivals(database: Database) -> list[bytes]:
    with database.connection() as connection:
        return [row["sha256"] for row in connection.execute("SELECT sha256 FROM arrival ORDER BY id").fetchall()]


def files(settings: Settings) -> list[Path]:
    return sorted(path for path in settings.store_folder.rglob("*") if path.is_file())


def test_field_16_success_is_answered_after_file_folders_and_commit(
    scp: StorageScp, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_file(tmp_path / "1.dcm", 1)
    steps = record(monkeypatch)
    assert send(scp, tmp_path / "1.dcm") == [0]
    [path] = files(settings)
    draft = next(where for step, where in steps if step == "fsync")
    assert draft.endswith(".part")
    # the home is new too: its name is in the folder of the test
    wanted = (("fsync", draft), ("rename", str(path)), *names_to_the_disk(path, settings.home), ("commit", ""))
    assert order(steps, *wanted) == sorted(order(steps, *wanted))
    assert steps[-2:] == [("answer", "0000"), ("commit", "")], "the last is of the audit"
    assert [sha256(path.read_bytes()).digest()] == arrivals(database)

    # once more: another process may have renamed the file and not have synced it
    steps.clear()
    assert send(scp, tmp_path / "1.dcm") == [0]
    found = order(steps, ("fsync", str(path)), ("fsync", str(path.parent)), ("commit", ""), ("answer", "0000"))
    assert found == sorted(found)
    assert ("fsync", str(path.parent.parent)) not in steps, "its name was synced by this process"


def test_field_16_folders_that_another_process_made_are_synced(
    scp: StorageScp, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_file(tmp_path / "1.dcm", 2)
    send(scp, tmp_path / "1.dcm")
    [path] = files(settings)
    for again in (False, True):  # the folders alone; the file too
        if not again:
            path.unlink()
        steps = record(monkeypatch)
        monkeypatch.setattr(atomic, "_synced", set())  # as in a process that starts
        assert send(scp, tmp_path / "1.dcm") == [0]
        found = order(steps, *names_to_the_disk(path, settings.home), ("commit", ""), ("answer", "0000"))
        assert found == sorted(found)
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (service, "sop_uids", RuntimeError("as it may be")),
        (ContentStore, "keep", MemoryError()),
        (Draft, "write", RuntimeError("as it may be")),
        (commit_queue, "store_uri", RuntimeError("as it may be")),
        (atomic, "sync_names", OSError(5, "Input/output error")),
        (ContentStore, "draft", RuntimeError("as it may be")),
        (inbox, "put", MemoryError()),
    ],
)
def test_an_exception_in_storing_is_never_answered_with_success(
    scp: StorageScp,
    database: Database,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: object,
    name: str,
    error: Exception,
) -> None:
    uid = a_file(tmp_path / "1.dcm", 3)

    def failing(*arguments: object, **more: object) -> object:
        raise error

    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING):
        broken.setattr(owner, name, failing)
        [status] = send(scp, tmp_path / "1.dcm")
    assert status == (OUT_OF_RESOURCES if owner is atomic and isinstance(error, OSError) else PROCESSING_FAILURE)
    assert f"SENDER at 127.0.0.1: {uid}: answered 0x{status:04X}: " in caplog.text
    assert arrivals(database) == []
    # the node goes on, and what was half stored is not kept for nobody
    assert send(scp, tmp_path / "1.dcm") == [0]
    assert [path.name for path in files(settings)] == [one.hex() for one in arrivals(database)]
    assert len(arrivals(database)) == 1


def test_a_file_that_cannot_be_committed_costs_itself(
    scp: StorageScp, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = [a_file(tmp_path / f"{number}.dcm", number) for number in range(6)]
    real: Callable[..., set[bytes]] = inbox.put
    groups: list[int] = []
    first = threading.Event()

    def put(connection: Any, new: Any, others: Any) -> set[bytes]:
        groups.append(len(new))
        first.set()
        if len(groups) == 1:  # the others come meanwhile, and are committed together
            until(lambda: scp._queue._entries.qsize() == 5, "five files wait")
        if uids[2] in [one.sop_instance_uid for one in new]:
            raise ValueError("a value that the database refuses")
        return real(connection, new, others)

    monkeypatch.setattr(inbox, "put", put)
    with ThreadPoolExecutor(6) as senders:
        found = [senders.submit(send, scp, tmp_path / "0.dcm")]
        assert first.wait(30)
        found += [senders.submit(send, scp, tmp_path / f"{number}.dcm") for number in range(1, 6)]
        assert [one.result() for one in found] == [[0], [0], [PROCESSING_FAILURE], [0], [0], [0]]
    assert groups == [1, 5, 1, 1, 1, 1, 1]
    assert len(arrivals(database)) == 5


def test_a_group_waits_for_files_that_are_being_brought_to_the_disk_and_for_nothing_else(
    scp: StorageScp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        a_file(tmp_path / f"{number}.dcm", number)
    monkeypatch.setattr(commit_queue, "GATHER_SECONDS", 60)
    keep, put, groups, at_once = ContentStore.keep, inbox.put, [], threading.Barrier(2)

    def kept(store: ContentStore, draft: Draft) -> None:
        keep(store, draft)
        if at_once.wait(30):  # both are being brought to the disk; one of them takes longer
            until(lambda: len(scp._queue._coming) == 1 and scp._queue._entries.empty(), "the first waits for a commit")

    def added(connection: Any, new: Any, others: Any) -> set[bytes]:
        groups.append(len(new))
        return put(connection, new, others)

    monkeypatch.setattr(inbox, "put", added)
    with monkeypatch.context() as slow, ThreadPoolExecutor(2) as senders:
        slow.setattr(ContentStore, "keep", kept)
        found = [senders.submit(send, scp, tmp_path / f"{number}.dcm") for number in range(2)]
        assert [one.result() for one in found] == [[0], [0]]
    assert groups == [2]
    assert send(scp, tmp_path / "2.dcm") == [0]
    assert groups == [2, 1]


def test_a_store_that_cannot_be_written_is_answered_with_out_of_resources(
    scp: StorageScp, database: Database, settings: Settings, tmp_path: Path
) -> None:
    a_file(tmp_path / "1.dcm", 4)
    settings.home.mkdir()
    settings.store_folder.write_text("no folder")  # root may write everywhere
    assert send(scp, tmp_path / "1.dcm") == [OUT_OF_RESOURCES]
    assert arrivals(database) == []
    settings.store_folder.unlink()
    assert send(scp, tmp_path / "1.dcm") == [0]
    files(settings)[0].unlink()
    assert send(scp, tmp_path / "1.dcm") == [0]  # the same again, after the file was lost
    assert [path.name for path in files(settings)] == [one.hex() for one in arrivals(database)]


def test_while_the_store_is_not_mounted_files_are_refused(
    scp: StorageScp, database: Database, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        a_file(tmp_path / f"{number}.dcm", number)
    assert send(scp, tmp_path / "0.dcm") == [0]
    away = settings.store_folder.rename(tmp_path / "away")
    settings.store_folder.mkdir(mode=0o700)  # the mount point
    with association(scp) as opened:
        for _ in range(2):
            assert opened.send_c_store(pydicom.dcmread(tmp_path / "1.dcm")).Status == OUT_OF_RESOURCES
        assert "went away" in caplog.text
        assert len(arrivals(database)) == 1
        assert not list(settings.store_folder.iterdir())
        settings.store_folder.rmdir()
        away.rename(settings.store_folder)
        assert opened.send_c_store(pydicom.dcmread(tmp_path / "1.dcm")).Status == 0
    assert sorted(path.name for path in files(settings)) == sorted(one.hex() for one in arrivals(database))
