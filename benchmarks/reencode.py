"""What a new encoder for all images costs the searches meanwhile: their latency beside `work --rate`.

    python benchmarks/reencode.py [--films 400] [--images 50000] [--seconds 20] [--turns 3]

An archive whose active encoder has a code for each of many images, and some films as DICOM files of 2000 × 1750 pixels
without a code of another encoder. Searches by id through the Python API, one after the other, alone and beside
`radretrieval work --encoder` at several rates, in turns, on one machine: the worst place for a worker.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from _common import command, database, environment, machine, table, told
from worker import CODES, add_encoder, dicom_film

import radretrieval
from radretrieval.archive import codes, images
from radretrieval.archive.connections import Database
from radretrieval.archive.images import NewImage
from radretrieval.archive.search.anchor_hints import AnchorHints
from radretrieval.coding import radon
from radretrieval.config import Settings
from radretrieval.profile import STRONG

RATES = (None, 1.0, 2.0, 5.0, 1e6)  # None: no worker; the last: as many as it can
BATCH = 10_000


def main() -> None:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=400, help="that wait for the new encoder")
    parser.add_argument("--images", type=int, default=50_000, help="with a code of the active encoder")
    parser.add_argument("--seconds", type=float, default=20.0, help="of searches, in each turn at each rate")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    spent: dict[float | None, list[float]] = {rate: [] for rate in RATES}
    encoded: dict[float | None, float] = dict.fromkeys(RATES, 0.0)
    with database() as (where, settings):
        fill(where, settings, given.films, given.images)
        with radretrieval.open_archive(home=settings.home) as archive:
            for turn in range(given.turns):
                other, _ = add_encoder(where, turn + 1)
                for rate in RATES:
                    with working(where, settings, other, rate) as count:
                        searches(archive, given.films, given.images, 1.0)  # warm
                        spent[rate] += searches(archive, given.films, given.images, given.seconds)
                        encoded[rate] += count() / given.seconds
    print(machine("torch", "psycopg"))
    print(f"{given.images} codes; {given.films} films of 2000 × 1750 pixels for another encoder, {given.turns} turns")
    alone = np.percentile(spent[None], [50, 95])
    rows = []
    for rate, times in spent.items():
        half, most = np.percentile(times, [50, 95])
        name = "alone" if rate is None else "as many as it can" if rate == RATES[-1] else f"--rate {rate:g}"
        done = encoded[rate] / given.turns
        cells = [f"{1e3 * half:.1f}", f"{half / alone[0]:.2f}", f"{1e3 * most:.1f}", f"{most / alone[1]:.2f}"]
        rows.append([name, f"{done:.1f}", str(len(times)), *cells])
    table(["worker", "films/s", "searches", "p50 ms", "of alone", "p95 ms", "of alone"], rows)


def fill(where: Database, settings: Settings, films: int, count: int) -> None:
    """The films, first, so that workers begin with them; then images with random codes, and an exact index of these."""
    rng = np.random.default_rng(0)
    folder = settings.home / "films"
    folder.mkdir(parents=True)
    for film in range(films):
        made = dicom_film(film, CODES[film % len(CODES)], size=2000)
        made.save_as(folder / f"{film}.dcm", enforce_file_format=True)
    told(settings, "ingest", str(folder))
    number, _ = add_encoder(where, 0)
    shape, bits = STRONG.barcode, STRONG.network.code_bits
    square = np.zeros((1, shape.size, shape.size), np.uint8)
    width = radon.barcode(square, shape.size, shape.angles).shape[1]
    with where.connection() as connection:
        geometry = codes.geometry_id(connection, *radon.geometry(shape))
        for start in range(0, count, BATCH):
            part = range(start, min(start + BATCH, count))
            images.add(connection, [_image(place) for place in part])
            ids = [row["id"] for row in images.after(connection, films + start, len(part))]
            cnnc = np.packbits(rng.integers(0, 2, (len(ids), bits), np.uint8), axis=1)
            codes.write_cnnc(connection, number, ids, cnnc, bits, AnchorHints())
            codes.write_barcodes(connection, geometry, ids, rng.integers(0, 256, (len(ids), width), np.uint8))
            connection.commit()
    told(settings, "index", "build")


def _image(place: int) -> NewImage:
    return NewImage(place.to_bytes(32, "big"), f"file:///films/{place}.png", "PNG", 100, 100, 8, "MONOCHROME2")


@contextmanager
def working(where: Database, settings: Settings, encoder: int, rate: float | None) -> Iterator[Callable[[], int]]:
    """A worker at this rate, from its first code on; yields what counts its codes since then."""
    if rate is None:
        yield lambda: 0
        return
    with where.connection() as connection:
        connection.execute("DELETE FROM cnnc WHERE encoder_id = %(encoder)s", {"encoder": encoder})
    words = command("work", "--encoder", str(encoder), "--device", "cpu", "--rate", str(rate))
    with subprocess.Popen(
        words, env=environment(settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not (first := _coded(where, encoder)) and process.poll() is None:
                time.sleep(0.1)
            yield lambda: _coded(where, encoder) - first
        finally:
            process.terminate()


def _coded(where: Database, encoder: int) -> int:
    with where.connection() as connection:
        row = connection.execute("SELECT count(*) AS n FROM cnnc WHERE encoder_id = %(e)s", {"e": encoder}).fetchone()
    return int(row["n"])


def searches(archive: radretrieval.Archive, films: int, count: int, seconds: float) -> list[float]:
    """Seconds of each search by id, one after the other."""
    rng, found = np.random.default_rng(1), []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        archive.search(f"id:{films + rng.integers(1, count)}")
        found.append(time.perf_counter() - began)
    return found


if __name__ == "__main__":
    main()
