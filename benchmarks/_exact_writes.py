"""What writing codes costs: COPY in batches and single rows, with the exact index, without, and into peers' tables.

    python benchmarks/_exact_writes.py --model FILE [--codes N] [--variant NAME]

benchmarks/exact.py has it for its archives. Run by itself, this fills one archive of N codes and writes ten batches.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _code_model import VARIANTS, Flat, Model, load
from _common import machine, table
from _exact_data import Filled, add_images, encoder_of, fill, flags_of, source, tuned, vacuum

from radretrieval.archive import codes as archive_codes
from radretrieval.archive import encoders
from radretrieval.archive.bulk_copy import copy_codes
from radretrieval.archive.connections import connect
from radretrieval.archive.search import exact_index
from radretrieval.archive.search.anchor_hints import AnchorHints
from radretrieval.archive.search.exact_check import check
from radretrieval.archive.search.nearest import bit_text
from radretrieval.irma.imageclef import classes

BATCHES, BATCH = 10, 10_000
SINGLE = 300
INTO_GRAPH = 300  # rows of the only batch that goes into pgvector's graph
LISTS = 30  # that are compared at the end

_PUT = "INSERT INTO {table} (encoder_id, image_id, code) VALUES (%(encoder)s, %(image)s, %(code)s::bit(1000))"


def writes(database: Filled, drawn: Model | Flat, graph: bool) -> dict[str, Any]:
    """Rows a second of COPY, milliseconds of single rows, and whether the index is sound afterwards.

    Each batch is a transaction. `ours`: through `write_cnnc`, with hints of the anchors, into the table with its keys
    and the index; `no index`: the same for an encoder without one; `bare`: a table with neither key nor constraint.
    `cpu_us`: microseconds of processor a code, of the client and of the server's process, which others on the machine
    change less than the time that passes.
    """
    batch = min(BATCH, max(len(database.codes) // BATCHES, 100))
    count = BATCHES * batch + SINGLE
    print(f"writing {count} codes", file=sys.stderr)
    codes, kinds = drawn.draw(count, 5)
    first = len(database.codes)
    with database.where.connection() as connection:
        other = encoders.add(connection, database.encoder.profile, b"another", [], {})
        connection.execute("CREATE TABLE bench_bare (encoder_id int, image_id bigint, code bit(1000))")
        add_images(connection, first, kinds, flags_of(count, 5))
    vacuum(database.where, "image", "bench_bare")
    ids = first + 1 + np.arange(count)
    ours, near = database.encoder.id, {database.encoder.id: AnchorHints(), other: AnchorHints()}

    def coded(encoder: int) -> Callable[[Any, slice], None]:
        def put(connection: Any, part: slice) -> None:
            archive_codes.write_cnnc(connection, encoder, ids[part].tolist(), codes[part], 1000, near[encoder])

        return put

    def bare(connection: Any, part: slice) -> None:
        copy_codes(connection, "bench_bare", other, ids[part], codes[part], 1000)

    ways = {"ours": coded(ours), "no index": coded(other), "bare": bare}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with connect(database.where.url) as connection:
        for start in range(0, BATCHES * batch, batch):
            for name, put in ways.items():
                before, client, server = time.perf_counter(), time.process_time(), _cpu(connection)
                put(connection, slice(start, start + batch))
                connection.commit()
                spent[name].append(time.perf_counter() - before)
                busy[name].append((time.process_time() - client, _cpu(connection) - server))
    figures: dict[str, Any] = {
        "batch": batch,
        "cpu_us": {name: (1e6 * np.median(times, axis=0) / batch).tolist() for name, times in busy.items()},
        "copy_per_second": {name: batch / statistics.median(times) for name, times in spent.items()},
        "copy_per_second_in_all": {name: batch * len(times) / sum(times) for name, times in spent.items()},
    }
    if graph:
        before = time.perf_counter()
        with (
            database.where.connection() as connection,
            connection.cursor() as cursor,
            cursor.copy("COPY peer_hnsw (image_id, code) FROM STDIN") as copy,
        ):
            for place in range(INTO_GRAPH):
                copy.write_row((int(ids[place]), bit_text(codes[place])))
        figures["copy_per_second"]["pgvector HNSW"] = INTO_GRAPH / (time.perf_counter() - before)
    figures["single_ms"] = _single(database, ids, codes, count - SINGLE, ours, other)
    checked = check(database.where, encoder_of(database.where, ours), LISTS, 50)
    figures["checked"] = {"codes": checked.codes, "sound": checked.sound, "lists": checked.queries}
    return figures


def _cpu(connection: Any) -> float:
    """Seconds of processor that the server's process of this connection has had."""
    with Path(f"/proc/{connection.info.backend_pid}/schedstat").open() as file:
        return int(file.read().split()[0]) / 1e9


def _single(database: Filled, ids: Any, codes: Any, start: int, ours: int, other: int) -> dict[str, float]:
    """Median of INSERT and its commit, in turn; nobody says which anchors are near."""
    tables = {"ours": ("cnnc", ours), "no index": ("cnnc", other), "bare": ("bench_bare", other)}
    spent: dict[str, list[float]] = {name: [] for name in tables}
    with database.connect() as connection:
        for place in range(start, len(ids)):
            for name, (table, encoder) in tables.items():
                values = {"encoder": encoder, "image": int(ids[place]), "code": bit_text(codes[place])}
                before = time.perf_counter()
                connection.execute(_PUT.replace("{table}", table), values)
                spent[name].append(time.perf_counter() - before)
    return {name: 1e3 * statistics.median(times) for name, times in spent.items()}


def main() -> None:
    """Fill an archive, build its index, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="FILE", required=True, help="a model that _code_model.py saved")
    parser.add_argument("--codes", type=int, default=1_000_000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--variant", choices=[*VARIANTS, "flat"], default="real", help="(default: %(default)s)")
    arguments = parser.parse_args()
    drawn = source(load(arguments.model), arguments.variant)
    codes, kinds = drawn.draw(arguments.codes, 1)
    with tuned(arguments.codes) as (where, settings, server):
        database = fill(where, settings, codes, kinds % len(classes()))
        exact_index.build(where, database.encoder)
        figures = writes(database, drawn, graph=False)
    print(machine("numpy", "psycopg") + f", {server}")
    rates, busy, single = figures["copy_per_second"], figures["cpu_us"], figures["single_ms"]
    rows = [
        [
            name,
            f"{rate:.0f}",
            f"{rate / rates['bare']:.3f}",
            *(f"{one:.1f}" for one in busy[name]),
            f"{single[name]:.2f}",
        ]
        for name, rate in rates.items()
    ]
    head = [f"{arguments.codes} codes, {arguments.variant}, and batches of {figures['batch']}", "rows/s", "to bare"]
    table([*head, "CPU us: client", "server", "one INSERT with commit, ms"], rows)
    sys.exit(0 if figures["checked"]["sound"] else 1)


if __name__ == "__main__":
    main()
