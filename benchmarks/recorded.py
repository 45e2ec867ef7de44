"""What the row of the audit adds to a search, and how long values with counts take in a large archive.

    python benchmarks/recorded.py [--images 1000000]

Answers over HTTP, and searches by the Python API, of stored images, the shortest there are, and of new films. The
values are counted over images that have no codes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import requests
import serve_load
from _common import database, machine, table

from radretrieval.api.archive import Archive
from radretrieval.archive import audit, codes, encoders
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.facets import FacetCounts
from radretrieval.archive.filters import parse
from radretrieval.archive.queries import sql
from radretrieval.coding.network import build
from radretrieval.coding.training import weights_of
from radretrieval.config import ServeSettings, Settings
from radretrieval.profile import STRONG
from radretrieval.search.request import Answer
from radretrieval.search.searcher import Searcher

CODED, SEARCHES = 2_561, 300  # as many images as benchmarks/search.py has
WARM, FILMS = 10, 60
PAIRS = 1000  # of searches by the API; as many with new films as a fifth
LOOKING: set[Connection] = set()  # connections that have the statement
LOOK = "SELECT 1 AS same WHERE (SELECT e.state FROM ({encoder}) e) = %(state)s"
IMAGES = """
INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric, modality, body_part, view_position,
                   laterality, manufacturer, study_date)
SELECT sha256(n::text::bytea), 'file:///' || n, 'dicom', 2000, 2500, 12, 'MONOCHROME2',
       (ARRAY['CR', 'DX', 'MG'])[n %% 3 + 1],
       'PART ' || n %% 37, (ARRAY['PA', 'AP', 'LL', NULL])[n %% 4 + 1], (ARRAY['L', 'R', NULL])[n %% 5 %% 3 + 1],
       'Maker ' || n %% 11 %% 7, date '2005-01-01' + (n * 7919 %% 7300)::int
FROM generate_series(%s::bigint, %s) n
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, default=1_000_000, help="whose values are counted; 0: answers over HTTP alone"
    )
    images = parser.parse_args().images
    load = f"{os.getloadavg()[0]:.1f}"
    print(f"{machine('psycopg')}; load of the machine: {load}")
    with database() as (where, settings), tempfile.TemporaryDirectory() as folder:
        answers(where, settings, Path(folder))
    if not images:
        return
    print()
    with database() as (where, settings):
        with where.connection() as connection:
            fill(connection)
        with tempfile.TemporaryDirectory() as folder:
            warm(settings, Path(folder))  # its archive is the last that uses the server, which stops
    with database() as (where, _):
        with where.connection() as connection:
            connection.execute(IMAGES, (1, images))
        with where.connection() as connection:
            connection.autocommit = True
            connection.execute("ANALYZE image")
        facets(where, images)


def fill(connection: Connection) -> None:
    """Images with random codes and barcodes, and a network that has learnt nothing."""
    import torch

    random = np.random.default_rng(0)
    connection.execute(IMAGES, (1, CODED))
    torch.manual_seed(0)
    number = encoders.add(connection, STRONG, weights_of(build(STRONG.network, 1)), ["a"], {})
    ids = list(range(1, CODED + 1))
    codes.write_cnnc(connection, number, ids, random.integers(0, 256, (CODED, 125), np.uint8), 1000)
    geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
    codes.write_barcodes(connection, geometry, ids, random.integers(0, 256, (CODED, 544), np.uint8))


def warm(settings: Settings, folder: Path) -> None:
    """Searches by `Archive.search` in pairs: one with its row, one whose last statement only looks at the encoder.

    Beside the time of the clock stands that of the processors, of this process's thread and of the server's process:
    other programs on the machine change it less. Bounds are of the median, 95 %, by resampling the pairs.
    """
    films, spent = serve_load.Films(), {"by id": ([], []), "a new film": ([], [])}  # type: ignore[var-annotated]
    ways: tuple[Any, Any] = (look, audit.begin)
    with Archive(settings) as archive:
        for number in range(-WARM, PAIRS):
            for kind, took in spent.items():
                for with_row in (1, 0) if number % 2 else (0, 1):
                    if kind == "a new film" and number % 5:
                        continue
                    if kind == "a new film":
                        (folder / "new.png").write_bytes(films.new())
                    audit.begin = ways[with_row]
                    one = measured(archive, number % CODED + 1 if kind == "by id" else folder / "new.png")
                    if number >= 0:
                        took[with_row].append(one)
    audit.begin = ways[1]
    rows = []
    for kind, both in spent.items():
        for name, place in (("processors", 0), ("clock", 1)):
            without, more = np.array(both[0])[:, place], np.subtract(both[1], both[0])[:, place]
            middle, shares = float(np.median(without)), np.median(resampled(more), 1) / np.median(without)
            low, high = np.quantile(shares, (0.025, 0.975))
            share = f"{np.median(more) / middle:.1%}", f"{low:.1%} to {high:.1%}"
            rows.append([f"{kind}, {len(more)} pairs, {name}", f"{middle:.2f}", f"{np.median(more):.2f}", *share])
    table([f"searches of {CODED} images", "ms without the row", "with it, more", "of the search", "95 %"], rows)


def measured(archive: Archive, query: int | Path) -> tuple[float, float]:
    """Milliseconds that a search takes of the processors and by the clock."""
    kept = archive._kept_searcher
    server = kept.connection.info.backend_pid if kept else 0
    ours, theirs, begun = time.thread_time_ns(), ran(server) if server else 0, time.perf_counter_ns()
    archive.search(query, device="cpu")
    ended = time.perf_counter_ns()
    processors = time.thread_time_ns() - ours + (ran(server) - theirs if server else 0)
    return processors / 1e6, (ended - begun) / 1e6


def look(connection: Connection, who: str, action: str, detail: Any, asked: Any = None) -> Callable[[], audit.Outcome]:
    """What a search would do last without a row: see whether the encoder is as it was, by libpq as with the row."""
    if asked is not None:
        if connection not in LOOKING:
            LOOKING.add(connection)
            statement = LOOK.replace("{encoder}", sql("encoder_one")).replace("%(id)s", "$1").replace("%(state)s", "$2")
            connection.pgconn.prepare(b"look", statement.encode())
        same = connection.pgconn.exec_prepared(b"look", [None, asked.state.encode()])
        assert same.ntuples == 1
    return lambda: audit.Outcome.ADDED


def resampled(values: Any) -> Any:
    """Drawn again, with replacement, a thousand times."""
    return np.random.default_rng(0).choice(values, (1000, len(values)))


def ran(process: int) -> int:
    """Nanoseconds that a process ran."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0])


def answers(where: Database, settings: Settings, folder: Path) -> None:
    """Answers over HTTP, by id and to new films, in pairs: one with its row of the audit, one without."""
    serve_load.fill(where, settings, folder / "radiographs")
    films, spent = serve_load.Films(), {"by id": ([], []), "a new film": ([], [])}  # type: ignore[var-annotated]
    processes = multiprocessing.get_context("spawn")
    recording = processes.Value("b", 1)
    with serving(processes, settings, recording) as url, requests.Session() as session:
        for number in range(-WARM, SEARCHES):
            for kind, took in spent.items():
                for with_row in (1, 0) if number % 2 else (0, 1):
                    recording.value = with_row
                    begun = time.perf_counter()
                    if kind == "by id":
                        session.post(f"{url}api/search", data={"id": number % WARM + 1}).raise_for_status()
                    elif number < FILMS:
                        films.ask(url, session)
                    if number >= 0 and (kind == "by id" or number < FILMS):
                        took[with_row].append(1000 * (time.perf_counter() - begun))
    rows = []
    for kind, (without, row) in spent.items():
        more, middle = float(np.median(np.subtract(row, without))), float(np.median(without))
        rows.append([f"{kind}, {len(row)} pairs", f"{middle:.2f}", f"{more:.2f}", f"{more / middle:.1%}"])
    print()
    table(["answers over HTTP, 480 images", "ms without the row", "with it, more", "of the answer"], rows)


@contextmanager
def serving(processes: Any, settings: Settings, recording: Any) -> Iterator[str]:
    """The address of a service in a process of its own, which adds rows while `recording` is not 0."""
    ready = processes.Queue()
    process = processes.Process(target=serve, args=(settings, recording, ready))
    process.start()
    try:
        url: str = ready.get(timeout=60)
        time.sleep(5)  # the network is loaded
        yield url
    finally:
        process.terminate()
        process.join()


def serve(settings: Settings, recording: Any, ready: Any) -> None:
    """What that process does."""
    from radretrieval.serve import audit as serve_audit
    from radretrieval.serve.routes import search
    from radretrieval.serve.run import run

    def noted(searcher: Searcher, user: Any, answer: Answer) -> Any:
        return serve_audit.noted(searcher, user, answer) if recording.value else nullcontext()

    search.noted = noted  # type: ignore[attr-defined]
    run(settings, ServeSettings(port=0), ready.put)


def facets(where: Database, images: int) -> None:
    """The first count, and further ones under filters of the columns that are counted."""
    counts, rows = FacetCounts(), []
    for text in ("", "modality=CR", "body_part=PART 7", "study_date>=2020-01-01"):
        begun = time.perf_counter()
        found = counts.count(where, [parse(text)] if text else [])
        rows.append([text or "(no filter, first)", str(found.images), f"{1000 * (time.perf_counter() - begun):.0f}"])
    print()
    table([f"values of {images} images", "pass", "ms"], rows)


if __name__ == "__main__":
    main()
