"""What a search costs whose answer is read from a standby and confirmed by the primary, against the primary alone.

    python benchmarks/readers.py [--images 20000] [--pairs 500]

Searches by id by the Python API, in pairs, over Unix sockets of one machine: a site's standby has processors of its
own. Codes are random, which is the worst case of an index, so none is built. The time of the processors is that of this
process's thread and of each server's process for its session. Bounds are of the median, 95 %, by resampling the pairs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import recorded
from _common import database, machine, table

from radretrieval.api.archive import Archive
from radretrieval.archive.connections import Database
from radretrieval.archive.embedded import account
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable

WARM = 20
PARTS = ("clock", "client", "primary", "standby")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=500)
    arguments = parser.parse_args()
    recorded.CODED = arguments.images
    print(f"{machine('psycopg')}; load of the machine: {os.getloadavg()[0]:.1f}\n")
    with database() as (where, settings):
        with where.connection() as connection:
            recorded.fill(connection)
        with where.connection() as connection:
            connection.autocommit = True
            connection.execute("VACUUM ANALYZE")
        with standby(where) as url:
            show(arguments.images, measured(settings, url, arguments.images, arguments.pairs))


@contextmanager
def standby(where: Database) -> Iterator[str]:
    """The URL of the archive on a standby that follows its server."""
    folder = Path(tempfile.mkdtemp(prefix="rr-bench-"))
    folder.chmod(0o755)
    user = account.server_account(folder)
    account.change_owner(folder, user)
    who, programs = account.identity(user), account.binaries(user)
    try:
        made = [programs / "pg_basebackup", "-d", where.url, "-D", folder / "data", "-R", "--checkpoint=fast"]
        subprocess.run(made, check=True, capture_output=True, cwd="/", **who)
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", "-k", folder], stderr=subprocess.DEVNULL, cwd="/", **who
        )
        try:
            url = f"postgresql://radretrieval@/radretrieval?host={folder}"
            wait(url)
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def wait(url: str) -> None:
    """Wait until a server answers."""
    for _ in range(600):
        try:
            with Database(url).connection():
                return
        except DatabaseUnavailable:
            time.sleep(0.1)
    raise SystemExit("the standby does not start")


def measured(settings: Settings, url: str, images: int, pairs: int) -> np.ndarray:
    """Milliseconds (pairs, way, part) of searches: by the primary alone, and read from the standby."""
    reading = settings.model_copy(update={"read_url": url})
    spent = np.zeros((pairs, 2, len(PARTS)))
    with Archive(settings) as alone, Archive(reading) as read:
        for number in range(-WARM, pairs):
            for way in (0, 1) if number % 2 else (1, 0):
                one = search((alone, read)[way], (number + WARM) * 7919 % images + 1)
                if number >= 0:
                    spent[number, way] = one
    return spent


def search(archive: Archive, query: int) -> tuple[float, ...]:
    """Milliseconds of one search, in the order of `PARTS`."""
    kept = archive._kept_searcher
    sessions = [kept, kept.reader] if kept is not None else []
    servers = [0 if one is None else one.connection.info.backend_pid for one in sessions]
    before = [recorded.ran(pid) if pid else 0 for pid in servers]
    ours, begun = time.thread_time_ns(), time.perf_counter_ns()
    archive.search(query, device="cpu")
    ended, own = time.perf_counter_ns(), time.thread_time_ns() - ours
    theirs = [recorded.ran(pid) - was if pid else 0 for pid, was in zip(servers, before, strict=True)]
    return tuple(value / 1e6 for value in (ended - begun, own, *(theirs or [0, 0])))


def show(images: int, spent: np.ndarray) -> None:
    """Print the medians, and the median of the pairs' differences."""
    rows = []
    for place, part in enumerate(PARTS):
        alone, read = spent[:, 0, place], spent[:, 1, place]
        more = np.median(recorded.resampled(read - alone), 1)
        low, high = np.quantile(more, (0.025, 0.975))
        difference = f"{np.median(read - alone):+.2f} ({low:+.2f} to {high:+.2f})"
        name = part if part in ("clock",) else f"processors: {part}"
        rows.append([name, *(f"{np.median(one):.2f}" for one in (alone, read)), difference])
    alone, read = (spent[:, way, 2] for way in (0, 1))
    table([f"ms, {len(spent)} pairs of {images} images", "primary alone", "standby and primary", "more, 95 %"], rows)
    print(f"\nan answer read from the standby costs the primary {np.median(read) / np.median(alone):.2f} of a search")
    late = " and ".join(f"{one:.2f}" for one in np.quantile(spent[:, :, 0], 0.95, axis=0))
    print(f"95th percentiles by the clock: {late} ms")


if __name__ == "__main__":
    main()
