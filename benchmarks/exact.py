"""Exact search by its index against the plain scan, pgvector's HNSW, faiss, usearch and numpy, all in one run.

    python benchmarks/exact.py [--model FILE | --home DIR] [--sizes N …] [--variants NAME …] [--queries N] [--quick]
                               [--json FILE] [--plot FILE.png]

Codes are drawn from a model of real ones (see _code_model.py): of --model, else fitted to the archive of --home, else
to one that is trained now on ../shared/data/radiographs, which takes half an hour (skipped where that is absent). So
this is no part of `make bench`; `make bench-exact` runs it. The kept result was made by

    python benchmarks/exact.py --model FILE --sizes 14000 100000 1000000 5000000
    python benchmarks/exact.py --model FILE --sizes 20000000 --search-only --keep DIR

and, by `benchmarks/backup.py --keep DIR`, the dump and restore of such an archive.

Each archive has a server of its own, with the images, keys, constraints and triggers that archives have. All answer
the same queries, one at a time, by turns of --turn queries; each in one thread, but the plain scan, which the server
runs as it likes, and once more in one process. Ours is the SQL function `cnnc_nearest` through psycopg (binary, a
prepared statement) as searches call it, without the rows of the images; `with the images' rows` is what searches do.
Ends with 1 for a wrong list, a recall below 1 under a filter, or an index that is not sound; never for the time taken.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _code_model import VARIANTS, Model
from _common import machine
from _exact_data import Filled, Truth, encoder_of, fill, model_of, queries_of, source, tuned
from _exact_load import clients, cold, filters
from _exact_peers import check_more, engines_of, measure
from _exact_show import FLAT, LISTS, MILLION, bar, growth, save_picture, show_bar, show_run
from _exact_writes import writes

from radretrieval.archive.search import exact_index
from radretrieval.irma.imageclef import classes

SIZES = (14_000, 100_000, 1_000_000)


def main() -> None:
    """Fill an archive for each size and variant, measure, print the tables, write the figures."""
    arguments = _arguments()
    model = model_of(arguments.model, arguments.home, arguments.quick)
    sizes = arguments.sizes or (SIZES[:1] if arguments.quick else SIZES)
    most = max([size for size in sizes if size <= MILLION], default=0)
    runs = [
        one(model, variant, size, arguments, size == most and variant == arguments.variants[0])
        for variant in arguments.variants
        for size in sizes
    ]
    print(f"the 50 nearest codes, {arguments.queries} queries in turn, {arguments.turn} at a time")
    print(machine("numpy", "psycopg", *_installed("faiss-cpu", "usearch")) + f", {runs[0]['postgres']}")
    for run in runs:
        show_run(run)
    show_bar(runs)
    if arguments.json:
        document = {
            "runs": runs,
            "growth": {variant: growth(runs, variant) for variant in arguments.variants},
            "bar": [{"wanted": name, "measured": text, "reached": good} for name, text, good in bar(runs)],
        }
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    if arguments.plot:
        save_picture(runs, arguments.plot)
    sys.exit(0 if all(map(right, runs)) else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--model", type=Path, metavar="FILE", help="a fitted model (_code_model.py --save)")
    origin.add_argument("--home", type=Path, metavar="DIR", help="fit the model to this archive (corpus.py --home)")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="N", help="codes (default: 14000 100000 1000000)")
    names = [*VARIANTS, "flat"]
    parser.add_argument("--variants", nargs="+", choices=names, default=["real"], help="(default: %(default)s)")
    parser.add_argument("--queries", type=int, default=1000, help="new draws, timed (default: %(default)s)")
    parser.add_argument("--turn", type=int, default=10, help="queries that one engine answers at a time (%(default)s)")
    parser.add_argument(
        "--hnsw-most", type=int, default=MILLION, metavar="N", help="codes up to which graphs are built (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="14,000 codes, fewer queries, a model of little training")
    parser.add_argument("--search-only", action="store_true", help="no clients, writes and cold cache")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the only archive there, and use what it has")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the medians there")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.queries = min(arguments.queries, 200)
    if min(arguments.queries, *(arguments.sizes or SIZES)) < 100 or arguments.turn < 1:
        parser.error("--queries and --sizes are at least 100, --turn 1")
    if arguments.keep and (not arguments.search_only or len(arguments.sizes or SIZES) * len(arguments.variants) > 1):
        parser.error("--keep needs --search-only, one size and one variant: other measurements change the archive")
    return arguments


def _installed(*packages: str) -> Sequence[str]:
    from importlib.util import find_spec

    return [package for package in packages if find_spec(package.removesuffix("-cpu"))]


def one(model: Model, variant: str, size: int, arguments: argparse.Namespace, by_clients: bool) -> dict[str, Any]:
    """All figures of one archive."""
    print(f"drawing {size} codes, {variant}", file=sys.stderr)
    drawn = source(model, variant)
    codes, kinds = drawn.draw(size, 1)
    far = 30 if arguments.quick or arguments.search_only else 100
    queries, asked = queries_of(drawn, codes, arguments.queries, far)
    kinds, asked = kinds % len(classes()), asked % len(classes())  # of `flat`, several centres are a class
    with tuned(size, arguments.keep) as (where, settings, server):
        database = fill(where, settings, codes, kinds)
        if database.encoder.exact is None:
            print("the exact index", file=sys.stderr)
            exact_index.build(where, database.encoder)
            database.encoder = encoder_of(where, database.encoder.id)
        anchors, seconds = built(database)
        graphs = size <= arguments.hnsw_most
        with engines_of(database, seconds, graphs) as (engines, flat):
            truth = Truth(codes, flat)
            search = measure(engines, queries, truth, queries_of(drawn, codes, 400, 20, seed=3)[0], arguments.turn)
            lists = sum(kind["ours"]["queries"] for kind in search.values())
            wrong = sum(figures.get("wrong", 0) for kind in search.values() for figures in kind.values())
            more = 0 if arguments.quick or arguments.search_only else max(LISTS - lists, 0)
            checked, amiss = check_more(
                engines[0], queries_of(drawn, codes, more - more // 10 * 2, more // 10, seed=4)[0], truth
            )
            facts = {engine.name: {"seconds": engine.seconds, "bytes": engine.size} for engine in engines}
        del engines, flat, truth
        few = 60 if arguments.quick or arguments.search_only else 205
        run = {
            "variant": variant,
            "codes": size,
            "server": server,
            "postgres": database.one("SELECT 'PostgreSQL ' || current_setting('server_version')"),
            "anchors": anchors,
            "engines": facts,
            "search": search,
            "lists": lists + checked,
            "wrong": wrong + amiss,
            "flat_p50": search["within"].get(FLAT, {}).get("p50"),
        }
        run["filters"] = filters(database, queries["within"][:few], asked[:few])
        if arguments.search_only:
            return run
        if by_clients:
            run["clients"] = clients(database, queries["within"], 2 if arguments.quick else 4)
        run["cold"] = cold(database, queries["within"])
        run["writes"] = writes(database, drawn, graphs)
    return run


def built(database: Filled) -> tuple[int, float]:
    """Anchors of the index in use, and how long it was built."""
    seconds = "SELECT extract(epoch FROM live_at - begun_at)::float8 FROM exact_index WHERE live"
    return database.one("SELECT count(*) FROM exact_anchor"), database.one(seconds)


def right(run: dict[str, Any]) -> bool:
    """Whether nothing was found wrong."""
    filtered = all(row["wrong"] == 0 and row["recall_worst"] == 1 for row in run["filters"].values())
    return bool(run["wrong"] == 0 and filtered and ("writes" not in run or run["writes"]["checked"]["sound"]))


if __name__ == "__main__":
    main()
