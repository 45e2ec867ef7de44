"""Films that show nothing are taken and named, wherever somebody looks: in reports, the log, status and searches."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sets import made, written
from nodes import take_in
from PIL import Image
from tiny import add_encoder

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.scp.commit_queue import ReceiveQueue
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.problem import Problem
from radretrieval.ingest.report import IngestReport
from radretrieval.ingest.run import ingest
from radretrieval.jobs.encode import EncodeOptions, encode
from radretrieval.jobs.verify import verify
from radretrieval.search.batch.run import BatchReport, search_batch
from radretrieval.search.batch.sources import BatchQuery
from radretrieval.search.request import Request
from radretrieval.search.searcher import Searcher

RAMP = np.tile(np.arange(64, dtype=np.uint16) * 60, (64, 1))


def films(folder: Path) -> Path:
    """A sound film, a black one, one that its window makes black, one whose rescale is none."""
    folder.mkdir()
    Image.fromarray((RAMP // 16).astype(np.uint8)).save(folder / "sound.png")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(folder / "black.png")
    dark = made(RAMP, SOPInstanceUID="1.2.3.4", WindowCenter=99999, WindowWidth=10)
    (folder / "dark.dcm").write_bytes(written(dark))
    (folder / "slope.dcm").write_bytes(written(made(RAMP.T.copy(), SOPInstanceUID="1.2.3.5", RescaleSlope=0)))
    return folder


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.connection() as connection:
        found = connection.execute(query).fetchall()
        connection.commit()
    return found


def test_field_09_flat_images_are_named_counted_and_found(
    database: Database, settings: Settings, tmp_path: Path, inside: Callable[..., Any]
) -> None:
    report = ingest(database, settings, [films(tmp_path / "in")])
    assert (report.added, report.failed, report.unsound) == (4, 0, False)
    named = {(Path(one["path"]).name, one["error"]) for one in report.problems}
    assert named == {("black.png", "Flat"), ("dark.dcm", "Flat"), ("slope.dcm", "HeaderIgnored")}
    assert "RescaleSlope 0" in next(one["message"] for one in report.problems if one["error"] == "HeaderIgnored")
    status = inside("status", "--json")
    assert status.json["flat"] == 2
    assert "show nothing" in status.stderr
    assert "radretrieval train" in status.stderr
    # what an older version ingested is looked at by verify
    rows(database, "WITH done AS (UPDATE image SET flat = NULL RETURNING id) SELECT id FROM done")
    assert verify(database, settings).completed == 4
    assert verify(database, settings).completed == 0
    assert [Path(row["uri"]).name for row in rows(database, "SELECT uri FROM image WHERE flat ORDER BY uri")] == [
        "black.png",
        "dark.dcm",
    ]
    with database.connection() as connection:
        add_encoder(connection)
    encode(database, settings, EncodeOptions(device="cpu"))
    grey = tmp_path / "grey.png"
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(grey)
    paths = {name: tmp_path / "in" / f"{name}.png" for name in ("black", "sound")} | {"grey": grey}
    with Searcher(database, settings, "cpu") as searcher:
        flat = {name: searcher.search(Request(path)).query_flat for name, path in paths.items()}
        assert flat == {"black": True, "sound": False, "grey": True}
        report = BatchReport()
        asked = [BatchQuery(name, str(path)) for name, path in paths.items()]
        assert len(list(search_batch(searcher, Request(grey), asked, report, lambda count: None))) == 1
        assert (report.answered, report.flat, report.document(grey)["flat"]) == (3, 2, 2)
    answer = inside("search", paths["black"], "--where", "flat=true", "--json")
    assert [Path(hit["uri"]).name for hit in answer.json["hits"]] == ["dark.dcm"]
    assert answer.json["query_flat"]
    assert "the query is flat" in answer.stderr
    # of a new file, what is ignored of its header is told as `ingest` tells it
    new = tmp_path / "new.dcm"
    new.write_bytes(written(made(RAMP[::-1, ::-1].copy(), SOPInstanceUID="1.2.3.6", RescaleSlope=0)))
    answer = inside("search", new, "--json", "--device", "cpu")
    [problem] = answer.json["query_problems"]
    assert problem.startswith("its header is not right: RescaleSlope 0")
    assert f"the query: {problem}" in answer.stderr
    known = inside("search", tmp_path / "in" / "slope.dcm", "--json")
    assert known.json["query_problems"] == []


def test_field_09_a_release_with_a_flat_image_is_whole() -> None:
    report = IngestReport(recognised="a release")
    for problem, unsound in ((Problem("a.png", "Flat", "…"), False), (Problem("b.png", "HalfRelease", "…"), True)):
        report.note(problem)
        assert report.unsound == unsound


def test_field_09_flat_films_that_are_received_are_logged(
    database: Database, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = films(tmp_path / "in")
    received = ReceiveQueue(database, settings, lambda: None)
    for name in ("dark", "slope"):
        take_in(received, (folder / f"{name}.dcm").read_bytes(), "SENDER", f"1.2.3.{name}")
    received.close()
    with caplog.at_level(logging.WARNING):
        report = InboxWorker(database, settings, 1).finish()
    assert (report.added, {one["error"] for one in report.problems}) == (2, {"Flat", "HeaderIgnored"})
    uris = {row["sop_instance_uid"]: row["uri"] for row in rows(database, "SELECT sop_instance_uid, uri FROM image")}
    assert f"{uris['1.2.3.4']}: is flat" in caplog.text
    assert f"{uris['1.2.3.5']}: its header is not right: RescaleSlope 0" in caplog.text
    for name in ("dark", "slope"):
        assert f"(from SENDER, SOP Instance UID 1.2.3.{name})" in caplog.text
