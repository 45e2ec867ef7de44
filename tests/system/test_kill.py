"""kill -9 of ingest, worker and server: a few here, all by `make soak`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import soak
from killing import Ground, prepared


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with prepared(good=400, broken=8, seed=1) as made:
        yield made


@pytest.fixture
def random() -> Random:
    seed = time.time_ns()  # other moments in each run
    print(f"seed {seed}")
    return Random(seed)


def check(tally: soak.Tally) -> None:
    assert tally.clean, "\n".join([*tally.faults, str(tally)])  # pytest shortens a repr


def test_ingest(ground: Ground, random: Random) -> None:
    check(soak.kill_ingest(ground, 2, random))


def test_worker(ground: Ground, random: Random) -> None:
    check(soak.kill_worker(ground, 1, random))


def test_one_of_two_workers(ground: Ground, random: Random) -> None:
    check(soak.kill_one_worker(ground, 1, random))


@pytest.mark.parametrize("what", ["ingest", "work"])
def test_server(ground: Ground, random: Random, what: str) -> None:
    check(soak.kill_server(ground, what, 1, random))
