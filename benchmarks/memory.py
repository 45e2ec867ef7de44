"""Peak memory of `ingest` and `work --once` over so many images and over ten times as many: bounded by the batch.

    python benchmarks/memory.py [--images 1000] [--json FILE]

The images are random 64×64 PNGs, 1,000 in a folder; the encoder is that of the tests. "ingest again" finds them all
unchanged and gives them the labels of a CSV, which it holds in memory. Counted is the command with its
decoding processes, each with the highest resident memory that the kernel saw (VmHWM), pages that they share counted
in each; the database server is not counted. The first rows are the yardstick: the same commands over 50 images.
Linux only.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _common import command, database, environment, machine, skip, table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import tiny

SIDE = 64
FEW = 50
FOLDER = 1000
EVERY = 0.02  # seconds between two looks


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="images of the smaller run (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.images < FEW:
        parser.error(f"--images is at least {FEW}")
    if not Path("/proc/self/status").exists():
        skip("peak memory is read from /proc, which this system does not have")

    sizes = [FEW, arguments.images, 10 * arguments.images]
    runs = [figure for count in sizes for figure in measure(count)]
    print(f"{machine('torch', 'numpy')}; {SIDE}×{SIDE} PNG, tiny encoder")
    rows = [
        (
            f"{run['command']}, {run['images']} images",
            f"{run['peak_bytes'] / 2**20:.0f}",
            f"{run['processes']}",
            f"{run['seconds']:.1f}",
        )
        for run in runs
    ]
    table(("peak memory", "MiB", "processes", "seconds"), rows)
    peaks = {(run["command"], run["images"]): run["peak_bytes"] for run in runs}
    ratios = {
        name: peaks[name, sizes[2]] / peaks[name, sizes[1]] for name in dict.fromkeys(run["command"] for run in runs)
    }
    print(
        "10 times the images take "
        + ", ".join(f"{ratio:.2f} times the memory ({name})" for name, ratio in ratios.items())
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"runs": runs, "ratios": ratios}, indent=2) + "\n")


def measure(count: int) -> list[dict[str, Any]]:
    """Peaks of both commands over so many images, in an archive of their own."""
    print(f"{count} images", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, database() as (where, settings):
        write_images(Path(folder), count)
        with where.connection() as connection:
            tiny.add_encoder(connection)
        commands = {
            "ingest": ["ingest", f"{folder}/images", "--json"],
            "ingest again": ["ingest", f"{folder}/images", "--labels", f"{folder}/labels.csv", "--json"],
            "work": ["work", "--once", "--device", "cpu", "--json"],
        }
        env = environment(settings)
        return [{"command": name, "images": count, **watched(words, env, count)} for name, words in commands.items()]


def write_images(folder: Path, count: int) -> None:
    """Random grey PNGs, and labels for them."""
    rng = np.random.default_rng(0)
    labels = ["file,irma_code,split,patient_id"]
    for place in range(count):
        file = folder / "images" / f"{place // FOLDER:04}" / f"{place:06}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(rng.integers(0, 256, (SIDE, SIDE), np.uint8)))
        labels.append(f"{file.relative_to(folder)},{tiny.CLASSES[place % 2]},train,{place // 3}")
    (folder / "labels.csv").write_text("\n".join(labels))


def png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """A grey 8-bit PNG without compression, which noise does not need and which would take most of the time."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows, columns = pixels.shape
    lines = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # each line begins with filter 0
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 0)) + chunk(b"IEND", b"")


def watched(words: list[str], env: dict[str, str], count: int) -> dict[str, Any]:
    """Run a command that must finish `count` images: its peak memory in bytes, processes and seconds."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(command(*words), env=env, stdout=output)
        peak, most = 0, 0
        while process.poll() is None:
            family = [highest(pid) for pid in (process.pid, *(child.pid for child in children(process)))]
            peak, most = max(peak, sum(family)), max(most, len(family))
            time.sleep(EVERY)
        seconds = time.perf_counter() - start
        output.seek(0)
        done = json.loads(output.read())
    finished = done["encoded"] if "encoded" in done else done["added"] + done["unchanged"]
    if process.returncode or done["failed"] or finished < count:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: {done}")
    return {"peak_bytes": peak, "processes": most, "seconds": seconds}


def children(process: psutil.Process) -> list[psutil.Process]:
    """The processes below this one; none once it has ended."""
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def highest(pid: int) -> int:
    """The highest resident memory of a process so far, bytes; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(lines[0].split()[1]) if lines else 0


if __name__ == "__main__":
    main()
