"""The Python API on a real archive: what the commands do, by methods."""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import CODES, IMAGES, Made
from tiny import TINY, add_encoder

import radretrieval as rr
from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.search.searcher import Searcher

FILMS = 9  # files of the archive: six radiographs, two frames in one file, two PNG


@pytest.fixture
def archive(answers: Made) -> Iterator[rr.Archive]:
    """The archive of the tests of answers, opened by the API."""
    settings = rr.Settings(home=answers.folder / "home")
    with rr.open_archive(answers.url, settings=settings) as opened:
        yield opened


@pytest.fixture
def empty(archive_url: str, tmp_path: Path) -> Iterator[rr.Archive]:
    """An archive without images."""
    with rr.open_archive(archive_url, home=tmp_path / "home") as opened:
        yield opened


def test_an_answer_is_that_of_the_command(answers: Made, archive: rr.Archive) -> None:
    answer = archive.search(answers.folder / "new.dcm", top=4, where={"irma_code": CODES[0]}, device="cpu")
    told = answers.search("new.dcm", "--top", 4, "--where", f"irma_code={CODES[0]}", "--json").json
    assert answer.to_records() == told["hits"]
    assert {**answer.document(), "timings_ms": 0} == {**told, "timings_ms": 0}
    assert {hit.irma_code for hit in answer.hits} == {CODES[0]}


@pytest.mark.parametrize(
    ("where", "same"),
    [
        ({"irma_code": list(CODES)}, [f"irma_code={code}" for code in CODES]),
        ({"irma_code": None}, ["irma_code="]),
        ({"modality": "DX", "irma_code": "1121-127-*"}, ["modality=DX", "irma_code=1121-127-*"]),
        (["irma_code!=1121-*"], "irma_code!=1121-*"),
    ],
)
def test_filters(archive: rr.Archive, where: Any, same: Any) -> None:
    found = archive.search(1, where=where).to_records()
    assert found == archive.search(1, where=same).to_records()
    assert found != archive.search(1).to_records()


def test_a_region(archive: rr.Archive) -> None:
    answer = archive.search(1, roi=(5, 6, 12, 10))
    assert answer.to_records() == archive.search("id:1", roi="5,6,12,10").to_records()
    assert set(answer.to_records()[0]["roi"]) == {"x", "y", "width", "height", "score", "found"}


def test_the_network_is_loaded_once(answers: Made, archive: rr.Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    from radretrieval.archive import coder

    loads = []
    real = coder.load_coder
    monkeypatch.setattr(coder, "load_coder", lambda *given: loads.append(given) or real(*given))
    for _ in range(2):
        archive.search(answers.folder / "new.dcm", device="cpu")
        archive.search(answers.folder / "new.png", device="cpu")
    assert len(loads) == 1


def test_a_lost_connection_is_made_anew(archive: rr.Archive) -> None:
    before = archive.search(1).to_records()
    with Database(archive.url).connection() as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'radretrieval'"
        )
    assert archive.search(1).to_records() == before


def test_another_encoder_is_used_once_it_is_active(answers: Made, empty: rr.Archive) -> None:
    empty.ingest(answers.folder / "x-rays", workers=1)
    with Database(empty.url).connection() as connection:
        first, second = (add_encoder(connection, seed) for seed in (0, 1))
    assert empty.encode(device="cpu", workers=1).encoded == FILMS
    assert empty.search(1).encoder_id == first
    with pytest.raises(rr.UsageError, match=f"{FILMS} images have no code"):
        empty.activate(second)
    empty.encode(encoder=second, device="cpu", workers=1)
    empty.activate(second)
    assert empty.search(1).encoder_id == second
    assert [row["active"] for row in empty.encoders()] == [False, True]
    assert empty.search(1, encoder=first).encoder_id == first


def test_the_next_search_after_a_switch_by_another_process_is_of_the_new_encoder(
    answers: Made, empty: rr.Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warm search does not read the encoder before: the statement that adds its row sees that another is active."""
    empty.ingest(answers.folder / "x-rays", workers=1)
    with Database(empty.url).connection() as connection:
        first, second = (add_encoder(connection, seed) for seed in (0, 1))
    for encoder in (first, second):
        empty.encode(encoder=encoder, device="cpu", workers=1)
    read: list[object] = []
    refresh = Searcher.refresh
    monkeypatch.setattr(Searcher, "refresh", lambda self: read.append(self) or refresh(self))
    assert [empty.search(1).encoder_id for _ in range(3)] == [first] * 3
    assert read == []
    with Database(empty.url).connection() as connection:
        encoders.activate(connection, second)
    assert [empty.search(1).encoder_id for _ in range(2)] == [second] * 2
    with Database(empty.url).connection() as connection:
        connection.execute("UPDATE encoder SET active = false")
    with pytest.raises(rr.NoEncoder):
        empty.search(1)
    with Database(empty.url).connection() as connection:
        encoders.activate(connection, first)
        assert empty.search(1, encoder=second).encoder_id == second
        rows = connection.execute(
            "SELECT detail ->> 'encoder_id' AS encoder FROM audit WHERE action = 'search' ORDER BY id"
        )
        assert [int(row["encoder"]) for row in rows] == [first] * 3 + [second] * 3


def test_many_queries(answers: Made, archive: rr.Archive, tmp_path: Path) -> None:
    batch = archive.search_many([1, answers.folder / "new.dcm"], top=3, device="cpu")
    rows = list(batch)
    assert [row.rank for row in rows] == [1, 2, 3, 1, 2, 3]
    assert (batch.report.queries, batch.report.failures) == (2, [])
    alone = [hit.image_id for hit in archive.search(1, top=3).hits]
    assert [row.image_id for row in rows[:3]] == alone
    report = archive.search_many(top=2).write(tmp_path / "all.csv")
    with (tmp_path / "all.csv").open() as file:
        assert len(list(csv.DictReader(file))) == report.rows == 2 * report.queries
    assert report.answered == IMAGES + 2
    with pytest.raises(rr.UsageError, match="not a name"):
        archive.search_many().write(tmp_path / "all.txt")


def test_outputs(archive: rr.Archive, tmp_path: Path) -> None:
    outputs = rr.AnswerOutputs(picture=tmp_path / "a.png", sr=tmp_path / "a.dcm", csv=tmp_path / "a.csv")
    archive.search(1, outputs=outputs)
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.dcm", "a.csv"}
    assert [str(one.Modality) for one in outputs.objects] == ["SR"]
    assert list(archive.send(outputs)) == []
    with pytest.raises(rr.UsageError, match="does not exist"):
        archive.search(1, outputs=rr.AnswerOutputs(fhir=tmp_path / "none" / "a.json"))


def test_ingest_and_status(answers: Made, empty: rr.Archive) -> None:
    calls: list[tuple[int, int | None]] = []

    def progress(count: int, total: int | None = None, step: str | None = None, /) -> None:
        calls.append((count, total))

    films = answers.folder / "x-rays"
    report = empty.ingest([films], labels=films / "labels.csv", workers=1, progress=progress)
    assert (report.added, report.failed) == (FILMS, 0)
    assert sum(count for count, _ in calls) == report.seen
    again = empty.ingest(str(films), workers=1)  # without labels, their CSV is passed over
    assert (again.unchanged, again.failed, again.passed_over) == (FILMS, 0, 1)
    status = empty.status()
    assert status["images"] >= FILMS
    assert status["coded"] == 0
    assert status["index"] is None
    with pytest.raises(rr.UsageError, match="RADRETRIEVAL_KEEP"):
        empty.ingest(films, keep="nothing")
    with pytest.raises(rr.NoEncoder):
        empty.search(1)


def test_watch_ends_when_it_is_told(empty: rr.Archive, answers: Made) -> None:
    stop = threading.Event()
    report = empty.watch(answers.folder / "x-rays", settle=0.0, workers=1, stop=stop, on_round=lambda found: stop.set())
    assert report.added == FILMS


def test_train_evaluate_and_code_report(answers: Made, empty: rr.Archive) -> None:
    films = answers.folder / "x-rays"
    empty.ingest(films, labels=films / "labels.csv", split="train", workers=1)
    trained = rr.train(empty, profile=TINY, epochs=1, device="cpu")
    assert trained.active
    empty.encode(device="cpu", workers=1)
    result = rr.evaluate(empty, split="train", network=False)
    assert result.document()["queries"] == len(CODES) * 3
    assert empty.code_report().codes == FILMS
    assert empty.encoder().id == trained.encoder_id


def test_indexes(archive: rr.Archive) -> None:
    with pytest.raises(rr.UsageError, match="no kind of index"):
        archive.build_index("btree")
    built = archive.build_index(anchors=2)
    try:
        assert built["codes"] == IMAGES + 2
        assert archive.check_index(sample=2)["sound"]
        assert archive.status()["index"]["kind"] == "exact"
    finally:
        assert archive.drop_index()["kind"] == "all"


def test_export_and_verify(archive: rr.Archive, tmp_path: Path) -> None:
    report = archive.export(tmp_path / "out", ids=[1, 2], images=False)
    assert (report.rows, report.failed) == (2, 0)
    assert archive.verify(workers=1).unsound == 0
    with pytest.raises(rr.UsageError, match="not of the form"):
        archive.export(tmp_path / "other", ids="1;2")


def test_what_cannot_be_opened(tmp_path: Path, empty_database_url: str) -> None:
    with pytest.raises(rr.SchemaOutdated, match="db upgrade"):
        rr.open_archive(empty_database_url, home=tmp_path)
    with rr.Archive(rr.Settings(database_url=empty_database_url, home=tmp_path)) as archive:
        facts = archive.upgrade()
        assert facts["revision"] == facts["head"]
        assert archive.check() == facts | {"services": []}


def test_two_archives_of_one_process_share_the_embedded_server(tmp_path: Path) -> None:
    first, second = (rr.open_archive(home=tmp_path / "home") for _ in range(2))
    first.close()
    assert second.status()["images"] == 0
    url = second.url
    second.close()
    with pytest.raises(rr.DatabaseUnavailable):
        Database(url).connection().__enter__()


def test_the_old_import_paths() -> None:
    from radretrieval.coding.hamming import distances
    from radretrieval.coding.radon import barcode
    from radretrieval.imaging import read_image
    from radretrieval.irma.error import irma_error

    assert (read_image, barcode, distances, irma_error) == (
        rr.read_image,
        rr.radon_barcode,
        rr.hamming_distances,
        rr.irma_error,
    )


def test_every_public_name_is_there_and_typed() -> None:
    for name in rr.__all__:
        assert getattr(rr, name) is not None
    assert set(rr.__all__) <= set(dir(rr))
    source = Path(rr.__file__).read_text()
    typed = source[source.index("if TYPE_CHECKING:") : source.index("__version__ =")]
    for name in rr.__all__[1:]:
        assert f"import {name} as {name}\n" in typed or f"    {name} = " in typed
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rr.nothing  # noqa: B018


@pytest.mark.parametrize("package", ["search", "ingest", "export", "evaluation", "imaging", "coding", "irma"])
def test_packages_stay_importable(package: str) -> None:
    code = (
        f"import radretrieval as rr, radretrieval.{package} as package; "
        "[getattr(rr, name) for name in rr.__all__]; print(package.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == f"radretrieval.{package}\n"


def test_the_import_is_light() -> None:
    code = "import sys, radretrieval as rr; dir(rr); rr.Archive; rr.UsageError; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert {"numpy", "torch", "psycopg", "pydicom", "pydantic", "sqlalchemy"} & set(run.stdout.split()) == set()
