"""Ingestion: every file ends as added, unchanged or failed, and a second run changes nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pydicom
import pytest
from PIL import Image

from radretrieval.archive import images
from radretrieval.archive.connections import Database
from radretrieval.archive.images import Failure
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, InputMissing, UsageError
from radretrieval.files.uris import to_uri
from radretrieval.files.walk import walk
from radretrieval.imaging import read_image
from radretrieval.ingest import run as module
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.run import IngestReport, ingest


def png(path: Path, seed: int, size: tuple[int, int] = (24, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(path)
    return path


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.connection() as connection:
        return connection.execute(query).fetchall()


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    assert report.seen == report.added + report.unchanged + report.failed
    return report.seen, report.added, report.unchanged, report.failed


def test_every_file_is_accounted_for(database: Database, settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "studies"
    for seed in range(5):
        png(folder / "a" / f"{seed}.png", seed)
    shutil.copy(folder / "a" / "0.png", folder / "b.png")  # the same content at another place
    (folder / "notes.txt").write_text("no picture")
    (folder / "empty.dcm").touch()
    (folder / ".hidden.png").write_text("passed over")
    finished: list[int] = []
    report = ingest(database, settings, [folder], advance=finished.append)
    assert counts(report) == (8, 5, 1, 2)
    assert sum(finished) == 8
    reasons = {Path(failure["path"]).name: failure["message"] for failure in report.failures}
    assert "not a radiograph format" in reasons["notes.txt"]
    assert "is empty" in reasons["empty.dcm"]
    stored = rows(database, "SELECT * FROM image ORDER BY id")
    assert [row["uri"] for row in stored] == [to_uri(folder / "a" / f"{seed}.png") for seed in range(5)]
    first = stored[0]
    assert bytes(first["sha256"]) == hashlib.sha256((folder / "a" / "0.png").read_bytes()).digest()
    assert (first["format"], first["rows"], first["columns"], first["bits_stored"]) == ("png", 24, 20, 8)
    failed = rows(database, "SELECT uri, error, attempts FROM ingest_failure ORDER BY uri")
    assert [(row["uri"], row["error"], row["attempts"]) for row in failed] == [
        (to_uri(folder / "empty.dcm"), "ImageError", 1),
        (to_uri(folder / "notes.txt"), "ImageError", 1),
    ]


def test_again_and_mended(database: Database, settings: Settings, tmp_path: Path) -> None:
    good = png(tmp_path / "in" / "good.png", 1)
    bad = tmp_path / "in" / "bad.png"
    bad.write_bytes(good.read_bytes()[:100])
    assert counts(ingest(database, settings, [tmp_path / "in"])) == (2, 1, 0, 1)
    assert counts(ingest(database, settings, [tmp_path / "in"])) == (2, 0, 1, 1)
    assert rows(database, "SELECT attempts FROM ingest_failure") == [{"attempts": 2}]
    png(bad, 2)
    assert counts(ingest(database, settings, [tmp_path / "in"])) == (2, 1, 1, 0)
    assert rows(database, "SELECT * FROM ingest_failure") == []


def test_failures_go_with_their_files(database: Database, settings: Settings, tmp_path: Path) -> None:
    png(tmp_path / "in" / "good.png", 1)
    (tmp_path / "in" / "bad.txt").write_text("no picture")
    (tmp_path / "other.txt").write_text("no picture either")
    csv = tmp_path / "in" / "mine.csv"
    csv.write_text("file,split\ngood.png,train\n")
    assert counts(ingest(database, settings, [tmp_path / "in", tmp_path / "other.txt"])) == (4, 1, 0, 3)
    (tmp_path / "in" / "bad.txt").unlink()
    (tmp_path / "other.txt").unlink()
    assert counts(ingest(database, settings, [tmp_path / "in"], labels=read_labels(csv))) == (1, 0, 1, 0)
    left = rows(database, "SELECT uri FROM ingest_failure")
    assert left == [{"uri": to_uri(tmp_path / "other.txt")}]  # nobody looked there


def test_known_files_beside_the_images_are_passed_over(database: Database, settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    png(folder / "good.png", 1)
    beside = ["labels.csv", "a/Thumbs.db", "a/desktop.ini", "DICOMDIR", ".DS_Store"]
    (folder / "a").mkdir()
    for name in beside:
        (folder / name).write_text("no picture")
    with database.connection() as connection:  # as versions before counted it
        failure = Failure(to_uri(folder / "labels.csv"), None, "ImageError", "not a radiograph format")
        images.keep_failures(connection, [failure])
    report = ingest(database, settings, [folder])
    assert (counts(report), report.passed_over, report.failures) == ((1, 1, 0, 0), 4, [])
    assert rows(database, "SELECT uri FROM ingest_failure") == []
    assert counts(ingest(database, settings, [folder / "DICOMDIR"])) == (1, 0, 0, 1), "it was named itself"


def test_more_than_a_batch(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    for seed in range(11):
        png(tmp_path / "in" / f"{seed:02}.png", seed % 9)  # two contents come twice, in another batch
        (tmp_path / "in" / f"{seed:02}.txt").write_text(f"{seed}")
    assert counts(ingest(database, settings, [tmp_path / "in"])) == (22, 9, 2, 11)
    assert len(rows(database, "SELECT * FROM ingest_failure")) == 11


def test_labels_splits_and_patients(database: Database, settings: Settings, tmp_path: Path) -> None:
    for name in "abcd":
        png(tmp_path / "in" / f"{name}.png", ord(name))
    csv = tmp_path / "in" / "labels.csv"
    csv.write_text(
        "file,irma_code,split,patient_id,modality,laterality\n"
        "a.png,1121-127-700-500,train,4711,CR,L\nb.png,,,4711,,\nc.png,wrong,test,,,\n"
    )
    report = ingest(database, settings, [tmp_path / "in"], labels=read_labels(csv), split="later")
    assert counts(report) == (4, 3, 0, 1)
    assert report.unlabelled == 1
    assert "line 4" in report.failures[0]["message"]
    a, b, d = rows(database, "SELECT * FROM image ORDER BY uri")
    assert (a["irma_code"], a["split"], a["modality"], a["laterality"]) == ("1121-127-700-500", "train", "CR", "L")
    assert (b["irma_code"], b["split"], b["modality"]) == (None, "later", None)
    assert a["patient_key"] == b["patient_key"] != "4711"
    assert len(a["patient_key"]) == 32
    assert (d["split"], d["patient_key"]) == ("later", None)
    csv.write_text("file,irma_code,split\na.png,1121-120-942-700,train\nb.png,1121-120-942-700,train\nc.png,,test\n")
    report = ingest(database, settings, [tmp_path / "in"], labels=read_labels(csv))
    assert counts(report) == (4, 1, 3, 0)
    assert report.relabelled == 2
    a, b, *_ = rows(database, "SELECT * FROM image ORDER BY uri")
    assert (a["irma_code"], a["modality"]) == ("1121-120-942-700", "CR")
    assert ingest(database, settings, [tmp_path / "in"], labels=read_labels(csv)).relabelled == 0


def test_rows_without_files_are_named(database: Database, settings: Settings, tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png", 1)
    (tmp_path / "in" / "b.png").write_text("no picture")
    csv = tmp_path / "in" / "labels.csv"
    csv.write_text("file,split\na.png,train\nb.png,train\nc.png,train\n../d.png,train\n")
    report = ingest(database, settings, [tmp_path / "in", csv], labels=read_labels(csv))
    assert counts(report) == (2, 1, 0, 1)  # the labels are no radiograph, though named; b.png came, though it failed
    assert report.unmatched == 2
    assert [(Path(one["path"]).name, one["error"]) for one in report.problems] == [
        ("d.png", "RowWithoutImage"),
        ("c.png", "RowWithoutImage"),
    ]
    assert f"{csv} has a row for it" in report.problems[0]["message"]


def test_columns_that_are_not_read_are_named(database: Database, settings: Settings, tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png", 1)
    csv = tmp_path / "in" / "labels.csv"
    csv.write_text("file,Split,irma_code,patient,\na.png,train,1121-120-942-700,7,\n")
    report = ingest(database, settings, [tmp_path / "in"], labels=read_labels(csv))
    assert [(one["path"], one["error"]) for one in report.problems] == [(str(csv), "ColumnIgnored")]
    assert report.problems[0]["message"].startswith("not read: Split, patient; the columns that are read: file, irma_")
    assert not report.unsound
    csv.write_text("file,irma_code," + ",".join(f"c{number}" for number in range(25)) + "\n")
    assert "c19 and 5 more; the columns" in read_labels(csv).problems[0].message
    csv.write_text("file,irma_code,split\na.png,1121-120-942-700,train\n")
    assert read_labels(csv).problems == []


def test_of_two_equal_files_with_other_labels_the_first_counts(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    png(tmp_path / "in" / "a.png", 1)
    shutil.copy(tmp_path / "in" / "a.png", tmp_path / "in" / "b.png")
    csv = tmp_path / "in" / "labels.csv"
    csv.write_text("file,split\na.png,train\nb.png,test\n")
    for _ in range(2):
        report = ingest(database, settings, [tmp_path / "in"], labels=read_labels(csv))
        assert [one["error"] for one in report.problems] == ["CopyWithOtherLabels"]
        assert report.relabelled == 0
        assert rows(database, "SELECT uri, split FROM image") == [
            {"uri": to_uri(tmp_path / "in" / "a.png"), "split": "train"}
        ]


def test_codes_that_the_tree_does_not_have_are_told(database: Database, settings: Settings, tmp_path: Path) -> None:
    for seed in range(3):
        png(tmp_path / "in" / f"{seed}.png", seed)
    csv = tmp_path / "in" / "labels.csv"
    csv.write_text("file,irma_code\n0.png,1121-120-zzz-700\n1.png,1121120ZZZ700\n2.png,1121-120-942-700\n")
    for _ in range(2):
        report = ingest(database, settings, [tmp_path / "in"], labels=read_labels(csv))
        assert (report.failed, report.unknown_codes) == (0, {"1121-120-zzz-700": 2})


def test_a_file_that_moved_is_found_at_its_new_place(database: Database, settings: Settings, tmp_path: Path) -> None:
    old = png(tmp_path / "old" / "x.png", 1)
    ingest(database, settings, [old])
    new = tmp_path / "new name\udcff.png"  # not UTF-8, with a blank
    shutil.copy(old, new)
    assert counts(ingest(database, settings, [new])) == (1, 0, 1, 0)
    assert rows(database, "SELECT uri FROM image") == [{"uri": to_uri(old)}]  # a second copy changes nothing
    old.unlink()
    assert counts(ingest(database, settings, [new])) == (1, 0, 1, 0)
    assert rows(database, "SELECT uri FROM image") == [{"uri": to_uri(new)}]


def test_dicom_headers_and_taken_uids(
    database: Database, settings: Settings, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 1e6)  # one batch, however slow the machine is
    valid = shared / "data" / "dicom" / "valid"
    mono1, mono2 = valid / "derived_RG3_220_mono1_u16.dcm", valid / "derived_RG3_220_mono2_u16.dcm"
    report = ingest(database, settings, [mono1, mono2])
    assert counts(report) == (2, 2, 0, 0)
    (problem,) = report.problems
    assert (problem["path"], problem["error"]) == (str(mono2), "SameUid")
    assert "SOP Instance UID 1.3.6.1.4.1.5962.1.1.11.1.1.20040826185059.5457 is that of " in problem["message"]
    assert f"that of {mono1}, whose pixels differ" in problem["message"]
    assert rows(database, "SELECT same_uid FROM image ORDER BY id") == [{"same_uid": False}, {"same_uid": True}]
    row = rows(database, "SELECT * FROM image")[0]
    assert (row["format"], row["modality"], row["body_part"], row["view_position"]) == (
        "dicom",
        "CR",
        "EXTREMITY",
        "AP",
    )
    header = read_image(mono1)
    assert header.patient_id is not None
    assert row["patient_key"] is not None
    assert header.patient_id not in str(row)


def test_headers_and_names_that_no_column_takes(
    database: Database, settings: Settings, shared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    ds = pydicom.dcmread(shared / "data" / "dicom" / "valid" / "derived_RG3_220_mono1_u16.dcm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.StudyInstanceUID = "1." * 3000 + "1"
        ds.Modality = ["CR", "DX"]
        ds.save_as(folder / "b.dcm")
        ds.StudyInstanceUID, ds.BodyPartExamined = "1.2", "CHEST\0\x1b"
        ds.save_as(folder / "c.dcm")
    png(folder / "a.png", 1)
    odd = folder / "d\udcff\n\x1b[31m.txt"
    odd.write_text("no picture")
    long = folder / ("e" * 250) / ("f" * 250) / ("\u00fc" * 120) / ("\u00fc" * 120) / ("\u00fc" * 120) / "g.png"
    png(long, 2)
    report = ingest(database, settings, [folder])
    assert counts(report) == (5, 2, 0, 3)
    messages = "\n".join(failure["path"] + failure["message"] for failure in report.failures)
    assert "UID of 6001 characters; 64 are legal" in messages
    assert "path that is too long" in messages
    assert "d\\udcff\\n\\x1b[31m.txt" in messages
    row = rows(database, "SELECT modality, body_part FROM image WHERE format = 'dicom'")[0]
    assert row["modality"] == "CR"
    assert row["body_part"].startswith("CHEST")
    assert len(rows(database, "SELECT * FROM ingest_failure")) == 3


def test_a_folder_that_cannot_be_listed_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1", "closed/2", "z/3"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    listed = os.scandir

    def scandir(path: str) -> Any:
        if path.endswith("closed"):  # root may list everything
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [os.path.relpath(path, tmp_path) for path in walk([tmp_path])] == ["a/1", "closed", "z/3"]
    with pytest.raises(InputMissing, match="closed cannot be listed: Permission denied"):
        list(walk([tmp_path / "closed"]))


def test_folders_as_deep_as_they_come(tmp_path: Path) -> None:
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        Path("x").touch()
        names = list(walk([tmp_path]))
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # too deep for pytest to clear away
    assert len(names) == 1


@pytest.mark.parametrize("split", ["", " ", "x" * 201, "a\nb"])
def test_a_split_must_have_a_name(database: Database, settings: Settings, tmp_path: Path, split: str) -> None:
    with pytest.raises(UsageError, match="no name for a split"):
        ingest(database, settings, [tmp_path], split=split)


def test_paths_that_are_not_there(database: Database, settings: Settings, tmp_path: Path) -> None:
    png(tmp_path / "good.png", 1)
    with pytest.raises(InputMissing, match=r"nowhere does not exist"):
        ingest(database, settings, [tmp_path / "good.png", tmp_path / "nowhere"])
    assert rows(database, "SELECT * FROM image") == []


def test_what_is_not_a_file_fails_and_blocks_nothing(database: Database, settings: Settings, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    png(tmp_path / "good.png", 1)
    report = ingest(database, settings, [tmp_path])
    assert counts(report) == (3, 1, 0, 2)


def test_walking_is_in_order_and_ends_on_loops(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    found = [os.path.relpath(path, tmp_path) for path in walk([tmp_path], frozenset({str(tmp_path / "c")}))]
    assert found == ["a", "b/1", "b/2"]


def test_the_database_goes_away_midway(database: Database, settings: Settings, tmp_path: Path) -> None:
    for seed in range(3):
        png(tmp_path / "in" / f"{seed}.png", seed)

    def cut(_: int) -> None:
        with psycopg.connect(database.url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    with pytest.raises(DatabaseUnavailable, match="nothing is half-written"):
        ingest(database, settings, [tmp_path / "in"], advance=cut)
    report = ingest(database, settings, [tmp_path / "in"])
    assert report.failed == 0
    assert len(rows(database, "SELECT * FROM image")) == 3
