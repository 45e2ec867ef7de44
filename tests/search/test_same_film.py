"""A query that is an image of the archive in other bytes, as a PACS rewrites files, is that image."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from tiny import add_encoder

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.ingest.run import ingest
from radretrieval.jobs.encode import EncodeOptions, encode
from radretrieval.search.batch.run import BatchReport, search_batch
from radretrieval.search.batch.sources import BatchQuery
from radretrieval.search.request import Request
from radretrieval.search.searcher import Searcher

FILMS = ("derived_RG3_220_mono1_u16", "pyd_CT_small", "pyd_image_dfl", "fo_CR-MONO1-10-chest")


@pytest.mark.parametrize("pixels", ["its own", "others"])
def test_a_film_in_other_bytes(
    database: Database, settings: Settings, shared: Path, tmp_path: Path, pixels: str
) -> None:
    films = [shared / "data" / "dicom" / "valid" / f"{name}.dcm" for name in FILMS]
    ingest(database, settings, films)
    with database.connection() as connection:
        add_encoder(connection)
        (row,) = connection.execute("SELECT id FROM image WHERE uri LIKE '%derived%'").fetchall()
    encode(database, settings, EncodeOptions(device="cpu"))
    ds = pydicom.dcmread(films[0])
    ds.StudyDescription = "another one"
    if pixels == "others":
        ds.PixelData = bytes(len(ds.PixelData))
    query = tmp_path / "query.dcm"
    ds.save_as(query)
    with Searcher(database, settings, "cpu") as searcher:
        answer = searcher.search(Request(query))
        asked = [BatchQuery("q", str(query))]
        several = search_batch(searcher, Request(query), asked, BatchReport(), lambda count: None)
        many = [one for some in several for one in some]
    found = [hit.image_id for hit in answer.hits]
    if pixels == "its own":
        assert (answer.query_image_id, row["id"] in found) == (row["id"], False)
    else:
        assert (answer.query_image_id, row["id"] in found) == (None, True)
    assert [(r.query_image_id, r.image_id) for r in many] == [(answer.query_image_id, image) for image in found]
