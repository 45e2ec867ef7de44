"""A host where the archive's store is not mounted, or another folder is in its place, writes nothing because of it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from PIL import Image
from tiny import add_encoder

from radretrieval.archive import inbox
from radretrieval.archive.connections import Database
from radretrieval.archive.inbox import Arrival
from radretrieval.config import Settings
from radretrieval.dicom.scp.server import ScpConfig
from radretrieval.dicom.scp.service import receive
from radretrieval.errors import StoreUnavailable
from radretrieval.files.uris import to_uri
from radretrieval.ingest import inbox_worker
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.run import ingest
from radretrieval.ingest.store_check import LEAST, check_store
from radretrieval.jobs.encode import EncodeOptions, encode
from radretrieval.storage.content_store import ContentStore

FILES = 10


def films(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (30, 40), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def rows(database: Database, statement: str) -> list[dict[str, Any]]:
    with database.connection() as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
def kept(database: Database, settings: Settings, tmp_path: Path) -> Settings:
    """An archive that keeps its films in its store alone, without codes; the settings of a host that has the store."""
    settings = settings.model_copy(update={"keep": "copy"})
    films(tmp_path / "films", FILES)
    assert ingest(database, settings, [tmp_path / "films"], workers=1).added == FILES
    with database.connection() as connection:
        add_encoder(connection)
        connection.execute("UPDATE image SET uri = 'store:' || encode(sha256, 'hex'), kept = NULL")
    return settings


def elsewhere(settings: Settings, folder: Path) -> Settings:
    """A host whose store is another folder."""
    return settings.model_copy(update={"store": folder})


def test_work_marks_nothing_as_unreadable(
    database: Database, kept: Settings, tmp_path: Path, inside: Callable[..., Run]
) -> None:
    done = inside("work", "--once", "--device", "cpu", check=False, RADRETRIEVAL_STORE=str(tmp_path / "other"))
    assert done.returncode == 3
    assert f"the store {tmp_path / 'other'} has none of the {FILES} newest files" in done.stderr
    assert "mount the archive's store there, or let RADRETRIEVAL_STORE name it" in done.stderr
    assert rows(database, "SELECT FROM coding_failure") == []
    assert encode(database, kept, EncodeOptions(device="cpu", workers=1)).encoded == FILES


def test_a_store_that_goes_while_work_runs(
    database: Database, kept: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The service waits, without a failure of an image, and codes all once the store is back."""
    away, stop = kept.store_folder.with_name("away"), threading.Event()
    moved: list[Path] = []

    def passes(finished: int) -> None:
        if not moved:
            moved.append(kept.store_folder.rename(away))

    def back() -> None:
        while not any(record.message.startswith("the store") for record in caplog.records):
            if stop.wait(0.05):
                return
        away.rename(kept.store_folder)
        while len(rows(database, "SELECT FROM cnnc")) < FILES and not stop.wait(0.05):
            pass
        stop.set()

    helper = threading.Thread(target=back)
    helper.start()
    try:
        options = EncodeOptions(once=False, device="cpu", batch=2, workers=1)
        encode(database, kept, options, advance=passes, stop=stop)
    finally:
        stop.set()
        helper.join()
    assert len(rows(database, "SELECT FROM cnnc")) == FILES
    assert rows(database, "SELECT FROM coding_failure") == []


def test_nothing_is_written_into_another_folder(database: Database, kept: Settings, tmp_path: Path) -> None:
    other = elsewhere(kept, tmp_path / "other")
    films(tmp_path / "new", 2)
    (tmp_path / "new" / "0.png").write_bytes((tmp_path / "films" / "0.png").read_bytes() + b" ")
    with pytest.raises(StoreUnavailable):
        ingest(database, other, [tmp_path / "new"], workers=1)
    with pytest.raises(StoreUnavailable):
        receive(
            database,
            other,
            ScpConfig(title="TEST", sop_classes=frozenset(), host="127.0.0.1", port=0),
            threading.Event(),
        )
    assert not (tmp_path / "other").exists()
    reference = other.model_copy(update={"keep": "reference"})  # the store is not asked for anything
    assert ingest(database, reference, [tmp_path / "new"], workers=1).added == 1


def test_a_store_that_goes_while_files_are_kept(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is made in its mount point, and the same command goes on when it is back."""
    monkeypatch.setattr("radretrieval.ingest.run.BATCH", 8)
    settings = settings.model_copy(update={"keep": "copy"})
    films(tmp_path / "films", count := 60)
    away = settings.store_folder.with_name("away")

    def unmount(finished: int) -> None:
        if settings.store_folder.exists() and not away.exists():
            settings.store_folder.rename(away)
            settings.store_folder.mkdir()

    with pytest.raises(StoreUnavailable, match="went away"):
        ingest(database, settings, [tmp_path / "films"], workers=1, advance=unmount)
    assert list(settings.store_folder.iterdir()) == []
    settings.store_folder.rmdir()
    away.rename(settings.store_folder)
    ingest(database, settings, [tmp_path / "films"], workers=1)
    store = ContentStore(settings.store_folder)
    found = [bytes(row["sha256"]) for row in rows(database, "SELECT sha256 FROM image")]
    assert len(found) == count
    assert all(store.path(sha256).is_file() for sha256 in found)


def test_what_came_waits_for_its_store(database: Database, settings: Settings, tmp_path: Path) -> None:
    """Arrivals do not become failures where their files are on another host, and images where they are."""
    films(tmp_path / "films", FILES)
    store = ContentStore(settings.store_folder)
    with database.connection() as connection:
        for path in sorted((tmp_path / "films").iterdir()):
            sha256 = store.put(path.read_bytes())
            connection.execute(
                "INSERT INTO arrival (sha256, uri, origin) VALUES (%(sha256)s, %(uri)s, 'TEST')",
                {"sha256": sha256, "uri": to_uri(str(path))},
            )
    with pytest.raises(StoreUnavailable):
        InboxWorker(database, elsewhere(settings, tmp_path / "other"), 1).finish()
    assert rows(database, "SELECT FROM ingest_failure") == []
    assert len(rows(database, "SELECT FROM arrival")) == FILES
    assert InboxWorker(database, settings, 1).finish().added == FILES


def test_what_is_lost_holds_up_nothing_where_the_store_has_what_came_last(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a batch of the oldest has nothing but lost files."""
    monkeypatch.setattr(inbox_worker, "BATCH", LEAST)
    films(tmp_path / "films", FILES)
    store, paths = ContentStore(settings.store_folder), sorted((tmp_path / "films").iterdir())
    with database.connection() as connection:
        for path in paths:
            inbox.add(connection, Arrival(store.put(path.read_bytes()), to_uri(str(path)), "TEST"))
        for row in connection.execute("SELECT sha256 FROM arrival ORDER BY id LIMIT %s", [FILES - 1]).fetchall():
            store.path(row["sha256"]).unlink()
    report = InboxWorker(database, settings, 1).finish()
    assert (report.added, report.failed) == (1, FILES - 1)


def test_what_counts_as_another_store(database: Database, kept: Settings) -> None:
    store = ContentStore(kept.store_folder)
    hashes = [bytes(row["sha256"]) for row in rows(database, "SELECT sha256 FROM image ORDER BY id")]
    for sha256 in hashes[:-1]:
        store.path(sha256).unlink()
    with database.connection() as connection:
        check_store(connection, store)  # one is there: the others are lost, and told one by one
        store.path(hashes[-1]).unlink()
        with pytest.raises(StoreUnavailable):
            check_store(connection, store)
        connection.execute("UPDATE image SET gone_at = now() WHERE id > %(least)s", {"least": LEAST - 1})
        check_store(connection, store)  # few, which may all be lost; of the others `verify` has noted it


def test_health_names_it(database: Database, kept: Settings, tmp_path: Path, inside: Callable[..., Run]) -> None:
    done = inside("health", "--only", "disks", "--json", check=False, RADRETRIEVAL_STORE=str(tmp_path / "other"))
    check = done.json["checks"][-1]
    assert (done.returncode, check["name"], check["level"]) == (1, "disk_store", "failure")
    assert "has none of the" in check["text"]
    shutil.move(kept.store_folder, tmp_path / "other")
    assert inside("health", "--only", "disks", "--json", RADRETRIEVAL_STORE=str(tmp_path / "other")).returncode == 0
