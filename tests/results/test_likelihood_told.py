"""Reports and pictures tell how likely hits are right, and that nothing is similar."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answering import Made
from calibrating import fitted

from radretrieval.archive.connections import Database
from radretrieval.coding.calibration import Calibration
from radretrieval.report.likelihood import in_words
from radretrieval.report.search_picture import _text
from radretrieval.results.fhir import bundle
from radretrieval.results.references import reported_answer, subject_of
from radretrieval.results.structured_report import structured_report
from radretrieval.search.request import Request

PROBABILITIES = ("PROB", "PROBT", "PROBD", "PROBA", "PROBB")


@pytest.fixture
def calibrated(answers: Made) -> Iterator[Callable[[Calibration], None]]:
    """Gives the encoder a calibration, for this test."""

    def put(calibration: Calibration | None) -> None:
        text = None if calibration is None else json.dumps(calibration.as_json())
        with Database(answers.url).connection() as connection:
            connection.execute("UPDATE encoder SET calibration = %s", (text,))

    yield put
    put(None)


def groups_of(report: Any, folder: Path) -> list[Any]:
    """The measurement groups, as others read them."""
    import highdicom as hd

    report.save_as(folder / "sr.dcm")
    found: list[Any] = hd.sr.srread(folder / "sr.dcm").content.get_image_measurement_groups()
    return found


def test_reports_tell_probabilities(answers: Made, calibrated: Callable[[Calibration], None], tmp_path: Path) -> None:
    calibrated(replace(fitted(), far=1.0))
    with answers.searcher() as searcher:
        answer = searcher.search(Request(1))
        reported, subject = reported_answer(searcher, answer), subject_of(searcher, 1, "--sr")
    observations = [one["resource"] for one in bundle(reported, None)["entry"]]
    told = [one["component"] for one in observations if one["resourceType"] == "Observation"]
    groups = groups_of(structured_report(reported, subject), tmp_path)
    by_rank = {}
    for group in groups:
        measured = {one.name.value: one.value for one in group.get_measurements()}
        by_rank[measured.get("RANK")] = measured
    assert {hit.likelihood is None for hit in answer.hits} == {True, False}  # two have no code
    for hit, components in zip(answer.hits, told, strict=True):
        values = {one["code"]["coding"][0]["code"]: one.get("valueQuantity", {}).get("value") for one in components}
        names = ("probability", *(f"probability-{axis}" for axis in "tdab"))
        expected = [None if hit.likelihood is None else round(p, 4) for p in hit.likelihood or [None] * 5]
        assert [values.get(name) for name in names] == expected
        assert [by_rank[hit.rank].get(name) for name in PROBABILITIES] == expected


def test_reports_tell_that_nothing_is_similar(
    answers: Made, calibrated: Callable[[Calibration], None], tmp_path: Path
) -> None:
    calibrated(replace(fitted(), far=0.0))
    with answers.searcher() as searcher:
        answer = searcher.search(Request(1))
        reported, subject = reported_answer(searcher, answer), subject_of(searcher, 1, "--sr")
    report = next(one["resource"] for one in bundle(reported, None)["entry"])
    assert report["conclusion"].startswith("Nothing similar in the archive: the nearest films are farther away")
    count = f"{answer.returned} of {answer.requested}"
    assert f". The nearest films, which are not similar, are listed: {count}, from" in report["conclusion"]
    assert "similar images" not in report["conclusion"]
    groups = groups_of(structured_report(reported, subject), tmp_path)
    said = [one.value.value for group in groups for one in group.get_qualitative_evaluations()]
    assert said.count("NOTHING") == 1
    names = sorted(group.tracking_identifier for group in groups)
    assert names[-1] == "query"
    assert all("(nothing similar was found): image" in name for name in names[:-1])


def test_the_picture_says_both(answers: Made, calibrated: Callable[[Calibration], None], tmp_path: Path) -> None:
    from radretrieval.report import search_picture

    calibrated(replace(fitted(), far=1.0))
    with answers.searcher() as searcher:
        answer = searcher.search(Request(1))
        query, hits = search_picture._pictured(searcher, answer, file_names=False)
        search_picture.write_search_picture(tmp_path / "answer.png", searcher, answer)
    assert (query.warning, query.remark) == (None, None)
    first = next(hit for hit in answer.hits if hit.likelihood)
    assert first.likelihood is not None
    lines = [line for line, *_ in _text(hits[first.rank - 1])]
    assert f"same code: {in_words(first.likelihood.code)}" in lines
    calibrated(replace(fitted(), far=0.0))
    with answers.searcher() as searcher:
        query, hits = search_picture._pictured(searcher, searcher.search(Request(1)), file_names=False)
    assert query.warning == "Nothing similar in the archive: do not rely on the hits"
    assert [hit.remark for hit in hits] == [None] * len(hits)
    with answers.searcher() as searcher:
        filtered = searcher.search(Request(1, max_distance=1000))
        query, _ = search_picture._pictured(searcher, filtered, file_names=False)
    assert query.warning == "Nothing similar passes the filter: do not rely on the hits"


def test_words() -> None:
    told = [in_words(p) for p in (0.9996, 0.96, 0.8, 0.5, 0.1, 0.001)]
    assert told == [
        *("very likely (99 %)", "very likely (96 %)", "likely (80 %)", "possibly (50 %)"),
        *("unlikely (10 %)", "very unlikely (1 %)"),
    ]
