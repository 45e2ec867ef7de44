"""From arrivals to images: what dies, is refused or comes twice on the way loses nothing."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pydicom
import pytest
from nodes import a_file, until
from nodes import take_in as stored

from radretrieval.archive import images, inbox
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.scp.commit_queue import ReceiveQueue
from radretrieval.errors import EnvironmentUnusable
from radretrieval.ingest.failed import ingest_failed
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.run import ingest
from radretrieval.storage import worker_process
from radretrieval.storage.content_store import ContentStore

TakeIn = Callable[[Path], None]


@pytest.fixture
def store(settings: Settings) -> ContentStore:
    return ContentStore(settings.store_folder)


@pytest.fixture
def take_in(database: Database, settings: Settings) -> Iterator[TakeIn]:
    """Take a file in as the node does."""
    received = ReceiveQueue(database, settings, lambda: None)
    yield lambda path: stored(received, path.read_bytes(), "SENDER", str(pydicom.dcmread(path).SOPInstanceUID))
    received.close()


def files(store: ContentStore) -> int:
    return sum(path.is_file() for path in store.folder.rglob("*"))


def waiting(database: Database) -> int:
    with database.connection() as connection:
        return inbox.count(connection)


def twins(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """One image in two encodings."""
    first, second = folder / f"{seed}a.dcm", folder / f"{seed}b.dcm"
    a_file(first, seed)
    ds = pydicom.dcmread(first)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    ds.save_as(second, implicit_vr=True, little_endian=True)
    return first, second


def test_one_that_the_database_refuses_fails_alone(
    database: Database, settings: Settings, take_in: TakeIn, tmp_path: Path
) -> None:
    for number in range(5):
        a_file(tmp_path / f"{number}.dcm", number)
        ds = pydicom.dcmread(tmp_path / f"{number}.dcm")
        ds.BodyPartExamined = "REFUSED" if number == 2 else "CHEST"
        ds.save_as(tmp_path / f"{number}.dcm")
        take_in(tmp_path / f"{number}.dcm")
    with psycopg.connect(database.url) as connection:
        connection.execute("ALTER TABLE radretrieval.image ADD CONSTRAINT no CHECK (body_part <> 'REFUSED')")
    report = InboxWorker(database, settings, 1).finish()
    assert (report.added, report.failed, waiting(database)) == (4, 1, 0)
    assert "violates check constraint" in report.failures[0]["message"]


def decoders() -> list[psutil.Process]:
    """The decoding processes of this one."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # also of one that has ended and waits to be reaped
            if worker_process.__name__ in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_decoders_that_are_killed_lose_nothing(
    database: Database, settings: Settings, store: ContentStore, take_in: TakeIn, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.dcm" for number in range(40)]
    for number, path in enumerate(paths):
        a_file(path, number, side=100)
        take_in(path)
    intake = InboxWorker(database, settings, 2)
    stop = threading.Event()
    thread = threading.Thread(target=intake.run, args=(stop,), daemon=True)
    thread.start()
    until(decoders, "no decoders")
    for decoder in decoders():
        decoder.kill()
    until(lambda: waiting(database) == 0, "arrivals are left")
    stop.set()
    intake.wake()
    thread.join()
    assert (intake.report.added, intake.report.failed) == (len(paths), 0)
    with database.connection() as connection:
        row = connection.execute("SELECT (SELECT count(*) FROM image) AS a, (SELECT count(*) FROM ingest_failure) AS b")
        assert row.fetchone() == {"a": len(paths), "b": 0}
    assert files(store) == len(paths)


def test_a_file_that_a_kill_left_without_a_row_is_taken_as_if_it_were_new(
    database: Database, settings: Settings, store: ContentStore, take_in: TakeIn, tmp_path: Path
) -> None:
    first, second = twins(tmp_path)
    take_in(first)
    InboxWorker(database, settings, 1).finish()
    left = store.put(second.read_bytes())
    take_in(second)
    assert waiting(database) == 1
    report = InboxWorker(database, settings, 1).finish()
    assert (report.added, report.unchanged) == (0, 1)
    assert not store.path(left).exists()
    assert files(store) == 1


def test_an_image_of_a_folder_needs_no_file_in_the_store(
    database: Database, settings: Settings, store: ContentStore, take_in: TakeIn, tmp_path: Path
) -> None:
    from radretrieval.ingest.run import ingest

    folder = tmp_path / "folder"
    folder.mkdir()
    a_file(folder / "1.dcm")
    assert ingest(database, settings, [folder]).added == 1
    take_in(folder / "1.dcm")
    assert (waiting(database), files(store)) == (0, 0)


def test_twins_that_come_again_and_again_while_images_are_made(
    database: Database, settings: Settings, store: ContentStore, take_in: TakeIn, tmp_path: Path
) -> None:
    """Who takes a file from the store, and who finds that it is there, wait for each other, and never in a ring."""
    pairs = [twins(tmp_path, seed) for seed in range(3)]
    stop = threading.Event()
    intake = InboxWorker(database, settings, 1)
    thread = threading.Thread(target=intake.run, args=(stop,), daemon=True)
    thread.start()
    faults: list[Exception] = []

    def send(place: int) -> None:
        try:
            for _ in range(25):
                for pair in pairs:
                    take_in(pair[place])
                    intake.wake()
        except Exception as error:
            faults.append(error)

    senders = [threading.Thread(target=send, args=(place,)) for place in (0, 1, 1)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    until(lambda: waiting(database) == 0, "arrivals are left")
    stop.set()
    intake.wake()
    thread.join()
    assert faults == []
    assert intake.report.failures == []
    with database.connection() as connection:
        kept = [row["sha256"] for row in connection.execute("SELECT sha256 FROM image")]
    assert len(kept) == len(pairs)
    assert files(store) == len(kept)
    assert all(store.path(sha256).exists() for sha256 in kept)


def test_what_failed_is_read_again_under_other_limits(
    database: Database, settings: Settings, take_in: TakeIn, store: ContentStore, tmp_path: Path
) -> None:
    """As its message says: the limit is set higher; the film keeps who sent it, and no file of a folder is read."""
    uid = a_file(tmp_path / "1.dcm", 1)
    take_in(tmp_path / "1.dcm")
    small = settings.model_copy(update={"max_pixels": 100})
    (failure,) = InboxWorker(database, small, 1).finish().failures
    assert "RADRETRIEVAL_MAX_PIXELS" in failure["message"]
    (tmp_path / "2.png").write_bytes(b"no image")
    assert ingest(database, settings, [tmp_path / "2.png"], workers=1).failed == 1
    again = ingest_failed(database, small, 1)
    assert (again.seen, again.failed, [one["path"] for one in again.failures]) == (1, 1, [failure["path"]])
    again = ingest_failed(database, settings, 1)
    assert (again.seen, again.added, again.failed) == (1, 1, 0)
    with database.connection() as connection:
        (row,) = connection.execute("SELECT origin, sop_instance_uid FROM image").fetchall()
        assert (row["origin"], row["sop_instance_uid"]) == ("SENDER", uid)
        (left,) = connection.execute("SELECT uri, attempts, origin FROM ingest_failure").fetchall()
        assert left["uri"].startswith("file:")
        assert (left["attempts"], left["origin"]) == (1, None)
    assert (ingest_failed(database, settings, 1).seen, files(store)) == (0, 1)


def test_what_failed_does_not_replace_what_came_after_it(
    database: Database, settings: Settings, take_in: TakeIn, tmp_path: Path
) -> None:
    first, second = twins(tmp_path)
    take_in(first)
    assert InboxWorker(database, settings.model_copy(update={"max_pixels": 100}), 1).finish().failed == 1
    take_in(second)
    assert InboxWorker(database, settings, 1).finish().added == 1
    assert ingest_failed(database, settings, 1).seen == 0


def test_what_the_store_has_lost_is_told_and_what_a_killed_run_left_is_read(
    database: Database, settings: Settings, take_in: TakeIn, store: ContentStore, tmp_path: Path
) -> None:
    for number in (1, 2):
        a_file(tmp_path / f"{number}.dcm", number)
        take_in(tmp_path / f"{number}.dcm")
    assert InboxWorker(database, settings.model_copy(update={"max_pixels": 100}), 1).finish().failed == 2
    with database.connection() as connection:
        reasons = connection.execute("SELECT message FROM ingest_failure ORDER BY uri").fetchall()
    away = store.folder.rename(store.folder.with_name("away"))
    with pytest.raises(EnvironmentUnusable, match="has none of the 2 files.*RADRETRIEVAL_STORE"):
        ingest_failed(database, settings, 1)
    with database.connection() as connection:
        assert connection.execute("SELECT message FROM ingest_failure ORDER BY uri").fetchall() == reasons
        assert inbox.count(connection) == 0
        inbox.again(connection, [one for one, _, _ in inbox.failing(connection)])
        assert inbox.count(connection) == 2, "and then it was killed"
    away.rename(store.folder)
    damaged = store.path(hashlib.sha256((tmp_path / "1.dcm").read_bytes()).digest())
    damaged.unlink()
    a_file(damaged, 3)  # sound, and another film
    report = ingest_failed(database, settings, 1)
    assert (report.seen, report.added, report.failed) == (2, 1, 1)
    assert report.failures[0]["message"].startswith("is damaged in the store: its SHA-256 is not that of what came")
    take_in(tmp_path / "1.dcm")
    assert InboxWorker(database, settings, 1).finish().added == 1
    assert ingest_failed(database, settings, 1).seen == 0


def failed_before(database: Database, settings: Settings, take_in: TakeIn, *paths: Path) -> None:
    """Have files received, which are too large, and fail one after the other."""
    for path in paths:
        take_in(path)
        assert InboxWorker(database, settings.model_copy(update={"max_pixels": 100}), 1).finish().failed == 1


def test_what_the_store_has_lost_keeps_its_reason_beside_others(
    database: Database, settings: Settings, take_in: TakeIn, store: ContentStore, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.dcm" for number in (1, 2)]
    for number, path in enumerate(paths):
        a_file(path, number)
    failed_before(database, settings, take_in, *paths)
    lost = hashlib.sha256(paths[0].read_bytes()).digest()
    store.path(lost).unlink()
    with database.connection() as connection:
        kept = connection.execute("SELECT * FROM ingest_failure WHERE sha256 = %s", [lost]).fetchall()
    for added in (1, 0):
        if added == 0:
            failed_before(database, settings, take_in, a_third(tmp_path))
        report = ingest_failed(database, settings, 1)
        assert (report.seen, report.added, report.failed) == (2, 1, 1)
        assert report.failures[0]["message"] == (
            "is not in the store any more; have it sent or pulled again. It failed before: " + kept[0]["message"]
        )
        with database.connection() as connection:
            assert connection.execute("SELECT * FROM ingest_failure").fetchall() == kept
    take_in(paths[0])
    assert InboxWorker(database, settings, 1).finish().added == 1
    assert ingest_failed(database, settings, 1).seen == 0


def test_what_is_lost_after_a_run_was_killed_keeps_its_reason(
    database: Database, settings: Settings, take_in: TakeIn, store: ContentStore, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.dcm" for number in (1, 2)]
    for number, path in enumerate(paths):
        a_file(path, number)
    failed_before(database, settings, take_in, *paths)
    with database.connection() as connection:
        inbox.again(connection, [one for one, _, _ in inbox.failing(connection)])  # and then it was killed
    take_in(a_third(tmp_path))
    lost, other = (hashlib.sha256(path.read_bytes()).digest() for path in (paths[0], tmp_path / "3.dcm"))
    for one in (lost, other):
        store.path(one).unlink()
    with database.connection() as connection:
        kept = connection.execute("SELECT * FROM ingest_failure WHERE sha256 = %s", [lost]).fetchall()
    report = InboxWorker(database, settings, 1).finish()
    assert (report.added, report.failed) == (1, 2)
    said = "is not in the store any more; have it sent or pulled again"
    assert [failure["message"].partition(" (from")[0] for failure in report.failures] == [
        f"{said}. It failed before: {kept[0]['message']}".partition(" (from")[0],
        said,
    ]
    with database.connection() as connection:
        rows = connection.execute("SELECT * FROM ingest_failure ORDER BY sha256 = %s DESC", [lost]).fetchall()
    assert (rows[0], rows[1]["message"].partition(" (from")[0]) == (kept[0], said)


def a_third(folder: Path) -> Path:
    a_file(folder / "3.dcm", 3)
    return folder / "3.dcm"


def test_what_failed_does_not_replace_what_came_after_it_and_waits(
    database: Database, settings: Settings, take_in: TakeIn, tmp_path: Path
) -> None:
    """Nor another that failed after it: they are read in the order in which they came."""
    a_file(tmp_path / "0.dcm")
    ds, paths = pydicom.dcmread(tmp_path / "0.dcm"), [tmp_path / f"{number}.dcm" for number in range(6)]
    for number, path in enumerate(paths):  # several: their hashes are in no order
        ds.BodyPartExamined = f"PART{number}"
        ds.save_as(path)
    failed_before(database, settings, take_in, *paths[:5])
    assert ingest_failed(database, settings.model_copy(update={"max_pixels": 100}), 1).failed == 5
    assert ingest_failed(database, settings, 1).seen == 5
    with database.connection() as connection:
        assert connection.execute("SELECT body_part FROM image").fetchall() == [{"body_part": "PART4"}]
        connection.execute("TRUNCATE image CASCADE")
    failed_before(database, settings, take_in, *paths[:1])
    take_in(paths[5])
    assert ingest_failed(database, settings, 1).seen == 0
    InboxWorker(database, settings, 1).finish()
    with database.connection() as connection:
        assert connection.execute("SELECT body_part FROM image").fetchall() == [{"body_part": "PART5"}]


def test_what_another_process_is_making_an_image_of_is_not_read_again(
    database: Database, settings: Settings, take_in: TakeIn, tmp_path: Path
) -> None:
    """Its arrival and its failure go in one transaction, which the second run waits for."""
    a_file(tmp_path / "1.dcm")
    failed_before(database, settings, take_in, tmp_path / "1.dcm")
    with database.connection() as connection, ThreadPoolExecutor(1) as threads:
        images.lock_ingestion(connection)
        inbox.again(connection, [one for one, _, _ in inbox.failing(connection)])
        connection.commit()
        (arrival,) = inbox.take(connection, 9)
        images.lock_ingestion(connection)
        images.forget_failures(connection, [arrival.uri])
        inbox.done(connection, [arrival.id])
        second = threads.submit(ingest_failed, database, settings, 1)
        until(lambda: waits_for_a_lock(database), "it does not wait")
        connection.commit()
        assert second.result(60).seen == 0
    assert waiting(database) == 0


def waits_for_a_lock(database: Database) -> bool:
    with psycopg.connect(database.url) as connection:
        return connection.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount > 0


def test_two_runs_beside_a_node_that_receives_the_same_files_again(
    database: Database, settings: Settings, take_in: TakeIn, store: ContentStore, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.dcm" for number in range(12)]
    for number, path in enumerate(paths):
        a_file(path, number)
        take_in(path)
    for path in paths[::4]:  # these fail for good
        store.path(hashlib.sha256(path.read_bytes()).digest()).write_bytes(b"damaged")
    InboxWorker(database, settings.model_copy(update={"max_pixels": 100}), 1).finish()
    intake, stop = InboxWorker(database, settings, 1), threading.Event()
    thread = threading.Thread(target=intake.run, args=(stop,), daemon=True)
    thread.start()
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(ingest_failed, database, settings, 1) for _ in range(2)]
        for path in paths[1::4]:
            take_in(path)
        reports = [run.result(120) for run in runs]
    until(lambda: waiting(database) == 0, "arrivals are left")
    stop.set()
    intake.wake()
    thread.join()
    for report in reports:
        assert report.added + report.unchanged + report.failed == report.seen
    with database.connection() as connection:
        left = connection.execute("SELECT sha256, message FROM ingest_failure").fetchall()
        there = connection.execute("SELECT sha256 FROM image").fetchall()
    hashes = [hashlib.sha256(path.read_bytes()).digest() for path in paths]
    assert {row["sha256"] for row in left} == set(hashes[::4])
    assert {"is damaged" in row["message"] for row in left} == {True}
    assert sorted(row["sha256"] for row in there) == sorted(set(hashes) - set(hashes[::4]))
