"""The whole path by the real command line, on phantoms and the paper's network: from files to a ranked answer."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COMMAND, Run, clean_environment
from databases import Server
from inside import run_inside
from PIL import Image

from radretrieval.archive.connections import Database
from radretrieval.archive.filters import Condition
from radretrieval.coding.hamming import distances
from radretrieval.config import Settings
from radretrieval.files.uris import to_path
from radretrieval.irma.error import irma_error
from radretrieval.search.request import Request
from radretrieval.search.searcher import Searcher

IMAGES, CLASSES = 96, 6


class Filled:
    """An archive of phantoms with a network of two epochs, and the command to ask it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.home = folder / "home"

    def run(self, *arguments: object, check: bool = True) -> Run:
        """In this process, some seconds sooner."""
        return run_inside(arguments, clean_environment(self.home, self.url), self.folder, check=check)

    def command(self, *arguments: object, check: bool = True) -> Run:
        """In a process of its own, as people run it."""
        command = [str(COMMAND), *map(str, arguments)]
        environment = clean_environment(self.home, self.url)
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Run(command, done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def filled(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("whole")
    with server.database(template=migrated_template) as url:
        made = Filled(url, folder)
        made.command("phantom", "x-rays", "--images", IMAGES, "--classes", CLASSES)
        made.ingested = made.command("ingest", "x-rays", "--labels", "x-rays/labels.csv", "--json").json
        made.trained = made.command("train", "--profile", "paper", "--epochs", 2, "--device", "cpu", "--json").json
        made.worked = made.command("work", "--once", "--device", "cpu", "--json").json
        yield made


def test_what_each_step_says(filled: Any) -> None:
    ingested = filled.ingested
    assert {key: ingested[key] for key in ("seen", "added", "unchanged", "failed", "failures")} == {
        "seen": IMAGES,
        "added": IMAGES,
        "unchanged": 0,
        "failed": 0,
        "failures": [],
    }
    trained = filled.trained
    assert (trained["encoder_id"], trained["profile"], trained["classes"], trained["epochs"]) == (
        1,
        "paper",
        CLASSES,
        2,
    )
    assert trained["train_loss"] > 0
    assert (filled.worked["encoded"], filled.worked["failed"]) == (IMAGES, 0)
    assert filled.worked["images_per_second"] > 0
    status = filled.run("status", "--json").json
    assert (status["images"], status["coded"], status["pending"], status["failed"]) == (IMAGES, IMAGES, 0, 0)
    (encoder,) = filled.run("encoder", "list", "--json").json["encoders"]
    assert (encoder["encoder_id"], encoder["active"], encoder["codes"]) == (1, True, IMAGES)


def test_search_by_id_and_by_file_give_the_same(filled: Filled) -> None:
    by_id = filled.run("search", "id:5", "--json").json
    path = to_path(hit_uri(filled, 5))
    by_file = filled.run("search", path, "--json").json
    assert by_id["hits"] == by_file["hits"]
    assert by_id["query_image_id"] == by_file["query_image_id"] == 5
    assert (by_id["requested"], by_id["returned"], by_id["path"]) == (10, 10, "exact-scan")
    assert by_id["candidates"] >= 50  # those that tie with the fiftieth come too
    assert [hit["rank"] for hit in by_id["hits"]] == list(range(1, 11))
    assert 5 not in [hit["image_id"] for hit in by_id["hits"]]
    assert set(by_id["timings_ms"]) == {"read", "encode", "barcode", "candidates", "rerank", "roi", "total"}


def hit_uri(filled: Filled, image_id: int) -> str:
    with Database(filled.url).connection() as connection:
        uri: str = connection.execute("SELECT uri FROM image WHERE id = %s", (image_id,)).fetchone()["uri"]  # type: ignore[index]
    return uri


def test_a_new_file_is_encoded_and_ranked_by_the_definition(filled: Filled, tmp_path: Path) -> None:
    """50 nearest by CNNC (ties by id), in the order of RBC, then CNNC, then id."""
    pixels = np.asarray(Image.open(to_path(hit_uri(filled, 3))))
    new = tmp_path / "new.png"
    Image.fromarray(np.roll(pixels, 3, axis=1)).save(new)
    answer = filled.command("search", new, "--device", "cpu", "--json").json
    assert answer["query_image_id"] is None
    database, settings = Database(filled.url), Settings(home=filled.home)
    with Searcher(database, settings, "cpu") as searcher:
        from radretrieval.archive import codes
        from radretrieval.coding.radon import barcode
        from radretrieval.imaging import read_image
        from radretrieval.imaging.resample import resample

        radiograph = read_image(new)
        cnnc = searcher.coder.codes(resample(radiograph.pixels, 128)[None])[0]
        rbc = barcode(resample(radiograph.pixels, 192)[None])[0]
        everything = codes.of_splits(searcher.connection, 1, searcher.geometry, None)
    near, far = distances(cnnc, everything.cnnc), distances(rbc, everything.rbc)
    ids = everything.image_ids
    candidates = sorted(range(len(ids)), key=lambda i: (near[i], ids[i]))[:50]
    best = sorted(candidates, key=lambda i: (far[i], near[i], ids[i]))[:10]
    assert [(hit["image_id"], hit["cnnc_distance"], hit["rbc_distance"]) for hit in answer["hits"]] == [
        (ids[i], near[i], far[i]) for i in best
    ]


def test_an_indexed_image_is_queried_without_torch(filled: Filled) -> None:
    path = to_path(hit_uri(filled, 5))
    for query in ("id:5", str(path)):
        code = (
            "import sys; from radretrieval.cli import main\n"
            f"sys.argv = ['radretrieval', 'search', {query!r}, '--json']\n"
            "try: main()\n"
            "except SystemExit as end: assert not end.code, end.code\n"
            "print(sorted({'torch', 'sqlalchemy', 'skimage', 'scipy', 'alembic'} & set(sys.modules)), file=sys.stderr)"
        )
        environment = clean_environment(filled.home, filled.url)
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stderr.strip() == "[]"
        assert json.loads(done.stdout)["returned"] == 10


def test_roi_filters_and_picture(filled: Filled) -> None:
    answer = filled.run(
        "search", "id:5", "--roi", "60,70,80,50", "--where", "split=train", "--picture", "a.png", "--json"
    )
    for hit in answer.json["hits"]:
        box = hit["roi"]
        assert set(box) == {"x", "y", "width", "height", "score", "found"}
        assert 0 <= box["x"] <= 256 - 80
        assert 0 <= box["y"] <= 256 - 50
        assert (box["width"], box["height"]) == (80, 50)
        assert -1 <= box["score"] <= 1
    with Image.open(filled.folder / "a.png") as picture:
        assert picture.width > 800
    train = filled.run("search", "id:5", "--where", "split=train", "--top", "50", "--json").json
    with Database(filled.url).connection() as connection:
        rows = connection.execute("SELECT id FROM image WHERE split = 'train'").fetchall()
    assert {hit["image_id"] for hit in train["hits"]} <= {row["id"] for row in rows}


def test_the_same_patient_is_left_out(filled: Filled) -> None:
    with Database(filled.url).connection() as connection:
        patient = connection.execute(
            "SELECT patient_key, min(id) AS id FROM image GROUP BY 1 HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
        assert patient is not None
        same = connection.execute("SELECT id FROM image WHERE patient_key = %s", (patient["patient_key"],)).fetchall()
    query = f"id:{patient['id']}"
    without = filled.run("search", query, "--exclude-same-patient", "--candidates", 96, "--top", 95, "--json").json
    assert without["returned"] == IMAGES - len(same)
    assert not {row["id"] for row in same} & {hit["image_id"] for hit in without["hits"]}


def test_fewer_hits_than_asked_are_told(filled: Filled) -> None:
    done = filled.run("search", "id:5", "--where", "split=test", "--top", "50")
    assert "of 50 hits: the archive has no more coded images that pass the filter" in done.stderr
    done = filled.run("search", "id:5", "--where", "modality=ZZ", "--json")
    assert (done.json["returned"], done.json["hits"]) == (0, [])


def test_the_table_for_people(filled: Filled) -> None:
    done = filled.run("search", "id:5", "--top", "3")
    assert done.stdout.count("\n") >= 4
    assert "IRMA code" in done.stdout
    assert ".png" in done.stdout
    assert "\x1b" not in done.stdout


def test_evaluate_equals_single_searches(filled: Filled) -> None:
    done = filled.command("evaluate", "--device", "cpu", "--csv", "hits.csv", "--picture", "e.png", "--json")
    result = done.json
    assert set(result) >= {
        "queries",
        "error_score",
        "error_per_image",
        "first_hit_accuracy",
        "axes",
        "ci95",
        "ablations",
    }
    assert [row["name"] for row in result["ablations"]] == [
        "CNNC(128, no binarization) + RBC",
        "CNNC(128) alone",
        "RBC alone",
        "softmax(128)",
    ]
    low, high = result["ci95"]
    assert low <= result["error_score"] <= high
    with (filled.folder / "hits.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["ranking"] == "CNNC(128) + RBC"]
    with Searcher(Database(filled.url), Settings(home=filled.home)) as searcher:
        queries = searcher.connection.execute(
            "SELECT id, irma_code FROM image WHERE split = 'test' ORDER BY id"
        ).fetchall()
        single = [
            (row["id"], row["irma_code"], hit.rank, hit.image_id, hit.irma_code, hit.cnnc_distance, hit.rbc_distance)
            for row in queries
            for hit in searcher.search(Request(query=row["id"], where=(Condition("split", "=", "train"),))).hits
        ]
    names = ("query_image_id", "irma_code", "rank", "image_id", "hit_irma_code", "cnnc_distance", "rbc_distance")
    assert [tuple(row[name] for name in names) for row in rows] == [tuple(map(str, hit)) for hit in single]
    assert result["queries"] == len(queries)
    firsts = [hit for hit in single if hit[2] == 1]
    assert result["first_hit_accuracy"] == pytest.approx(np.mean([hit[1] == hit[4] for hit in firsts]))
    assert result["error_score"] == pytest.approx(sum(irma_error(str(hit[1]), str(hit[4])) for hit in firsts))
    with Image.open(filled.folder / "e.png") as picture:
        assert picture.width > 1500


def test_the_evaluation_for_people(filled: Filled) -> None:
    done = filled.run("evaluate", "--no-network", "--compare", "cnnc", "rbc", "--rule", "paper")
    assert "error: the paper's Eq. 1, literally" in done.stdout
    assert "CNNC(128) alone of encoder 1 against RBC alone of encoder 1, query by query:" in done.stdout
    assert "softmax" not in done.stdout
    done = filled.run("evaluate", "--no-network")
    assert "\npublished errors are left out: the queries are not those of ImageCLEF 2009" in done.stdout
    assert "best constant without *: 11" in done.stdout
    early = filled.run("evaluate", "--picture", "no/such.png", check=False)
    assert (early.returncode, early.stdout) == (2, "")
    assert "no for the picture does not exist" in early.stderr


def test_evaluating_a_split_against_everything_leaves_the_query_out(filled: Filled) -> None:
    result = filled.run("evaluate", "--against", "all", "--no-network", "--json").json
    assert result["against"] == IMAGES
    assert len(result["ablations"]) == 2


def test_hnsw_by_the_command_line(filled: Filled) -> None:
    exact = filled.run("search", "id:5", "--json").json
    assert filled.run("index", "build", "--kind", "hnsw", "--json").json["codes"] == IMAGES
    through = filled.run("search", "id:5", "--json").json
    assert (through["path"], through["recall"]) == ("hnsw", None)
    assert through["hits"] == exact["hits"]  # of 96 codes the graph misses none
    assert filled.run("index", "audit", "--json").json["recall"] == 1.0
    told = filled.run("search", "id:5", "--json")
    assert (told.json["recall"], told.json["recall_worst"]) == (1.0, 1.0)
    assert "approximate index (HNSW), last measured to find 100.0% of the true nearest" in told.stderr
    filled.run("index", "drop")
    assert filled.run("search", "id:5", "--json").json["path"] == "exact-scan"


def test_a_second_encoder_is_switched_to_only_when_it_is_full(filled: Filled) -> None:
    second = filled.run("train", "--epochs", 1, "--seed", 9, "--device", "cpu", "--json").json
    assert (second["encoder_id"], second["active"]) == (2, False)
    early = filled.run("encoder", "activate", 2, check=False)
    assert early.returncode == 2
    assert f"{IMAGES} images have no code of encoder 2" in early.stderr
    filled.run("work", "--once", "--encoder", 2, "--device", "cpu")
    filled.run("encoder", "activate", 2)
    assert filled.run("search", "id:5", "--json").json["encoder_id"] == 2
    filled.run("encoder", "activate", 1)
    assert filled.run("search", "id:5", "--json").json["encoder_id"] == 1
