"""How films reach a browser: bytes against raw 16-bit pixels, times to make and to serve them, ten thumbnails.

    python benchmarks/film_transport.py [--repeats 5] [--json FILE]

Bytes: the DICOM files of ../shared/data/dicom, each picture once. Serving: `radretrieval serve` in a process of its own
on an archive of ten films of 12 bits and 2500 × 2048 pixels, which are one hip film, resampled, each with noise of its
own; six connections of HTTP/1.1, as a browser has them. "Cold": the folder of films in the home of the archive is
empty, the decoding processes run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
from _common import RADIOGRAPHS, command, database, environment, machine, radretrieval, skip, table

from radretrieval.config import Settings
from radretrieval.errors import ImageError
from radretrieval.imaging.radiograph import Radiograph
from radretrieval.imaging.reader import decode_image
from radretrieval.imaging.resample import resample
from radretrieval.serve.films import LEVELS, decoded, encoded, made_film

FILES = RADIOGRAPHS.parent / "dicom"
ROWS, COLUMNS = 2500, 2048
SMALLEST = 100_000  # pixels: of smaller films the header counts
BARS = {"bytes / raw of 12 bits": 0.55, "encode": 400, "ten thumbnails": 150}


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="how often each is run (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error("--repeats is at least 1")
    if not FILES.is_dir():
        skip(f"there is no {FILES}")
    load = os.getloadavg()[0]
    print(f"{machine('numpy', 'pydicom', 'fastapi', 'uvicorn')}; load before {load:.1f}, {arguments.repeats} runs each")
    figures: dict[str, Any] = {"films": transport(arguments.repeats), "serving": {}}
    for keep in ("reference", "reduced"):
        with database() as (_, settings):
            figures["serving"][keep] = serving(settings, keep, arguments.repeats)
    show(figures["serving"])
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def transport(repeats: int) -> list[dict[str, Any]]:
    """Bytes and times of each film; prints them."""
    found, seen = [], set()
    for path in sorted(FILES.rglob("*.dcm")):
        data = path.read_bytes()
        try:
            radiograph = decode_image(data)
        except ImageError:
            continue
        if radiograph.pixels_sha256 not in seen and radiograph.pixels.size >= SMALLEST and not radiograph.flat:
            seen.add(radiograph.pixels_sha256)
            found.append(of_film(path.name, data, radiograph, repeats))
    rows = [
        (
            *(one["name"], one["size"], str(one["bits"]), f"{one['raw'] / 1e6:.1f}", f"{one['ratio']:.2f}"),
            *(" ".join(f"{one['levels'][level] / 1e6:.2f}" for level in LEVELS),),
            *(f"{one[name]:.0f}" for name in ("decode_ms", "make_ms", "encode_ms", "undo_ms")),
        )
        for one in found
    ]
    head = ("film", "pixels", "bits", "raw MB", "sent/raw", "MB of 1, 1/2, 1/4", "decode", "make", "encode", "undo ms")
    table(head, rows)
    deep = [one["ratio"] for one in found if one["bits"] == 12]
    most = BARS["bytes / raw of 12 bits"]
    print(f"12 bits: {min(deep):.2f} to {max(deep):.2f} of raw; at most {most}: {verdict(max(deep), most)}\n")
    return found


def of_film(name: str, data: bytes, radiograph: Radiograph, repeats: int) -> dict[str, Any]:
    """Bytes of a film, and ms to decode its file, to make all of the film, to encode and undo the full size."""
    made, make = best(lambda: made_film(radiograph), repeats)
    _, decode = best(lambda: decode_image(data), repeats)
    film = made.film
    values, undo = best(lambda: decoded(made.levels[1], film.rows, film.columns), repeats)
    _, encode = best(lambda: encoded(values), repeats)
    raw = 2 * film.rows * film.columns
    return {
        "name": name.removesuffix(".dcm"),
        "size": f"{film.rows}×{film.columns}",
        "bits": film.bits,
        "raw": raw,
        "ratio": len(made.levels[1]) / raw,
        "levels": {level: len(made.levels[level]) for level in LEVELS},
        "decode_ms": decode,
        "make_ms": make,
        "encode_ms": encode,
        "undo_ms": undo,
    }


def best(work: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """The result, and the least ms of several runs: what others on the machine take only adds."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        taken.append(1000 * (time.perf_counter() - start))
    return result, min(taken)


def serving(settings: Settings, keep: str, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of requests, of several runs."""
    folder = settings.home / "x-rays"
    write_films(folder)
    radretrieval(settings, "ingest", str(folder), "--keep", keep)
    taken: dict[str, list[float]] = {}

    def note(name: str, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        result = work(*arguments, **named)
        taken.setdefault(name, []).append(1000 * (time.perf_counter() - start))
        return result

    with served(settings) as client, ThreadPoolExecutor(6) as connections:

        def ten() -> None:
            for answer in connections.map(lambda number: client.get(f"/api/images/{number}/thumbnail"), range(1, 11)):
                answer.raise_for_status()

        ten()
        for _ in range(repeats):
            shutil.rmtree(settings.home / "films")
            note("ten thumbnails, cold", ten)
            note("ten thumbnails, kept", ten)
            film = note("one film, cold", client.get, "/api/images/1").json()["film"]
            note("description, kept", client.get, "/api/images/1")
            for level in film["levels"]:
                answer = note(f"level 1/{level['level']}, kept", client.get, f"/{level['url']}")
            etag = {"If-None-Match": answer.headers["ETag"]}
            note("level that the browser has", client.get, f"/{level['url']}", headers=etag)
            note("rendered at 1024", client.get, "/api/images/1/rendered?window=2000,3000&size=1024")
    return taken


def show(serving: dict[str, dict[str, list[float]]]) -> None:
    """Print the times of both archives."""
    rows = []
    for name in next(iter(serving.values())):
        both = [serving[keep][name] for keep in serving]
        cells = [f"{statistics.median(one):.0f} ({min(one):.0f}-{max(one):.0f})" for one in both]
        most = BARS["ten thumbnails"] if name == "ten thumbnails, kept" else None
        told = "" if most is None else f"{most}: {verdict(max(statistics.median(one) for one in both), most)}"
        rows.append((name, *cells, told))
    table(("ms, median (min-max)", *(f"--keep {keep}" for keep in serving), "at most"), rows)


def verdict(value: float, most: float) -> str:
    """Whether a bar is reached."""
    return "reached" if value <= most else "MISSED"


def write_films(folder: Path) -> None:
    """Ten films of 12 bits, uncompressed."""
    folder.mkdir()
    ds = pydicom.dcmread(next(FILES.rglob("RG2_UNC.dcm")))
    pixels = resample(decode_image(next(FILES.rglob("RG2_UNC.dcm")).read_bytes()).pixels, (ROWS, COLUMNS))
    ds.Rows, ds.Columns, ds.BitsStored, ds.HighBit = ROWS, COLUMNS, 12, 11
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    for number in range(10):
        noise = np.random.default_rng(number).normal(0, 8, pixels.shape)
        ds.PixelData = np.clip(np.rint(pixels * 4095 + noise), 0, 4095).astype("<u2").tobytes()
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{number + 1}"
        ds.save_as(folder / f"{number}.dcm")


@contextmanager
def served(settings: Settings) -> Iterator[httpx.Client]:
    """A client of `radretrieval serve` on the archive."""
    words = command("serve", "--port", "0")
    process = subprocess.Popen(words, env=environment(settings), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "the page is at " in line:
                address = line.partition("the page is at ")[2].partition(";")[0].rstrip("/")
                break
        else:
            raise SystemExit("serve did not start")
        with httpx.Client(base_url=address, timeout=120, limits=httpx.Limits(max_connections=6)) as client:
            yield client
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
