"""Many queries give the hits that each gives alone, in their order, whatever overtook what."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from databases import Server
from PIL import Image
from tiny import FUSED, TINY, add_encoder

from radretrieval.archive import codes
from radretrieval.archive.connections import Database
from radretrieval.archive.filters import parse
from radretrieval.archive.search import hnsw, stored
from radretrieval.config import Settings
from radretrieval.errors import InputMissing, LabelsError, UsageError
from radretrieval.files.uris import to_path
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.run import ingest
from radretrieval.search.batch import execute, run
from radretrieval.search.batch.execute import HitRow
from radretrieval.search.batch.run import BatchReport, search_batch
from radretrieval.search.batch.sources import BatchQuery, batch_query, query_source
from radretrieval.search.request import Request
from radretrieval.search.searcher import Searcher

IMAGES, UNCODED, NEW = 90, 3, 12


@dataclass(frozen=True)
class Filled:
    """An archive whose codes tie at the 50th place, files that are in it, and files that are not.

    `fused` is another encoder with the same codes, whose profile orders by both distances.
    """

    searcher: Searcher
    fused: int
    ids: list[int]
    new: Path
    known: list[str]


def write(path: Path, rng: np.random.Generator) -> None:
    Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8)).save(path)


@pytest.fixture(scope="module")
def filled(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """For tests that change nothing, or change it back."""
    with server.database(template=migrated_template) as url:
        yield from fill(Database(url), tmp_path_factory.mktemp("batch"))


def fill(database: Database, place: Path) -> Iterator[Filled]:
    rng = np.random.default_rng(5)
    settings = Settings(home=place / "home", database_url=None)
    folder, new = place / "x-rays", place / "new"
    for made in (folder, new, new / "below"):
        made.mkdir()
    for number in range(IMAGES + UNCODED):
        write(folder / f"{number:03}.png", rng)
    for number in range(NEW):
        write(new / ("below" if number % 2 else ".") / f"{number}.png", rng)
    rows = [f"{n:03}.png,{'ab'[n % 2]},{f'p{n // 3}' if n % 7 else ''},1121-1{n % 2}0-500-000" for n in range(IMAGES)]
    labels = folder / "labels.csv"
    labels.write_text("\n".join(["file,split,patient_id,irma_code", *rows]) + "\n")
    ingest(database, settings, [folder], labels=read_labels(labels), workers=1)
    with database.connection() as connection:
        encoder, fused = add_encoder(connection), add_encoder(connection, profile=FUSED)
        shape = TINY.barcode
        geometry = codes.geometry_id(connection, shape.size, shape.angles, 272, shape.rule)
        found = connection.execute("SELECT id, uri FROM radretrieval.image ORDER BY id").fetchall()
        ids = [row["id"] for row in found][:IMAGES]
        # few bits that differ: nearly every distance is shared
        cnnc = np.zeros((IMAGES, 125), np.uint8)
        cnnc[:, 0] = rng.integers(0, 256, IMAGES) & 0b10010001
        for one in (encoder, fused):
            codes.write_cnnc(connection, one, ids, cnnc, 1000)
        bars = rng.integers(0, 256, (IMAGES, 544), np.uint8)
        codes.write_barcodes(connection, geometry, ids[1:], bars[1:])  # one has no barcode
    with Searcher(database, settings, "cpu") as searcher:
        yield Filled(searcher, fused, [row["id"] for row in found], new, [str(to_path(row["uri"])) for row in found])


def answers(filled: Filled, request: Request, queries: list[BatchQuery]) -> tuple[list[HitRow], BatchReport]:
    report = BatchReport()
    counted: list[int] = []
    rows = [row for some in search_batch(filled.searcher, request, queries, report, counted.append) for row in some]
    assert sum(counted) == report.queries == len(queries)
    assert report.rows == len(rows)
    assert report.answered + len(report.failures) == report.queries
    return rows, report


def alone(filled: Filled, request: Request, asked: BatchQuery) -> list[HitRow]:
    """What `search` gives for one query, as rows."""
    what = Path(asked.target) if isinstance(asked.target, str) else asked.target
    assert not isinstance(what, UsageError)
    answer = filled.searcher.search(replace(request, query=what))
    head, tail = (asked.name, answer.query_image_id, answer.query_irma_code), (answer.path, answer.encoder_id)
    rows = [
        HitRow(*head, h.rank, h.image_id, str(to_path(h.uri)), h.irma_code, h.cnnc_distance, h.rbc_distance, *tail,
               h.patient_key, h.study_instance_uid, h.study_date, h.modality, h.body_part, h.view_position,
               h.laterality)
        for h in answer.hits
    ]  # fmt: skip
    return rows or [HitRow(*head, None, None, None, None, None, None, *tail)]


def every_query(filled: Filled) -> list[BatchQuery]:
    files = [*query_source(filled.new)(), *(BatchQuery(path, path) for path in filled.known[:20])]
    return [*map(batch_query, filled.ids), *files, batch_query(filled.ids[4])]


@pytest.mark.parametrize(
    "request_",
    [
        Request(query=0),
        Request(query=0, top=3, candidates=7),
        Request(query=0, top=90, candidates=90),
        Request(query=0, where=(parse("split=a"),)),
        Request(query=0, where=(parse("irma_code=1121-11*"), parse("split!=a")), max_distance=1),
        Request(query=0, where=(parse("modality=ZZ"),)),
        Request(query=0, one_per="patient", top=5, candidates=20),
        Request(query=0, where_sql="i.id % 3 = 0", candidates=20),
    ],
    ids=["plain", "few", "all", "split", "code and distance", "nothing passes", "one a patient", "own SQL"],
)
def test_each_query_has_the_hits_that_it_has_alone(filled: Filled, request_: Request) -> None:
    queries = every_query(filled)
    rows, report = answers(filled, request_, queries)
    expected = [alone(filled, request_, asked) for asked in queries]
    assert rows == [row for some in expected for row in some]
    assert report.failures == []
    assert report.short == sum(sum(row.rank is not None for row in some) < request_.top for some in expected)


def test_the_order_is_the_profiles_in_a_search_a_batch_and_sql(filled: Filled) -> None:
    request = Request(query=0)
    queries = [batch_query(image_id) for image_id in filled.ids[1:IMAGES]]
    plain, _ = answers(filled, request, queries)
    with Searcher(filled.searcher.database, filled.searcher.settings, "cpu", filled.fused) as searcher:
        fused = replace(filled, searcher=searcher)
        rows, _ = answers(fused, request, queries)
        assert rows == [row for asked in queries for row in alone(fused, request, asked)]
        columns = "rank, image_id, cnnc_distance, rbc_distance"
        statement = f"SELECT {columns} FROM radretrieval.retrieve(%s, encoder => %s)"
        found = [
            tuple(hit.values())
            for image_id in filled.ids[1:IMAGES]
            for hit in searcher.connection.execute(statement, (image_id, filled.fused))
        ]
    assert found == [(row.rank, row.image_id, row.cnnc_distance, row.rbc_distance) for row in rows]
    assert [row.image_id for row in rows] != [row.image_id for row in plain]


def test_codes_tie_at_the_last_place(filled: Filled) -> None:
    """Else the test above would not tell whether ties are settled alike."""
    found = [filled.searcher.search(Request(query=image_id)).candidates for image_id in filled.ids[:IMAGES]]
    assert sum(candidates > 50 for candidates in found) > IMAGES / 2


def test_an_unknown_patient_fails_its_query_alone(filled: Filled) -> None:
    request = Request(query=0, exclude_same_patient=True)
    queries = [batch_query(image_id) for image_id in filled.ids[:21]]
    rows, report = answers(filled, request, queries)
    assert [one["path"] for one in report.failures] == [f"id:{filled.ids[n]}" for n in (0, 7, 14)]
    good = [query for n, query in enumerate(queries) if n % 7]
    assert rows == [row for asked in good for row in alone(filled, request, asked)]


def test_queries_that_cannot_be_answered_are_named_and_the_others_go_on(filled: Filled, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "torn.png").write_bytes(Path(filled.known[0]).read_bytes()[:200])
    shutil.copytree(filled.new, tmp_path / "new")
    listed = tmp_path / "queries.csv"
    listed.write_text(f"file;note\ngone.png;\ntext.png;\n{filled.known[0]};\n;\ntorn.png;\nnew/0.png;ü\n", "utf-8-sig")
    rows, report = answers(filled, Request(query=0, top=2), list(query_source(listed)()))
    assert list(dict.fromkeys(row.query for row in rows)) == [filled.known[0], str(tmp_path / "new" / "0.png")]
    assert [(one["path"], one["error"]) for one in report.failures] == [
        (str(tmp_path / "gone.png"), "InputMissing"),
        (str(tmp_path / "text.png"), "ImageError"),
        (f"{listed}, line 5", "UsageError"),
        (str(tmp_path / "torn.png"), "ImageError"),
    ]
    listed.write_text("image_id,x\n5,\n12345,\nid:6,\nfive,\n99999999999999999999,\n")
    rows, report = answers(filled, Request(query=0, top=1), list(query_source(listed)()))
    assert [row.query for row in rows] == ["id:5", "id:6"]
    assert [one["path"] for one in report.failures] == ["id:12345", f"{listed}, line 5", "id:99999999999999999999"]


@pytest.mark.parametrize(("block", "chunk", "connections"), [(1, 1, 1), (7, 2, 2), (1000, 3, 4)])
def test_the_order_does_not_depend_on_how_many_work_at_once(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, block: int, chunk: int, connections: int
) -> None:
    queries = every_query(filled)[:40]
    expected, _ = answers(filled, Request(query=0), queries)
    monkeypatch.setattr(run, "BLOCK", block)
    monkeypatch.setattr(execute, "CHUNK", chunk)
    monkeypatch.setattr(execute, "CONNECTIONS", connections)
    monkeypatch.setattr(execute, "RANKED", 100)
    assert answers(filled, Request(query=0), queries)[0] == expected


def test_hnsw_answers_where_it_answers_one(filled: Filled) -> None:
    with filled.searcher.database.connection() as connection:
        hnsw.build(connection, filled.searcher.encoder)
    try:
        with Searcher(filled.searcher.database, filled.searcher.settings, "cpu") as searcher:
            indexed = replace(filled, searcher=searcher)
            queries = [batch_query(image_id) for image_id in filled.ids[:20]]
            rows, report = answers(indexed, Request(query=0), queries)
            assert set(report.path) == {"hnsw"}
            assert rows == [row for asked in queries for row in alone(indexed, Request(query=0), asked)]
    finally:
        with filled.searcher.database.connection() as connection:
            hnsw.drop(connection, filled.searcher.encoder)


def test_a_wrong_filter_ends_the_batch(filled: Filled) -> None:
    for request, reason in (
        (Request(query=0, where=(parse("colour=red"),)), "colour"),
        (Request(query=0, where_sql="i.nothing > 3"), "nothing"),
        (Request(query=0, top=60), "smaller than --top"),
    ):
        with pytest.raises(UsageError, match=reason):
            answers(filled, request, [batch_query(filled.ids[0])])


def test_coded_ids_are_read_page_by_page(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "PAGE", 7)
    found = list(stored.coded_ids(filled.searcher.connection, filled.searcher.encoder.id))
    assert found == filled.ids[:IMAGES]


def test_an_archive_without_codes_says_so(database: Database, settings: Settings) -> None:
    with database.connection() as connection:
        add_encoder(connection)
    with Searcher(database, settings) as searcher, pytest.raises(UsageError, match="no image to compare with"):
        list(search_batch(searcher, Request(query=0), [batch_query(1)], BatchReport(), lambda count: None))


def test_sources_that_hold_no_query(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="--batch"):
        query_source(tmp_path / "none")
    with pytest.raises(UsageError, match="no file in it"):
        query_source(tmp_path)
    (tmp_path / "labels.csv").touch()
    with pytest.raises(UsageError, match="no file in it that may be an image"):
        query_source(tmp_path)
    listed = tmp_path / "a.csv"
    for text, reason in (
        ("image_id\n", "no row"),
        ("name,uid\n1,2\n", "no column file, image_id, id"),
        ("", "nothing"),
        ("file,file\na,b\n", "more than one column"),
    ):
        listed.write_text(text)
        with pytest.raises(UsageError, match=reason):
            query_source(listed)
    listed.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(LabelsError, match="UTF-8"):
        query_source(listed)


def test_a_folder_is_walked_by_name_without_the_output(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.png", "a.png", "out.csv", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    source = query_source(tmp_path, leave_out=tmp_path / "out.csv")
    expected = [str(tmp_path / name) for name in ("a.png", "b/1.png", "b/2.png")]
    assert [one.target for one in source()] == [one.target for one in source()] == expected
