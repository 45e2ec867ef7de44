"""Two that write at once: ingestions, inbox workers, and who deletes from the store beside who writes into it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from decoding import decode_here
from nodes import a_file, take_in, until
from orthanc import film, uid_of
from small_web import SmallWeb, serving

from radretrieval.archive import inbox
from radretrieval.archive.connections import Database
from radretrieval.archive.images import NewImage
from radretrieval.config import Settings
from radretrieval.dicom.pull.dicomweb import DicomWebSource
from radretrieval.dicom.pull.query import PullQuery
from radretrieval.dicom.pull.run import pull
from radretrieval.dicom.scp.commit_queue import ReceiveQueue
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.needless import drop_needless
from radretrieval.ingest.register import RegisteredImage, register_images
from radretrieval.ingest.run import ingest
from radretrieval.jobs.verify import verify
from radretrieval.storage.content_store import ContentStore


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_here(monkeypatch)


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.connection() as connection:
        return connection.execute(query).fetchall()


def blocked(database: Database) -> bool:
    """Whether anyone waits for a lock."""
    return bool(rows(database, "SELECT FROM pg_locks WHERE NOT granted"))


def test_two_ingests_at_once_lose_no_image_of_one_uid(database: Database) -> None:
    """Each would see no image of the UID: the second waits until the first has committed."""
    written: list[RegisteredImage] = []

    def one(number: int) -> NewImage:
        pixels = sha256(f"pixels {number}".encode()).digest()
        content = sha256(str(number).encode()).digest()
        place = f"file:///{number}.dcm"
        uid = "1.2.3"
        return NewImage(content, place, "dicom", 4, 5, 8, "MONOCHROME2", sop_instance_uid=uid, pixels_sha256=pixels)

    def second() -> None:
        with database.connection() as connection:
            written.extend(register_images(connection, Settings(), [one(2), one(1)]))
            connection.commit()

    thread = threading.Thread(target=second)
    with database.connection() as connection:
        register_images(connection, Settings(), [one(1)])
        thread.start()
        until(lambda: blocked(database), "the second does not wait")
        connection.commit()
    thread.join()
    assert [found.outcome for found in written] == ["added", "unchanged"]
    assert written[0].problem is not None
    found = rows(database, "SELECT uri, same_uid FROM image ORDER BY id")
    assert [(row["uri"], row["same_uid"]) for row in found] == [("file:///1.dcm", False), ("file:///2.dcm", True)]


def test_two_ingests_of_one_folder_at_once_count_each_file_once(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(30):
        a_file(folder / f"{number}.dcm", number, side=8)
    settings.home.mkdir()
    (settings.home / "patient.key").write_text("a key of the test, long enough for one\n")
    go = threading.Barrier(2)
    added: list[int] = []

    def run() -> None:
        go.wait()
        report = ingest(database, settings, [folder])
        assert (report.seen, report.failed, report.updated) == (30, 0, 0)
        added.append(report.added)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(added) == len(rows(database, "SELECT FROM image")) == 30


def test_two_inbox_workers_at_once_share_the_arrivals(database: Database, settings: Settings, tmp_path: Path) -> None:
    """What one has locked the other passes over: it neither takes it too nor waits."""
    queue = ReceiveQueue(database, settings, lambda: None)
    for number in range(6):
        uid = a_file(tmp_path / "x.dcm", number)
        take_in(queue, (tmp_path / "x.dcm").read_bytes(), "SENDER", uid)
    queue.close()
    second = InboxWorker(database, settings, 1)
    thread = threading.Thread(target=second.finish)
    with database.connection() as first:
        assert len(inbox.take(first, 2)) == 2
        thread.start()
        thread.join(20)
        waits = thread.is_alive()
        first.rollback()
    thread.join()
    assert not waits
    assert second.report.added == 4
    assert InboxWorker(database, settings, 1).finish().added == 2
    assert len(rows(database, "SELECT DISTINCT sha256 FROM image")) == 6


Writer = Callable[[], object]


@pytest.fixture(params=["receive", "pull"])
def writer(request: pytest.FixtureRequest, database: Database, settings: Settings) -> Iterator[tuple[bytes, Writer]]:
    """A file, and what brings it into the store."""
    data = film(1)
    if request.param == "receive":
        queue = ReceiveQueue(database, settings, lambda: None)
        yield data, lambda: take_in(queue, data, "SENDER", uid_of(data))
        queue.close()
        return
    with serving(SmallWeb({"1.2": {uid_of(data): data}})) as web:
        source = DicomWebSource(web.root, None, 10**6)
        yield data, lambda: pull(database, settings, source, PullQuery(), deletions=False)
        source.close()


@pytest.mark.parametrize("deleter", ["verify --tidy", "inbox worker"])
def test_nobody_deletes_a_file_whose_row_is_being_committed(
    database: Database,
    settings: Settings,
    writer: tuple[bytes, Writer],
    deleter: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store has the file already, and nothing names it: it came, was used up, and comes again."""
    data, write = writer
    store = ContentStore(settings.store_folder)
    content = store.put(data)
    long_ago = time.time() - 10**5
    os.utime(store.path(content), (long_ago, long_ago))
    faults: list[Exception] = []

    def delete() -> None:
        try:
            if deleter == "inbox worker":
                with database.connection() as connection:
                    drop_needless(connection, store, [content])
            else:
                verify(database, settings, tidy=True)
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=delete)

    def inserting(real: Callable[..., set[bytes]]) -> Callable[..., set[bytes]]:
        """Between the insertion of the row and its commit the other one looks at the store."""

        def insert(*arguments: Any) -> set[bytes]:
            new = real(*arguments)
            if thread.ident is None:
                thread.start()
                until(lambda: not thread.is_alive() or blocked(database), "the other one does nothing")
            return new

        return insert

    monkeypatch.setattr(inbox, "add", inserting(inbox.add))
    monkeypatch.setattr(inbox, "put", inserting(inbox.put))
    write()
    thread.join()
    assert faults == []
    named = rows(database, "SELECT sha256 FROM arrival UNION SELECT sha256 FROM image WHERE uri LIKE 'store:%'")
    assert all(store.path(bytes(row["sha256"])).exists() for row in named)
    failed = rows(database, "SELECT message FROM ingest_failure")
    assert failed == []
    assert rows(database, "SELECT FROM arrival UNION ALL SELECT FROM image")
