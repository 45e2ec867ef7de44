"""Equal identifiers of two issuers: two patients, and neither one patient nor two without anybody being told."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pydicom
import pytest
from answering import Made
from conftest import Run
from nodes import a_file
from PIL import Image

from radretrieval.archive import inbox, migrations
from radretrieval.archive.connections import Database
from radretrieval.archive.inbox import Arrival
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable
from radretrieval.files.uris import store_uri
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.privacy.archive_key import archive_key
from radretrieval.privacy.pseudonyms import extended, issuer_name, keys_of, patient_key, rekeyed
from radretrieval.storage.content_store import ContentStore

SECRET = b"k" * 32
PLAIN, A, B = (patient_key(SECRET, "P1", issuer) for issuer in ("", "hospital a", "hospital b"))


def film(path: Path, seed: int, issuer: str | None = None) -> Path:
    """A radiograph of patient P1 of an issuer."""
    path.parent.mkdir(exist_ok=True)
    a_file(path, seed)
    if issuer is not None:
        ds = pydicom.dcmread(path)
        ds.IssuerOfPatientID = issuer
        ds.save_as(path)
    return path


@pytest.fixture
def ingest(tmp_path: Path, inside: Callable[..., Run]) -> Callable[..., Run]:
    """`ingest` with the key `k…k`."""
    (tmp_path / "key").write_bytes(SECRET)
    key = {"RADRETRIEVAL_PATIENT_KEY_FILE": str(tmp_path / "key")}
    return lambda *words, **options: inside("ingest", *words, **key | options)


def pseudonyms(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        query = "SELECT patient_key FROM radretrieval.image ORDER BY id"
        return [key for (key,) in connection.execute(query).fetchall()]


def test_a_pseudonym_without_an_issuer_is_what_it_always_was() -> None:
    assert patient_key(b"s" * 32, "4711") == "08168654f795be742d0bca4d95ee2062"
    assert patient_key(b"s" * 32, "4711", "") == patient_key(b"s" * 32, "4711")
    chain = extended(SECRET)
    assert patient_key(chain, "P1", "hospital a") == rekeyed(keys_of(chain)[1], A)
    assert issuer_name("  Hospital\t A ") == issuer_name("HOSPITAL A") == "hospital a"
    assert issuer_name(" ") == issuer_name(None) == ""
    assert issuer_name("St. A\u0308nne") == issuer_name("ST. ÄNNE"), "composed otherwise"


def test_field_04_equal_identifiers_of_two_issuers_are_two_patients(
    archive_url: str, tmp_path: Path, ingest: Callable[..., Run]
) -> None:
    film(tmp_path / "1" / "a.dcm", 1, "Hospital A")
    film(tmp_path / "1" / "b.dcm", 2, "HOSPITAL  B ")
    ingest(tmp_path / "1", "--workers", 1)
    assert set(pseudonyms(archive_url)) == {A, B}
    # who says the issuer of files that have none; labels say no issuer
    ingest(film(tmp_path / "2" / "a.dcm", 3), "--issuer", "hospital a")
    ingest(film(tmp_path / "3" / "b.dcm", 4), RADRETRIEVAL_ISSUER="Hospital B")
    ingest(film(tmp_path / "4" / "a.dcm", 5, "Hospital A"), RADRETRIEVAL_ISSUER="Hospital B")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "5.png")
    film(tmp_path / "6.dcm", 6, "Hospital A")
    (tmp_path / "labels.csv").write_text("file,patient_id\n5.png,P1\n6.dcm,P1\n")
    for name in ("5.png", "6.dcm"):
        ingest(tmp_path / name, "--labels", tmp_path / "labels.csv", "--issuer", "Hospital B")
    assert pseudonyms(archive_url)[2:] == [A, B, A, B, B]


def test_field_04_the_inbox_takes_the_issuer_too(database: Database, settings: Settings, tmp_path: Path) -> None:
    settings = Settings(home=settings.home, issuer="Hospital B", patient_key_file=tmp_path / "key")
    (tmp_path / "key").write_bytes(SECRET)
    store = ContentStore(settings.store_folder)
    with database.connection() as connection:
        for seed, issuer in enumerate(("Hospital A", None)):
            content = store.put(film(tmp_path / f"{seed}.dcm", seed, issuer).read_bytes())
            inbox.add(connection, Arrival(content, store_uri(content)))
    InboxWorker(database, settings, workers=1).finish()
    assert pseudonyms(database.url) == [A, B]


def test_field_04_a_patient_who_becomes_two_is_named(
    archive_url: str, tmp_path: Path, ingest: Callable[..., Run]
) -> None:
    assert ingest(film(tmp_path / "1.dcm", 1), "--json").json["problems"] == []
    [problem] = ingest(film(tmp_path / "2.dcm", 2, "Hospital A"), "--json").json["problems"]
    assert problem["path"] == str(tmp_path / "2.dcm")
    assert problem["error"] == "OtherIssuer"
    assert "of the issuer 'hospital a'" in problem["message"]
    assert "RADRETRIEVAL_ISSUER" in problem["message"]
    # once: then both are known
    assert ingest(film(tmp_path / "3.dcm", 3, "Hospital A"), "--json").json["problems"] == []
    assert pseudonyms(archive_url) == [PLAIN, A, A]
    # the way back that it names
    (tmp_path / "labels.csv").write_text("file,patient_id\n1.dcm,P1\n")
    done = ingest(tmp_path / "1.dcm", "--labels", tmp_path / "labels.csv", "--issuer", "Hospital A", "--json").json
    assert done["relabelled"] == 1
    assert set(pseudonyms(archive_url)) == {A}


def test_a_correction_that_brings_the_issuer_makes_no_second_patient(
    archive_url: str, tmp_path: Path, ingest: Callable[..., Run]
) -> None:
    def corrected(name: str, issuer: str) -> Any:
        ds = pydicom.dcmread(tmp_path / name)
        ds.IssuerOfPatientID = issuer
        ds.save_as(tmp_path / name)
        return ingest(tmp_path / name, "--json").json

    ingest(film(tmp_path / "1.dcm", 1), film(tmp_path / "2.dcm", 2))
    first = corrected("1.dcm", "Hospital A")
    assert (first["updated"], [one["error"] for one in first["problems"]]) == (1, ["OtherIssuer"]), "2.dcm has none yet"
    last = corrected("2.dcm", "Hospital B")
    assert (last["updated"], last["problems"]) == (1, []), "no image is left without an issuer"
    assert pseudonyms(archive_url) == [A, B]


@pytest.mark.parametrize("issuers", [("Hospital A", None), (None, "Hospital A")])
def test_field_04_a_patient_who_comes_as_two_in_one_batch_is_named(
    database: Database, tmp_path: Path, issuers: tuple[str | None, ...]
) -> None:
    (tmp_path / "key").write_bytes(SECRET)
    with database.connection() as connection:
        key = archive_key(connection, Settings(home=tmp_path, patient_key_file=tmp_path / "key"))
        assert {key.pseudonym("P1", issuer) for issuer in issuers} == {A, PLAIN}
        assert key.now_two(connection) == {A: ("hospital a", PLAIN)}
        key.pseudonym("P1", "Hospital A")
        assert key.now_two(connection) == {}, "a batch is forgotten when it is asked for"


@pytest.fixture
def old(empty_database_url: str, tmp_path: Path) -> str:
    """An archive of revision 0007 with P1, upgraded."""
    migrations.upgrade(empty_database_url, "0007")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "INSERT INTO radretrieval.image (sha256, uri, format, rows, columns, bits_stored, photometric, patient_key)"
            " VALUES (sha256('a'), 'file:///gone', 'png', 1, 1, 8, 'MONOCHROME2', %s)",
            (PLAIN,),
        )
    migrations.upgrade(empty_database_url)
    return empty_database_url


def test_field_04_an_older_archive_keeps_its_patients_until_a_rotation_says_whose_they_are(
    old: str, tmp_path: Path, ingest: Callable[..., Run], cli: Callable[..., Run]
) -> None:
    for seed, issuer in enumerate(("Hospital A", "Hospital B", None)):
        assert ingest(film(tmp_path / f"{seed}.dcm", seed, issuer), "--json", url=old).json["problems"] == []
    assert pseudonyms(old) == [PLAIN] * 4  # as before: neither split nor told apart
    (tmp_path / "key2").write_bytes(SECRET)  # this process has the other file locked
    key = {"RADRETRIEVAL_PATIENT_KEY_FILE": str(tmp_path / "key2"), "url": old}
    told = cli("patient-key", "rotate", **key)
    assert "take no issuer" in told.stderr
    assert "--issuer NAME" in told.stderr
    for name in (None, "Hospital B"):  # the second rotation says whose they are
        if name is not None:
            assert "issuer" not in cli("patient-key", "rotate", "--issuer", name, **key).stderr
        (tmp_path / f"key {name}").write_bytes((tmp_path / "key2").read_bytes())
        known = pseudonyms(old)[0]
        for seed, issuer in enumerate(("Hospital A", "hospital b", None)):
            path = film(tmp_path / f"{name} {seed}.dcm", 10 + seed + 10 * (name is None), issuer)
            ingest(path, url=old, RADRETRIEVAL_PATIENT_KEY_FILE=str(tmp_path / f"key {name}"))
        secret = (tmp_path / "key2").read_bytes().strip()
        assert known == patient_key(secret, "P1")
        other = known if name is None else patient_key(secret, "P1", "hospital a")
        assert pseudonyms(old)[-3:] == [other, known, known]


def test_field_04_an_archive_with_issuers_does_not_go_back(
    archive_url: str, tmp_path: Path, ingest: Callable[..., Run]
) -> None:
    ingest(film(tmp_path / "1.dcm", 1, "Hospital A"))
    with Database(archive_url).connection() as connection:  # else the rows of the audit would refuse it before
        connection.execute("ALTER TABLE audit DISABLE TRIGGER USER")
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("DELETE FROM audit")
    with pytest.raises(EnvironmentUnusable, match="take the issuer of identifiers"):
        migrations.downgrade(archive_url, "0007")


def test_field_04_a_search_leaves_out_the_patient_of_the_querys_issuer(answers: Made, tmp_path: Path) -> None:
    ds = pydicom.dcmread(answers.folder / "x-rays" / "2.dcm")
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    ds.PixelData = bytes(reversed(ds.PixelData))
    ds.save_as(tmp_path / "own.dcm")
    ds.IssuerOfPatientID = "Hospital A"
    ds.save_as(tmp_path / "a.dcm")
    (tmp_path / "list.csv").write_text("file\nown.dcm\na.dcm\n")

    def found(name: str) -> set[int]:
        answer = answers.search(tmp_path / name, "--exclude-same-patient", "--json").json
        return {hit["image_id"] for hit in answer["hits"]}

    own = {3, 4}  # the two of the patient of file 2
    assert not found("own.dcm") & own
    assert found("a.dcm") >= own
    answers.search("--batch", tmp_path / "list.csv", "--exclude-same-patient", "--out", tmp_path / "hits.csv")
    with (tmp_path / "hits.csv").open(newline="") as file:
        hits = {(Path(row["query"]).name, int(row["image_id"])) for row in csv.DictReader(file)}
    assert {number for name, number in hits if name == "own.dcm" and number in own} == set()
    assert {number for name, number in hits if name == "a.dcm" and number in own} == own
