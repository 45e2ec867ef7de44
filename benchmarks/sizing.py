"""What an archive needs: bytes of the database an image, memory of each process, images an hour.

    python benchmarks/sizing.py [--images 100000] [--films 40] [--json FILE]

Room is that of rows as `ingest` and `work` write them - random codes and barcodes of `strong`'s sizes, an exact index -
in archives of a tenth of the images and of all, so that what does not grow shows. Memory and speed are those of the
commands over phantoms as DICOM files of 12 bits and some seven megabytes, with a network of `strong`. Memory is what
psutil calls USS, the pages that nobody shares, of the command with its decoding processes, at its highest of looks
every tenth of a second; the server's own is its `shared_buffers` and some ten MB a connection. Linux only.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
from _code_model import flat
from _common import command, database, environment, machine, skip, table, told
from _exact_data import fill

from radretrieval.archive import bulk_copy, codes
from radretrieval.archive.connections import connect
from radretrieval.archive.search import exact_index
from radretrieval.coding.radon import code_bytes, geometry
from radretrieval.config import Settings

sys.path.extend(str(Path(__file__).parents[1] / "tests" / folder) for folder in ("", "support"))
from serving import CODES, dicom_film

SIDE = 2000
AT = "the page is at "
# which tables, and their indexes, hold what
PARTS = {
    "rows of images, facets": "^(image|image_.*|facet.*)$",
    "CNN codes": "^cnnc",
    "barcodes": "^barcode",
    "exact index": "^exact_",
}


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000, help="rows of the larger archive (default: %(default)s)")
    parser.add_argument("--films", type=int, default=40, help="DICOM files to read (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if not sys.platform.startswith("linux"):
        skip("memory is read from /proc, which this system does not have")
    sizes = {count: room(count) for count in (arguments.images // 10, arguments.images)}
    print(machine("torch", "numpy", "psycopg"))
    head = ("bytes of the database an image", *(f"of {count}" for count in sizes))
    table(head, [(part, *(f"{sizes[count][part] / count:.0f}" for count in sizes)) for part in [*PARTS, "all"]])
    sys.stdout.flush()
    runs = processes(arguments.films)
    print(f"\n{arguments.films} DICOM files of {SIDE} × {SIDE * 7 // 8} pixels of 12 bits")
    rows = [(name, f"{run['mb']:.0f}", f"{run['images_an_hour']:.0f}" if run["images"] else "") for name, run in runs]
    table(("memory and speed", "MB", "images an hour"), rows)
    if arguments.json:
        arguments.json.write_text(json.dumps({"bytes": sizes, "processes": dict(runs)}, indent=1) + "\n")


def room(count: int) -> dict[str, int]:
    """Bytes of each part of an archive of so many images, and of all relations of its schema."""
    with database() as (where, settings):
        drawn, kinds = flat().draw(count, 1)
        archive = fill(where, settings, drawn, kinds % 193)
        with where.connection() as connection:
            shape = archive.encoder.profile.barcode
            number = codes.geometry_id(connection, *geometry(shape))
            random = np.random.default_rng(3).integers(0, 256, (count, code_bytes(shape.size, shape.angles)), np.uint8)
            bulk_copy.copy_codes(connection, "barcode", number, np.arange(count) + 1, random)
        exact_index.build(where, archive.encoder)
        with connect(where.url, autocommit=True) as connection:
            sizes = connection.execute(
                "SELECT relname AS name, pg_total_relation_size(oid) AS bytes FROM pg_class"
                " WHERE relnamespace = 'radretrieval'::regnamespace AND relkind = 'r'"
            ).fetchall()
    parts = {part: sum(row["bytes"] for row in sizes if re.match(names, row["name"])) for part, names in PARTS.items()}
    return parts | {"all": sum(row["bytes"] for row in sizes)}


def processes(count: int) -> list[tuple[str, dict[str, float]]]:
    """Memory and speed of the commands, over so many films; the last of them is searched for."""
    with tempfile.TemporaryDirectory() as name, database() as (_, settings):
        folder = Path(name)
        for number in range(count + 1):
            place = folder / ("new" if number == count else "films") / f"{number}.dcm"
            place.parent.mkdir(exist_ok=True)
            code = CODES[number % len(CODES)]
            dicom_film(number, code, size=SIDE).save_as(place, enforce_file_format=True)
        labels = folder / "labels.csv"
        rows = [f"films/{number}.dcm,{CODES[number % len(CODES)]},train" for number in range(count)]
        labels.write_text("\n".join(["file,irma_code,split", *rows]) + "\n")
        new = str(folder / "new" / f"{count}.dcm")
        told(settings, "ingest", str(folder / "films" / "0.dcm"))  # the server is made, what is compiled is compiled
        return [
            ("ingest", watched(settings, count - 1, "ingest", str(folder / "films"), "--labels", str(labels))),
            ("train, one epoch", watched(settings, 0, "train", "--epochs", "1", "--device", "cpu")),
            ("work", watched(settings, count, "work", "--once", "--device", "cpu")),
            ("search, a new film", watched(settings, 0, "search", new, "--device", "cpu")),
            ("search, a stored one", watched(settings, 0, "search", "id:1")),
            ("evaluate", watched(settings, 0, "evaluate", "--split", "train")),
            ("serve, 20 new films", serving(settings, new)),
        ]


def watched(settings: Settings, images: int, *words: str) -> dict[str, float]:
    """Run a command to its end: its memory in MB, and images an hour where it treats images."""
    print(f"radretrieval {words[0]}", file=sys.stderr)
    started = time.monotonic()
    process = psutil.Popen(command(*words), env=environment(settings), stdout=subprocess.DEVNULL)
    with highest(process) as memory:
        if process.wait() != 0:
            raise SystemExit(f"radretrieval {' '.join(words)} ended with {process.returncode}")
    return {"mb": max(memory), "images": images, "images_an_hour": 3600 * images / (time.monotonic() - started)}


def serving(settings: Settings, new: str) -> dict[str, float]:
    """Memory of `serve` while it answers."""
    import httpx

    words = command("serve", "--port", "0")
    process = psutil.Popen(words, env=environment(settings), stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr)
        address = next(line for line in lines if AT in line).partition(AT)[2].partition(";")[0]
        threading.Thread(target=lambda: list(lines), daemon=True).start()
        with highest(process) as memory, httpx.Client(base_url=address.rstrip("/"), timeout=60) as client:
            for _ in range(20):
                with open(new, "rb") as file:
                    client.post("/api/search", files={"file": file}).raise_for_status()
        return {"mb": max(memory), "images": 0, "images_an_hour": 0}
    finally:
        process.terminate()
        process.wait()


@contextmanager
def highest(process: psutil.Process) -> Iterator[list[float]]:
    """Memory of a process and those below it, in MB, look by look."""
    looks: list[float] = [0]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            total = 0
            with suppress(psutil.NoSuchProcess):
                for one in [process, *process.children(recursive=True)]:
                    # the embedded server is shared by all: it is no part of a command
                    if "postgres" not in one.name():
                        total += one.memory_full_info().uss
            looks.append(total / 1e6)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield looks
    finally:
        over.set()
        watcher.join()


if __name__ == "__main__":
    main()
