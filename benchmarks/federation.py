"""A search of several archives at once against each of them alone, and against the truth.

    python benchmarks/federation.py [--sites 4] [--codes 250000] [--queries 500] [--rtt 20] [--json FILE]

Each site is a database of its own with an exact index; all are of one server on this machine and share its cores, which
sites of hospitals do not. Codes and barcodes are drawn around centres, with equal ones among them. The queries are
images of the first site, a third of them with a filter. Each is asked of each site alone and of all at once, in turn,
over new connections as `radretrieval search --site` makes them: over Unix sockets, and through a proxy on loopback that
delays each way by half of --rtt. The slowest site is that whose median is largest. Every answer of all sites is
compared with brute force over all codes. At last one more site stalls, with a deadline of one second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import machine, table
from _exact_data import CHUNK, TIES, TINY, Codes, Flags, add_images, cells, flags_of, spread, tuned, vacuum
from numpy.typing import NDArray

import radretrieval as rr
from radretrieval.archive import codes as codes_table
from radretrieval.archive import encoders, migrations
from radretrieval.archive.bulk_copy import copy_codes
from radretrieval.archive.connections import Database, connect
from radretrieval.archive.search import exact_index
from radretrieval.coding.hamming import distances
from radretrieval.coding.rerank import Weights, rerank
from radretrieval.config import Settings

CENTRES, POOL, CANDIDATES, TOP = 193, 20_000, 50, 10
FILTERS: list[tuple[list[str], str | None]] = [([], None)] * 4
FILTERS += [
    (["laterality=L"], "laterality"),
    (["rows>=3000"], "rows"),
]
STALLED = "stalled"


@dataclass
class Part:
    """One site: its database, and what was written; the image with id n + 1 has codes[n]."""

    name: str
    url: str
    codes: Codes
    barcodes: Codes
    flags: Flags


def drawn(count: int, bits: int, most: float, kinds: NDArray[np.int16], rng: np.random.Generator) -> Codes:
    """Packed codes: the centre of each kind with a pattern of a pool, each of up to `most` of the bits."""
    centres = np.random.default_rng(bits).integers(0, 256, (CENTRES, bits // 8), np.uint8)
    pool = np.empty((POOL, bits // 8), np.uint8)
    for start in range(0, POOL, 1000):
        pool[start : start + 1000] = np.packbits(rng.random((1000, bits)) < rng.random((1000, 1)) * most, axis=1)
    return centres[kinds] ^ pool[rng.integers(0, POOL, count)]


def filled(server: str, number: int, count: int) -> Part:
    """A database with images, codes, barcodes and an exact index."""
    name = f"site{number}"
    rng = np.random.default_rng(number)
    kinds = rng.integers(0, CENTRES, count).astype(np.int16)
    part = Part(
        name,
        server.replace("/radretrieval?", f"/{name}?", 1),
        drawn(count, 1000, 0.16, kinds, rng),
        drawn(count, 4352, 0.1, kinds, rng),
        flags_of(count, number),
    )
    with connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    migrations.upgrade(part.url)
    where = Database(part.url)
    with where.connection() as connection:
        encoder = encoders.add(connection, TINY, b"no weights are needed", [], {})
        geometry = codes_table.geometry_id(connection, 192, 16, 272, "median-positive")
        add_images(connection, number * count, kinds, part.flags)
    ids = np.arange(count) + 1
    for start in range(0, count, CHUNK):
        here = slice(start, start + CHUNK)
        with where.connection() as connection:
            copy_codes(connection, "cnnc", encoder, ids[here], part.codes[here], 1000)
            copy_codes(connection, "barcode", geometry, ids[here], part.barcodes[here])
    vacuum(where)
    with where.connection() as connection:
        found = encoders.get(connection, encoder)
    exact_index.build(where, found)
    return part


def truth(parts: Sequence[Part], place: int, flag: str | None) -> list[tuple[str, int]]:
    """Site and id of the hits for an image of the first site, by brute force over all codes."""
    query, barcode = parts[0].codes[place], parts[0].barcodes[place]
    far = np.concatenate([distances(query, part.codes) for part in parts]).astype(np.int32)
    far[place] = 2000
    if flag is not None:
        far[~np.concatenate([part.flags[flag] for part in parts])] = 2000
    count = len(parts[0].codes)
    last = np.partition(far, CANDIDATES - 1)[CANDIDATES - 1]
    near = np.flatnonzero(far <= min(last, 1000))
    near = near[np.lexsort((near, far[near]))][: CANDIDATES + TIES]
    barcodes = np.stack([parts[one // count].barcodes[one % count] for one in near.tolist()])
    order, _ = rerank(barcode, barcodes, far[near], near, Weights.of(TINY))
    return [(parts[one // count].name, one % count + 1) for one in near[order[:TOP]].tolist()]


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Pass on what comes, each piece so many seconds later."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            writer.write(piece)

    writing = asyncio.create_task(write())
    try:
        while piece := await reader.read(65536):
            pieces.put_nowait((loop.time() + seconds, piece))
    except ConnectionError:
        pass
    finally:
        writing.cancel()
        writer.close()


def proxy(target: str, port: Any, seconds: float) -> None:
    """Serve on a free port of loopback, which goes into `port`, and delay each way to a Unix socket."""

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(target)
        await asyncio.gather(_forward(reader, back, seconds), _forward(there, writer, seconds))

    async def serve() -> None:
        server = await asyncio.start_server(taken, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def delayed(socket: str, seconds: float) -> Iterator[int]:
    """The port of a proxy in a process of its own."""
    port: Any = multiprocessing.Queue()
    process = multiprocessing.Process(target=proxy, args=(socket, port, seconds), daemon=True)
    process.start()
    try:
        yield port.get(timeout=30)
    finally:
        process.kill()


def write_sites(file: Path, parts: Sequence[Part], port: int | None, stalled: int | None = None) -> None:
    """The file of sites, over sockets or through the proxy at `port`; with one more that stalls."""
    urls = {part.name: part.url for part in parts}
    if port is not None:
        urls = {name: f"postgresql://radretrieval@127.0.0.1:{port}/{name}" for name in urls}
    if stalled is not None:
        urls[STALLED] = f"postgresql://radretrieval@127.0.0.1:{stalled}/{parts[0].name}"
    file.write_text("".join(f"[{name}]\nurl = '{url}'\n" for name, url in urls.items()))


def asked(archive: rr.Archive, parts: Sequence[Part], places: Sequence[int], check: bool) -> dict[str, Any]:
    """Seconds of each site alone and of all, in turn; how many answers of all are not the truth."""
    times: dict[str, list[float]] = {name: [] for name in [*(part.name for part in parts), "all"]}
    wrong = 0
    for number, place in enumerate(places):
        where, flag = FILTERS[number % len(FILTERS)]
        for name, spent in times.items():
            before = time.perf_counter()
            answer = archive.search_sites(place + 1, [name], where=where)
            if number >= 5:  # the first ones fetch what was never read
                spent.append(time.perf_counter() - before)
        hits = [(hit.site, hit.image_id) for hit in answer.hits]
        wrong += answer.partial or (check and hits != truth(parts, place, flag))
    return {"times": {name: spread(spent) for name, spent in times.items()}, "wrong": wrong}


def shown(title: str, found: dict[str, Any]) -> dict[str, Any]:
    """Print one table; returns the figures with the ratio to the slowest site's median."""
    times = found["times"]
    slowest = max((name for name in times if name != "all"), key=lambda name: times[name]["p50"])
    ratio = times["all"]["p50"] / times[slowest]["p50"]
    rows = [[name, *cells(one, "p50", "p95", "max")] for name, one in times.items()]
    table([title, "p50 ms", "p95", "max"], rows)
    print(f"all / slowest site alone ({slowest}): {ratio:.2f}; wrong answers: {found['wrong']}\n")
    return found | {"slowest": slowest, "ratio": ratio}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--codes", type=int, default=250_000, help="of each site")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--rtt", type=float, default=20.0, help="milliseconds")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with tuned(options.sites * options.codes) as (where, settings, told):
        parts = []
        for number in range(options.sites):
            print(f"site {number + 1} of {options.sites}", file=sys.stderr)
            parts.append(filled(where.url, number, options.codes))
        print(f"{options.sites} sites of {options.codes} codes on {machine('numpy', 'psycopg')}; {told}\n")
        home = Settings(database_url=parts[0].url, home=settings.home)
        places = np.random.default_rng(9).choice(options.codes, options.queries, replace=False).tolist()
        socket = f"{settings.home}/postgres/.s.PGSQL.5432"
        file = settings.home / "sites.toml"
        with rr.Archive(home) as archive, delayed(socket, options.rtt / 2000) as far, delayed(socket, 3600) as dead:
            write_sites(file, parts, None)
            figures["socket"] = shown("Unix sockets", asked(archive, parts, places, True))
            write_sites(file, parts, far)
            figures["proxy"] = shown(f"{options.rtt:g} ms round trip", asked(archive, parts, places[:100], True))
            write_sites(file, parts, None, dead)
            before = time.perf_counter()
            answer = archive.search_sites(places[0] + 1, deadline=1)
            spent = time.perf_counter() - before
            missing = [one.site for one in answer.sites if not one.answered]
            print(f"one more site that stalls, deadline 1 s: {spent:.2f} s, without {missing}")
            figures["stalled"] = {"seconds": spent, "missing": missing}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
