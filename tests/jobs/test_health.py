"""What `health` sees, and the rows of services that run."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND, Run, clean_environment
from filled import Filled, build_exact, fill

import radretrieval as rr
from radretrieval.archive import heartbeats, inbox, locks, patient_keys
from radretrieval.archive.connections import Database, connect
from radretrieval.archive.inbox import Arrival
from radretrieval.archive.schema.revision import REVISION
from radretrieval.config import Settings
from radretrieval.errors import SchemaOutdated
from radretrieval.jobs import health as module
from radretrieval.jobs.health import NAMES, Check, Level
from radretrieval.jobs.heartbeat import Heartbeat
from radretrieval.storage.store_size import Room

COUNT = 60
HERE = socket.gethostname()


@pytest.fixture
def filled(database: Database) -> Filled:
    with database.connection() as connection:
        return fill(connection, COUNT)


@pytest.fixture
def archive(archive_url: str, settings: Settings) -> Iterator[rr.Archive]:
    settings.database_url = archive_url
    with rr.Archive(settings) as archive:
        yield archive


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "room", lambda folder: Room(500 * 2**30, 1000 * 2**30))  # not that of this machine


def level_of(archive: rr.Archive, name: str, **options: Any) -> list[tuple[Level, str, str | None]]:
    """What one check finds."""
    return [(one.level, one.text, one.repair) for one in archive.health(only=[name], **options).checks]


def only(archive: rr.Archive, name: str, **options: Any) -> Check:
    (found,) = archive.health(only=[name], **options).checks
    return found


def test_an_archive_that_does_its_work(archive: rr.Archive, filled: Filled) -> None:
    found = archive.health()
    assert [(one.name, one.text) for one in found.checks if one.level is not Level.OK] == []
    assert found.exit_code == 0
    names = [one.name for one in found.checks]
    assert names == [
        *("locks", "database", "disk_database", "disk_store", "waiting_images", "waiting_files"),
        *("services", "query", "index", "readers", "key", "clock"),
    ]
    assert all(any(name.startswith(group.rstrip("s")) for name in names) for group in NAMES)
    assert next(one.text for one in found.checks if one.name == "query").startswith(f"image {COUNT} finds itself in")


def test_an_empty_archive_is_well(archive: rr.Archive) -> None:
    assert archive.health().level is Level.OK


def test_a_session_that_keeps_the_lock_of_the_audit(
    archive: rr.Archive, filled: Filled, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of psql in which somebody called audit_add and went for lunch: no search ends meanwhile."""
    with database.connection() as connection:
        connection.execute("ALTER FUNCTION audit_add SET lock_timeout = '200ms'")  # for the test's sake
    with connect(database.url) as lunch:
        lunch.execute("SELECT audit_add('me', 'x', '{}')")
        assert lunch.execute("SHOW idle_in_transaction_session_timeout").fetchall()[0] == {
            "idle_in_transaction_session_timeout": "10s"
        }
        found = only(archive, "locks")
        assert (found.level, f"process {lunch.info.backend_pid} " in found.text) == (Level.FAILURE, True)
        assert str(lunch.info.backend_pid) in str(found.repair)
        lunch.commit()
        assert lunch.execute("SHOW idle_in_transaction_session_timeout").fetchall()[0] == {
            "idle_in_transaction_session_timeout": "0"
        }
        assert only(archive, "locks").level is Level.OK
        assert lunch.execute("SELECT count(*) AS rows FROM audit WHERE action = 'health'").fetchone() == {"rows": 0}


def test_images_without_an_encoder(archive: rr.Archive, filled: Filled, database: Database) -> None:
    with database.connection() as connection:
        connection.execute("UPDATE encoder SET active = false")
    assert level_of(archive, "waiting")[0] == (
        *(Level.WARNING, f"there is no encoder: none of {COUNT} images can be found"),
        "radretrieval train",
    )


def test_images_that_wait_longer_than_they_may(archive: rr.Archive, filled: Filled, database: Database) -> None:
    with database.connection() as connection:
        connection.execute("DELETE FROM cnnc WHERE encoder_id = %s AND image_id > %s", (filled.encoders[0], COUNT - 5))
        connection.execute("UPDATE image SET ingested_at = now() - interval '3 hours' WHERE id = %s", (COUNT - 4,))
    images, _ = archive.health(only=["waiting"]).checks
    assert (images.level, images.count, images.repair) == (Level.FAILURE, 5, "radretrieval work")
    assert "; no worker is alive" in images.text
    assert archive.health(only=["waiting"]).exit_code == 1
    assert archive.health(only=["waiting"], waiting=timedelta(hours=4)).exit_code == 0
    with Heartbeat(database, "work", lambda: None):
        beating(database, "work")
        assert "no worker" not in archive.health(only=["waiting"]).checks[0].text


def test_files_that_came_and_wait(archive: rr.Archive, database: Database) -> None:
    with database.connection() as connection:
        inbox.add(connection, Arrival(b"m" * 32, "store:6d", "MODALITY", "1.2.3"))
        connection.execute("UPDATE arrival SET arrived_at = now() - interval '16 minutes'")
    files = archive.health(only=["waiting"]).checks[-1]
    assert (files.name, files.level, files.count) == ("waiting_files", Level.FAILURE, 1)


def test_writers_that_wait_for_a_session(
    archive: rr.Archive, archive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "SECONDS", 0.3)
    with connect(archive_url) as holder, connect(archive_url) as waiting:
        holder.execute("LOCK TABLE image")
        holding = holder.info.backend_pid
        thread = threading.Thread(target=waiting.execute, args=("SELECT count(*) FROM image",))
        thread.start()
        time.sleep(0.8)
        found = archive.health()
        holder.rollback()
        thread.join()
    told, ended = found.checks
    assert (told.name, told.level) == ("locks", Level.FAILURE)
    assert told.repair is not None
    assert f"pg_terminate_backend({holding});" in told.repair
    assert "a table is in use by another transaction" in ended.text  # which ends the checks, and not the waiting


def test_a_search_that_misses_what_it_must_find(archive: rr.Archive, database: Database) -> None:
    count = 5100  # of so many codes on, searches use an index
    with database.connection() as connection:
        filled = fill(connection, count)
        index = build_exact(connection, filled.encoders[0])
    assert only(archive, "query").text.endswith("(exact-index)")
    with database.connection() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"DELETE FROM exact_{index} WHERE image_id = %s", (count,))
    found = only(archive, "query")
    assert found.level is Level.FAILURE
    assert found.repair == "radretrieval index check, then radretrieval index build"


def test_an_index_that_searches_no_longer_use(archive: rr.Archive, filled: Filled, database: Database) -> None:
    with database.connection() as connection:
        build_exact(connection, filled.encoders[0])
        connection.execute("UPDATE exact_index SET bypassed = true")
    assert only(archive, "index").level is Level.WARNING


def test_the_key_of_another_archive(archive: rr.Archive, database: Database) -> None:
    with database.connection() as connection:
        patient_keys.record(connection, "of another key")
    found = only(archive, "key")
    assert (found.level, found.repair) == (Level.FAILURE, "copy the key file from a host that ingests")
    assert not (archive.settings.home / "patient.key").exists()


@pytest.mark.parametrize(("ahead", "level"), [(2, Level.OK), (-20, Level.WARNING), (90, Level.FAILURE)])
def test_clocks_that_differ(archive: rr.Archive, monkeypatch: pytest.MonkeyPatch, ahead: float, level: Level) -> None:
    real = time.time
    monkeypatch.setattr(module.time, "time", lambda: real() + ahead)
    found = only(archive, "clock")
    assert found.level is level
    assert ("ahead of" if ahead > 0 else "behind") in found.text


@pytest.mark.parametrize(
    ("free", "whole", "level"),
    [
        *((60, 1000, Level.OK), (51, 20_000, Level.OK), (49, 20_000, Level.WARNING), (3, 200, Level.WARNING)),
        *((1, 200, Level.FAILURE), (4, 20_000, Level.FAILURE)),
    ],
)
def test_disks(free: int, whole: int, level: Level) -> None:
    found = module.disk("disk_store", "the store", Room(free * 2**30, whole * 2**30))
    assert (found.level, found.count) == (level, free * 1024)


def test_a_disk_that_is_not_mounted() -> None:
    assert module.disk("disk_store", "the store", None).level is Level.WARNING


def test_an_extension_that_waits_for_its_update(
    archive: rr.Archive, database: Database, inside: Callable[..., Run]
) -> None:
    """As after an upgrade of the server's packages, or pg_upgrade; the scripts of the wheel update it."""

    def extension(change: str) -> None:
        with database.connection() as connection:
            connection.execute(change)  # type: ignore[arg-type]

    extension("UPDATE pg_extension SET extversion = '0.8.0' WHERE extname = 'vector'")
    found = only(archive, "database")
    assert found.level is Level.WARNING
    assert found.repair is not None
    assert re.search(r"and the database 0\.8\.0: as a superuser in \w+: ALTER EXTENSION vector UPDATE;$", found.repair)
    done = inside("db", "check")
    assert (done.stderr.strip(), "pgvector_update" in done.stdout) == (found.repair, False)
    assert inside("db", "check", "--json").json["pgvector_update"] == found.repair
    extension("ALTER EXTENSION vector UPDATE")
    assert only(archive, "database").level is Level.OK
    assert inside("db", "check", "--json").json["pgvector_update"] is None
    extension("UPDATE pg_extension SET extversion = '10.0.0' WHERE extname = 'vector'")
    assert (only(archive, "database").repair or "").endswith(": install 10.0.0 or newer on the host")


def test_a_function_that_was_dropped(inside: Callable[..., Run], database: Database) -> None:
    with database.connection() as connection:
        connection.execute("DROP FUNCTION radretrieval.rbc_distance CASCADE")
    done = inside("health", "--json", check=False)
    assert done.returncode == 3
    _, found = done.json["checks"]
    assert (found["name"], found["level"]) == ("database", "failure")
    assert "rbc_distance" in found["text"]


def test_a_database_that_is_away(inside: Callable[..., Run], tmp_path: Path) -> None:
    done = inside("health", url=f"postgresql://x@/none?host={tmp_path}", check=False)
    assert done.returncode == 3
    assert done.stdout.startswith("failure  database")


def test_a_role_that_may_not_see_all(database: Database, archive_url: str, settings: Settings, filled: Filled) -> None:
    from databases import as_role

    with database.connection() as connection:
        connection.execute("CREATE ROLE health_reader LOGIN")
        connection.execute("GRANT USAGE ON SCHEMA radretrieval TO health_reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA radretrieval TO health_reader")
        connection.execute("REVOKE SELECT ON arrival FROM health_reader")
    try:
        settings.database_url = as_role(archive_url, "health_reader")
        with rr.Archive(settings) as archive:
            found = archive.health()
        assert [one.name for one in found.checks if one.level is not Level.OK] == ["waiting"]
        assert found.exit_code == 0
    finally:
        with database.connection() as connection:
            connection.execute("DROP OWNED BY health_reader")
            connection.execute("DROP ROLE health_reader")


def test_a_check_that_does_not_exist(inside: Callable[..., Run]) -> None:
    done = inside("health", "--only", "moon", check=False)
    assert done.returncode == 2
    assert "moon" in done.stderr
    assert "clock" in done.stderr


def put(database: Database, program: str, host: str, started: str, beat: str) -> None:
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO heartbeat (program, host, pid, version, started_at, beat_at) "
            "VALUES (%s, %s, 7, '1', now() - %s::interval, now() - %s::interval)",
            (program, host, started, beat),
        )


def test_services_that_died_are_named_until_they_are_started_again(archive: rr.Archive, database: Database) -> None:
    put(database, "work", "gpu1", "1 hour", "2 minutes")
    put(database, "receive", "pacs", "1 hour", "3 seconds")
    dead, alive = archive.health(only=["services"]).checks
    assert (dead.level, dead.repair) == (Level.FAILURE, "radretrieval work")
    assert dead.text.startswith("work on gpu1 (process 7) was last heard of at 20")
    assert alive.text == "alive: receive on pacs"
    put(database, "work", "gpu1", "1 minute", "3 seconds")
    assert only(archive, "services").text == "alive: receive on pacs, work on gpu1"


def test_services_that_are_expected(archive: rr.Archive, database: Database) -> None:
    put(database, "work", "gpu1", "1 hour", "10 seconds")
    put(database, "work", "gpu3", "1 hour", "10 minutes")
    assert archive.health(only=["services"], expect=["work", "work@gpu1"]).exit_code == 0
    missing = archive.health(only=["services"], expect=["work@gpu2", "receive"])
    assert [one.text for one in missing.checks[:-1]] == ["no work@gpu2 is alive", "no receive is alive"]
    assert missing.exit_code == 1


def test_a_row_of_a_service_that_never_came_back_is_forgotten(database: Database) -> None:
    put(database, "work", "old", "9 days", "25 hours")
    with Heartbeat(database, "serve", lambda: None):
        assert [beat.program for beat in beating(database, "serve")] == ["serve"]


def beating(database: Database, program: str, seconds: float = 30) -> list[heartbeats.Beat]:
    """The rows of services, once one of this program is there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with database.connection() as connection:
            found = heartbeats.beats(connection)
        if any(beat.program == program for beat in found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"no heartbeat of {program}")


def test_a_heartbeat_goes_on_where_its_row_was_deleted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "EVERY_SECONDS", 0.05)
    with Heartbeat(database, "serve", lambda: None):
        (first,) = beating(database, "serve")
        assert (first.host, first.pid, first.alive) == (HERE, os.getpid(), True)
        with database.connection() as connection:
            connection.execute("DELETE FROM heartbeat")
        beating(database, "serve")
    with database.connection() as connection:
        assert heartbeats.beats(connection) == []


def test_a_role_without_the_right_is_told_once(
    database: Database, archive_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from databases import as_role

    monkeypatch.setattr(heartbeats, "EVERY_SECONDS", 0.05)
    with database.connection() as connection:
        connection.execute("CREATE ROLE without_heart LOGIN")
    try:
        with Heartbeat(Database(as_role(archive_url, "without_heart")), "work", lambda: None):
            time.sleep(0.5)
        assert [record.levelname for record in caplog.records if "does not see" in record.message] == ["WARNING"]
    finally:
        with database.connection() as connection:
            connection.execute("DROP ROLE without_heart")


@contextmanager
def service(archive_url: str, tmp_path: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = clean_environment(tmp_path / "home", archive_url)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([str(COMMAND), *arguments], env=environment, stderr=log, stdout=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "arguments",
    [["work"], ["receive", "--port", "0", "--host", "127.0.0.1"], ["serve", "--port", "0"], ["ingest", ".", "--watch"]],
    ids=lambda arguments: arguments[0],
)
def test_services_have_a_row_while_they_live(
    database: Database, archive_url: str, tmp_path: Path, arguments: list[str]
) -> None:
    program = "ingest --watch" if "--watch" in arguments else arguments[0]
    arguments = [str(tmp_path) if one == "." else one for one in arguments]
    with service(archive_url, tmp_path, *arguments) as process:
        assert [beat.pid for beat in beating(database, program)] == [process.pid]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        with database.connection() as connection:
            assert heartbeats.beats(connection) == []


def test_a_killed_worker_leaves_its_row(database: Database, archive_url: str, tmp_path: Path) -> None:
    with service(archive_url, tmp_path, "work") as process:
        beating(database, "work")
        process.kill()
    with database.connection() as connection:
        assert [beat.program for beat in heartbeats.beats(connection)] == ["work"]


def test_a_service_ends_when_another_version_upgrades_the_archive(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the four, in this process: what it would go on writing might lack what the new version needs."""
    from radretrieval.serve.app import create_app

    monkeypatch.setattr(heartbeats, "EVERY_SECONDS", 0.1)
    settings.database_url = database.url
    said = f"at revision 9999, this version needs revision {REVISION}; upgrade radretrieval$"
    with rr.Archive(settings) as archive:
        for program, runs in {
            "work": lambda: archive.encode(once=False, device="cpu", workers=1),
            "ingest --watch": lambda: archive.watch(tmp_path),
            "receive": lambda: archive.receive(host="127.0.0.1", port=0),
        }.items():
            ended: list[BaseException] = []
            thread = threading.Thread(target=lambda runs=runs, ended=ended: ended.append(caught(runs)))
            thread.start()
            beating(database, program)
            at_revision(database, "9999")
            thread.join(30)
            at_revision(database, REVISION)
            assert [type(one) for one in ended] == [SchemaOutdated], program
            assert re.search(said, str(ended[0]))
    service = create_app(settings, rr.api.base.make_serve_settings()).state.service
    asked = threading.Event()
    service.stop = asked.set

    def serves() -> None:
        with service:
            beating(database, "serve")
            at_revision(database, "9999")
            assert asked.wait(30)

    with pytest.raises(SchemaOutdated, match=said):
        serves()
    with database.connection() as connection:
        assert heartbeats.beats(connection) == []


def at_revision(database: Database, revision: str) -> None:
    """As `db upgrade` of another version leaves it."""
    with database.connection() as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [revision])


def caught(action: Callable[[], object]) -> BaseException:
    """The error that it ends with."""
    try:
        action()
    except BaseException as error:
        return error
    return AssertionError("it ended without an error")
