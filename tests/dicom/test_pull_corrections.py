"""What was corrected or moved in a PACS is corrected here by the next pull that sees it, over DICOMweb and DIMSE."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pydicom
import pytest
from decoding import decode_here
from nodes import take_in
from orthanc import film, uid_of
from small_web import SmallWeb, serving

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.pull.dicomweb import DicomWebSource
from radretrieval.dicom.pull.query import PullQuery
from radretrieval.dicom.pull.report import PullReport
from radretrieval.dicom.pull.run import pull
from radretrieval.dicom.scp.commit_queue import ReceiveQueue
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.jobs.verify import verify

STUDY = "1.2.826.0.1.3680043.10.99.1."  # + number, as in `film`
Pulled = Callable[..., PullReport]


def edited(data: bytes, **values: Any) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(data))
    for name, value in values.items():
        setattr(ds, name, value)
    out = io.BytesIO()
    ds.save_as(out)
    return out.getvalue()


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_here(monkeypatch)


@pytest.fixture
def web() -> Iterator[SmallWeb]:
    """A server with two studies of two films each."""
    films = [film(number, study=number // 2) for number in range(4)]
    studies = {
        STUDY + str(number): {uid_of(one): one for one in films[2 * number : 2 * number + 2]} for number in (0, 1)
    }
    with serving(SmallWeb(studies)) as made:
        yield made


@pytest.fixture
def pulled(web: SmallWeb, database: Database, settings: Settings) -> Pulled:
    def run(deletions: bool | None = None, **query: Any) -> PullReport:
        source = DicomWebSource(web.root, None, 10**6)
        try:
            return pull(database, settings, source, PullQuery(**query), deletions=deletions)
        finally:
            source.close()

    return run


def outcome(report: PullReport) -> tuple[int, int, int, int, int]:
    return report.seen, report.added, report.unchanged, report.updated, report.failed


def row_of(database: Database, uid: str) -> dict[str, Any]:
    with database.connection() as connection:
        return connection.execute("SELECT * FROM image WHERE sop_instance_uid = %s", [uid]).fetchone() or {}


def test_field_03_pull_again_takes_what_was_corrected(
    web: SmallWeb, pulled: Pulled, database: Database, settings: Settings
) -> None:
    assert outcome(pulled()) == (4, 4, 0, 0, 0)
    study = web.studies[STUDY + "0"]
    uid = next(iter(study))
    before = row_of(database, uid)
    study[uid] = edited(study[uid], PatientID="P77", BodyPartExamined="HAND")
    assert outcome(pulled(again=True)) == (4, 0, 3, 1, 0)
    after = row_of(database, uid)
    assert (after["body_part"], after["uri"], after["id"]) == ("HAND", before["uri"], before["id"])
    assert after["patient_key"] not in (None, before["patient_key"])
    assert verify(database, settings).sound == 4
    assert outcome(pulled(again=True)) == (4, 0, 4, 0, 0)


def test_field_03_a_study_that_moved_is_read_at_its_new_url(
    web: SmallWeb, pulled: Pulled, database: Database, settings: Settings
) -> None:
    pulled()
    # merged into another study: new URLs, and a new study in the headers of the first
    moved = web.studies.pop(STUDY + "0")
    first, second = moved
    web.studies[STUDY + "9"] = moved | {first: edited(moved[first], StudyInstanceUID=STUDY + "9")}
    assert verify(database, settings).gone == 2
    assert outcome(pulled()) == (4, 0, 3, 1, 0)
    assert row_of(database, first)["study_instance_uid"] == STUDY + "9"
    for uid in moved:
        assert row_of(database, uid)["uri"] == f"{web.root}/studies/{STUDY}9/series/{STUDY}9.1/instances/{uid}"
    assert verify(database, settings).sound == 4
    # each once: the next pull reads nothing
    web.asked.clear()
    assert outcome(pulled()) == (4, 0, 4, 0, 0)
    assert not [path for path in web.asked if "/series/" in path]
    assert row_of(database, second)["gone_at"] is None


def test_field_03_a_study_that_no_pull_lists_is_found_by_the_search_for_deletions(
    web: SmallWeb, pulled: Pulled, database: Database, settings: Settings
) -> None:
    pulled()
    moved = web.studies.pop(STUDY + "0")
    web.studies[STUDY + "9"] = {uid: edited(data, StudyInstanceUID=STUDY + "9") for uid, data in moved.items()}
    other = {"StudyInstanceUID": STUDY + "1"}
    assert outcome(pulled(filters=other, deletions=False)) == (2, 0, 2, 0, 0)
    done = pulled(filters=other, deletions=True)
    assert (outcome(done), done.gone) == ((4, 0, 2, 2, 0), 0)
    assert verify(database, settings).sound == 4


def test_field_03_a_pull_does_not_undo_a_correction_that_the_server_does_not_have(
    web: SmallWeb, pulled: Pulled, database: Database, settings: Settings
) -> None:
    pulled()
    uid, original = next(iter(web.studies[STUDY + "0"].items()))
    corrected = edited(original, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", PatientID="P77")
    queue = ReceiveQueue(database, settings, lambda: None)
    take_in(queue, corrected, "OFFICE", uid)
    queue.close()
    assert InboxWorker(database, settings, 1).finish().updated == 1
    assert outcome(pulled()) == (4, 0, 4, 0, 0)
    assert row_of(database, uid)["study_instance_uid"] == "1.2.3"
    assert outcome(pulled(again=True)) == (4, 0, 3, 1, 0)  # what is asked for again is the newest
    assert row_of(database, uid)["study_instance_uid"] == STUDY + "0"


def test_late_studies_are_found(web: SmallWeb, pulled: Pulled, database: Database) -> None:
    """Studies of the week before the last that was pulled, and older ones when all is listed again."""
    today = date.today()
    late = {STUDY + str(number): today - timedelta(days) for number, days in ((2, 7), (3, 40))}
    web.dates = {STUDY + "0": f"{today:%Y%m%d}", STUDY + "1": f"{today:%Y%m%d}"}
    assert pulled().added == 4
    for number, (study, day) in enumerate(late.items()):
        data = film(10 + number, study=2 + number, day=f"{day:%Y%m%d}")
        web.studies[study], web.dates[study] = {uid_of(data): data}, f"{day:%Y%m%d}"
    assert outcome(pulled()) == (5, 1, 4, 0, 0)
    assert outcome(pulled(again=True)) == (6, 1, 5, 0, 0)


def test_an_instance_that_came_back_is_gone_no_more(web: SmallWeb, pulled: Pulled, database: Database) -> None:
    pulled(deletions=False)
    uid, data = next(iter(web.studies[STUDY + "0"].items()))
    del web.studies[STUDY + "0"][uid]
    done = pulled(deletions=True)
    assert (done.gone, done.back) == (1, 0)
    gone_at = row_of(database, uid)["gone_at"]
    assert gone_at is not None
    assert pulled(deletions=True).gone == 0
    assert row_of(database, uid)["gone_at"] == gone_at  # since when it is gone
    web.studies[STUDY + "0"][uid] = data
    done = pulled(deletions=True)
    assert (done.gone, done.back) == (0, 1)
    with database.connection() as connection:
        assert connection.execute("SELECT count(gone_at) AS gone FROM image").fetchone() == {"gone": 0}
