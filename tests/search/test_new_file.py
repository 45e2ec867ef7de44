"""A file that comes as a query is decoded in a process with the limits of ingestion, never in the searching one."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import poisoned
import pytest
from serving import Films

import radretrieval as rr
from radretrieval.errors import UsageError
from radretrieval.imaging import reader
from radretrieval.results import dicom_header
from radretrieval.search import searcher
from radretrieval.storage import worker_pool

ROI = "60,70,90,80"


def test_only_films_of_the_archive_are_decoded_here(
    films: Films, films_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked about a new file, and written of the answer; and the answers are the same."""
    new, known = films.new[0], tmp_path / "known.dcm"
    shutil.copy(films.known[4], known)
    here: set[bytes] = set()

    def noting(function: Any) -> Any:
        def noted(data: bytes, *given: Any) -> Any:
            here.add(hashlib.sha256(data).digest())
            return function(data, *given)

        return noted

    for module, name in ((reader, "read_dicom"), (reader, "read_png"), (dicom_header, "read_data_set")):
        monkeypatch.setattr(module, name, noting(getattr(module, name)))
    outputs = rr.AnswerOutputs(sr=tmp_path / "sr.dcm", picture=tmp_path / "sheet.png", fhir=tmp_path / "b.json")
    ways: list[dict[str, Any]] = [
        {},
        {"roi": ROI},
        {"roi": ROI, "roi_method": "paper"},
        {"exclude_same_patient": True},
        {"outputs": outputs},
    ]
    with rr.open_archive(settings=films.settings(films_url)) as archive:
        with searcher.Searcher(archive._database, archive.settings, run=worker_pool.call) as before:
            expected = [before.search(one) for one in (asked(new, way) for way in ways[:3])]
        here.clear()
        found = [archive.search(new, **way) for way in ways]
        answered = list(archive.search_many([new]))
        assert hashlib.sha256(new.read_bytes()).digest() not in here
        for one, other in zip(found, expected, strict=False):
            assert [(hit.image_id, hit.rbc_distance, hit.roi) for hit in one.hits] == [
                (hit.image_id, hit.rbc_distance, hit.roi) for hit in other.hits
            ]
        assert [row.image_id for row in answered] == [hit.image_id for hit in found[0].hits]
        archive.search(films.picture)
        assert hashlib.sha256(films.picture.read_bytes()).digest() not in here
        archive.search(known, roi=ROI)
        assert hashlib.sha256(known.read_bytes()).digest() in here, "ingestion has decoded it"


def asked(query: Path, way: dict[str, Any]) -> Any:
    from radretrieval.search.request import Request
    from radretrieval.search.roi import parse_roi

    return Request(query, **way | ({"roi": parse_roi(way["roi"])} if "roi" in way else {}))


def test_a_file_that_its_decoder_dies_of_is_an_error_in_words(
    films: Films, films_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"crash": "SIGSEGV", "kill": "memory ran out", "fill": "needs more than 3000 MB", "hang": "longer than 3 s"}
    monkeypatch.setenv(poisoned.NAMED, " ".join(f"poison-{harm}={harm}" for harm in words))
    monkeypatch.setattr(searcher, "call", poisoned.poisoned)
    monkeypatch.setattr(worker_pool, "_KILLED_PAUSES", (0.0, 0.0))
    settings = films.settings(films_url).model_copy(update={"decode_seconds": 3.0, "decode_megabytes": 3000})
    with rr.open_archive(settings=settings) as archive:
        for harm, said in words.items():
            shutil.copy(films.new[0], tmp_path / f"poison-{harm}.dcm")
            with pytest.raises(UsageError, match=rf"poison-{harm}\.dcm .*{said}"):
                archive.search(tmp_path / f"poison-{harm}.dcm")
        assert len(archive.search(films.new[0]).hits) == 10
