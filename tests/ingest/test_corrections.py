"""Corrections: a newer file with an image's pixels and another header."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pydicom
import pytest
from decoding import InThisProcess, decode_here
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from nodes import a_file, take_in, until

from radretrieval.archive import codes, encoders, images, inbox, patient_keys
from radretrieval.archive.connections import Database
from radretrieval.archive.filters import Condition, Filter
from radretrieval.archive.images import NewImage
from radretrieval.archive.search import exact_check
from radretrieval.config import Settings
from radretrieval.dicom.scp.commit_queue import ReceiveQueue
from radretrieval.export import run as export_run
from radretrieval.export.run import ExportOptions
from radretrieval.files.uris import to_uri
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.register import register_images
from radretrieval.ingest.report import InboxReport
from radretrieval.ingest.run import ingest
from radretrieval.ingest.watch_folder import WatchOptions, watch
from radretrieval.jobs import verify as verify_module
from radretrieval.jobs.verify import verify
from radretrieval.jobs.withdraw import Withdraw, withdraw
from radretrieval.privacy.pseudonyms import load_secret, patient_key
from radretrieval.storage.content_store import ContentStore

Receive = Callable[..., None]
OTHER = {
    "PatientID": "P3",
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.4",
    "Modality": "DX",
    "BodyPartExamined": "HAND",
    "ViewPosition": "LL",
    "ImageLaterality": "L",
    "StudyDate": "20260102",
    "Manufacturer": "Röntgen",
    "SpecificCharacterSet": "ISO_IR 192",
    "PixelSpacing": ["0.2", "0.3"],
    "KVP": "60",
    "Exposure": "3",
}


@dataclass
class Films:
    """One film as several files: `a` is the original, `b` names another patient, `c` other values of every column."""

    a: Path
    b: Path
    c: Path
    encoded: Path  # `a` in another transfer syntax


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_here(monkeypatch)


@pytest.fixture
def films(tmp_path: Path) -> Films:
    folder = tmp_path / "films"
    folder.mkdir()
    made = Films(*(folder / f"{name}.dcm" for name in ("a", "b", "c", "encoded")))
    a_file(made.a)
    edited(made.a, made.b, PatientID="P2")
    edited(made.a, made.c, **OTHER)
    ds = pydicom.dcmread(made.a)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    ds.save_as(made.encoded, implicit_vr=True, little_endian=True)
    return made


@pytest.fixture
def receive(database: Database, settings: Settings) -> Iterator[Receive]:
    """Take files in as the node does."""
    queue = ReceiveQueue(database, settings, lambda: None)
    yield lambda *paths, origin="SENDER": [
        take_in(queue, path.read_bytes(), origin, str(pydicom.dcmread(path).SOPInstanceUID)) for path in paths
    ]
    queue.close()


def edited(path: Path, target: Path, **values: Any) -> Path:
    """A file with other values in its header; None deletes one."""
    ds = pydicom.dcmread(path)
    for name, value in values.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    ds.save_as(target)
    return target


def rows(database: Database, query: str = "SELECT * FROM image ORDER BY id") -> list[dict[str, Any]]:
    with database.connection() as connection:
        return connection.execute(query).fetchall()


def history(database: Database) -> list[dict[str, Any]]:
    return rows(database, "SELECT image_id, origin, sha256, old FROM image_history ORDER BY id")


def key(settings: Settings, patient: str) -> str:
    return patient_key(load_secret(settings), patient)


def outcome(report: InboxReport) -> tuple[int, int, int, int]:
    return report.added, report.unchanged, report.updated, report.failed


def content(path: Path) -> bytes:
    return sha256(path.read_bytes()).digest()


def stored(settings: Settings) -> set[str]:
    return {path.name for path in settings.store_folder.rglob("*") if path.is_file()}


def test_field_03_a_correction_moves_the_image_to_its_patient(
    database: Database, settings: Settings, films: Films, receive: Receive, caplog: pytest.LogCaptureFixture
) -> None:
    receive(films.a)
    assert outcome(InboxWorker(database, settings, 1).finish()) == (1, 0, 0, 0)
    (before,) = rows(database)
    receive(films.b, origin="OFFICE")
    assert outcome(InboxWorker(database, settings, 1).finish()) == (0, 0, 1, 0)
    (after,) = rows(database)
    assert (after["id"], after["patient_key"], after["origin"]) == (before["id"], key(settings, "P2"), "OFFICE")
    assert (after["sha256"], after["uri"]) == (content(films.b), f"store:{content(films.b).hex()}")
    assert stored(settings) == {content(films.b).hex()}
    assert history(database) == [
        {
            "image_id": before["id"],
            "origin": "OFFICE",
            "sha256": content(films.a),
            "old": {"patient_key": key(settings, "P1")},
        }
    ]
    assert f"image {before['id']} has another header by a newer file from OFFICE: patient_key" in caplog.text
    assert not any(word in caplog.text for word in ("P1", "P2", before["sop_instance_uid"], after["patient_key"]))
    assert (verify(database, settings).sound, verify(database, settings).orphans) == (1, 0)
    # the same again is no correction, and another encoding of it is none
    receive(films.b)
    assert outcome(InboxWorker(database, settings, 1).finish()) == (0, 0, 0, 0)
    edited(films.encoded, films.encoded, PatientID="P2")
    receive(films.encoded)
    assert outcome(InboxWorker(database, settings, 1).finish()) == (0, 1, 0, 0)
    assert rows(database) == [after]
    # the original comes again: the newest counts
    receive(films.a)
    assert outcome(InboxWorker(database, settings, 1).finish()) == (0, 0, 1, 0)
    assert rows(database) == [before]
    assert stored(settings) == {content(films.a).hex()}


def test_field_03_every_column_of_the_header_follows_and_nothing_else(
    database: Database, settings: Settings, films: Films, receive: Receive
) -> None:
    """What the row says after a correction is what it would say if no other file had ever come."""
    more = settings.model_copy(update={"header_more": ("Exposure",)})
    receive(films.a)
    InboxWorker(database, more, 1).finish()
    with database.connection() as connection:
        images.relabel(connection, 1, {"irma_code": "1121-120-942-700", "split": "train", "withdrawn": True})
    receive(films.c)
    assert InboxWorker(database, more, 1).finish().updated == 1
    (corrected,) = rows(database)
    assert (corrected["irma_code"], corrected["split"], corrected["withdrawn"]) == ("1121-120-942-700", "train", True)
    (changed,) = history(database)
    assert changed["old"]["header"] is None
    receive(films.a)  # and everything that the newest header has not is empty again
    assert InboxWorker(database, more, 1).finish().updated == 1
    with database.connection() as connection:
        connection.execute("TRUNCATE image CASCADE")
    receive(films.c)
    assert InboxWorker(database, more, 1).finish().added == 1
    (fresh,) = rows(database)
    own = ("id", "ingested_at", "irma_code", "split", "withdrawn")
    assert {n: v for n, v in fresh.items() if n not in own} == {n: v for n, v in corrected.items() if n not in own}
    assert (corrected["modality"], corrected["kvp"], corrected["study_instance_uid"]) == ("DX", 60.0, "1.2.3")


def test_field_03_a_file_that_was_edited_is_followed_in_place_and_elsewhere(
    database: Database, settings: Settings, films: Films, tmp_path: Path
) -> None:
    place, elsewhere = tmp_path / "in" / "x.dcm", tmp_path / "in" / "y.dcm"
    place.parent.mkdir()

    def bring(source: Path, target: Path, path: Path) -> tuple[int, int, int, int]:
        time.sleep(0.02)  # the clock of files ticks slower than that of the database
        target.write_bytes(source.read_bytes())
        done = outcome(ingest(database, settings, [path]))
        (row,) = rows(database)
        assert verify(database, settings).sound == 1
        assert row["patient_key"] == key(settings, str(pydicom.dcmread(source).PatientID))
        assert (row["sha256"], row["uri"]) == (content(source), to_uri(target))
        return done

    assert bring(films.a, place, place) == (1, 0, 0, 0)
    assert bring(films.b, place, place.parent) == (0, 0, 1, 0)
    assert bring(films.a, place, place.parent) == (0, 0, 1, 0)
    assert bring(films.b, elsewhere, elsewhere) == (0, 0, 1, 0)
    # the folder has both now: it may be ingested again and again
    for _ in range(2):
        assert outcome(ingest(database, settings, [place.parent])) == (0, 2, 0, 0)
    assert rows(database)[0]["uri"] == to_uri(elsewhere)
    # what is named itself is meant, and so is what comes into the folder later
    assert bring(films.a, place, place) == (0, 0, 1, 0)
    assert bring(films.b, tmp_path / "in" / "z.dcm", place.parent)[2] == 1
    assert [one["old"] for one in history(database)][:2] == [
        {"patient_key": key(settings, "P1")},
        {"patient_key": key(settings, "P2")},
    ]


def test_field_03_a_folder_does_not_undo_what_was_received(
    database: Database, settings: Settings, films: Films, receive: Receive, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):  # the original twice, and once more in other bytes
        (folder / f"{number}.dcm").write_bytes(films.a.read_bytes())
    (folder / "2.dcm").write_bytes(films.encoded.read_bytes())
    assert outcome(ingest(database, settings, [folder])) == (1, 2, 0, 0)
    time.sleep(0.02)
    receive(films.b)
    assert InboxWorker(database, settings, 1).finish().updated == 1
    assert outcome(ingest(database, settings, [folder])) == (0, 3, 0, 0)
    assert rows(database)[0]["patient_key"] == key(settings, "P2")
    (folder / "2.dcm").write_bytes(films.c.read_bytes())  # a header that the image never had is new wherever it lies
    assert outcome(ingest(database, settings, [folder])) == (0, 2, 1, 0)


def test_field_03_what_labels_set_stays(database: Database, settings: Settings, films: Films, receive: Receive) -> None:
    labels = films.a.parent / "labels.csv"
    labels.write_text("file,patient_id,body_part,irma_code\na.dcm,TRIAL-7,CHEST,1121-120-942-700\n")
    ingest(database, settings, [films.a], labels=read_labels(labels))
    receive(films.c)
    assert InboxWorker(database, settings, 1).finish().updated == 1
    (row,) = rows(database)
    assert (row["patient_key"], row["body_part"]) == (key(settings, "TRIAL-7"), "CHEST")
    assert (row["modality"], row["irma_code"]) == ("DX", "1121-120-942-700")
    assert set(row["labelled"]) == {"body_part", "patient_key"}


def test_field_03_an_export_takes_the_file_of_the_wrong_patient_away(
    database: Database, settings: Settings, films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_run, "WorkerPool", InThisProcess)
    ingest(database, settings, [films.a])
    for deidentify in (False, True):
        folder = tmp_path / f"export {deidentify}"

        def exported(folder: Path = folder, deidentify: bool = deidentify) -> tuple[int, int]:
            done = export_run.export(database, settings, folder, ExportOptions(deidentify=deidentify))
            assert len((folder / "files.csv").read_text().splitlines()) == 2
            (file,) = folder.glob("images/*/*")
            assert pydicom.dcmread(file).PatientID != "P1" or not deidentify
            return done.exported, done.unchanged

        assert ingest(database, settings, [films.a]).failed == 0
        assert exported() == (1, 0)
        assert ingest(database, settings, [films.b]).updated == 1
        assert exported() == (1, 0)
        assert exported() == (0, 1)
        if not deidentify:
            (file,) = folder.glob("images/*/*")
            assert pydicom.dcmread(file).PatientID == "P2"


def test_field_03_an_export_of_other_images_takes_it_away_too(
    database: Database, settings: Settings, films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter of the export has the image no more after its correction."""
    monkeypatch.setattr(export_run, "WorkerPool", InThisProcess)
    ingest(database, settings, [films.a])
    exported = [export_run.export(database, settings, tmp_path / "out", ExportOptions()).exported]
    assert len(list((tmp_path / "out").glob("images/*/*"))) == 1
    assert ingest(database, settings, [films.b]).updated == 1
    nothing = ExportOptions(where=Filter((Condition("modality", "=", "XX"),)))
    exported.append(export_run.export(database, settings, tmp_path / "out", nothing).seen)
    assert exported == [1, 0]
    assert list((tmp_path / "out").glob("images/*/*")) == []
    assert len((tmp_path / "out" / "files.csv").read_text().splitlines()) == 1


def test_field_03_a_watched_folder_follows_what_is_written_into_it_and_undoes_nothing(
    database: Database, settings: Settings, films: Films, receive: Receive, tmp_path: Path
) -> None:
    folder, done = tmp_path / "in", tmp_path / "done"
    folder.mkdir()

    def watched(*sources: Path, move_to: Path | None = None) -> tuple[int, int, int, int]:
        """Files come as x.dcm, one after the other, until each is taken."""
        left, stop = list(sources), threading.Event()

        def next_one(_: object = None) -> None:
            if left:
                time.sleep(0.02)  # the clock of files ticks slower than that of the database
                (folder / "x.dcm").write_bytes(left.pop(0).read_bytes())
            else:
                stop.set()

        next_one()
        return outcome(watch(database, settings, [folder], WatchOptions(0.0, 0.02, move_to), stop, next_one))

    assert watched(films.a, films.b, films.a) == (1, 0, 2, 0)
    receive(films.b)
    assert InboxWorker(database, settings, 1).finish().updated == 1
    stop = threading.Event()
    again = watch(database, settings, [folder], WatchOptions(0.0, 0.02), stop, lambda _: stop.set())
    assert outcome(again) == (0, 1, 0, 0)  # the original lies there still
    assert rows(database)[0]["patient_key"] == key(settings, "P2")
    assert watched(films.a, films.c, move_to=done) == (0, 0, 2, 0)
    (row,) = rows(database)
    assert (row["body_part"], row["uri"]) == ("HAND", to_uri(done / "x-2.dcm"))
    assert verify(database, settings).sound == 1


def test_field_03_labels_of_the_corrected_file_are_taken(database: Database, settings: Settings, films: Films) -> None:
    ingest(database, settings, [films.a])
    labels = films.a.parent / "labels.csv"
    labels.write_text("file,body_part,irma_code,split\nc.dcm,CHEST,1121-120-942-700,train\n")
    assert ingest(database, settings, [films.c], labels=read_labels(labels)).updated == 1
    (row,) = rows(database)
    assert (row["body_part"], row["irma_code"], row["split"]) == ("CHEST", "1121-120-942-700", "train")
    assert (row["view_position"], row["labelled"]) == ("LL", ["body_part"])


def test_field_03_a_rotation_of_the_key_takes_the_history_along(
    database: Database, settings: Settings, films: Films, receive: Receive
) -> None:
    """The old key, which a rotation makes worthless, tells nothing of the patients that images had before."""
    for path in (films.a, films.b):
        receive(path)
        InboxWorker(database, settings, 1).finish()
    with database.connection() as connection:
        patients, images_changed = patient_keys.replace(connection, lambda old: f"new {old}", "0" * 32)
        connection.commit()
    assert (patients, images_changed) == (2, 1)
    assert rows(database)[0]["patient_key"] == f"new {key(settings, 'P2')}"
    assert history(database)[0]["old"] == {"patient_key": f"new {key(settings, 'P1')}"}


def test_field_03_a_file_that_is_replaced_while_it_is_verified_is_not_gone(
    database: Database, settings: Settings, films: Films, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(films.a)
    InboxWorker(database, settings, 1).finish()
    real = verify_module.images.after

    def after(connection: Any, after: int, limit: int) -> Any:
        found = real(connection, after, limit)
        if after == 0:
            receive(films.b)
            assert InboxWorker(database, settings, 1).finish().updated == 1
        return found

    monkeypatch.setattr(verify_module.images, "after", after)
    assert verify(database, settings).gone == 1  # the file of before
    assert rows(database)[0]["gone_at"] is None


def test_field_03_every_frame_follows(database: Database, settings: Settings, receive: Receive, tmp_path: Path) -> None:
    a_file(tmp_path / "1.dcm")
    both = pydicom.dcmread(tmp_path / "1.dcm")
    both.NumberOfFrames, both.PixelData = 2, both.PixelData + bytes(reversed(both.PixelData))
    both.save_as(tmp_path / "1.dcm")
    receive(tmp_path / "1.dcm")
    each = settings.model_copy(update={"frames": "each"})
    assert InboxWorker(database, each, 1).finish().added == 2
    for patient, frames in (("P2", each), ("P3", settings)):  # frames that are not read any more follow too
        receive(edited(tmp_path / "1.dcm", tmp_path / "2.dcm", PatientID=patient))
        assert InboxWorker(database, frames, 1).finish().updated == (2 if frames is each else 1)
        found = rows(database)
        assert [row["patient_key"] for row in found] == [key(settings, patient)] * 2
        assert [row["uri"].partition("#")[0] for row in found] == [f"store:{content(tmp_path / '2.dcm').hex()}"] * 2
        assert verify(database, settings).sound == 2
        assert len(stored(settings)) == 1
    assert len(history(database)) == 4


def test_frames_of_a_corrected_file_are_withdrawn_with_it(
    database: Database, settings: Settings, receive: Receive, tmp_path: Path
) -> None:
    """Its first frame alone was an image, and was withdrawn; now each becomes one."""
    a_file(tmp_path / "1.dcm")
    both = pydicom.dcmread(tmp_path / "1.dcm")
    both.NumberOfFrames, both.PixelData = 2, both.PixelData + bytes(reversed(both.PixelData))
    both.save_as(tmp_path / "1.dcm")
    receive(tmp_path / "1.dcm")
    assert InboxWorker(database, settings, 1).finish().added == 1
    withdraw(database, settings, Withdraw(image=1), "me")
    receive(edited(tmp_path / "1.dcm", tmp_path / "2.dcm", PatientID="P2"))
    each = settings.model_copy(update={"frames": "each"})
    assert InboxWorker(database, each, 1).finish().updated == 1
    assert [(row["frame"], row["hidden_at"] is not None) for row in rows(database)] == [(1, True), (2, True)]
    assert withdraw(database, settings, Withdraw(image=1, undo=True), "me").images == 2


def test_field_03_of_two_images_with_one_uid_the_one_with_the_pixels_follows(
    database: Database, settings: Settings, films: Films, receive: Receive
) -> None:
    receive(films.a)
    InboxWorker(database, settings, 1).finish()
    other = pydicom.dcmread(films.a)
    other.PixelData = bytes(reversed(other.PixelData))
    other.save_as(films.encoded)
    receive(films.encoded)
    assert InboxWorker(database, settings, 1).finish().added == 1
    receive(edited(films.encoded, films.encoded, PatientID="P2"))
    assert InboxWorker(database, settings, 1).finish().updated == 1
    assert [(row["patient_key"], row["same_uid"]) for row in rows(database)] == [
        (key(settings, "P1"), False),
        (key(settings, "P2"), True),
    ]


def test_field_03_the_last_to_come_wins_whoever_makes_the_images(
    database: Database, settings: Settings, films: Films, receive: Receive
) -> None:
    """What waits is taken in the order of reception, also where a file comes again that waits already."""
    receive(films.a, films.b, films.c, films.b, films.a)
    first, second = InboxWorker(database, settings, 1), InboxWorker(database, settings, 1)
    with database.connection() as held:
        assert len(inbox.take(held, 64)) == 1  # the others of its UID wait for it
        assert outcome(second.finish()) == (0, 0, 0, 0)
    threads = [threading.Thread(target=worker.finish) for worker in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first.finish()
    assert rows(database)[0]["patient_key"] == key(settings, "P1")
    receive(films.b)
    receive(films.a)  # an image just now, and not for long: b waits
    InboxWorker(database, settings, 1).finish()
    assert rows(database)[0]["patient_key"] == key(settings, "P1")
    assert stored(settings) == {content(films.a).hex()}


def test_field_03_two_corrections_of_many_images_at_once(database: Database, films: Films) -> None:
    """In opposite orders: one waits for the other, no deadlock; the last to commit is what the archive says."""
    with database.connection() as connection:
        register_images(connection, Settings(), [one_of(number, 0) for number in range(50)])
    go = threading.Barrier(2)
    faults: list[Exception] = []

    def correct(header: int, order: range) -> None:
        try:
            with database.connection() as connection:
                for _ in range(5):
                    go.wait()
                    register_images(connection, Settings(), [one_of(number, header) for number in order])
                    connection.commit()
        except Exception as error:
            faults.append(error)
            go.abort()

    threads = [
        threading.Thread(target=correct, args=(1, range(50))),
        threading.Thread(target=correct, args=(2, range(49, -1, -1))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len({row["body_part"] for row in rows(database)}) == 1
    assert len(rows(database)) == 50


def one_of(number: int, header: int, encoding: int = 0, place: str = "store:") -> NewImage:
    """A file of the film `number`."""
    image = NewImage(b"", f"{place}{number}", "dicom", 4, 5, 12, "MONOCHROME2", body_part=f"PART{header}")
    return replace(
        image,
        sha256=sha256(f"{number} {header} {encoding}".encode()).digest(),
        sop_instance_uid=f"1.2.{number}",
        pixels_sha256=sha256(str(number).encode()).digest(),
        origin=f"AE{header}",
    )


def test_field_03_corrections_among_other_files_of_a_batch(database: Database) -> None:
    """A copy that follows a correction is a copy still, and two copies of a correction are one."""
    plain = replace(one_of(1, 0), sop_instance_uid=None, pixels_sha256=None)
    second = replace(one_of(2, 0), frame=2, pixels_sha256=sha256(b"second frame").digest())
    with database.connection() as connection:
        batch = [plain, one_of(2, 0), second, one_of(2, 1), one_of(2, 1, place="file:///"), plain]
        outcomes = [one.outcome for one in register_images(connection, Settings(), batch)]
        assert outcomes == ["added", "added", "added", "updated", "unchanged", "unchanged"]
        connection.commit()
    found = rows(database, "SELECT frame, body_part, uri FROM image WHERE sop_instance_uid IS NOT NULL ORDER BY id")
    assert [(row["frame"], row["body_part"], row["uri"]) for row in found] == [
        (1, "PART1", "store:2"),
        (2, "PART1", "store:2#frame=2"),
    ]


@given(data=st.data())
@hypothesis_settings(max_examples=40, deadline=None)
def test_field_03_any_sequence_of_files_leaves_what_the_newest_says(
    shared_database: Database, counter: Iterator[int], data: st.DataObject
) -> None:
    """Against a plain model: headers 0 to 2, each in two encodings, at two places, in batches of any length."""
    number = next(counter)
    file = st.tuples(st.integers(0, 2), st.integers(0, 1), st.sampled_from(["file:///a/", "file:///b/"]))
    batches = data.draw(st.lists(st.lists(file, min_size=1, max_size=4), min_size=1, max_size=4))
    row: tuple[int, int, str] | None = None
    past: list[int] = []
    with shared_database.connection() as connection:
        for batch in batches:
            expected = []
            for header, encoding, place in batch:
                if row is None:
                    expected.append("added")
                    row = (header, encoding, place)
                elif row[0] != header:
                    expected.append("updated")
                    past.append(row[0])
                    row = (header, encoding, place)
                else:
                    expected.append("unchanged" if row[1] == encoding else "same")
                    if row[2] == place:
                        row = (header, encoding, place)
            written = register_images(connection, Settings(), [one_of(number, *one) for one in batch])
            assert [one.outcome for one in written] == expected
        connection.commit()
        assert row is not None
        found = connection.execute("SELECT * FROM image WHERE sop_instance_uid = %s", [f"1.2.{number}"]).fetchall()
        wanted = one_of(number, *row)
        assert [(f["sha256"], f["uri"], f["body_part"]) for f in found] == [
            (wanted.sha256, wanted.uri, wanted.body_part)
        ]
        old = connection.execute(
            "SELECT old FROM image_history WHERE image_id = %s ORDER BY id", [found[0]["id"]]
        ).fetchall()
        assert [one["old"] for one in old] == [{"body_part": f"PART{header}"} for header in past]


@pytest.fixture(scope="module")
def shared_database(server: Any, migrated_template: str) -> Iterator[Database]:
    """One archive for every example."""
    with server.database(template=migrated_template) as url:
        yield Database(url)


@pytest.fixture(scope="module")
def counter() -> Iterator[int]:
    """Numbers of films that no example has had."""
    return iter(range(10**9))


def test_field_03_the_store_has_the_file_that_the_row_names(
    database: Database, settings: Settings, films: Films, receive: Receive
) -> None:
    """Whatever was kept of the file that a correction replaces goes, and only that."""
    for keep in ("copy", "reduced", "reference"):
        with database.connection() as connection:
            connection.execute("TRUNCATE image CASCADE")
        kept = settings.model_copy(update={"keep": keep})
        ingest(database, kept, [films.a])
        assert ingest(database, kept, [films.b]).updated == 1
        names = {"copy": {content(films.b).hex()}, "reduced": {f"{content(films.b).hex()}.1.png"}, "reference": set()}
        assert stored(settings) == names[keep]
        report = verify(database, kept)
        assert (report.sound, report.orphans) == (1, 0)
        ContentStore(settings.store_folder).take(content(films.b))
        ContentStore(settings.store_folder).take_reduced(content(films.b))


def test_field_03_codes_stay_and_filters_see_the_newest_header(indexed: Database) -> None:
    """The exact index keeps columns of the header beside the codes."""
    with indexed.connection() as connection:
        encoder = encoders.get(connection, None)
        pixels = sha256(b"1").digest()
        connection.execute(
            "UPDATE image SET sop_instance_uid = '1.2.1', pixels_sha256 = %s, shown_sha256 = %s WHERE id = 1",
            [pixels, pixels],
        )
        (one,) = register_images(connection, Settings(), [replace(one_of(1, 7), modality="MG", shown_sha256=pixels)])
        connection.commit()
        assert one.outcome == "updated"
        query = "SELECT image_id FROM similar(2, 5, filter => %s)"
        assert connection.execute(query, ['{"modality": "MG"}']).fetchall() == [{"image_id": 1}]
    assert exact_check.check(indexed, encoder, 9, 20).sound


@pytest.mark.parametrize("before", [b"2", None])
def test_field_03_an_image_that_is_shown_otherwise_is_encoded_anew(indexed: Database, before: bytes | None) -> None:
    """Its codes are of the picture that another window gave; of what an older version ingested nobody knows."""
    with indexed.connection() as connection:
        encoder = encoders.get(connection, None)
        pixels = sha256(b"1").digest()
        shown = sha256(before).digest() if before else None
        connection.execute(
            "UPDATE image SET sop_instance_uid = '1.2.1', pixels_sha256 = %s, shown_sha256 = %s WHERE id = 1",
            [pixels, shown],
        )
        (one,) = register_images(connection, Settings(), [replace(one_of(1, 7), modality="MG", shown_sha256=pixels)])
        connection.commit()
        assert (one.outcome, "shown_sha256" in one.changed) == ("updated", before is not None)
        assert codes.pending_count(connection, encoder.id) == 1
        for table in ("cnnc", "barcode"):
            assert connection.execute(f"SELECT FROM {table} WHERE image_id = 1").rowcount == 0
    assert exact_check.check(indexed, encoder, 9, 20).sound


def test_field_03_another_window_alone_is_a_correction(
    database: Database, settings: Settings, films: Films, receive: Receive
) -> None:
    window = edited(films.a, films.a.with_name("window.dcm"), WindowCenter="100", WindowWidth="90")
    receive(films.a)
    InboxWorker(database, settings, 1).finish()
    receive(window)
    assert outcome(InboxWorker(database, settings, 1).finish()) == (0, 0, 1, 0)
    (row,) = rows(database)
    assert row["sha256"] == content(window)
    (note,) = history(database)
    assert list(note["old"]) == ["shown_sha256"]


def test_a_file_that_came_back_is_gone_no_more(
    database: Database, settings: Settings, films: Films, receive: Receive, tmp_path: Path
) -> None:
    """At its place, at another place, in other bytes, or by a sender: whatever brings it clears `gone_at`."""
    data = films.a.read_bytes()
    place, other = tmp_path / "in" / "x.dcm", tmp_path / "in" / "y.dcm"
    place.parent.mkdir()
    place.write_bytes(data)
    ingest(database, settings, [place])

    def lose(path: Path) -> None:
        path.unlink()
        assert verify(database, settings).gone == 1
        assert rows(database)[0]["gone_at"] is not None

    def there(uri: str) -> None:
        (row,) = rows(database)
        assert (row["gone_at"], row["uri"]) == (None, uri)
        assert verify(database, settings).sound == 1

    lose(place)
    place.write_bytes(data)
    assert ingest(database, settings, [place]).unchanged == 1
    there(to_uri(place))
    lose(place)
    other.write_bytes(data)
    assert ingest(database, settings, [other]).unchanged == 1
    there(to_uri(other))
    lose(other)
    place.write_bytes(films.encoded.read_bytes())
    assert ingest(database, settings, [place]).unchanged == 1
    there(to_uri(place))
    lose(place)
    receive(films.encoded)
    assert outcome(InboxWorker(database, settings, 1).finish()) == (0, 1, 0, 0)
    there(f"store:{content(films.encoded).hex()}")
    assert stored(settings) == {content(films.encoded).hex()}


def test_field_03_corrections_beside_encoding_wait_and_do_not_deadlock(indexed: Database) -> None:
    """A worker that has claimed the second image puts its code where the correction of the first puts a facet."""
    corrections = [replace(one_of(number, 7), modality="MG") for number in (1, 2)]
    written: list[Any] = []

    def correct() -> None:
        try:
            with indexed.connection() as connection:
                written.extend(one.outcome for one in register_images(connection, Settings(), corrections))
                connection.commit()
        except Exception as error:
            written.append(error)

    with indexed.connection() as connection:
        encoder = encoders.get(connection, None)
        code = connection.execute("SELECT code FROM cnnc WHERE image_id = 1").fetchone()
        connection.execute("DELETE FROM cnnc WHERE image_id = 2")
        for number in (1, 2):
            given = [f"1.2.{number}", sha256(str(number).encode()).digest(), number]
            connection.execute("UPDATE image SET sop_instance_uid = %s, pixels_sha256 = %s WHERE id = %s", given)
        both = "format, photometric, irma_code, split, withdrawn, view_position, laterality"
        connection.execute(
            f"UPDATE image SET ({both}, modality, body_part) = (SELECT {both}, 'MG', 'PART7' FROM image WHERE id = 1) "
            "WHERE id = 2"
        )
        connection.execute("UPDATE image SET (view_position, laterality) = (NULL, NULL) WHERE id IN (1, 2)")
        connection.commit()
        assert code is not None
        connection.execute("SELECT FROM image WHERE id = 2 FOR NO KEY UPDATE")
        thread = threading.Thread(target=correct)
        thread.start()
        until(lambda: rows(indexed, "SELECT FROM pg_locks WHERE NOT granted"), "the correction does not wait")
        connection.execute("INSERT INTO cnnc VALUES (%s, 2, %s)", [encoder.id, code["code"]])
        connection.commit()
    thread.join()
    assert written == ["updated", "updated"]
    assert exact_check.check(indexed, encoder, 9, 20).sound
