"""A warm search of a new file among a million codes, against what no search can do without: decoding and the network.

    python benchmarks/warm_search.py [--home DIR | --weights FILE] [--codes N] [--queries N] [--json FILE]

Network: that of the archive of --home, or --weights, or random weights of the paper's shape, for speed does not depend
on what it has learnt. Its codes of the labelled radiographs (of --home, else of ../shared/data/radiographs; skipped
where that is absent) are what the archive's codes are drawn after, with the real classes where they are: a new file
falls among as many near codes as it would in a real archive of that size. Rows of images are synthetic, barcodes
random: neither changes the work. Queries are new files, as in search.py; a search is `Searcher.search` without an ROI
or a filter. The floor is measured in the same run, in turn with the searches: reading and decoding the file, and the
network's forward pass of an image that has its size already.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _code_model import Model, fit, preactivations
from _common import database, machine, skip, table
from _exact_data import CHUNK, Filled, encoder_of, fill, spread, tuned, vacuum
from corpus import ingest
from search import FOLDERS, new_files, random_weights

from radretrieval.archive import codes, encoders
from radretrieval.archive.search import exact_index
from radretrieval.coding.cnnc import Coder
from radretrieval.coding.radon import bins
from radretrieval.imaging import read_image
from radretrieval.imaging.resample import resample
from radretrieval.profile import PAPER, Profile
from radretrieval.search.request import STAGES, Request
from radretrieval.search.searcher import Searcher

BAR = 1.5  # issue 4: at most so many times the floor
WARM = 5


def main() -> None:
    """Fill the archive, search and measure the floor in turn, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--home", type=Path, metavar="DIR", help="an archive with an active encoder (corpus.py --home)")
    origin.add_argument("--weights", type=Path, metavar="FILE", help="a trained network (safetensors), profile paper")
    parser.add_argument("--codes", type=int, default=1_000_000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--queries", type=int, default=100, metavar="N", help="new files (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.queries < 2 or arguments.codes < 1000:
        parser.error("--queries is at least 2, --codes 1000")
    if not FOLDERS[0].exists():
        skip("../shared/data/radiographs is absent")
    weights, profile, values, labels = network(arguments.home, arguments.weights)
    print(f"drawing {arguments.codes} codes", file=sys.stderr)
    drawn, kinds = at_home(fit(values, labels), len(set(labels))).draw(arguments.codes, 1)
    with tuned(arguments.codes) as (where, settings, server), tempfile.TemporaryDirectory() as folder:
        filled = fill(where, settings, drawn, kinds, profile, weights)
        barcodes(filled)
        print("the exact index", file=sys.stderr)
        exact_index.build(where, filled.encoder)
        filled.encoder = encoder_of(where, filled.encoder.id)
        files = new_files(Path(folder), arguments.queries + WARM)
        figures = measure(filled, weights, profile, files)
    show(figures | {"server": server, "weights": given(arguments)})
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def given(arguments: argparse.Namespace) -> str:
    """Which network it is."""
    return "the archive's network" if arguments.home else "given weights" if arguments.weights else "random weights"


def network(home: Path | None, file: Path | None) -> tuple[bytes, Profile, Any, list[str]]:
    """Weights and profile, and what the network makes of labelled images: reals and IRMA codes."""
    with database(home) as (where, settings):
        if home is None:
            ingest(settings)
            with where.connection() as connection:
                encoders.add(connection, PAPER, file.read_bytes() if file else random_weights(), [], {})
        print("encoding the labelled images", file=sys.stderr)
        values, labels = preactivations(where, settings)
        with where.connection() as connection:
            encoder = encoders.get(connection)
            return encoders.weights(connection, encoder, settings.home / "weights"), encoder.profile, values, labels


def at_home(model: Model, labels: int) -> Model:
    """The model with a copy of each real class where the class is: the network's own units and signs."""
    real = len(model.first) - 1
    assert real <= min(labels, len(model.order))
    order, flips = model.order.copy(), model.flips.copy()
    order[:real], flips[:real] = np.arange(order.shape[1]), False
    return replace(model, order=order, flips=flips)


def barcodes(filled: Filled) -> None:
    """A random barcode for each image."""
    shape, rng = filled.encoder.profile.barcode, np.random.default_rng(0)
    width, count = shape.angles * bins(shape.size) // 8, len(filled.codes)
    print(f"barcodes of {width} bytes", file=sys.stderr)
    with filled.where.connection() as connection:
        geometry = codes.geometry_id(connection, shape.size, shape.angles, bins(shape.size), shape.rule)
    for start in range(0, count, CHUNK):
        ids = range(start + 1, min(start + CHUNK, count) + 1)
        with filled.where.connection() as connection:
            codes.write_barcodes(connection, geometry, ids, rng.integers(0, 256, (len(ids), width), np.uint8))
    vacuum(filled.where, "barcode")


def measure(filled: Filled, weights: bytes, profile: Profile, files: Sequence[Path]) -> dict[str, Any]:
    """Milliseconds of the searches' stages and of the floor; which of the two comes first changes with each file."""
    coder = Coder(weights, profile, "cpu")
    stages: dict[str, list[float]] = {name: [] for name in STAGES if name != "roi"}
    floor: dict[str, list[float]] = {name: [] for name in ("decode", "resample", "network")}
    paths: set[str] = set()
    first, last = [], []
    print(f"searching {len(files) - WARM} files", file=sys.stderr)
    with Searcher(filled.where, filled.settings, "cpu") as searcher:
        for place, file in enumerate(files):
            if place % 2:
                bare = _floor(coder, file)
            answer = searcher.search(Request(file))
            if place % 2 == 0:
                bare = _floor(coder, file)
            if place < WARM:
                continue
            for name, taken in stages.items():
                taken.append(answer.timings_ms[name] / 1e3)
            for name, seconds in bare.items():
                floor[name].append(seconds)
            paths.add(answer.path)
            found = [hit.cnnc_distance for hit in answer.hits]
            first.append(min(found))
            last.append(max(found))
    totals, lowest = stages["total"], [d + n for d, n in zip(floor["decode"], floor["network"], strict=True)]
    return {
        "codes": len(filled.codes),
        "queries": len(totals),
        "paths": sorted(paths),
        "hit_distances": {"nearest": statistics.median(first), "farthest": statistics.median(last)},
        "search": {name: spread(taken) for name, taken in stages.items()},
        "floor": {name: spread(taken) for name, taken in floor.items()} | {"total": spread(lowest)},
        "ratio": statistics.median(totals) / statistics.median(lowest),
        "ratio_of_each": statistics.median([a / b for a, b in zip(totals, lowest, strict=True)]),
    }


def _floor(coder: Coder, file: Path) -> dict[str, float]:
    """Seconds of decoding and of the network; resampling between them is not counted as either."""
    begun = time.perf_counter()
    pixels = read_image(file).pixels
    decoded = time.perf_counter()
    small = resample(pixels, coder.profile.network.input_size)[None]
    resampled = time.perf_counter()
    coder.codes(small)
    return {"decode": decoded - begun, "resample": resampled - decoded, "network": time.perf_counter() - resampled}


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    import torch

    print(f"a warm search of a new file among {figures['codes']} codes, {figures['queries']} files, CPU")
    print(f"{machine('torch', 'numpy', 'psycopg')}, {torch.get_num_threads()} threads of torch; {figures['server']}")
    near = figures["hit_distances"]
    print(
        f"{figures['weights']}; hits are {near['nearest']:.0f} to {near['farthest']:.0f} bits away (medians); "
        f"path: {', '.join(figures['paths'])}"
    )
    rows = [(f"  search: {name}" if name != "total" else "search", *_both(s)) for name, s in figures["search"].items()]
    for name, taken in figures["floor"].items():
        rows.append(("decode + network" if name == "total" else f"  floor: {name}", *_both(taken)))
    table(("milliseconds", "median", "p95"), rows)
    print(
        f"a search takes {figures['ratio']:.2f} times decoding and network (medians; median of the ratios "
        f"{figures['ratio_of_each']:.2f}); at most {BAR}: {'reached' if figures['ratio'] <= BAR else 'MISSED'}"
    )


def _both(figures: dict[str, float]) -> tuple[str, str]:
    return f"{figures['p50']:.2f}", f"{figures['p95']:.2f}"


if __name__ == "__main__":
    main()
