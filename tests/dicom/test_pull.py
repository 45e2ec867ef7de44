"""`radretrieval pull` against a real Orthanc over DICOMweb."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND, Run, clean_environment
from orthanc import Orthanc, Space, corpus, film, orthanc_in, space
from tiny import add_encoder

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.pull.dicomweb import DicomWebSource
from radretrieval.dicom.pull.orthanc import orthanc_api
from radretrieval.dicom.pull.query import PullQuery
from radretrieval.dicom.pull.report import PullReport
from radretrieval.dicom.pull.run import pull as pull_from

Pull = Callable[..., Run]
Pulled = Callable[..., PullReport]


@pytest.fixture(scope="module")
def place(server: Any) -> Iterator[Space]:
    with space(server.url) as made:
        yield made


@pytest.fixture(scope="module")
def full(
    place: Space, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Orthanc, dict[str, bytes]]]:
    """An Orthanc with every valid file of the shared data."""
    with orthanc_in(place, tmp_path_factory.mktemp("orthanc")) as running:
        files = corpus(shared)
        running.put(*files.values())
        yield running, files


@pytest.fixture
def orthanc(tmp_path: Path, server: Any) -> Iterator[Orthanc]:
    """An empty Orthanc of this test's own."""
    (tmp_path / "orthanc").mkdir()
    with space(server.url) as made, orthanc_in(made, tmp_path / "orthanc") as running:
        yield running


@pytest.fixture
def pull(tmp_path: Path, archive_url: str) -> Pull:
    """pull(orthanc, …): the real command, beside its Orthanc."""

    def run(orthanc: Orthanc, *arguments: object, check: bool = True, **environment: str) -> Run:
        given = ["pull", orthanc.root, "--json"]
        if "--credentials" not in arguments:
            given += ["--credentials", str(orthanc.credentials)]
        return orthanc.space.cli(tmp_path / "home", archive_url, *given, *arguments, check=check, **environment)

    return run


@pytest.fixture
def pulled(database: Database, settings: Settings) -> Pulled:
    """pulled(orthanc, …): the same in this process, in a thread of the namespace."""

    def run(orthanc: Orthanc, *, changes: bool = True, deletions: bool | None = None, **query: Any) -> PullReport:
        def go() -> PullReport:
            source = DicomWebSource(orthanc.root, orthanc.credentials, settings.max_pixels)
            api = orthanc_api(source) if changes else None
            try:
                return pull_from(database, settings, source, PullQuery(**query), orthanc=api, deletions=deletions)
            finally:
                source.close()

        return orthanc.space.run(go)

    return run


def rows(
    database: Database, columns: str = "sop_instance_uid, sha256, uri, origin, transfer_syntax_uid, gone_at"
) -> list[Any]:
    with database.connection() as connection:
        return connection.execute(f"SELECT {columns} FROM image ORDER BY id").fetchall()


def counts(run: Run | PullReport, *names: str) -> tuple[int, ...]:
    found = vars(run) if isinstance(run, PullReport) else run.json
    return tuple(found[name] for name in names)


def test_every_valid_file_arrives_once_byte_for_byte(
    full: tuple[Orthanc, dict[str, bytes]], pull: Pull, database: Database, archive_url: str, tmp_path: Path
) -> None:
    from pydicom import dcmread

    orthanc, files = full
    first = pull(orthanc, "--all-classes", check=False)
    assert counts(first, "seen", "added", "failed") == (len(files), len(files) - 1, 1), first.stderr
    assert "Segmentation Storage" in first.json["failures"][0]["message"]
    found = {row["sop_instance_uid"]: row for row in rows(database)}
    assert len(found) == len(rows(database)) == len(files) - 1
    for uid, row in found.items():
        assert bytes(row["sha256"]) == hashlib.sha256(files[uid]).digest()  # so pixels and syntax are as they were
        assert row["origin"] == orthanc.root
        assert row["uri"].endswith(f"/instances/{uid}")
    syntaxes = {
        str(dcmread(io.BytesIO(data), force=True).file_meta.get("TransferSyntaxUID", "")) for data in files.values()
    }
    assert {row["transfer_syntax_uid"] for row in found.values()} >= syntaxes - {""}
    left = {path.name for path in (tmp_path / "home" / "store").rglob("*") if path.is_file()}
    assert left.isdisjoint(bytes(row["sha256"]).hex() for row in found.values())  # a reference is all that is kept

    assert counts(pull(orthanc, "--all-classes"), "seen", "added", "failed") == (0, 0, 0)  # nothing has changed there
    again = pull(orthanc, "--all-classes", "--no-changes", "--again", check=False)
    assert counts(again, "added", "unchanged", "failed") == (0, len(files) - 1, 1)

    with database.connection() as connection:
        add_encoder(connection)
    place, home = orthanc.space, tmp_path / "home"
    reading = {"RADRETRIEVAL_CREDENTIALS": str(orthanc.credentials)}
    work = place.cli(home, archive_url, "work", "--once", "--json", **reading)
    assert work.json["encoded"] == len(files) - 1
    picture = tmp_path / "answer.png"
    asked = ["search", "id:2", "--roi", "10,10,60,60", "--top", "3", "--json"]
    answer = place.cli(home, archive_url, *asked, "--picture", picture, **reading)
    assert answer.json["returned"] == 3
    assert all(hit["roi"] is not None for hit in answer.json["hits"])
    assert picture.stat().st_size > 1000
    # outside of the namespace nobody answers at that address, as when Orthanc is stopped
    away = subprocess.run(
        [COMMAND, *asked],
        env=clean_environment(home, archive_url) | reading,
        capture_output=True,
        text=True,
        check=False,
    )
    assert away.returncode != 0
    assert "cannot be reached" in away.stderr + away.stdout
    assert "Traceback" not in away.stderr


def test_only_projection_radiography_is_taken_unless_all_is_asked_for(
    full: tuple[Orthanc, dict[str, bytes]], pull: Pull, database: Database
) -> None:
    from radretrieval.dicom.sop_classes import RADIOGRAPHS

    orthanc, files = full
    done = pull(orthanc, "--no-changes")
    assert done.json["seen"] == len(files)
    assert done.json["skipped"] > 3
    assert done.json["added"] + done.json["skipped"] == len(files)
    assert {row["sop_class_uid"] for row in rows(database, "sop_class_uid")} <= set(RADIOGRAPHS)
    assert counts(pull(orthanc, "--no-changes"), "added", "failed") == (0, 0)


def test_new_deleted_and_restored_instances(orthanc: Orthanc, pulled: Pulled, database: Database) -> None:
    def gone() -> set[str]:
        return {row["sop_instance_uid"][-2:] for row in rows(database) if row["gone_at"] is not None}

    first, second, third = film(1, study=1), film(2, study=1), film(3, study=3)
    ids = orthanc.put(first, third)
    assert counts(pulled(orthanc), "seen", "added") == (2, 2)
    ids += orthanc.put(second)
    assert counts(pulled(orthanc), "seen", "added", "unchanged") == (2, 1, 1)  # the study that has changed
    assert counts(pulled(orthanc, again=True), "seen", "unchanged") == (3, 3)

    orthanc.delete(ids[0])
    assert counts(pulled(orthanc), "seen", "gone") == (0, 0)  # nobody has asked
    assert counts(pulled(orthanc, deletions=True), "gone", "back") == (1, 0)
    assert counts(pulled(orthanc, deletions=True), "gone", "back") == (0, 0)
    assert gone() == {".1"}
    orthanc.delete(ids[1])  # a whole study
    with database.connection() as connection:  # a day later, by itself
        connection.execute("UPDATE pull SET reconciled_at = reconciled_at - interval '25 hours'")
    assert counts(pulled(orthanc), "gone", "back") == (1, 0)
    assert gone() == {".1", ".3"}
    orthanc.put(first, third)
    assert counts(pulled(orthanc, deletions=True), "added", "gone", "back") == (0, 0, 2)
    assert gone() == set()


def test_field_03_what_orthanc_modified_is_followed(orthanc: Orthanc, pulled: Pulled, database: Database) -> None:
    """Another patient in the same study, then another study: by the list of changes, and by dates with again."""

    def modify(number: str, **changes: str) -> str:
        kept = [one for one in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID") if one not in changes]
        order = json.dumps({"Replace": changes, "Keep": kept, "Force": True})
        data = orthanc.ask("POST", f"instances/{number}/modify", order.encode()).content
        orthanc.delete(number)
        return orthanc.put(data)[0]

    def row() -> dict[str, Any]:
        found: dict[str, Any] = rows(database, "patient_key, study_instance_uid, uri, gone_at")[0]
        return found

    number, _ = orthanc.put(film(1, study=1), film(2, study=1))
    assert counts(pulled(orthanc), "added", "updated") == (2, 0)
    before = row()
    number = modify(number, PatientID="P77")
    assert counts(pulled(orthanc), "added", "unchanged", "updated", "failed") == (0, 1, 1, 0)
    assert row() == before | {"patient_key": row()["patient_key"]} != before
    number = modify(number, StudyInstanceUID="1.2.3")
    assert counts(pulled(orthanc), "added", "updated", "failed") == (0, 1, 0)
    assert row()["study_instance_uid"] == "1.2.3"
    assert "/studies/1.2.3/" in row()["uri"]
    modify(number, PatientID="P78")
    assert counts(pulled(orthanc, changes=False), "unchanged", "updated") == (2, 0)  # nothing tells of it
    assert counts(pulled(orthanc, changes=False, again=True), "unchanged", "updated") == (1, 1)


def test_a_peer_that_is_away_makes_nothing_gone(orthanc: Orthanc, pull: Pull, database: Database) -> None:
    orthanc.put(film(1), film(2))
    pull(orthanc)
    orthanc.stop()
    started = time.monotonic()
    done = pull(orthanc, "--reconcile", check=False)
    assert done.returncode == 3
    assert time.monotonic() - started < 20
    for part in (orthanc.root, "Connection refused", "check the server, its URL"):
        assert part in done.stderr
    assert not any(row["gone_at"] for row in rows(database))


@pytest.mark.parametrize(
    ("number", "what", "others"), [(0, "studies", 1), (2, "instances of the study 1.2.826.0.1.3680043.10.99.1.1", 4)]
)
def test_field_10_a_file_that_orthanc_has_lost_is_named_and_the_others_arrive(
    number: int, what: str, others: int, orthanc: Orthanc, pulled: Pulled, tmp_path: Path
) -> None:
    films = [*(film(one, study=1) for one in range(4)), film(4, study=4)]
    orthanc.put(*films)
    stored = {path.read_bytes(): path for path in (tmp_path / "orthanc" / "files").glob("??/??/*")}
    lost = stored[films[number]]
    lost.rename(tmp_path / "lost")
    orthanc.stop()  # it has the files in memory
    orthanc.start()
    done = pulled(orthanc)
    # it reads a file for each entry of a list, and fails for the whole list where it cannot
    assert counts(done, "added", "failed") == (others, 1)
    assert f"has {what} that it cannot list" in done.failures[0]["message"]
    (tmp_path / "lost").rename(lost)
    assert counts(pulled(orthanc), "added", "failed") == (5 - others, 0)


def test_since_until_and_query(orthanc: Orthanc, pulled: Pulled, database: Database) -> None:
    today = date.today()
    orthanc.put(film(1, day="20200102"), film(2, day="20210102"), film(3, day="20990101"), film(4, day=""))
    assert counts(pulled(orthanc, since=date(2021, 1, 1), until=date(2021, 12, 31)), "seen", "added") == (1, 1)
    assert counts(pulled(orthanc, filters={"ModalitiesInStudy": "DX"}), "seen") == (0,)
    # a server whose clock is ahead: what it dates tomorrow is asked for too, and moves no mark there
    assert counts(pulled(orthanc, since=today - timedelta(30), rolling=True), "seen", "added") == (1, 1)
    begin = date(2020, 1, 1)
    assert counts(pulled(orthanc, changes=False, since=begin), "seen", "added") == (3, 1)
    with database.connection() as connection:
        found = connection.execute("SELECT max(study_date) AS mark FROM pull").fetchone()
    assert found["mark"] <= today
    orthanc.put(film(5, day=today.strftime("%Y%m%d")))
    assert counts(pulled(orthanc, changes=False, since=begin), "seen", "added") == (2, 1)
    # the one without a date is listed where no date is asked for
    assert counts(pulled(orthanc, changes=False), "seen", "added") == (5, 1)


def test_what_cannot_be_used_is_told_with_the_way_out(orthanc: Orthanc, pull: Pull, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("radio:guess")
    done = pull(orthanc, "--credentials", wrong, check=False)
    assert (done.returncode, "401" in done.stderr, "--credentials" in done.stderr) == (3, True, True)
    bearer = tmp_path / "bearer"
    bearer.write_text("Bearer abc")
    assert pull(orthanc, "--credentials", bearer, check=False).returncode == 3
    done = pull(orthanc, "--since", "2199-01-01", check=False)
    assert done.returncode == 2
    assert "clock" in done.stderr


def test_a_database_of_orthanc_that_begins_anew_is_listed_whole(
    orthanc: Orthanc, pulled: Pulled, database: Database
) -> None:
    orthanc.put(film(1))
    pulled(orthanc)
    with database.connection() as connection:
        connection.execute("UPDATE pull SET change = 1000000 WHERE change IS NOT NULL")
    orthanc.put(film(2))
    assert counts(pulled(orthanc), "added", "unchanged") == (1, 1)
    assert counts(pulled(orthanc), "seen") == (0,)


FILMS = 100


def waiting_for(database: Database, number: int, process: subprocess.Popen[str]) -> None:
    """Until so many have come, or the process has ended."""
    with database.connection() as connection:
        connection.autocommit = True
        while process.poll() is None:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM image) + (SELECT count(*) FROM arrival) AS n"
            ).fetchone()
            if row["n"] >= number:
                return
            time.sleep(0.01)


@pytest.mark.parametrize("killed", ["pull", "server"])
def test_killed_in_the_middle_it_goes_on(
    killed: str, orthanc: Orthanc, pull: Pull, database: Database, archive_url: str, tmp_path: Path
) -> None:
    orthanc.put(*(film(number, side=200) for number in range(FILMS)))
    command = orthanc.space.command(COMMAND, "pull", orthanc.root, "--credentials", orthanc.credentials, "--workers", 2)
    process = subprocess.Popen(
        command,
        env=clean_environment(tmp_path / "home", archive_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    waiting_for(database, 20, process)
    if killed == "pull":
        process.kill()
        process.communicate()
    else:
        orthanc.stop()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 3, errors
        assert "cannot be reached" in errors
        assert "Traceback" not in errors
        with database.connection() as connection:  # what had come is in
            assert connection.execute("SELECT count(*) AS n FROM arrival").fetchone()["n"] == 0
        orthanc.start()
    before = len(rows(database))
    assert before < FILMS
    done = pull(orthanc)
    assert done.json["failed"] == 0
    if killed == "server":
        assert counts(done, "added", "unchanged") == (FILMS - before, before)  # nothing is fetched twice
    found = rows(database)
    assert len(found) == len({row["sop_instance_uid"] for row in found}) == FILMS
