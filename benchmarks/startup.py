"""How long commands take from a cold process: `radretrieval --help`, and `search id:N` with its server down and up.

    python benchmarks/startup.py [--repeats 9] [--images 2561] [--json FILE]

The archive holds random codes: `search id:N` takes the stored ones and reads no file. Rows take turns, so that a busy
machine slows them all; `python -c pass` and `python -c "import torch"` are the yardsticks. "Server down": the command
starts the embedded server and, as its last user, stops it before it ends; all of that counts.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import command, database, environment, machine, table

from radretrieval.archive import codes, encoders, images
from radretrieval.archive.connections import Database
from radretrieval.archive.embedded import shared_server
from radretrieval.coding.radon import bins, code_bytes
from radretrieval.profile import PAPER

PYTHON = "python -c pass"
TORCH = 'python -c "import torch"'
HELP = "radretrieval --help"
DOWN = "radretrieval search id:1, server down"
UP = "radretrieval search id:1, server up"
URL = "radretrieval db url, server down"
BARS = {HELP: 0.4, DOWN: 1.5, UP: 1.5}  # issue 2: seconds at most
COMMANDS = {
    PYTHON: [sys.executable, "-c", "pass"],
    TORCH: [sys.executable, "-c", "import torch"],
    HELP: command("--help"),
    UP: command("search", "id:1"),
    DOWN: command("search", "id:1"),
    URL: command("db", "url"),
}


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="how often each is run (default: %(default)s)")
    parser.add_argument("--images", type=int, default=2561, help="images of the archive (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or arguments.images < 50:
        parser.error("--repeats is at least 1, --images at least 50")

    with database() as (where, settings):
        fill(where, arguments.images)
        env = environment(settings)
        seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for repeat in range(arguments.repeats + 1):
            for name, words in COMMANDS.items():
                if name in (DOWN, URL):
                    shared_server.release(settings.home)
                else:
                    shared_server.start(settings.home)
                taken = run(words, env)
                if repeat:  # the first time, files are read and compiled that later lie ready
                    seconds[name].append(taken)
        imported = {HELP: imports(["--help"], env), UP: imports(["search", "id:1"], env)}

    print(f"{machine('typer', 'numpy', 'torch')}; {arguments.images} images, {arguments.repeats} runs each")
    rows = []
    for name, all_taken in seconds.items():
        middle, bar = statistics.median(all_taken), BARS.get(name)
        verdict = "" if bar is None else f"{bar} s {'reached' if middle <= bar else 'MISSED'}"
        rows.append((name, f"{middle:.3f}", f"{min(all_taken):.3f}", f"{max(all_taken):.3f}", verdict))
    table(("seconds", "median", "min", "max", "at most"), rows)
    for name, found in imported.items():
        longest = sorted(found, key=found.__getitem__, reverse=True)[:8]
        parts = ", ".join(f"{package} {found[package]:.0f}" for package in longest if found[package] >= 1)
        print(f"{name.partition(',')[0]}: {sum(found.values()):.0f} ms of imports, by package: {parts}")
    if arguments.json:
        figures: dict[str, Any] = {"images": arguments.images, "seconds": seconds, "import_milliseconds": imported}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def fill(where: Database, count: int) -> None:
    """Images with random codes, of an encoder whose weights nobody asks for."""
    rng = np.random.default_rng(0)
    shape = PAPER.barcode
    with where.connection() as connection:
        encoder = encoders.add(connection, PAPER, b"not asked for", ["1111-110-414-700"], {})
        geometry = codes.geometry_id(connection, shape.size, shape.angles, bins(shape.size), shape.rule)
        new = [
            images.NewImage(rng.bytes(32), f"file:///archive/{place}.png", "png", 256, 256, 8, "MONOCHROME2")
            for place in range(count)
        ]
        images.add(connection, new)
        ids = list(range(1, count + 1))
        bits = PAPER.network.code_bits
        cnnc = rng.integers(0, 256, (count, bits // 8), np.uint8)
        codes.write_cnnc(connection, encoder, ids, cnnc, bits)
        barcodes = rng.integers(0, 256, (count, code_bytes(shape.size, shape.angles)), np.uint8)
        codes.write_barcodes(connection, geometry, ids, barcodes)


def run(words: Sequence[str], env: dict[str, str]) -> float:
    """Seconds from start to end of a process that must succeed."""
    start = time.perf_counter()
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    taken = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return taken


def imports(arguments: Sequence[str], env: dict[str, str]) -> dict[str, float]:
    """Milliseconds that a command spends in the modules of each package, by `python -X importtime`."""
    words = [sys.executable, "-X", "importtime", "-m", "radretrieval", *arguments]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    found: dict[str, float] = {}
    for own, module in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", done.stderr, re.MULTILINE):
        package = module.partition(".")[0]
        name = "Python itself" if package.lstrip("_") in STANDARD else package
        found[name] = found.get(name, 0) + int(own) / 1000
    return found


STANDARD = {name.lstrip("_") for name in sys.stdlib_module_names}


if __name__ == "__main__":
    main()
