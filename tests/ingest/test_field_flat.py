"""Films that show nothing are taken and named, wherever somebody looks: in reports, the log, status and searches."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sets import made, written
from PIL import Image
from tiny import add_encoder

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.scp.commit_queue import ReceiveQueue
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.run import ingest
from radretrieval.jobs.encode import EncodeOptions, encode
from radretrieval.jobs.verify import verify

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
    hits = inside("search", tmp_path / "in" / "sound.png", "--where", "flat=true", "--json").json["hits"]
    assert sorted(Path(hit["uri"]).name for hit in hits) == ["black.png", "dark.dcm"]
    grey = tmp_path / "grey.png"
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(grey)
    for query, flat in ((tmp_path / "in" / "black.png", True), (grey, True), (tmp_path / "in" / "sound.png", False)):
        answer = inside("search", query, "--device", "cpu", "--json")
        assert (answer.json["query_flat"], "the query is flat" in answer.stderr) == (flat, flat)
    Image.fromarray((RAMP.T // 20).astype(np.uint8)).save(tmp_path / "in" / "new.png")
    grey.rename(tmp_path / "in" / "grey.png")
    many = inside("search", "--batch", tmp_path / "in", "--out", tmp_path / "hits.csv", "--device", "cpu", "--json")
    assert (many.json["answered"], many.json["flat"]) == (6, 3)
    assert "3 queries are flat" in many.stderr


def test_field_09_flat_films_that_are_received_are_logged(
    database: Database, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = films(tmp_path / "in")
    received = ReceiveQueue(database, settings, lambda: None)
    for name in ("dark", "slope"):
        received.store((folder / f"{name}.dcm").read_bytes(), "SENDER", f"1.2.3.{name}")
    received.close()
    with caplog.at_level(logging.WARNING):
        report = InboxWorker(database, settings, 1).finish()
    assert (report.added, {one["error"] for one in report.problems}) == (2, {"Flat", "HeaderIgnored"})
    uris = {row["sop_instance_uid"]: row["uri"] for row in rows(database, "SELECT sop_instance_uid, uri FROM image")}
    assert f"{uris['1.2.3.4']}: is flat" in caplog.text
    assert f"{uris['1.2.3.5']}: its header is not right: RescaleSlope 0" in caplog.text
