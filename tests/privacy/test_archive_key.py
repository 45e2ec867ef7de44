"""The key of an archive: who comes with another one is refused, before a patient is two."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from answering import Made
from conftest import Run
from databases import Server
from nodes import Receiving, a_file, until
from programs import needs_program
from small_web import SmallWeb, serving

from radretrieval.archive import inbox, migrations, patient_keys
from radretrieval.archive.connections import Database, connect
from radretrieval.archive.inbox import Arrival
from radretrieval.config import Settings
from radretrieval.errors import WrongPatientKey
from radretrieval.files import atomic
from radretrieval.files.uris import store_uri
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.run import ingest
from radretrieval.privacy.archive_key import ArchiveKey, archive_key
from radretrieval.privacy.pseudonyms import check_value, load_secret, patient_key
from radretrieval.storage.content_store import ContentStore

OTHER = "other" * 8
NOTED = "obj_description('radretrieval.image_patient_key_idx'::regclass, 'pg_class')"


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = psycopg.connect(url, options="-c search_path=radretrieval,public", autocommit=True)
    try:
        return connection.execute(query.encode()).fetchall()
    finally:
        connection.close()


def pseudonyms(url: str) -> set[str]:
    return {key for (key,) in rows(url, "SELECT patient_key FROM image")}


@pytest.fixture
def first(tmp_path: Path, archive_url: str, inside: Callable[..., Run]) -> str:
    """The URL of an archive with one image, of P1, that this test's home has ingested."""
    (tmp_path / "films").mkdir()
    a_file(tmp_path / "films" / "1.dcm", 1)
    inside("ingest", tmp_path / "films", "--keep", "copy")
    return archive_url


def test_field_01_another_key_is_refused_by_every_writer(
    first: str, tmp_path: Path, inside: Callable[..., Run], cli: Callable[..., Run]
) -> None:
    before = pseudonyms(first)
    (tmp_path / "more").mkdir()
    a_file(tmp_path / "more" / "2.dcm", 2)
    (tmp_path / "other.key").write_text(OTHER)
    named = {"RADRETRIEVAL_PATIENT_KEY_FILE": str(tmp_path / "other.key")}
    told = "is not the archive's: copy the key file.*RADRETRIEVAL_PATIENT_KEY_FILE"

    def refused(*arguments: object, **environment: str) -> str:
        done = inside(*arguments, check=False, **environment)
        assert (done.returncode, pseudonyms(first)) == (3, before), done.stderr
        return done.stderr

    for arguments in (("ingest", tmp_path / "more"), ("ingest", "--watch", "--settle", 0, tmp_path / "more")):
        assert re.search(told, refused(*arguments, **named))
    with serving(SmallWeb(studies={"1.2": {"1.2.3": (tmp_path / "more" / "2.dcm").read_bytes()}})) as web:
        assert "is not the archive's" in refused("pull", web.root, "--workers", 1, **named)
    (tmp_path / "unused.key").write_text(OTHER)  # this process has the other one locked
    rotating = {"RADRETRIEVAL_PATIENT_KEY_FILE": str(tmp_path / "unused.key")}
    assert "is not the archive's" in refused("patient-key", "rotate", **rotating)
    # a host that has no key makes none for an archive that has patients
    assert "there is no key" in refused("ingest", tmp_path / "more", RADRETRIEVAL_HOME=str(tmp_path / "away"))
    assert not (tmp_path / "away" / "patient.key").exists()
    inside("ingest", tmp_path / "more")
    assert pseudonyms(first) == before


def test_field_01_receive_ends_where_its_key_is_another(first: str, tmp_path: Path) -> None:
    home = tmp_path / "host2"
    home.mkdir()
    (home / "patient.key").write_text(OTHER)
    a_file(tmp_path / "2.dcm", 2)
    content = ContentStore(home / "store").put((tmp_path / "2.dcm").read_bytes())
    with Receiving(home, first, "--workers", 1) as node:
        with Database(first).connection() as connection:
            inbox.add(connection, Arrival(content, store_uri(content)))
        assert node.process.wait(60) == 3
    assert any("is not the archive's" in line for line in node.lines)
    assert rows(first, "SELECT count(*) FROM arrival") == [(1,)]  # it waits for a host with the right key
    assert rows(first, "SELECT count(*) FROM image") == [(1,)]


def test_field_01_the_inbox_records_the_first_key_and_ends_where_it_is_rotated_elsewhere(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    store = ContentStore(settings.store_folder)
    worker = InboxWorker(database, settings, workers=1)

    def arrive(number: int) -> None:
        a_file(tmp_path / f"{number}.dcm", number)
        content = store.put((tmp_path / f"{number}.dcm").read_bytes())
        with database.connection() as connection:
            inbox.add(connection, Arrival(content, store_uri(content)))

    arrive(1)
    assert worker.finish().added == 1
    value = check_value((settings.home / "patient.key").read_bytes().strip())
    assert rows(database.url, "SELECT check_value FROM patient_key_check") == [(value,)]
    with database.connection() as connection:  # as a rotation on another host does
        patient_keys.accept(connection, check_value(b"n" * 32))
    before = pseudonyms(database.url)
    arrive(2)
    worker.run(threading.Event())
    assert isinstance(worker.error, WrongPatientKey)
    assert pseudonyms(database.url) == before
    assert rows(database.url, "SELECT count(*) FROM arrival") == [(1,)]


def test_field_01_of_two_first_keys_at_once_one_is_the_archives(archive_url: str, tmp_path: Path) -> None:
    database = Database(archive_url)
    (tmp_path / "films").mkdir()
    a_file(tmp_path / "films" / "1.dcm", 1)
    ended: list[BaseException | None] = []

    def second() -> None:
        try:
            ingest(database, Settings(home=tmp_path / "two"), [tmp_path / "films"], workers=1)
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    with connect(archive_url) as one:
        winner = archive_key(one, Settings(home=tmp_path / "one"))
        winner.confirm(one)
        thread = threading.Thread(target=second)
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        until(lambda: rows(archive_url, waiting) != [(0,)], "the second waits for the first transaction")
        one.commit()
        thread.join(60)
    assert isinstance(ended[0], WrongPatientKey)
    assert ended[0].exit_code == 3
    assert rows(archive_url, "SELECT count(*) FROM image") == [(0,)]
    assert rows(archive_url, "SELECT check_value FROM patient_key_check") == [(check_value(winner.secret),)]


def test_field_01_the_check_value_is_committed_with_the_first_pseudonym(
    archive_url: str, tmp_path: Path, inside: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "films").mkdir()
    a_file(tmp_path / "films" / "1.dcm", 1)
    committed: list[tuple[int, int]] = []
    real = psycopg.Connection.commit

    def commit(connection: Any) -> None:
        real(connection)
        query = "SELECT (SELECT count(*) FROM image), (SELECT count(*) FROM patient_key_check)"
        committed.extend(rows(archive_url, query))

    monkeypatch.setattr(psycopg.Connection, "commit", commit)
    inside("ingest", tmp_path / "films")
    assert set(committed) == {(0, 0), (1, 1)}


def test_field_01_a_search_with_another_key_compares_no_patients(answers: Made, tmp_path: Path) -> None:
    away = {"RADRETRIEVAL_HOME": str(tmp_path / "analyst")}
    new = answers.folder / "new.dcm"
    assert answers.search(new, **away).returncode == 0  # nothing is compared, no key needed
    assert not (tmp_path / "analyst" / "patient.key").exists()
    (tmp_path / "other.key").write_text(OTHER)
    for options in (
        (new, "--exclude-same-patient"),
        ("--batch", answers.folder / "list.txt", "--exclude-same-patient", "--out", tmp_path / "hits.csv"),
        (new, "--fhir", tmp_path / "answer.json"),
    ):
        (answers.folder / "list.txt").write_text(f"file\n{new}\n")
        done = answers.search(*options, check=False, RADRETRIEVAL_PATIENT_KEY_FILE=str(tmp_path / "other.key"))
        assert (done.returncode, "is not the archive's" in done.stderr) == (3, True), done.stderr
        done = answers.search(*options, check=False, **away)
        assert (done.returncode, "there is no key" in done.stderr) == (3, True), done.stderr
    assert answers.search(new, "--exclude-same-patient").returncode == 0


@pytest.fixture
def old(empty_database_url: str, tmp_path: Path) -> Callable[..., str]:
    """An archive of revision 0007 with a DICOM image of P1, under the key `k…k`, and what 0007 noted of a key."""

    def make(noted: str | None, file: bool = True) -> str:
        migrations.upgrade(empty_database_url, "0007")
        a_file(tmp_path / "old.dcm", 5)
        hashed = sha256((tmp_path / "old.dcm").read_bytes()).digest()
        with psycopg.connect(empty_database_url) as connection:
            connection.execute(
                "INSERT INTO radretrieval.image (sha256, uri, format, rows, columns, bits_stored, photometric, "
                "patient_key) VALUES (%s, %s, 'dicom', 32, 32, 12, 'MONOCHROME2', %s)",
                (hashed, (tmp_path / "old.dcm").as_uri(), patient_key(b"k" * 32, "P1")),
            )
            if noted is not None:
                name = "radretrieval.image_patient_key_idx"
                connection.execute(f"COMMENT ON INDEX {name} IS 'check value of the key of patient_key {noted}'")
        if not file:
            (tmp_path / "old.dcm").unlink()
        migrations.upgrade(empty_database_url)
        return empty_database_url

    return make


def test_field_02_the_comment_of_before_becomes_a_row_and_back(old: Callable[..., str]) -> None:
    value = check_value(b"k" * 32)
    url = old(value)
    assert rows(url, f"SELECT check_value, {NOTED} FROM patient_key_check") == [(value, None)]
    migrations.downgrade(url, "0007")
    assert rows(url, f"SELECT {NOTED}") == [(f"check value of the key of patient_key {value}",)]


def test_field_01_an_older_archive_takes_the_key_that_fits_its_files(
    old: Callable[..., str], tmp_path: Path, inside: Callable[..., Run]
) -> None:
    url = old(None)
    assert rows(url, "SELECT check_value FROM patient_key_check") == [(None,)]
    with psycopg.connect(url) as connection:  # the newest may all be gone
        connection.execute(
            "INSERT INTO radretrieval.image (sha256, uri, format, rows, columns, bits_stored, photometric, "
            "patient_key) SELECT sha256(n::text::bytea), 'file:///gone/' || n, 'dicom', 32, 32, 12, 'MONOCHROME2', "
            "patient_key FROM radretrieval.image, generate_series(1, 12) n"
        )
    (tmp_path / "films").mkdir()
    a_file(tmp_path / "films" / "6.dcm", 6)
    (tmp_path / "other.key").write_text(OTHER)
    (tmp_path / "right.key").write_text("k" * 32)
    other, right = ({"RADRETRIEVAL_PATIENT_KEY_FILE": str(tmp_path / name)} for name in ("other.key", "right.key"))
    for words in (("patient-key", "rotate"), ("ingest", tmp_path / "films")):
        done = inside(*words, url=url, check=False, **other)
        assert (done.returncode, "none of the pseudonyms of 1 DICOM file" in done.stderr) == (3, True), done.stderr
    inside("ingest", tmp_path / "films", url=url, **right)
    assert pseudonyms(url) == {patient_key(b"k" * 32, "P1")}
    assert rows(url, "SELECT check_value FROM patient_key_check") == [(check_value(b"k" * 32),)]
    # who has lost the key says so, and the archive takes the next one
    done = inside("patient-key", "accept", "--json", url=url, **other)
    assert done.json == {"changed": True, "patients": 1}
    assert "patients from before" in done.stderr
    assert inside("patient-key", "accept", "--json", url=url, **other).json == {"changed": False, "patients": 1}
    a_file(tmp_path / "films" / "7.dcm", 7)
    inside("ingest", tmp_path / "films", url=url, **other)
    assert pseudonyms(url) == {patient_key(b"k" * 32, "P1"), patient_key(OTHER.encode(), "P1")}


def test_field_01_without_files_an_older_archive_takes_the_first_key_and_says_so(
    old: Callable[..., str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = old(None, file=False)
    settings = Settings(home=tmp_path / "home")
    with Database(url).connection() as connection:
        archive_key(connection, Settings(home=tmp_path, patient_key_file=_key(tmp_path))).confirm(connection)
    assert "no DICOM file is at hand to test it" in caplog.text
    with Database(url).connection() as connection, pytest.raises(WrongPatientKey, match="there is no key"):
        archive_key(connection, settings)


def _key(folder: Path) -> Path:
    (folder / "mine.key").write_text("k" * 32)
    return folder / "mine.key"


def test_field_02_a_dump_without_comments_keeps_the_check_value(
    first: str, server: Server, tmp_path: Path, inside: Callable[..., Run]
) -> None:
    if server.backend == "embedded":
        from radretrieval.archive.embedded.account import binaries

        programs = binaries(None)
    else:
        programs = needs_program("pg_dump").parent
    (tmp_path / "old.key").write_text(OTHER)
    dump = tmp_path / "archive.dump"
    with server.database() as url:
        subprocess.run([programs / "pg_dump", "-Fc", "--no-comments", "-f", dump, first], check=True)
        subprocess.run([programs / "pg_restore", "-d", url, dump], check=True)
        assert rows(url, "SELECT check_value FROM patient_key_check") != []
        a_file(tmp_path / "films" / "2.dcm", 2)
        before = pseudonyms(url)
        old = {"RADRETRIEVAL_PATIENT_KEY_FILE": str(tmp_path / "old.key")}
        done = inside("ingest", tmp_path / "films", url=url, check=False, **old)
        assert (done.returncode, pseudonyms(url)) == (3, before)
        inside("ingest", tmp_path / "films", url=url)
        assert pseudonyms(url) == before


def test_field_16_a_new_key_is_on_the_disk_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, made = tmp_path / "var" / "home", []

    def fsync(handle: int) -> None:
        made.append(os.readlink(f"/proc/self/fd/{handle}"))
        # the key is there under its name only after its content was synced
        assert stat.S_ISDIR(os.fstat(handle).st_mode) == (home / "patient.key").exists()
        real(handle)

    real = os.fsync
    monkeypatch.setattr(atomic.os, "fsync", fsync)
    load_secret(Settings(home=home))
    assert made[0].endswith(".part")
    assert made[1:4] == [str(home), str(home.parent), str(tmp_path)]
    made.clear()
    monkeypatch.setattr(atomic, "_synced", set())
    load_secret(Settings(home=home))  # in another process; the first may not have come to its folders yet
    assert made[:3] == [str(home), str(home.parent), str(tmp_path)]


def test_a_key_is_confirmed_only_where_no_other_transaction_records_one(archive_url: str, tmp_path: Path) -> None:
    """Without the lock of ingestion: the primary key alone decides between two first keys."""
    keys = [ArchiveKey(Settings(home=tmp_path), tmp_path, secret * 32) for secret in (b"a", b"b")]
    ended: list[BaseException] = []

    def second() -> None:
        with connect(archive_url) as other:
            try:
                keys[1].confirm(other)
            except WrongPatientKey as error:
                ended.append(error)

    with connect(archive_url) as one:
        keys[0].confirm(one)
        thread = threading.Thread(target=second)
        thread.start()
        until(lambda: rows(archive_url, "SELECT count(*) FROM pg_locks WHERE NOT granted") != [(0,)], "it waits")
        one.commit()
        thread.join(60)
    assert len(ended) == 1


def test_the_pseudonym_of_an_identifier(
    first: str, tmp_path: Path, inside: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    (known,) = pseudonyms(first)
    monkeypatch.setattr("sys.stdin", io.StringIO("P1 \n"))
    assert inside("patient-key", "of", "-").stdout == f"{known}\n"
    other = inside("patient-key", "of", "P1", "--issuer", "Other", "--json").json["patient_key"]
    assert re.fullmatch("[0-9a-f]{32}", other)
    assert other != known
    assert inside("patient-key", "of", " ", check=False).returncode == 2
    assert rows(first, "SELECT detail FROM audit WHERE action = 'patient-key of'") == [({},), ({},)]
    key = tmp_path / "home" / "patient.key"
    key.chmod(0o600)
    key.write_bytes(OTHER.encode())
    refused = inside("patient-key", "of", "P1", check=False)
    assert (refused.returncode, refused.stdout) == (3, "")
