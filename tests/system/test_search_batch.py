"""`search --batch` and `--all` by the command line: the hits of `search`, bad input, kills."""

from __future__ import annotations

import csv
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COMMAND, Run, clean_environment
from PIL import Image
from pyarrow import parquet
from tiny import add_encoder

from radretrieval.archive.connections import Database

IMAGES = 24
KEYS = ["encoder_id", "queries", "answered", "flat", "nothing_similar", "failed", "failures", "passed_over", "rows"]
KEYS += ["out", "seconds", "queries_per_second", "path"]


@pytest.fixture
def filled(inside: Callable[..., Run], database: Database, tmp_path: Path) -> Callable[..., Run]:
    rng = np.random.default_rng(3)
    for folder, number in (("x-rays", IMAGES), ("new", 5)):
        (tmp_path / folder).mkdir()
        for place in range(number):
            Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8)).save(tmp_path / folder / f"{place:02}.png")
    (tmp_path / "labels.csv").write_text(
        "file,split\n" + "".join(f"x-rays/{n:02}.png,s{n % 2}\n" for n in range(IMAGES))
    )
    inside("ingest", "x-rays", "--labels", "labels.csv")
    with database.connection() as connection:
        add_encoder(connection)
    inside("work", "--once", "--device", "cpu")
    return inside


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def hits(rows: list[dict[str, str]]) -> list[tuple[Any, ...]]:
    names = ("rank", "image_id", "cnnc_distance", "rbc_distance")
    return [tuple(int(row[name]) for name in names) for row in rows]


def single(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(hit[n] for n in ("rank", "image_id", "cnnc_distance", "rbc_distance")) for hit in answer["hits"]]


def test_all_equals_single_searches_in_both_formats(filled: Callable[..., Run], tmp_path: Path) -> None:
    options = ("--where", "split=s1", "--top", 4, "--candidates", 6)
    done = filled("search", "--all", "--out", "a.csv", *options, "--json").json
    assert list(done) == KEYS
    assert (done["queries"], done["answered"], done["failed"], done["rows"]) == (IMAGES, IMAGES, 0, IMAGES * 4)
    assert sum(done["path"].values()) == IMAGES
    rows = rows_of(tmp_path / "a.csv")
    assert [row["query"] for row in rows] == [f"id:{n}" for n in range(1, IMAGES + 1) for _ in range(4)]
    for image_id in (1, 2, 24):
        own = [row for row in rows if row["query"] == f"id:{image_id}"]
        assert hits(own) == single(filled("search", f"id:{image_id}", *options, "--json").json)
        assert {row["query_image_id"] for row in own} == {str(image_id)}
    filled("search", "--all", "--out", "a.parquet", *options)
    table = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in table] == rows


def test_a_folder_with_files_that_cannot_be_read(filled: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "new" / "torn.png").write_bytes((tmp_path / "new" / "00.png").read_bytes()[:99])
    (tmp_path / "new" / "99.png").write_bytes((tmp_path / "x-rays" / "03.png").read_bytes())
    done = filled("search", "--batch", "new", "--out", "new/hits.csv", "--device", "cpu", check=False)
    assert done.returncode == 1
    assert f"failed: {tmp_path / 'new' / 'torn.png'}: " in done.stderr
    assert "queries_per_second" in done.stdout
    rows = rows_of(tmp_path / "new" / "hits.csv")
    assert len(rows) == 6 * 10
    for name in ("02.png", "99.png"):
        own = [row for row in rows if row["query"] == str(tmp_path / "new" / name)]
        assert hits(own) == single(filled("search", f"new/{name}", "--device", "cpu", "--json").json)
    assert {row["query_image_id"] for row in rows} == {"", "4"}
    # the output of this run is no query of the next
    again = filled("search", "--batch", "new", "--out", "new/hits.csv", "--device", "cpu", "--json", check=False).json
    assert [failure["path"] for failure in again["failures"]] == [str(tmp_path / "new" / "torn.png")]
    assert rows_of(tmp_path / "new" / "hits.csv") == rows


def test_files_beside_the_images_are_passed_over_as_ingest_does(filled: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "new" / "below").mkdir()
    for name in ("labels.csv", "below/Thumbs.db", "DICOMDIR"):
        (tmp_path / "new" / name).write_text("no picture")
    search = ("search", "--batch", "new", "--out", "h.csv", "--device", "cpu")
    done = filled(*search)
    assert "\n3 files beside the images were passed over (labels.csv" in f"\n{done.stderr}"
    again = filled(*search, "--json").json
    assert {name: again[name] for name in ("queries", "answered", "failed", "passed_over")} == {
        "queries": 5,
        "answered": 5,
        "failed": 0,
        "passed_over": filled("ingest", "new", "--json").json["passed_over"],
    }
    assert again["passed_over"] == 3
    # one that a CSV names is a query
    (tmp_path / "named.csv").write_text("file\nnew/labels.csv\n")
    named = filled("search", "--batch", "named.csv", "--out", "h.csv", "--json", check=False)
    assert (named.returncode, named.json["failed"], named.json["passed_over"]) == (1, 1, 0)


def test_a_csv_of_ids_and_queries_without_hits(filled: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id\n7\n3\n7\n")
    done = filled("search", "--batch", "ids.csv", "--out", "h.csv", "--where", "split=none")
    assert "3 queries have fewer than 10 hits" in done.stderr
    rows = rows_of(tmp_path / "h.csv")
    assert [(row["query"], row["rank"], row["image_id"], row["encoder_id"]) for row in rows] == [
        ("id:7", "", "", "1"),
        ("id:3", "", "", "1"),
        ("id:7", "", "", "1"),
    ]


def test_what_cannot_be_asked(filled: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd.csv").write_text("name\nx\n")
    for arguments, reason in (
        ((), "search takes one of"),
        (("id:1", "--batch", "new", "--out", "h.csv"), "search takes one of"),
        (("--all", "--batch", "new", "--out", "h.csv"), "search takes one of"),
        (("id:1", "--out", "h.csv"), "--json"),
        (("--all",), "--all needs --out"),
        (("--all", "--out", "h.csv", "--roi", "1,1,5,5"), "--roi is of one query"),
        (("--batch", "new", "--out", "h.csv", "--picture", "p.png"), "--picture is of one query"),
        (("--all", "--out", "h.txt"), "let it end in .csv or .parquet"),
        (("--all", "--out", "nowhere/h.csv"), "does not exist"),
        (("--batch", "nowhere", "--out", "h.csv"), "nowhere does not exist"),
        (("--batch", "empty", "--out", "h.csv"), "holds no query"),
        (("--batch", "odd.csv", "--out", "h.csv"), "no column file, image_id, id"),
        (("--batch", "odd.csv", "--out", "./odd.csv"), "name another file"),
        (("--all", "--out", "h.csv", "--where", "colour=red"), "colour"),
        (("--all", "--out", "h.csv", "--top", "60"), "smaller than --top"),
    ):
        done = filled("search", *arguments, check=False)
        assert (done.returncode, done.stdout) == (2, ""), f"{arguments}: {done.stderr}"
        assert reason in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".h", "h."))] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_killed_in_the_middle_the_old_output_stays(
    filled: Callable[..., Run], archive_url: str, tmp_path: Path, number: signal.Signals, ending: str
) -> None:
    target, draft = tmp_path / f"h.{ending}", tmp_path / f".h.{ending}.part"
    target.write_text("old")
    slow = ("--where-sql", "pg_sleep(5)::text = ''")
    command = [str(COMMAND), "search", "--all", "--out", target.name, *slow]
    process = subprocess.Popen(command, cwd=tmp_path, env=clean_environment(tmp_path / "home", archive_url), stderr=-1)
    with Database(archive_url).connection() as connection:
        connection.autocommit = True
        working = (
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        )
        until = time.monotonic() + 60
        while not connection.execute(working).fetchone()["n"]:  # type: ignore[index]
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        code = process.wait(20)
        assert code == (130 if number == signal.SIGTERM else -signal.SIGKILL)
        assert target.read_text() == "old"
        assert draft.exists() == (number == signal.SIGKILL)
        if number == signal.SIGTERM:
            assert connection.execute(working).fetchone()["n"] == 0  # type: ignore[index]
    filled("search", "--all", "--out", target.name, "--top", "1")
    assert target.read_bytes()[:4] in (b"quer", b"PAR1")
    assert not draft.exists()
