"""How much slower searches are by an index that was built of fewer codes than it has, against one that is built anew.

    python benchmarks/index_growth.py [--model FILE] [--codes N] [--json FILE]

Two archives get the same codes, in the same steps, the index there: one index stays, and grows, the other is built anew
after each step. Both answer the same queries, by turns. From this comes `GROWN` in exact_index.py: how far an index may
grow before `status` and `health` advise to build it anew. The model of codes as for exact.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from _common import machine, table
from _exact_data import CHUNK, Codes, Filled, add_images, encoder_of, fill, flags_of, model_of, source, tuned, vacuum
from numpy.typing import NDArray

from radretrieval.archive import codes as codes_table
from radretrieval.archive.search import exact_index, nearest
from radretrieval.archive.search.anchor_hints import AnchorHints
from radretrieval.irma.imageclef import classes

STEPS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
QUERIES = 300
WARM = 100  # queries before, so that what both have is in memory


def main() -> None:
    """Fill both, let them grow, measure after each step, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="FILE", help="a fitted model (_code_model.py --save)")
    parser.add_argument("--codes", type=int, default=200_000, metavar="N", help="at first (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    drawn = source(model_of(arguments.model, None), "real")
    codes, kinds = drawn.draw(round(arguments.codes * STEPS[-1]), 1)
    kinds %= len(classes())
    queries = drawn.draw(QUERIES, 2)[0]
    figures = []
    with ExitStack() as stack:
        both = []
        for _ in range(2):
            where, settings, server = stack.enter_context(tuned(len(codes)))
            both.append(fill(where, settings, codes[: arguments.codes], kinds[: arguments.codes]))
            exact_index.build(where, both[-1].encoder)
        for before, step in zip((1.0, *STEPS), STEPS, strict=False):
            print(f"{step} times {arguments.codes}", file=sys.stderr)
            start, end = round(arguments.codes * before), round(arguments.codes * step)
            for one in both:
                add(one, start, codes[start:end], kinds[start:end])
            if step > 1:
                exact_index.build(both[1].where, both[1].encoder)
            for one in both:
                one.encoder = encoder_of(one.where, one.encoder.id)
            figures.append({"grown": step, **measure(both, queries)})
        print(f"{machine('numpy', 'psycopg')}; {server}; an index of {arguments.codes} codes, {QUERIES} queries")
    table(
        ["grown to", "as it is, ms", "p95", "built anew, ms", "p95", "slower by"],
        [
            [f"{row['grown']:g}", *(f"{value:.2f}" for value in (*row["old"], *row["new"], row["ratio"]))]
            for row in figures
        ],
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def add(one: Filled, first: int, codes: Codes, kinds: NDArray[np.int16]) -> None:
    """More images with codes, as a worker writes them."""
    hints = AnchorHints()
    for start in range(0, len(codes), CHUNK):
        part = slice(start, start + CHUNK)
        ids = list(range(first + start + 1, first + min(start + CHUNK, len(codes)) + 1))
        with one.where.connection() as connection:
            add_images(connection, first + start, kinds[part], flags_of(len(ids), first + start))
            codes_table.write_cnnc(connection, one.encoder.id, ids, codes[part], 1000, hints)
    vacuum(one.where, "image", "cnnc")


def measure(both: list[Filled], queries: Codes) -> dict[str, Any]:
    """Milliseconds (median, 95 %) of the index that grew and of the new one, and the ratio of the medians."""
    with ExitStack() as stack:
        connections = [stack.enter_context(one.where.connection()) for one in both]
        taken: list[list[float]] = [[], []]
        for place, query in enumerate([*queries[:WARM], *queries]):
            answers = []
            for number, (one, connection) in enumerate(zip(both, connections, strict=True)):
                before = time.perf_counter()
                found, path = nearest.candidates(connection, one.encoder, 1, query, 50)
                if place >= WARM:
                    taken[number].append(1e3 * (time.perf_counter() - before))
                answers.append(([candidate.image_id for candidate in found], path))
            if answers[0] != answers[1] or path != "exact-index":
                sys.exit(f"the two answer differently, or not by the index: {answers}")
    old, new = ([float(value) for value in np.percentile(one, (50, 95))] for one in taken)
    return {"old": old, "new": new, "ratio": old[0] / new[0]}


if __name__ == "__main__":
    main()
