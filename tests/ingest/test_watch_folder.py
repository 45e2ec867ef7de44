"""A watched folder: what lies still is ingested, what is written to is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND
from PIL import Image
from recording import names_to_the_disk, order, record

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, InputMissing, UsageError
from radretrieval.files import atomic
from radretrieval.files.uris import to_uri
from radretrieval.ingest import watch_folder
from radretrieval.ingest.watch_folder import FolderScan, WatchOptions, watch


def png(path: Path, grey: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.linear_gradient("L").rotate(grey)
    picture.save(path)
    return path


def rows(database: Database, query: str = "SELECT uri FROM image ORDER BY id") -> list[dict[str, Any]]:
    with database.connection() as connection:
        return connection.execute(query).fetchall()


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to pass within 30 s")


def test_a_file_is_taken_when_it_lay_still(tmp_path: Path) -> None:
    looked = FolderScan([tmp_path], settle=0.0)
    path = png(tmp_path / "a" / "x.png", 1)
    (tmp_path / "a" / "Thumbs.db").touch()
    assert list(looked.settled()) == []  # seen for the first time
    path.write_bytes(path.read_bytes() + b"more")
    assert list(looked.settled()) == []  # it has grown
    assert list(looked.settled()) == [str(path)]
    looked.mark_done(str(path))
    assert list(looked.settled()) == []
    os.utime(path, ns=(1, 1))  # written to again
    assert list(looked.settled()) == []
    assert list(looked.settled()) == [str(path)]
    assert list(FolderScan([tmp_path], settle=3600).settled()) == []


def test_files_are_ingested_and_moved(database: Database, settings: Settings, tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "done"
    png(folder / "a" / "x.png", 10)
    (folder / "bad.png").write_text("no picture")
    png(target / "a" / "x.png", 99)  # another file has its name there
    stop, told = threading.Event(), []
    thread = threading.Thread(
        target=watch,
        args=(database, settings, [folder], WatchOptions(0.1, 0.05, target), stop, told.append),
    )
    thread.start()
    try:
        until(lambda: (target / "a" / "x-2.png").exists() and not (folder / "a" / "x.png").exists())
        png(folder / "later.png", 20)
        until(lambda: (target / "later.png").exists() and not (folder / "later.png").exists())
    finally:
        stop.set()
        thread.join()
    assert [row["uri"] for row in rows(database)] == [to_uri(target / "a" / "x-2.png"), to_uri(target / "later.png")]
    assert (folder / "bad.png").exists()
    assert sum(report.failed for report in told) == 1  # it is not tried again and again


def test_field_07_what_is_moved_is_no_more_open_than_before(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    folder, target = tmp_path / "in", tmp_path / "out" / "done"
    path = png(folder / "ward" / "a" / "x.png", 10)
    path.chmod(0o640)
    path.parent.chmod(0o2750)
    path.parent.parent.chmod(0o700)
    moved, stop = target / "ward" / "a" / "x.png", threading.Event()
    before = os.umask(0)
    try:
        watch(database, settings, [folder], WatchOptions(0.0, 0.05, target, workers=1), stop, lambda report: stop.set())
    finally:
        os.umask(before)
    assert [place.stat().st_mode & 0o7777 for place in (moved, moved.parent, moved.parent.parent)] == [
        0o640,
        0o2750,
        0o700,
    ]
    assert target.stat().st_mode & 0o777 == folder.stat().st_mode & 0o777


@pytest.mark.parametrize("there", [False, True], ids=["moved", "an earlier move was killed"])
def test_a_file_is_given_up_after_its_new_place_is_on_the_disk_and_committed(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    path = png(tmp_path / "in" / "a" / "x.png", 40)
    place = tmp_path / "out" / "done" / "a" / "x.png"
    if there:
        place.parent.mkdir(parents=True)
        place.write_bytes(path.read_bytes())
    monkeypatch.setattr(atomic, "_synced", set())  # as in a process that starts
    marked: list[list[str]] = []
    real, stop = FolderScan.mark_done, threading.Event()

    def mark_done(scan: FolderScan, name: str) -> None:
        marked.append([row["uri"] for row in rows(database)])  # what others see
        real(scan, name)

    monkeypatch.setattr(FolderScan, "mark_done", mark_done)
    steps = record(monkeypatch)
    watch(
        database,
        settings,
        [tmp_path / "in"],
        WatchOptions(0.0, 0.05, tmp_path / "out" / "done", workers=1),
        stop,
        lambda report: stop.set(),
    )
    assert marked == [[to_uri(path)]], "a file is done when its rows are committed, not earlier"
    first = [("fsync", str(place))] if there else [("rename", str(place))]
    wanted = [*first, *names_to_the_disk(place, tmp_path / "out"), ("unlink", str(path))]
    assert order(steps, *wanted) == sorted(order(steps, *wanted))
    if not there:
        before = steps[order(steps, first[0])[0] - 1]
        assert (before[0], before[1].endswith(".part")) == ("fsync", True)
    committed = max(number for number, step in enumerate(steps) if step[0] == "commit")
    assert order(steps, wanted[-2])[0] < committed < order(steps, wanted[-1])[0]
    assert [row["uri"] for row in rows(database)] == [to_uri(place)]


def test_a_round_that_fails_leaves_its_files_for_the_next(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    png(tmp_path / "in" / "x.png", 50)
    calls: list[int] = []
    stop = threading.Event()
    real = watch_folder.ingest

    def ingest(*arguments: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise DatabaseUnavailable("it has gone away")
        return real(*arguments, **more)

    monkeypatch.setattr(watch_folder, "ingest", ingest)
    monkeypatch.setattr(watch_folder, "RETRY_SECONDS", 0.1)
    total = watch(
        database, settings, [tmp_path / "in"], WatchOptions(0.0, 0.05, workers=1), stop, lambda report: stop.set()
    )
    assert (len(calls), total.added, len(rows(database))) == (2, 1, 1)


@pytest.mark.parametrize(
    ("folder", "target", "reason"),
    [("missing", None, "is no folder"), ("in", "in/done", "lies in the watched folder")],
)
def test_what_cannot_be_watched_is_refused(
    database: Database, settings: Settings, tmp_path: Path, folder: str, target: str | None, reason: str
) -> None:
    (tmp_path / "in").mkdir()
    options = WatchOptions(move_to=tmp_path / target if target else None)
    with pytest.raises((InputMissing, UsageError), match=reason):
        watch(database, settings, [tmp_path / folder], options, threading.Event())


def test_the_command_ends_in_order(archive_url: str, database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    png(folder / "x.png", 30)
    command = [COMMAND, "--database-url", archive_url, "ingest", str(folder), "--watch", "--settle", "0.1", "--json"]
    environment = os.environ | {"RADRETRIEVAL_HOME": str(tmp_path / "home")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            until(lambda: len(rows(database)) == 1)
            run.send_signal(signal.SIGTERM)
            out, errors = run.communicate(timeout=60)
        finally:
            run.kill()
    assert run.returncode == 0, errors
    assert '"added": 1' in out
    assert "1 added, 0 unchanged, 0 failed" in errors
