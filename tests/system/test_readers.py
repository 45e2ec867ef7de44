"""Searches that are read from streaming standbys: the same answers, whatever a standby lacks, through a failover."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from conftest import clean_environment
from databases import Server, as_role, database_of
from fastapi.testclient import TestClient
from filled import Filled, build_exact, fill
from inside import run_inside
from PIL import Image
from standby import Copy, replicated

import radretrieval as rr
from radretrieval.archive import encoders, readers
from radretrieval.archive.connections import Database
from radretrieval.config import ServeSettings, Settings
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable, NotInArchive
from radretrieval.search import reading
from radretrieval.serve.app import create_app

ASKED = [
    {"query": 1},
    {"query": 7, "where": {"modality": "CR"}, "explain": True},
    {"query": 12, "where": {"irma_code": "1121-*"}, "exclude_same_patient": True, "one_per": "study"},
    {"query": 30, "relevant": [31], "not_relevant": [33]},
    {"query": 44, "top": 60, "candidates": 60},
]


@dataclass
class World:
    """A primary and two standbys of it; the archive is `name` on each, and `other` a copy of it."""

    primary: Copy
    standbys: list[Copy]
    name: str
    other: str
    filled: Filled
    home: Path
    opened: list[rr.Archive] = field(default_factory=list)

    def hosts(self, servers: list[Copy], wanted: str) -> str:
        """A libpq URL of several servers."""
        folders = ",".join(str(one.folder) for one in servers)
        return f"postgresql://radretrieval@/{self.name}?host={folders}&target_session_attrs={wanted}"

    @property
    def written(self) -> str:
        """The URL that leads to whichever server is the primary."""
        return self.hosts([self.primary, *self.standbys], "read-write")

    @property
    def read(self) -> str:
        """The URL that leads to a standby."""
        return self.hosts(self.standbys, "prefer-standby")

    def settings(self, read: str | None = None, **changes: Any) -> Settings:
        return Settings(home=self.home, **{"database_url": self.written, "read_url": read} | changes)

    def archive(self, read: str | None = None, **changes: Any) -> rr.Archive:
        self.opened.append(rr.Archive(self.settings(read, **changes)))
        return self.opened[-1]

    def close(self) -> None:
        for one in self.opened:
            one.close()

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the primary says."""
        return self.primary.ask(self.name, statement, *values)

    def pause(self, paused: bool = True) -> None:
        """Have the standbys replay what they get, or not."""
        resumed = "SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()"
        for one in self.standbys:
            one.ask(self.name, "SELECT pg_wal_replay_pause()" if paused else resumed)

    def catch_up(self) -> None:
        """Wait until the standbys have all that the primary has."""
        self.rows("SELECT pg_logical_emit_message(true, 'test', 'a commit that waits for the disk')")
        (at,) = self.rows("SELECT pg_current_wal_flush_lsn()")[
            0
        ]  # where rows are inserted next may be past a page's header
        for one in self.standbys:
            for _ in range(400):
                if one.ask(self.name, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", at)[0][0]:
                    break
                time.sleep(0.025)
            else:
                raise AssertionError("the standby does not follow")

    def searched(self, *servers: Copy) -> int:
        """How many sessions of these servers did last what only searches do."""
        mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ~ %s"
        return sum(
            int(one.ask(self.name, mine, "cnnc_nearest|cnnc_within|bit_send|FROM image i WHERE")[0][0])
            for one in servers
        )


@pytest.fixture(scope="module")
def trio(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("home")
    with server.database(template=migrated_template) as url:
        with Database(url).connection() as connection:
            filled = fill(connection)
            build_exact(connection, filled.encoders[0])
            Image.fromarray(np.zeros((5, 4), np.uint8)).save(home / "1.png")  # the page shows the film of a query
            of_file = ((home / "1.png").as_uri(), hashlib.sha256((home / "1.png").read_bytes()).digest())
            connection.execute("UPDATE image SET uri = %s, sha256 = %s WHERE id = 1", of_file)
        with server.database(template=database_of(url)) as other, replicated(server, 2) as (primary, *standbys):
            yield World(primary, standbys, database_of(url), database_of(other), filled, home)


@pytest.fixture
def world(trio: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """With standbys that have everything, and are tried again at once."""
    monkeypatch.setattr(reading, "REST_SECONDS", 0.0)
    trio.catch_up()
    yield trio
    trio.close()
    trio.pause(paused=False)


def ask(archive: rr.Archive, **asked: Any) -> dict[str, Any]:
    document = archive.search(**asked).document()
    del document["timings_ms"]
    return document


def test_answers_are_those_of_the_primary_and_are_read_from_a_standby(world: World) -> None:
    before = world.rows("SELECT count(*) FROM radretrieval.audit WHERE action = 'search'")[0][0]
    archive, plain = world.archive(world.read), world.archive()
    answers = [ask(archive, **one) for one in ASKED]
    assert (world.searched(world.primary), world.searched(*world.standbys)) == (0, 1)
    assert answers == [ask(plain, **one) for one in ASKED]
    assert all(answer["hits"] for answer in answers)
    rows = world.rows("SELECT detail FROM radretrieval.audit WHERE action = 'search' ORDER BY id")[before:]
    found = [[hit["image_id"] for hit in answer["hits"]] for answer in answers]
    assert [detail["hits"] for (detail,) in rows] == found * 2


def test_a_standby_that_lacks_a_withdrawal_never_shows_the_image(world: World) -> None:
    archive, plain = world.archive(world.read), world.archive()
    settings = world.settings(world.read)
    with TestClient(create_app(settings, ServeSettings()), base_url="http://localhost") as page:

        def shown() -> list[list[int]]:
            posted = page.post("/api/search", files={"id": (None, "1")})
            assert posted.status_code == 200, posted.text
            mine = [[hit["image_id"] for hit in one["hits"]] for one in (ask(archive, query=1), posted.json())]
            folded = [hit["duplicate_of"] for hit in posted.json()["hits"] if hit["duplicate_of"]]
            return [*mine, folded]

        before = shown()
        assert world.searched(*world.standbys) == 2, "one of the archive, one of the page"
        gone = before[0][0]
        world.pause()
        plain.withdraw(image=gone)
        try:
            after = shown()
            expected = [hit["image_id"] for hit in ask(plain, query=1)["hits"]]
            assert after[:2] == [expected, expected]
            assert gone not in [*expected, *after[2]]
            for judged in ({"query": gone}, {"query": 1, "not_relevant": [gone]}):
                with pytest.raises(NotInArchive, match="withdrawn"):
                    archive.search(**judged)
        finally:
            plain.withdraw(image=gone, undo=True)
    world.pause(paused=False)
    world.catch_up()
    assert [hit["image_id"] for hit in ask(archive, query=1)["hits"]] == before[0]


def test_a_standby_that_lacks_the_switch_to_another_encoder_does_not_answer(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    archive = world.archive(world.read)
    first, second = world.filled.encoders
    assert archive.search(1).encoder_id == first
    world.pause()
    with Database(world.written).connection() as connection:
        encoders.activate(connection, second)
    try:
        assert archive.search(1).encoder_id == second
        world.pause(paused=False)
        world.catch_up()
        caplog.clear()
        assert archive.search(1).encoder_id == second
        measured = "INSERT INTO radretrieval.hnsw_audit (encoder_id, recall, recall_worst, sample, codes)"
        world.rows(f"{measured} VALUES (%s, 1, 1, 1, 1)", second)
        world.catch_up()
        assert archive.search(1).encoder_id == second
        assert archive.search(1).encoder_id == second
        assert caplog.messages == [], "the encoder of the standby is read anew"
        assert archive.search(2, encoder=first).encoder_id == first
        assert world.searched(*world.standbys) == 1
    finally:
        world.rows("DELETE FROM radretrieval.hnsw_audit")
        with Database(world.written).connection() as connection:
            encoders.activate(connection, first)


def test_a_standby_that_is_too_far_behind_does_not_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive, where = world.archive(world.read), {"body_part": "FOOT"}
    assert archive.search(1, where=where).hits == []
    monkeypatch.setattr(readers, "LAG_SECONDS", 0.0)
    for _ in range(20):  # a checkpoint, say, may fall between
        world.catch_up()
        caplog.clear()
        assert archive.search(1, where=where).hits == []
        if not caplog.messages:
            break
    assert (caplog.messages, world.searched(*world.standbys)) == ([], 1), "it has all that there is, however old"
    world.pause()
    world.rows("UPDATE radretrieval.image SET body_part = 'FOOT' WHERE id = 9")
    try:
        assert [hit.image_id for hit in archive.search(1, where=where).hits] == [9]
        assert "s behind the primary" in caplog.text
        monkeypatch.setattr(readers, "LAG_SECONDS", 3600.0)
        assert archive.search(1, where=where).hits == [], "close enough"
    finally:
        world.rows("UPDATE radretrieval.image SET body_part = 'CHEST' WHERE id = 9")


def test_a_standby_is_not_behind_because_nobody_commits(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive, done = world.archive(world.read), threading.Event()
    assert archive.search(1).hits

    def write() -> None:  # as a checkpoint or a long load do: the log grows, and no transaction ends
        with psycopg.connect(world.primary.url(world.name), autocommit=True) as connection:
            while not done.wait(0.001):
                connection.execute("SELECT pg_logical_emit_message(false, 'test', 'nothing', true)")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        monkeypatch.setattr(readers, "LAG_SECONDS", 1.0)
        time.sleep(1.1)
        assert archive.search(1).hits
        assert (caplog.messages, world.searched(*world.standbys)) == ([], 1)
    finally:
        done.set()
        thread.join()


def test_a_role_that_adds_no_rows_gets_no_unconfirmed_answer(world: World) -> None:
    world.rows("CREATE ROLE looker IN ROLE pg_read_all_data")
    world.rows("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA radretrieval TO looker")
    world.rows("REVOKE EXECUTE ON FUNCTION radretrieval.audit_add FROM looker")
    world.catch_up()
    written, read = (as_role(url, "looker") for url in (world.written, world.read))
    archive, plain = world.archive(read, database_url=written), world.archive()
    rows = "SELECT count(*) FROM radretrieval.audit"
    before, hits = world.rows(rows), archive.search(1).hits
    assert (world.searched(*world.standbys), world.rows(rows)) == (1, before)
    world.pause()
    plain.withdraw(image=hits[0].image_id)
    try:
        assert [hit.image_id for hit in archive.search(1).hits][:9] == [hit.image_id for hit in hits[1:]]
    finally:
        plain.withdraw(image=hits[0].image_id, undo=True)


def test_a_search_that_the_standby_ends_is_done_on_the_primary(world: World, caplog: pytest.LogCaptureFixture) -> None:
    archive = world.archive(world.read)
    expected = archive.search(1).hits
    cancelled = """
        CREATE FUNCTION public.cancelled() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
            IF pg_is_in_recovery() THEN
                RAISE 'canceling statement due to conflict with recovery' USING ERRCODE = 'serialization_failure';
            END IF;
            RETURN true;
        END $$"""
    world.rows(cancelled)
    world.catch_up()
    assert archive.search(1, where_sql="public.cancelled()").hits == expected
    assert "from the primary for 0 s, not from postgresql://radretrieval@/" in caplog.text
    assert "conflict with recovery" in caplog.text
    caplog.clear()
    assert (archive.search(1).hits, world.searched(*world.standbys)) == (expected, 1)
    sessions = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for one in world.standbys:
        one.ask(world.name, f"SELECT pg_terminate_backend(pid, 5000) {sessions}")
    assert archive.search(1).hits == expected
    assert "terminating connection due to administrator command" in caplog.text
    assert (archive.search(1).hits, world.searched(*world.standbys)) == (expected, 1)


def test_what_cannot_be_read_from_is_left_out_and_said(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reading, "REST_SECONDS", 30.0)
    one = world.standbys[0]
    expected = world.archive().search(1).hits
    for read, told in [
        (one.url(world.other), "it is a standby of another server or has another database than the primary"),
        (world.primary.url(world.name), "it is no standby: it is the primary, or was promoted"),
        (f"postgresql://radretrieval:secret@/{world.name}?host={world.home}", "No such file or directory"),
    ]:
        caplog.clear()
        archive = world.archive(read)
        assert [archive.search(1).hits, archive.search(1).hits] == [expected, expected]
        assert (len(caplog.messages), told in caplog.text, "secret" in caplog.text) == (1, True, False)
    with pytest.raises(EnvironmentUnusable, match="what RADRETRIEVAL_READ_URL gives is not a database URL"):
        world.archive("postgresql://h/db?wrong=1").search(1)


def test_status_and_health_tell_how_each_standby_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = world.standbys
    away = f"{world.home}"
    hosts = ",".join(map(str, (first.folder, second.folder, world.primary.folder, away)))
    archive = world.archive(f"postgresql://radretrieval:secret@/{world.name}?host={hosts}&target_session_attrs=any")

    def seen() -> list[tuple[Any, ...]]:
        document = archive.status()
        assert "secret" not in str(document)
        return [(one["standby"], one["lag_seconds"], one["lag_bytes"], one["problem"]) for one in document["readers"]]

    def checked() -> list[tuple[str, str]]:
        return [(str(one.level), one.text) for one in archive.health(only=["readers"]).checks]

    one, two, primary, gone = seen()
    assert [one, two, primary] == [(True, 0, 0, None), (True, 0, 0, None), (False, None, None, None)]
    assert "No such file or directory" in gone[3]
    assert [level for level, _ in checked()] == ["ok", "ok", "ok", "warning"]
    first.ask(world.name, "SELECT pg_wal_replay_pause()")
    monkeypatch.setattr(readers, "LAG_SECONDS", 0.3)
    world.rows("CREATE TABLE public.written AS SELECT 1")
    time.sleep(0.4)
    behind = seen()[0]
    assert behind[0] is True
    assert behind[1] > 0.3
    assert behind[2] > 1000
    assert behind[3].endswith(" s behind the primary, more than 0 s")
    assert checked()[0][0] == "warning"
    second.ask(world.name, "SELECT pg_wal_replay_pause()")
    world.rows("DROP TABLE public.written")
    time.sleep(0.4)
    assert [level for level, _ in checked()] == ["failure", "failure", "ok", "failure"]
    assert "searches are not read from postgresql://" in checked()[0][1]
    assert world.archive().status()["readers"] == []
    told = run_inside(
        ("status",), clean_environment(world.home, world.written) | {"RADRETRIEVAL_READ_URL": world.read}, world.home
    )
    assert "s behind the primary, more than 0 s" in told.stdout
    assert "searches are not read from postgresql://" in told.stderr


def test_an_evaluation_is_read_from_a_standby_that_has_everything(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = world.standbys
    of_reads = "FROM pg_stat_activity WHERE datname = current_database() AND xact_start < now() AND state ~ '^idle in'"
    seen: list[list[int]] = []  # how many transactions of reads there are on each server, whenever progress is told

    def look(*_: Any) -> None:
        servers = (world.primary, first, second)
        seen.append([int(one.ask(world.name, f"SELECT count(*) {of_reads}")[0][0]) for one in servers])

    def figures(read: str | None, progress: Callable[..., None] = look) -> dict[str, Any]:
        seen.clear()
        document = world.archive(read).evaluate(network=False, progress=progress).document()
        assert document["queries"] > 50
        return document

    expected = figures(None)
    assert seen[0] == [1, 0, 0]
    world.catch_up()
    assert (figures(world.read), seen[0]) == (expected, [0, 1, 0])

    def end(*_: Any) -> None:
        first.ask(world.name, f"SELECT pg_terminate_backend(pid, 5000) {of_reads}")

    world.catch_up()
    assert figures(world.read, end) == expected
    assert "everything is read again from the primary: terminating connection" in caplog.text
    world.rows("UPDATE radretrieval.image SET split = 'test' WHERE id = 1")  # it is behind by less than it may
    world.catch_up()
    world.pause()
    world.rows("UPDATE radretrieval.image SET split = NULL WHERE id = 1")
    try:
        assert figures(world.read)["queries"] == expected["queries"] - 1
        assert seen[0] == [1, 0, 0]
    finally:
        world.rows("UPDATE radretrieval.image SET split = 'test' WHERE id = 1")


def test_there_is_no_answer_without_a_primary(world: World) -> None:
    first, second = world.standbys
    with pytest.raises(DatabaseUnavailable, match=r"takes no writes at present.*RADRETRIEVAL_DATABASE_URL must lead"):
        world.archive(second.url(world.name), database_url=first.url(world.name)).search(1)
    done = run_inside(
        ("search", "id:1"),
        clean_environment(world.home, f"postgresql://radretrieval@/{world.name}?host={world.home}")
        | {"RADRETRIEVAL_READ_URL": world.read},
        world.home,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "RADRETRIEVAL_DATABASE_URL or --database-url names it" in done.stderr


def test_a_failover_while_searches_run(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The last of this file: there is another primary afterwards."""
    caplog.set_level(logging.WARNING)
    first, second = world.standbys
    expected = {query: [hit.image_id for hit in world.archive().search(query).hits] for query in range(1, 5)}
    seen: list[tuple[float, int, list[int] | None]] = []  # when an answer came, to which query, its hits or none
    ended = threading.Event()

    def search(query: int) -> None:
        with rr.Archive(world.settings(world.read)) as archive:
            while not ended.is_set():
                try:
                    found: list[int] | None = [hit.image_id for hit in archive.search(query).hits]
                except DatabaseUnavailable:
                    found = None
                    time.sleep(0.02)
                seen.append((time.monotonic(), query, found))

    def wait(enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not enough():
            assert time.monotonic() < deadline, seen[-20:]
            time.sleep(0.02)

    def answered_since(moment: float) -> bool:
        return all(
            sum(query == one and at > moment and found is not None for at, one, found in seen) > 2 for query in expected
        )

    threads = [threading.Thread(target=search, args=(query,)) for query in expected]
    for thread in threads:
        thread.start()
    try:
        wait(lambda: answered_since(0))
        world.primary.kill()
        killed = time.monotonic()
        wait(lambda: any(found is None for _, _, found in seen))
        first.ask(world.name, "SELECT pg_promote(true, 30)")
        promoted = time.monotonic()
        wait(lambda: answered_since(promoted + 0.5))
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)
    wrong = [one for one in seen if one[2] is not None and one[2] != expected[one[1]]]
    errors = [at for at, _, found in seen if found is None]
    assert wrong == []
    assert killed <= min(errors)
    assert max(errors) < promoted + 0.5
    assert first.ask(world.name, "SELECT count(*) FROM radretrieval.audit WHERE action = 'search'")[0][0] > 0
    # the other standby still follows the one that is gone: what it has may never have come to the new primary
    caplog.clear()
    assert world.archive(second.url(world.name)).search(1).hits[0].image_id == expected[1][0]
    assert "it follows timeline 1, and the primary writes timeline 2" in caplog.text
