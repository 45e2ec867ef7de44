"""Whether several ingestions at once add images faster than one: the turn they take at writing.

    python benchmarks/ingest_hosts.py [--images 20000] [--turns 3]

Two tables. Writing alone: 1, 2 and 4 processes, each with a connection of its own as on a host of its own, register
images that are inspected already, in transactions of 256 as `ingest` does, and how much of the time an ingestion has
the turn. Whole: `ingest` of folders of small PNG files, one decoding process each, by 1, 2 and 4 commands at a time,
against the same files decoded by as many processes alone.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
from _common import command, database, environment, machine, table
from PIL import Image

from radretrieval.archive import locks
from radretrieval.archive.connections import Database, connect
from radretrieval.archive.images import NewImage
from radretrieval.config import Settings
from radretrieval.ingest.inspect_file import InspectOptions, inspect_file
from radretrieval.ingest.register import register_images
from radretrieval.ingest.run import BATCH

HOSTS = (1, 2, 4)
FILES = 600  # of each command


def main() -> None:
    """Measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="images that each turn of writing alone adds")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    print(machine("psycopg"))
    with database() as (archive, settings):
        writing(archive, settings, given.images, given.turns)
    print()
    with database() as (_, settings), tempfile.TemporaryDirectory() as folder:
        whole(settings, Path(folder), given.turns)


def writing(archive: Database, settings: Settings, images: int, turns: int) -> None:
    """What writing alone reaches, and how long a transaction has the turn."""
    rates: dict[int, list[float]] = {hosts: [] for hosts in HOSTS}
    held: dict[int, list[float]] = {hosts: [] for hosts in HOSTS}
    with ProcessPoolExecutor(max(HOSTS), get_context("spawn")) as pool:
        list(pool.map(_ready, range(max(HOSTS))))
        for turn in range(turns):
            for hosts in HOSTS:
                began = time.perf_counter()
                job = partial(register, archive.url, settings, images // hosts, turn)
                spent = list(pool.map(job, [f"{turn}-{hosts}-{host}" for host in range(hosts)]))
                seconds = time.perf_counter() - began
                rates[hosts].append(images // hosts * hosts / seconds)
                held[hosts].append(sum(spent) / seconds)
    rows = []
    for hosts in HOSTS:
        rate, share = statistics.median(rates[hosts]), statistics.median(held[hosts])
        rows.append([str(hosts), f"{rate:,.0f}", f"{rate / statistics.median(rates[1]):.2f}", f"{share:.0%}"])
    table(["ingestions, writing alone", "images/s", "of one", "somebody has the turn"], rows)


def _ready(_: int) -> None:
    time.sleep(0.5)  # so that each process of the pool starts


def register(url: str, settings: Settings, images: int, turn: int, name: str) -> float:
    """Register images in transactions of `BATCH`; returns the seconds for which the turn was held."""
    held, began = 0.0, 0.0
    taken = locks.lock

    def noted(connection: object, lock: str) -> None:
        nonlocal began
        taken(connection, lock)  # type: ignore[arg-type]
        began = began or time.perf_counter()

    with connect(url) as connection, patch.object(locks, "lock", noted):
        for start in range(0, images, BATCH):
            batch = [made(f"{name}-{place}") for place in range(start, min(start + BATCH, images))]
            register_images(connection, settings, batch)
            connection.commit()
            held, began = held + time.perf_counter() - began, 0.0
    return held


def made(name: str) -> NewImage:
    """The row of a DICOM file that is inspected already."""
    content = hashlib.sha256(name.encode()).digest()
    uid = f"2.25.{int.from_bytes(content[:12], 'big')}"
    return NewImage(
        content, f"file:///films/{name}.dcm", "DICOM", 2000, 1750, 12, "MONOCHROME2", modality="CR", body_part="CHEST",
        view_position="PA", sop_instance_uid=uid, series_instance_uid=f"{uid}.1", study_instance_uid=f"{uid}.2",
        patient_key=content[:16].hex(), pixels_sha256=content[::-1], shown_sha256=content[1:] + content[:1],
        study_date=date(2026, 1, 1), manufacturer="maker", row_spacing=0.143, column_spacing=0.143, kvp=81.0,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1", transfer_syntax_uid="1.2.840.10008.1.2.1", flat=False,
    )  # fmt: skip


def whole(settings: Settings, folder: Path, turns: int) -> None:
    """`ingest` of several folders at once, against decoding alone."""
    ways: dict[str, Callable[[list[Path]], None]] = {
        "decoding alone": partial(decode, settings),
        "ingest": partial(ingest, settings),
    }
    rates: dict[tuple[str, int], list[float]] = {(way, hosts): [] for way in ways for hosts in HOSTS}
    for turn in range(turns):
        for hosts in HOSTS:
            for way, run in ways.items():
                folders = [films(folder / f"{turn}-{hosts}-{way}-{host}".replace(" ", "-")) for host in range(hosts)]
                began = time.perf_counter()
                run(folders)
                rates[way, hosts].append(hosts * FILES / (time.perf_counter() - began))
    rows = []
    for hosts in HOSTS:
        alone, all_of_it = (statistics.median(rates[way, hosts]) for way in ways)
        first = statistics.median(rates["ingest", 1])
        rows.append(
            [str(hosts), f"{alone:.0f}", f"{all_of_it:.0f}", f"{all_of_it / alone:.2f}", f"{all_of_it / first:.2f}"]
        )
    table(["commands at a time", "decoding alone, files/s", "ingest, files/s", "of decoding", "of one"], rows)


def films(folder: Path) -> Path:
    """A folder of PNG files of 400 × 350 pixels of noise, no two alike."""
    folder.mkdir()
    noise = np.random.default_rng(int.from_bytes(folder.name.encode(), "big"))
    for number in range(FILES):
        pixels = noise.integers(0, 255, (400, 350), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png", compress_level=1)
    return folder


def decode(settings: Settings, folders: list[Path]) -> None:
    """A process a folder inspects its files, and writes nothing."""
    here = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {here!r}); import ingest_hosts; ingest_hosts.inspect(sys.argv[1])"
    together([[sys.executable, "-c", code, str(folder)] for folder in folders], settings)


def inspect(folder: str) -> None:
    """What a decoding process does with a folder."""
    options = InspectOptions.of(Settings())
    for path in sorted(Path(folder).iterdir()):
        inspect_file(str(path), options=options)


def ingest(settings: Settings, folders: list[Path]) -> None:
    """`radretrieval ingest` of each folder, all at once."""
    together([command("ingest", str(folder), "--workers", "1", "--json") for folder in folders], settings)


def together(commands: list[list[str]], settings: Settings) -> None:
    """Run commands at the same time; one that fails ends the benchmark."""
    running = [subprocess.Popen(words, env=environment(settings), stdout=subprocess.DEVNULL) for words in commands]
    for words, process in zip(commands, running, strict=True):
        if process.wait():
            raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")


if __name__ == "__main__":
    main()
