"""`radretrieval serve` under load: first and next films, 20 users, regions that move, broken files, memory.

    python benchmarks/serve_load.py [--users 20] [--seconds 60] [--uploads 2000] [--broken 200] [--json FILE]

The archive is that of `make demo`: 480 phantoms of 12 classes, the profile `strong` with random weights (speed does not
depend on what it has learnt). Every query is a new film: a phantom of the archive's size with one pixel changed, so
that the server decodes, encodes and searches it. Each user asks again as soon as the answer is there. Times are those
of a client, by HTTP on 127.0.0.1; the command line's time is that of `radretrieval search FILE --json`, which loads the
network each time. Memory is the resident set of the server and of all its decoding processes.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import requests
from _common import command, database, environment, machine, table
from PIL import Image

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.coding.network import build
from radretrieval.coding.training import weights_of
from radretrieval.config import Settings
from radretrieval.ingest.labels_csv import read_labels
from radretrieval.ingest.run import ingest
from radretrieval.jobs.encode import EncodeOptions, encode
from radretrieval.phantom import write_archive
from radretrieval.phantom.radiographs import CODES, radiograph
from radretrieval.profile import STRONG

IMAGES, CLASSES, FILMS = 480, 12, 24
PAUSE = 5  # seconds until the first film comes: somebody has opened the page and chosen a file
KEPT = "64 MB"  # for uploads, so that the bound is reached


def main() -> None:
    """Fill the archive, serve it, measure, print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--users", type=int, default=20)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--uploads", type=int, default=2000)
    options.add_argument("--broken", type=int, default=200)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    load = os.getloadavg()[0]
    with database() as (where, settings), tempfile.TemporaryDirectory() as folder:
        fill(where, settings, Path(folder) / "radiographs")
        films = Films()
        figures: dict[str, Any] = {"cli": cli(settings, films, Path(folder))}
        with serving(settings) as (url, process, start):
            figures["start"] = start
            time.sleep(PAUSE)
            figures["first"] = films.ask(url)
            figures["next"] = [films.ask(url) for _ in range(20)]
            figures["region"] = regions(url, films)
            figures["load"] = loaded(url, films, given.users, given.seconds)
            figures["broken"] = broken(url, films, given.broken)
            figures["memory"] = memory(url, films, process, given.uploads)
    show(figures, given, load)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


def fill(where: Database, settings: Settings, folder: Path) -> None:
    """The archive of the demo, with codes of random weights."""
    import torch

    labels = write_archive(folder, IMAGES, CLASSES)
    ingest(where, settings, [folder], labels=read_labels(labels))
    torch.manual_seed(0)
    classes = CODES[:CLASSES]
    with where.connection() as connection:
        encoders.add(connection, STRONG, weights_of(build(STRONG.network, len(classes))), classes, {"seed": 0})
    encode(where, settings, EncodeOptions(device="cpu"))


class Films:
    """New films without end, as PNG; threads share it."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        drawn = [radiograph(place % CLASSES, rng, 256, np.random.default_rng(900 + place)) for place in range(FILMS)]
        self._pixels = [np.rint(one * 255).astype(np.uint8) for one in drawn]
        self._lock = threading.Lock()
        self._number = 0

    def new(self) -> bytes:
        """A film that nobody has seen."""
        with self._lock:
            self._number += 1
            number = self._number
        pixels = self._pixels[number % FILMS].copy()
        pixels.flat[number // FILMS] ^= 1 + number // (FILMS * 65536)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    def ask(self, url: str, session: requests.Session | None = None) -> float:
        """Search with a new film; the seconds that it takes."""
        film, start = self.new(), time.perf_counter()
        answer = (session or requests).post(f"{url}api/search", files={"file": ("new.png", film)}, timeout=120)
        seconds = time.perf_counter() - start
        answer.raise_for_status()
        if answer.json()["returned"] != 10:
            raise SystemExit("a search has no ten hits")
        return seconds


def cli(settings: Settings, films: Films, folder: Path) -> list[float]:
    """Seconds of the command, for new films."""
    seconds = []
    for place in range(4):
        path = folder / f"{place}.png"
        path.write_bytes(films.new())
        start = time.perf_counter()
        subprocess.run(
            command("search", str(path), "--json"), env=environment(settings), stdout=subprocess.DEVNULL, check=True
        )
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[str, int, float]]:
    """The server's address and process, and the seconds until it answered."""
    own, start = environment(settings) | {"RADRETRIEVAL_SERVE_KEPT_UPLOADS": KEPT}, time.perf_counter()
    process = subprocess.Popen(command("serve", "--port", "0"), env=own, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = None
    while found is None:
        line = process.stderr.readline()
        if not line:
            raise SystemExit("serve did not start")
        found = re.search(r"the page is at (\S+);", line)
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        yield found[1], process.pid, time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def regions(url: str, films: Films) -> list[float]:
    """Seconds until a region is found in ten hits: the first time, and as it is moved."""
    with requests.Session() as session:
        document = session.post(f"{url}api/search", files={"file": ("new.png", films.new())}, timeout=120).json()
        images, seconds = [hit["image_id"] for hit in document["hits"]], []
        for place in range(21):
            fields = {"upload": document["query"]["upload"], "roi": f"{40 + place},60,90,80", "images": images}
            start = time.perf_counter()
            session.post(f"{url}api/region", data=fields, timeout=120).raise_for_status()
            seconds.append(time.perf_counter() - start)
    return seconds


def loaded(url: str, films: Films, users: int, limit: float) -> list[float]:
    """Seconds of each search of users who ask at the same time for so long."""
    seconds: list[float] = []
    end = time.perf_counter() + limit

    def user() -> None:
        with requests.Session() as session:
            while time.perf_counter() < end:
                seconds.append(films.ask(url, session))

    threads = [threading.Thread(target=user) for _ in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds


def broken(url: str, films: Films, count: int) -> dict[str, int]:
    """How many of so many broken files got which status; a whole one is answered afterwards."""
    rng, statuses = np.random.default_rng(1), Counter[str]()
    for place in range(count):
        data = bytearray(films.new())
        if place % 2:
            del data[int(rng.integers(10, len(data) - 100)) :]
        else:
            for at in rng.integers(8, len(data), 40):
                data[at] = int(rng.integers(256))
        answer = requests.post(f"{url}api/search", files={"file": (f"{place}.png", bytes(data))}, timeout=120)
        statuses[str(answer.status_code)] += 1
    films.ask(url)
    return dict(statuses)


def memory(url: str, films: Films, process: int, uploads: int) -> list[tuple[int, float]]:
    """Megabytes after so many uploads, eight times."""
    found, part = [(0, resident(process))], uploads // 8
    with ThreadPoolExecutor(4) as threads:
        for number in range(1, 9):
            list(threads.map(lambda _: films.ask(url), range(part)))
            found.append((number * part, resident(process)))
    return found


def resident(process: int) -> float:
    """Megabytes in memory of a process and those that it has started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,rss="], stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return sum(rss for pid, parent, rss in rows if process in (pid, parent)) / 1024


def show(figures: dict[str, Any], given: argparse.Namespace, load: float) -> None:
    """Print the figures."""
    print(f"the page's server on the demo archive, {IMAGES} images, profile strong, new films of 256 × 256, CPU")
    print(f"{machine('torch', 'fastapi', 'uvicorn')}; other work on the machine: load {load:.1f}")
    rows = []
    for name, seconds in (
        ("radretrieval search FILE", figures["cli"]),
        ("start until it answers", [figures["start"]]),
        (f"first new film, {PAUSE} s later", [figures["first"]]),
        ("next new films", figures["next"]),
        ("region in ten hits, first", figures["region"][:1]),
        ("region moved", figures["region"][1:]),
        (f"{given.users} users, {given.seconds:g} s", figures["load"]),
    ):
        ordered = sorted(seconds)
        p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        told = [f"{1000 * one:.0f}" for one in (statistics.median(seconds), p95, ordered[-1])]
        rows.append([name, f"{len(seconds)}", *told])
    table(["milliseconds", "searches", "median", "p95", "slowest"], rows)
    print(f"{len(figures['load']) / given.seconds:.1f} searches a second with {given.users} users; none failed")
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(figures["broken"].items()))
    print(f"{given.broken} broken files: {answers}; the next whole one was answered")
    table(["uploads", "MB"], [[f"{number}", f"{size:.0f}"] for number, size in figures["memory"]])


if __name__ == "__main__":
    sys.exit(main())
