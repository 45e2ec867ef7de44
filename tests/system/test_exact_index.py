"""The exact index by the command line: what it prints, what it refuses, and builds that are killed."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anchored import COUNT, Anchored, Truth, asking, nearest, rows, sound
from conftest import COMMAND, Run, clean_environment
from databases import Server
from inside import run_inside

from radretrieval.archive import connections
from radretrieval.archive.connections import Database

Command = Callable[..., Run]
TABLES = "SELECT relname FROM pg_class WHERE relname ~ '^exact_[0-9]+(_stage)?$' AND relkind = 'r' ORDER BY 1"


@pytest.fixture(scope="module")
def barcoded(server: Server, anchored: Anchored) -> Iterator[Database]:
    """A copy with a barcode for every image, so that stored images can be asked for."""
    with server.database(template=anchored.template) as url:
        with asking(url) as connection:
            connection.execute(
                "INSERT INTO barcode SELECT encoder_geometry(%s), id, decode(repeat(md5(id::text), 34), 'hex') "
                "FROM image",
                (anchored.encoder,),
            )
        yield Database(url)


@pytest.fixture
def run(barcoded: Database, tmp_path: Path) -> Command:
    def command(*arguments: object, check: bool = True, **environment: str) -> Run:
        told = clean_environment(tmp_path / "home", barcoded.url) | environment
        return run_inside(arguments, told, tmp_path, check=check)

    return command


def test_the_life_of_an_index(run: Command, barcoded: Database, anchored: Anchored) -> None:
    dropped = run("index", "drop", "--json").json
    assert dropped["kind"] == "all"
    status = run("status", "--json")
    assert status.json["index"]["kind"] == "none"
    assert status.json["index"]["advice"] == (
        "searches compare with every code; an index is faster: radretrieval index build"
    )
    assert status.json["index"]["advice"] in status.stderr
    built = run("index", "build", "--json").json
    assert list(built) == ["kind", "codes", "anchors", "seconds"]
    assert (built["kind"], built["codes"]) == ("exact", COUNT)
    status = run("status", "--json").json["index"]
    assert (status["kind"], status["built_of"], status["unfinished"], status["advice"]) == ("exact", COUNT, 0, None)
    checked = run("index", "check", "--sample", 6, "--json").json
    assert list(checked) == [
        *("kind", "codes", "anchors", "missing", "extra", "distances", "bounds", "facets", "cells", "queries"),
        *("wrong", "seconds"),
    ]
    assert (checked["codes"], checked["anchors"], checked["queries"]) == (COUNT, built["anchors"], 6)
    with asking(barcoded.url) as connection:
        table = rows(connection, "SELECT 'exact_' || id FROM exact_index")[0][0]
        connection.execute(f"DELETE FROM {table} WHERE image_id < 5")
    damaged = run("index", "check", "--sample", 0, check=False)
    assert damaged.returncode == 1
    assert "missing" in damaged.stdout
    assert "is not sound; build it anew: radretrieval index build" in damaged.stderr
    assert run("index", "build", "--anchors", 200, "--encoder", anchored.encoder).stdout.split()[:4] == [
        *("kind", "exact", "codes", str(COUNT))
    ]
    sound(barcoded, anchored.encoder)


def test_what_a_search_says(run: Command, barcoded: Database, anchored: Anchored) -> None:
    with asking(barcoded.url) as connection:
        truth = Truth(connection, anchored.encoder)
    plain = run("search", "id:5", "--json").json
    expected = [hit for hit in truth.nearest(truth.codes[4], 51) if hit[0] != 5]
    assert (plain["path"], plain["recall"], plain["candidates"]) == ("exact-index", None, len(expected))
    assert {(hit["image_id"], hit["cnnc_distance"]) for hit in plain["hits"]} <= set(expected)
    options = ("--where", "view_position=SOME", "--where", "rows>=1100", "--candidates", 20)
    narrow = run("search", "id:5", *options, "--json").json
    keep = truth.passing({"view_position": "SOME", "rows": {"from": 1100}, "not_image": [5]})
    expected = truth.nearest(truth.codes[4], 20, keep)
    assert (narrow["path"], narrow["candidates"]) == ("exact-filter", len(expected))
    assert (narrow["matched"], narrow["matched_at_least"]) == (keep.sum(), False)
    assert (narrow["hidden"], narrow["hidden_at_least"]) == (1000, True)
    nothing = run("search", "id:5", "--where", "split=no such", "--json")
    assert (nothing.json["matched"], nothing.json["hits"], nothing.json["hidden"]) == (0, [], None)
    people = run("search", "id:5", *options)
    assert str(keep.sum()) in people.stderr
    own = run("search", "id:5", "--where-sql", "i.rows > 1500 AND i.modality = 'CR'", "--one-per", "patient", "--json")
    assert own.json["matched"] == truth.passing({"rows": {"from": 1501}, "modality": "CR", "not_image": [5]}).sum()


REFUSED = [
    (("--where", "colour=1"), 2, "a filter cannot name 'colour'; the columns are: modality, body_part"),
    (("--one-per", "hospital"), 2, "--one-per hospital: it is one of: patient, study"),
    (("--where-sql", "i.rows >"), 2, "--where-sql: syntax error"),
    (("--where-sql", "true); DELETE FROM radretrieval.image; SELECT (true"), 2, "read-only transaction"),
]


@pytest.mark.parametrize(("options", "code", "told"), REFUSED, ids=[" ".join(options) for options, _, _ in REFUSED])
def test_what_a_search_refuses(run: Command, options: tuple[str, ...], code: int, told: str) -> None:
    done = run("search", "id:5", *options, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_search_that_takes_too_long(run: Command) -> None:
    limit = {"PGOPTIONS": "-c statement_timeout=300"}
    done = run("search", "id:5", "--where-sql", "pg_sleep(0.01) IS NOT NULL", check=False, **limit)
    assert (done.returncode, done.stdout) == (3, "")
    assert "statement timeout; ask the DBA for a longer one" in done.stderr


def test_builds_that_are_killed_leave_nothing_that_stays(
    run: Command, barcoded: Database, anchored: Anchored, tmp_path: Path
) -> None:
    with asking(barcoded.url) as connection:
        truth = Truth(connection, anchored.encoder)
        unfinished = 0
        # first while it waits for a writer, so that it cannot be done; then at some moments
        for moment in (None, *(random.Random(1).uniform(0, 0.5) for _ in range(1))):
            with connections.connect(barcoded.url) as writer:
                if moment is None:
                    writer.execute("UPDATE image SET split = split WHERE id = 1")
                kill_build(connection, barcoded.url, tmp_path, moment or 0.2)
            left = rows(connection, "SELECT count(*) FROM exact_index WHERE NOT live")[0][0]
            unfinished += left
            status = run("status", "--json")
            assert (status.json["index"]["kind"], status.json["index"]["unfinished"]) == ("exact", left)
            assert ("an index is being built, or was begun and not finished" in status.stderr) == (left > 0)
            assert nearest(connection, truth.codes[3], 40) == (truth.nearest(truth.codes[3], 40), {"exact-index"})
            connection.execute("UPDATE cnnc SET code = code WHERE image_id % 400 = 0")  # noted for a dead one
            sound(barcoded, anchored.encoder)
        assert unfinished > 0
        built = run("index", "build", "--json")
        assert built.json["codes"] == COUNT
        assert rows(connection, TABLES) == rows(connection, "SELECT 'exact_' || id FROM exact_index")
        assert rows(connection, "SELECT count(*) FROM exact_touched") == [(0,)]
        sound(barcoded, anchored.encoder)


def kill_build(connection: Any, url: str, home: Path, seconds: float) -> None:
    """SIGKILL a build so long after its index is there; return when its connection has ended."""
    before = rows(connection, "SELECT max(id) FROM exact_index")
    build = subprocess.Popen([COMMAND, "index", "build"], env=clean_environment(home, url), stderr=subprocess.DEVNULL)
    while rows(connection, "SELECT max(id) FROM exact_index") == before and build.poll() is None:
        time.sleep(0.005)
    time.sleep(seconds)
    build.kill()
    build.wait()
    lock = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 726632015"
    deadline = time.monotonic() + 20
    while rows(connection, lock):
        assert time.monotonic() < deadline, "the server goes on building for a client that is dead"
        time.sleep(0.05)


def test_a_second_build_is_refused(run: Command, barcoded: Database) -> None:
    with connections.connect(barcoded.url) as writer, asking(barcoded.url) as connection:
        writer.execute("UPDATE image SET split = split WHERE id = 1")  # the first build waits for it
        environment = clean_environment(Path("/nonexistent"), barcoded.url)
        command = [str(COMMAND), "index", "build", "--json"]
        first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        while not rows(connection, "SELECT FROM exact_index WHERE NOT live"):
            time.sleep(0.02)
        for refuse in ("build", "drop"):
            second = run("index", refuse, check=False)
            assert (second.returncode, second.stdout) == (2, "")
            assert "is being built by another process; wait for it, or end that process" in second.stderr
        writer.commit()
        assert json.loads(first.communicate(timeout=60)[0])["codes"] == COUNT
