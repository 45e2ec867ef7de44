"""What the archive keeps of files, where they are read from, and what verify finds of them."""

from __future__ import annotations

import hashlib
import io
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import RLELossless

from radretrieval.archive import inbox
from radretrieval.archive.connections import Database
from radretrieval.archive.inbox import Arrival
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, ImageError, UsageError
from radretrieval.files.uris import store_uri, to_uri
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.run import ingest
from radretrieval.jobs.verify import verify
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.reading import Reading
from radretrieval.storage.source import read_source


def png(path: Path, seed: int, size: tuple[int, int] = (60, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    low = np.random.default_rng(seed).random((6, 4), np.float32)
    smooth = Image.fromarray(low).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    Image.fromarray(np.clip(np.asarray(smooth) * 255, 0, 255).astype(np.uint8)).save(path)
    return path


def rows(database: Database, query: str = "SELECT * FROM image ORDER BY id") -> list[dict[str, Any]]:
    with database.connection() as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        png(tmp_path / "in" / f"{seed}.png", seed)
    return tmp_path / "in"


def kept(settings: Settings, keep: str, **more: Any) -> Settings:
    return settings.model_copy(update={"keep": keep, **more})


def test_by_reference_nothing_is_kept(database: Database, settings: Settings, folder: Path) -> None:
    ingest(database, settings, [folder])
    assert not settings.store_folder.exists()
    assert {row["kept"] for row in rows(database)} == {None}
    report = verify(database, settings)
    assert (report.images, report.sound, report.orphans, report.unsound) == (3, 3, 0, 0)


def test_a_copy_is_read_when_the_file_is_gone(database: Database, settings: Settings, folder: Path) -> None:
    settings = kept(settings, "copy")
    ingest(database, settings, [folder])
    data = (folder / "0.png").read_bytes()
    row = rows(database)[0]
    assert row["kept"] == "copy"
    assert ContentStore(settings.store_folder).path(row["sha256"]).read_bytes() == data
    before = read_source(row["uri"], row["sha256"], Reading.of(settings)).pixels
    (folder / "0.png").unlink()
    assert (read_source(row["uri"], row["sha256"], Reading.of(settings)).pixels == before).all()
    assert verify(database, settings).sound == 3


def test_a_damaged_copy_is_told(database: Database, settings: Settings, folder: Path) -> None:
    settings = kept(settings, "copy")
    ingest(database, settings, [folder])
    row = rows(database)[0]
    path = ContentStore(settings.store_folder).path(row["sha256"])
    path.write_bytes(b"x" + path.read_bytes()[1:])
    report = verify(database, settings)
    assert (report.sound, report.changed) == (2, 1)
    assert "the store has another file in its place" in report.failures[0]["message"]


def test_reduced_pixels_stand_in_and_say_so(database: Database, settings: Settings, folder: Path) -> None:
    settings = kept(settings, "reduced", reduced_size=30)
    ingest(database, settings, [folder])
    row = rows(database)[0]
    assert row["kept"] == "reduced"
    original = read_source(row["uri"], row["sha256"], Reading.of(settings))
    assert original.unreachable is None
    with Image.open(ContentStore(settings.store_folder).reduced_path(row["sha256"])) as small:
        assert small.size == (20, 30)
    (folder / "0.png").unlink()
    again = read_source(row["uri"], row["sha256"], Reading.of(settings))
    assert again.pixels.shape == original.pixels.shape  # a region keeps its coordinates
    assert np.corrcoef(again.pixels.ravel(), original.pixels.ravel())[0, 1] > 0.99
    assert again.unreachable is not None
    assert "is gone" in again.unreachable
    report = verify(database, settings)
    assert (report.sound, report.gone, report.reduced) == (2, 1, 1)
    assert "reduced copy is shown instead" in report.failures[0]["message"]


def test_verify_finds_gone_changed_and_back(database: Database, settings: Settings, folder: Path) -> None:
    ingest(database, settings, [folder])
    data = (folder / "0.png").read_bytes()
    (folder / "0.png").unlink()
    png(folder / "1.png", 99)
    report = verify(database, settings)
    assert (report.images, report.sound, report.gone, report.changed) == (3, 1, 1, 1)
    assert {Path(f["path"]).name: f["error"] for f in report.failures} == {"0.png": "gone", "1.png": "changed"}
    assert [row["gone_at"] is not None for row in rows(database)] == [True, False, False]
    (folder / "0.png").write_bytes(data)
    assert verify(database, settings).gone == 0
    assert [row["gone_at"] for row in rows(database)] == [None, None, None]


def test_only_what_nobody_names_is_tidied(database: Database, settings: Settings, folder: Path) -> None:
    settings = kept(settings, "copy")
    ingest(database, settings, [folder])
    store = ContentStore(settings.store_folder)
    orphans = [store.path(store.put(b"of nobody")), store.path(store.put(b"of nobody, and new"))]
    half = orphans[0].with_name(f".{orphans[0].name}.1.ab")
    half.write_bytes(b"of nob")
    waiting = store.put(b"arrived")
    with database.connection() as connection:
        inbox.add(connection, Arrival(waiting, store_uri(waiting)))
        connection.commit()
    for path in (orphans[0], half, store.path(waiting), store.path(rows(database)[0]["sha256"])):
        os.utime(path, (time.time() - 7200,) * 2)
    assert verify(database, settings).orphans == 3
    report = verify(database, settings, tidy=True)
    assert (report.orphans, report.removed, report.sound) == (3, 2, 3)
    assert [path.exists() for path in (orphans[0], half, orphans[1], store.path(waiting))] == [False, False, True, True]


def test_what_an_older_version_ingested_is_completed(database: Database, settings: Settings, shared: Path) -> None:
    ingest(database, settings, [shared / "data" / "dicom" / "valid" / "RG2_UNC.dcm"])
    with database.connection() as connection:
        connection.execute(
            "UPDATE image SET pixels_sha256 = NULL, sop_class_uid = NULL, study_date = NULL, manufacturer = NULL"
        )
        connection.commit()
    assert verify(database, settings).completed == 1
    (row,) = rows(database)
    assert row["sop_class_uid"] == "1.2.840.10008.5.1.4.1.1.1"
    assert len(row["pixels_sha256"]) == 32
    assert verify(database, settings).completed == 0


def test_a_store_that_cannot_be_written_ends_the_run(database: Database, settings: Settings, folder: Path) -> None:
    in_the_way = folder / "file"
    in_the_way.write_text("")
    with pytest.raises(EnvironmentUnusable, match="RADRETRIEVAL_STORE"):
        ingest(database, kept(settings, "copy", store=in_the_way), [folder / "0.png"])
    assert rows(database) == []


def test_what_a_server_has_cannot_be_read_without_it(settings: Settings) -> None:
    with pytest.raises(ImageError, match=r"cannot be reached .* check the server"):
        read_source("http://127.0.0.1:9/instances/1", bytes(32), Reading.of(settings))


# arrivals


def arrive(
    database: Database, settings: Settings, data: bytes, uri: str | None = None, origin: str = "MODALITY"
) -> bytes:
    store = ContentStore(settings.store_folder)
    sha256 = hashlib.sha256(data).digest()
    with database.connection() as connection:
        inbox.hold(connection, sha256)
        store.put(data)
        inbox.add(connection, Arrival(sha256, uri or store_uri(sha256), origin))
        connection.commit()
    return sha256


def test_arrivals_become_images_or_fail(database: Database, settings: Settings, shared: Path) -> None:
    valid, broken = shared / "data" / "dicom" / "valid", shared / "data" / "dicom" / "broken"
    compressed = pydicom.dcmread(valid / "RG2_UNC.dcm")
    compressed.compress(RLELossless, generate_instance_uid=False)
    buffer = io.BytesIO()
    compressed.save_as(buffer)
    films = [arrive(database, settings, data) for data in ((valid / "RG2_UNC.dcm").read_bytes(), buffer.getvalue())]
    refused = arrive(database, settings, (broken / "no_photometric.dcm").read_bytes())
    report = InboxWorker(database, settings, 1).finish()
    # one film in two encodings is one image: the files have one SOP Instance UID and the same pixels
    assert (report.added, report.unchanged, report.failed, report.problems) == (1, 1, 1, [])
    (row,) = rows(database)
    assert (row["uri"], row["origin"], row["kept"]) == (store_uri(films[0]), "MODALITY", "copy")
    assert row["patient_key"] is not None
    store = ContentStore(settings.store_folder)
    assert [store.path(sha).exists() for sha in (*films, refused)] == [True, False, True]
    (failure,) = rows(database, "SELECT uri, sha256, message FROM ingest_failure")
    assert failure["uri"] == store_uri(refused)
    assert "PhotometricInterpretation" in failure["message"]
    assert rows(database, "SELECT * FROM arrival") == []
    assert verify(database, settings).orphans == 0


def test_the_same_uid_with_other_pixels_is_kept_apart(database: Database, settings: Settings, shared: Path) -> None:
    valid = shared / "data" / "dicom" / "valid"
    for number in (1, 2):
        arrive(database, settings, (valid / f"derived_RG3_220_mono{number}_u16.dcm").read_bytes())
    report = InboxWorker(database, settings, 1).finish()
    assert (report.added, [problem["error"] for problem in report.problems]) == (2, ["SameUid"])
    assert [row["same_uid"] for row in rows(database)] == [False, True]


@pytest.mark.parametrize("keep", ["reference", "copy", "reduced"])
def test_of_what_its_peer_gives_again_the_setting_is_kept(
    database: Database, settings: Settings, folder: Path, keep: str
) -> None:
    data = (folder / "0.png").read_bytes()
    elsewhere = to_uri(folder / "0.png")  # stands for a server: a place that is not the store
    sha256 = arrive(database, settings, data, elsewhere)
    assert InboxWorker(database, kept(settings, keep), 1).finish().added == 1
    store = ContentStore(settings.store_folder)
    assert store.path(sha256).exists() == (keep == "copy")
    assert store.reduced_path(sha256).exists() == (keep == "reduced")
    (row,) = rows(database)
    assert (row["uri"], row["kept"]) == (elsewhere, None if keep == "reference" else keep)


def test_an_image_does_not_arrive_again(database: Database, settings: Settings, folder: Path) -> None:
    ingest(database, settings, [folder])
    arrive(database, settings, (folder / "0.png").read_bytes())
    assert rows(database, "SELECT * FROM arrival") == []


def test_every_frame_is_an_image_if_asked(database: Database, settings: Settings, shared: Path) -> None:
    path = shared / "data" / "dicom" / "valid" / "pdd_emri_small.dcm"
    settings = settings.model_copy(update={"frames": "each"})
    assert ingest(database, settings, [path]).added == 1  # a file counts once
    found = rows(database)
    assert [row["frame"] for row in found] == list(range(1, 11))
    assert [row["uri"] for row in found] == [f"{to_uri(path)}#frame={n}" for n in range(1, 11)]
    third = read_source(found[2]["uri"], found[2]["sha256"], Reading.of(settings))
    assert third.pixels_sha256 == found[2]["pixels_sha256"] != found[3]["pixels_sha256"]
    report = ingest(database, settings, [path])
    assert (report.added, report.unchanged) == (0, 1)
    assert verify(database, settings).sound == 10
    refusing = settings.model_copy(update={"frames": "refuse"})
    other = settings.home / "other.dcm"
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(path.read_bytes() + b"\0\0")
    (failure,) = ingest(database, refusing, [other]).failures
    assert "holds 10 frames" in failure["message"]


# headers


def header_of(database: Database, settings: Settings, path: Path) -> dict[str, Any]:
    assert ingest(database, settings, [path]).failed == 0
    (row,) = rows(database)
    return row


def test_columns_come_from_the_header(database: Database, settings: Settings, shared: Path) -> None:
    row = header_of(database, settings, shared / "data" / "dicom" / "valid" / "RG2_UNC.dcm")
    header = pydicom.dcmread(shared / "data" / "dicom" / "valid" / "RG2_UNC.dcm", stop_before_pixels=True)
    assert row["study_date"].isoformat().replace("-", "") == header.StudyDate
    assert row["manufacturer"] == header.Manufacturer
    assert (row["sop_class_uid"], row["transfer_syntax_uid"]) == (
        header.SOPClassUID,
        header.file_meta.TransferSyntaxUID,
    )
    spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    assert (row["row_spacing"], row["column_spacing"]) == tuple(map(float, spacing or (None, None)))
    assert str(header.PatientName) not in str(row)
    assert row["header"] is None


def test_a_site_says_what_is_kept(
    database: Database, settings: Settings, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADRETRIEVAL_HEADER", "Modality, StudyDate")
    monkeypatch.setenv("RADRETRIEVAL_HEADER_MORE", "SoftwareVersions,Columns")
    chosen = Settings(home=settings.home, database_url=None)
    row = header_of(database, chosen, shared / "data" / "dicom" / "valid" / "RG2_UNC.dcm")
    assert row["modality"] is not None
    assert row["study_date"] is not None
    assert {row[name] for name in ("body_part", "view_position", "manufacturer", "row_spacing", "kvp")} == {None}
    assert row["header"]["Columns"] == str(row["columns"])


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ("PatientName", "identifies a person"),
        ("PatientID", "identifies a person"),
        ("PatientNmae", "no keyword"),
        ("PixelData", "no text"),
        ("RequestAttributesSequence", "no text"),
    ],
)
def test_what_is_never_kept(database: Database, settings: Settings, folder: Path, keyword: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        ingest(database, settings.model_copy(update={"header_more": (keyword,)}), [folder])


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 100", "Röntgen Wörks"), ("ISO_IR 192", "放射線 Röntgen"), ("ISO_IR 144", "Рентген")]
)
def test_character_sets(database: Database, settings: Settings, shared: Path, charset: str, name: str) -> None:
    ds = pydicom.dcmread(shared / "data" / "dicom" / "valid" / "derived_RG3_220_mono1_u16.dcm")
    ds.SpecificCharacterSet, ds.Manufacturer = charset, name
    settings.home.mkdir(parents=True)
    ds.save_as(settings.home / "x.dcm")
    assert header_of(database, settings, settings.home / "x.dcm")["manufacturer"] == name


# what is amiss is mended


def test_a_damaged_copy_is_mended_by_the_file_itself(database: Database, settings: Settings, folder: Path) -> None:
    data = (folder / "0.png").read_bytes()
    sha256 = arrive(database, settings, data)
    assert InboxWorker(database, settings, 1).finish().added == 1
    path = ContentStore(settings.store_folder).path(sha256)
    path.write_bytes(data[:-1] + b"x")
    assert verify(database, settings).changed == 1
    arrive(database, settings, data)  # it is sent again
    assert path.read_bytes() == data
    assert verify(database, settings).sound == 1


def test_a_header_that_was_edited_in_place_is_taken(database: Database, settings: Settings, shared: Path) -> None:
    settings.home.mkdir(parents=True)
    path = settings.home / "film.dcm"
    ds = pydicom.dcmread(shared / "data" / "dicom" / "valid" / "derived_RG3_220_mono1_u16.dcm")
    ds.save_as(path)
    ingest(database, settings, [path])
    ds.StudyDescription = "edited by the PACS"
    ds.save_as(path)
    assert verify(database, settings).changed == 1
    report = ingest(database, settings, [path])
    assert (report.added, report.unchanged, report.problems) == (0, 1, [])
    assert verify(database, settings).sound == 1


def test_no_copy_is_kept_of_what_is_an_image_already(database: Database, settings: Settings, shared: Path) -> None:
    settings.home.mkdir(parents=True)
    film = shared / "data" / "dicom" / "valid" / "derived_RG3_220_mono1_u16.dcm"
    other = pydicom.dcmread(film)
    other.StudyDescription = "the same in other bytes"
    other.save_as(settings.home / "other.dcm")
    for keep in ("copy", "reduced"):
        ingest(database, kept(settings, "reference"), [film])
        assert ingest(database, kept(settings, keep), [settings.home / "other.dcm"]).unchanged == 1
        assert verify(database, settings).orphans == 0


def test_a_failure_names_its_sender(database: Database, settings: Settings) -> None:
    store = ContentStore(settings.store_folder)
    sha256 = store.put(b"no image")
    with database.connection() as connection:
        inbox.add(connection, Arrival(sha256, store_uri(sha256), "WARD7", "1.2.3"))
        connection.commit()
    (failure,) = InboxWorker(database, settings, 1).finish().failures
    assert "(from WARD7, SOP Instance UID 1.2.3)" in failure["message"]
