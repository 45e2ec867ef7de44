"""How fast the encoding worker is against its parts alone: decoding processes, network, barcodes.

    python benchmarks/worker.py [--films 200] [--turns 3] [--device auto] [--json FILE]

The films are phantoms as DICOM files: of 2000 × 1750 pixels of 12 bits, not compressed, and of 400 × 350, where
decoding takes little. In turns: the decoding processes alone, one a core; the network of `strong` alone over inputs in
memory, in batches of 64; the barcodes alone; and `work --once` over a new encoder, in this process, whose start and
reading of the weights count. Where network and decoders share the cores, as on a CPU, no worker comes near the slower
of the two: `of the cores` is what it reaches of as many films as the CPU seconds of the parts allow on all cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from _common import database, machine, table, told

from radretrieval.archive import encoders, images
from radretrieval.archive.connections import Database
from radretrieval.coding import radon
from radretrieval.coding.cnnc import Coder
from radretrieval.coding.network import build
from radretrieval.coding.training import weights_of
from radretrieval.config import Settings
from radretrieval.jobs.encode import EncodeOptions, encode
from radretrieval.profile import STRONG
from radretrieval.storage.prepare import PreparedImage, PrepareTask, prepare_pool
from radretrieval.storage.source import SourceFile

sys.path.extend(str(Path(__file__).parents[1] / "tests" / folder) for folder in ("", "support"))
from serving import CODES, dicom_film

SIDES = (2000, 400)
BATCH = 64
PARTS = ("decoders", "network", "barcodes")


@dataclass
class Spent:
    """Wall and CPU seconds of one way, a turn each; the CPU time is of this process and those below it."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Time one turn."""
        start, before = time.perf_counter(), _cpu()
        yield
        self.wall.append(time.perf_counter() - start)
        self.cpu.append(_cpu() - before)


def _cpu() -> float:
    """CPU seconds so far, with those of processes that have ended; the embedded server is no child of this process."""
    own = psutil.Process()
    times = own.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for one in own.children():
        times = one.cpu_times()
        total += times.user + times.system
    return total


def main() -> None:
    """Measure both sizes, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=200, help="of each size (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--device", default="auto", help="of the network (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    figures = {side: measured(side, arguments) for side in SIDES}
    print(machine("torch", "numpy", "psycopg") + f"; device {arguments.device}")
    show(figures, arguments.films)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def measured(side: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Films a second of each way, and CPU milliseconds a film, medians of the turns."""
    with tempfile.TemporaryDirectory() as name, database() as (where, settings):
        for number in range(arguments.films):
            film = dicom_film(number, CODES[number % len(CODES)], size=side)
            film.save_as(Path(name) / f"{number}.dcm", enforce_file_format=True)
        told(settings, "ingest", name)
        spent = run(where, settings, arguments)
    found: dict[str, Any] = {}
    for way, times in spent.items():
        found[way] = {
            "films_per_second": arguments.films / statistics.median(times.wall),
            "cpu_ms": 1e3 * statistics.median(times.cpu) / arguments.films,
        }
    slower = min(found[part]["films_per_second"] for part in ("decoders", "network"))
    allowed = (os.cpu_count() or 1) * 1e3 / sum(found[part]["cpu_ms"] for part in PARTS)
    speed = found["work"]["films_per_second"]
    return found | {"of_the_slower": speed / slower, "of_the_cores": speed / allowed}


def run(where: Database, settings: Settings, arguments: argparse.Namespace) -> dict[str, Spent]:
    """All ways in turns."""
    spent = {way: Spent() for way in (*PARTS, "work")}
    shape = STRONG.barcode
    with where.connection() as connection:
        rows = images.after(connection, 0, arguments.films)
    tasks = [
        PrepareTask(SourceFile(row["uri"], bytes(row["sha256"])), STRONG.network.input_size, shape.size) for row in rows
    ]
    with prepare_pool(settings) as pool:
        list(pool.map(tasks[: 2 * (os.cpu_count() or 1)]))  # the processes start
        for turn in range(arguments.turns):
            number, weights = add_encoder(where, turn)
            with spent["decoders"].turn():
                prepared = [made for _, made in pool.map(tasks)]
            assert all(isinstance(made, PreparedImage) for made in prepared)
            coder = Coder(weights, STRONG, arguments.device)
            inputs = [np.stack([made.network_input for made in part]) for part in _batches(prepared)]
            squares = [np.stack([made.barcode_input for made in part]) for part in _batches(prepared)]
            coder.codes(inputs[0])
            with spent["network"].turn():
                for block in inputs:
                    coder.codes(block)
            with spent["barcodes"].turn():
                for block in squares:
                    radon.barcode(block, shape.size, shape.angles)
            with where.connection() as connection:
                connection.execute("DELETE FROM barcode")
            with spent["work"].turn():
                report = encode(where, settings, EncodeOptions(device=arguments.device, encoder_id=number))
            assert report.encoded == len(tasks)
    return spent


def _batches(prepared: list[PreparedImage]) -> Iterator[list[PreparedImage]]:
    for start in range(0, len(prepared), BATCH):
        yield prepared[start : start + BATCH]


def add_encoder(where: Database, seed: int) -> tuple[int, bytes]:
    """A network of `strong` with random weights: its id, and the weights."""
    torch.manual_seed(seed)
    weights = weights_of(build(STRONG.network, len(CODES)))
    with where.connection() as connection:
        return encoders.add(connection, STRONG, weights, sorted(CODES), {}), weights


def show(figures: dict[int, dict[str, Any]], films: int) -> None:
    """One table a size."""
    for side, found in figures.items():
        print(f"{films} films of {side} × {side * 7 // 8} pixels")
        rows = [
            [way, f"{found[way]['films_per_second']:.1f}", f"{found[way]['cpu_ms']:.1f}"] for way in (*PARTS, "work")
        ]
        table(["", "films a second", "CPU ms a film"], rows)
        print(f"work: {found['of_the_slower']:.2f} of the slower of decoders and network")
        print(f"work: {found['of_the_cores']:.2f} of the cores")


if __name__ == "__main__":
    main()
