"""Pulls from a PACS that cannot give one instance: it is named, the others arrive, the next pull tries it again."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Run
from nodes import take_in
from orthanc import film, uid_of
from pydicom import dcmread
from small_peer import Peer
from small_web import HABITS, SmallWeb, serving

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.pull import dimse, run
from radretrieval.dicom.scp.commit_queue import ReceiveQueue
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.storage import retries, wado

STUDY = "1.2.826.0.1.3680043.10.99.1."  # + number, as in `film`


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silences and pauses as long as tests can wait."""
    monkeypatch.setattr(wado, "SILENCES", (0.2, 0.4))
    monkeypatch.setattr(wado, "QUERY_SECONDS", 0.5)
    monkeypatch.setattr(wado, "RETRY_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(dimse, "RETRY_SECONDS", (0.05, 0.1))


def studies_of(count: int, each: int = 2) -> dict[str, dict[str, bytes]]:
    """Studies of films, as a small server has them."""
    films = {
        number: [film(each * number + place, study=number, side=16) for place in range(each)] for number in range(count)
    }
    return {STUDY + str(number): {uid_of(data): data for data in found} for number, found in films.items()}


def path_of(study: str, uid: str) -> str:
    return f"/studies/{study}/series/{study}.1/instances/{uid}"


def uids(database: Database) -> set[str]:
    with database.connection() as connection:
        return {row["sop_instance_uid"] for row in connection.execute("SELECT sop_instance_uid FROM image")}


def test_field_10_a_bad_instance_is_named_and_the_others_arrive(inside: Callable[..., Run], database: Database) -> None:
    web = SmallWeb(studies_of(len(HABITS)))
    bad = {study: next(iter(found)) for study, found in web.studies.items()}
    habits = {path_of(study, bad[study]): habit for study, habit in zip(web.studies, HABITS, strict=True)}
    every = {uid for found in web.studies.values() for uid in found}
    web.habits = habits
    with serving(web):
        done = inside("pull", web.root, "--json", "--workers", 1, check=False)  # so that no two fail in a row
        assert (done.returncode, done.json["added"], done.json["failed"]) == (1, len(bad), len(bad)), done.stderr
        assert {failure["path"]: failure["error"] for failure in done.json["failures"]} == {
            web.root + path: "NotFetched" for path in habits
        }
        assert {habit: web.asked.count(path) for path, habit in habits.items()} == {
            habit: 2 if "hangs" in habit else 3 for habit in HABITS
        }
        assert uids(database) == every - set(bad.values())
        web.habits, web.asked = {}, []
        done = inside("pull", web.root, "--json")
        assert (done.returncode, done.json["added"], done.json["failed"]) == (0, len(bad), 0)
        assert {path for path in web.asked if "/series/" in path} == set(habits)  # no good one is fetched anew
    assert uids(database) == every


def test_field_10_a_study_that_is_not_listed_stops_no_other(inside: Callable[..., Run], database: Database) -> None:
    web = SmallWeb(studies_of(3))
    with serving(web):
        for habit in ("closes at once", "hangs"):
            web.habits = {f"/studies/{STUDY}1/instances": habit}
            done = inside("pull", web.root, "--json", check=False)
            assert (done.returncode, done.json["failed"], len(uids(database))) == (1, 1, 4), habit
            assert f"{STUDY}1/instances" in done.json["failures"][0]["message"]
        web.habits = {}
        assert inside("pull", web.root, "--json").json["added"] == 2


def test_field_10_a_server_that_died_is_left_within_seconds(inside: Callable[..., Run], database: Database) -> None:
    class Dying(SmallWeb):
        def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
            if "/series/" in path:
                self.habits = dict.fromkeys(self.habits, "closes at once") | {"/studies": "closes at once"}
            return super().answer(path, query)

    web = Dying(studies_of(4))
    web.habits = {path_of(study, uid): "closes at once" for study, found in web.studies.items() for uid in found}
    started = time.monotonic()
    with serving(web):
        done = inside("pull", web.root, "--json", check=False)
    assert (done.returncode, time.monotonic() - started < 10) == (3, True)
    assert f"{web.root} cannot be reached" in done.stderr


def test_field_10_many_that_fail_in_a_row_are_requested_once_each(
    inside: Callable[..., Run], database: Database
) -> None:
    web = SmallWeb(studies_of(1, each=12))
    (study,) = web.studies
    last = list(web.studies[study])[-1]
    web.habits = {path_of(study, uid): "closes at once" for uid in web.studies[study] if uid != last}
    with serving(web):
        done = inside("pull", web.root, "--json", "--workers", 1, check=False)
    assert (done.returncode, done.json["added"], done.json["failed"]) == (1, 1, 11)
    assert sum("/series/" in path for path in web.asked) == 3 * 3 + 8 + 1


def test_field_10_a_node_that_fails_for_one_instance_gives_the_others(
    inside: Callable[..., Run], database: Database
) -> None:
    peer = Peer(*(film(number, study=1, side=16) for number in range(5)))
    bad, good, late, *rest = peer.films
    peer.habits = {bad: "aborts", good: "fails", late: "aborts after"}
    with peer.running() as name:
        done = inside("pull", name, "--json", "--workers", 1, check=False)
        assert (done.returncode, done.json["added"], done.json["failed"]) == (1, 3, 2), done.stderr
        told = {failure["path"].rpartition("/")[2]: failure["message"] for failure in done.json["failures"]}
        assert "ended the association" in told[bad]
        assert "0xA702" in told[good]
        assert uids(database) == {late, *rest}
        peer.habits, peer.asked = {}, []
        done = inside("pull", name, "--json")
        assert (done.returncode, done.json["added"], done.json["failed"]) == (0, 2, 0)
        assert set(peer.asked) == {bad, good}


def for_processing(data: bytes) -> bytes:
    """The film as a raw detector image, which is taken and named."""
    ds, out = dcmread(io.BytesIO(data)), io.BytesIO()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1.1"
    ds.PresentationIntentType = "FOR PROCESSING"
    ds.save_as(out)
    return out.getvalue()


class TestCounts:
    """What a pull counts, beside a `receive` whose files lie in the same inbox."""

    @pytest.fixture
    def web(self) -> Iterator[SmallWeb]:
        """Three films and a data set without pixels."""
        ds = dcmread(io.BytesIO(film(9, study=0, side=16)))
        del ds.PixelData
        out = io.BytesIO()
        ds.save_as(out)
        web = SmallWeb(studies_of(1, each=3))
        web.studies[STUDY + "0"][str(ds.SOPInstanceUID)] = out.getvalue()
        with serving(web):
            yield web

    def test_field_15_files_that_others_received_are_not_counted(
        self, web: SmallWeb, inside: Callable[..., Run], database: Database, settings: Settings
    ) -> None:
        raw = uid_of(film(0))
        web.studies[STUDY + "0"][raw] = for_processing(film(0, study=0, side=16))
        received = ReceiveQueue(database, settings, lambda: None)
        for number, data in enumerate((film(50), for_processing(film(51)), b"\0" * 200)):
            take_in(received, data, "SENDER", f"1.2.{number}")
        received.close()
        web.studies[STUDY + "0"].pop(uid_of(film(9)))
        done = inside("pull", web.root, "--json")
        counts = [done.json[name] for name in ("seen", "added", "unchanged", "failed")]
        assert (done.returncode, counts, done.json["failures"]) == (0, [3, 3, 0, 0], [])
        assert [problem["path"] for problem in done.json["problems"]] == [web.root + path_of(STUDY + "0", raw)]

    def test_field_15_files_that_another_process_reads_are_counted(
        self,
        web: SmallWeb,
        inside: Callable[..., Run],
        database: Database,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        class Idle(InboxWorker):
            def _batch(self, pool: Any, limit: int) -> int:
                return 0

        monkeypatch.setattr(run, "InboxWorker", Idle)
        other, stop = InboxWorker(database, settings, 1), threading.Event()
        thread = threading.Thread(target=other.run, args=(stop,), daemon=True)
        thread.start()
        try:
            done = inside("pull", web.root, "--json", check=False)
        finally:
            stop.set()
            other.wake()
            thread.join()
        counts = [done.json[name] for name in ("seen", "added", "unchanged", "failed")]
        assert (done.returncode, counts) == (1, [4, 3, 0, 1])
        assert done.json["failures"][0]["path"].endswith(f"/instances/{uid_of(film(9))}")
        assert other.report.added == 3
