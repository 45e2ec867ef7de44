"""Ingesting DICOM files, against decoding them and nothing else, in the same processes and in the same run.

    python benchmarks/ingest_dicom.py [--copies N] [--runs N] [--json FILE]

The valid files of ../shared/data/dicom (skipped where that is absent), each several times with a SOP Instance UID of
its own: every one becomes an image. Decoders alone: the same pool of processes, one a core, reads each file and its
stored values; grey values, hashes, headers, labels, rows and commits come on top. Runs take turns; each ingestion goes
into an empty archive.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pydicom
from _common import database, machine, skip, table
from _decoded import codec, whole
from pydicom.uid import generate_uid

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.imaging import read_image
from radretrieval.ingest.run import ingest
from radretrieval.storage.worker_pool import WorkerPool

SHARED = Path(__file__).parents[2] / "shared" / "data" / "dicom" / "valid"
BAR = 1.3  # issue 5


def copies(folder: Path, count: int) -> int:
    """So many copies of each file that can be read, with UIDs of their own; returns how many files that are."""
    made = 0
    for path in sorted(SHARED.glob("*.dcm")):
        try:
            read_image(path)
            ds = pydicom.dcmread(path, force=True)
        except Exception:  # not an image: what is decoded is measured
            continue
        for number in range(count):
            ds.SOPInstanceUID = generate_uid(entropy_srcs=[path.name, str(number)])
            if "MediaStorageSOPInstanceUID" in ds.file_meta:
                ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            ds.save_as(folder / f"{path.stem}-{number}.dcm")
            made += 1
    return made


def decoded(folder: Path, settings: Settings, job: Callable[..., tuple[int, ...]]) -> float:
    """Seconds for a job on every file, in processes as an ingestion has them, and nothing else."""
    started = time.perf_counter()
    task: Callable[[Path], tuple[int, ...]] = partial(job, max_pixels=settings.max_pixels)
    with WorkerPool(
        os.cpu_count() or 1, task, timeout=settings.decode_seconds, megabytes=settings.decode_megabytes
    ) as decoders:
        for path, found in decoders.map(sorted(folder.iterdir())):
            if isinstance(found, Exception):
                raise SystemExit(f"{path}: {found}")
    return time.perf_counter() - started


def ingested(folder: Path, place: Database, settings: Settings, files: int) -> float:
    """Seconds to ingest every file into an empty archive."""
    started = time.perf_counter()
    report = ingest(place, settings, [folder])
    seconds = time.perf_counter() - started
    if report.added != files:
        raise SystemExit(f"{report.added} of {files} files became images: {report.failures[:3]}")
    with place.connection() as connection:
        connection.execute("TRUNCATE image CASCADE")
        connection.commit()
    return seconds


def main() -> None:
    """Measure both in turn, print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=10, metavar="N", help="of each file (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if not SHARED.exists():
        skip("../shared/data/dicom is absent")
    with tempfile.TemporaryDirectory(prefix="rr-dicom-") as name, database() as (place, settings):
        folder = Path(name)
        files = copies(folder, arguments.copies)
        size = sum(path.stat().st_size for path in folder.iterdir())
        spent: dict[str, list[float]] = {"decoders alone": [], "radiographs": [], "ingest": []}
        for _ in range(arguments.runs):
            spent["decoders alone"].append(decoded(folder, settings, codec))
            spent["radiographs"].append(decoded(folder, settings, whole))
            spent["ingest"].append(ingested(folder, place, settings, files))
    medians = {name: statistics.median(times) for name, times in spent.items()}
    ratio, of_whole = (
        statistics.median(b / a for a, b in zip(spent[name], spent["ingest"], strict=True))
        for name in ("decoders alone", "radiographs")
    )
    print(f"{files} DICOM files, {size / 1e6:.0f} MB; {arguments.runs} runs of each, in turn")
    print(machine("pydicom", "imagecodecs", "pillow", "psycopg"))
    table(["", "seconds", "files/s"], [[n, f"{s:.2f}", f"{files / s:.0f}"] for n, s in medians.items()])
    reached = "reached" if ratio <= BAR else "MISSED"
    print(f"ingest takes {ratio:.2f} times the decoders alone (median of the ratios); at most {BAR}: {reached}")
    print(f"and {of_whole:.2f} times making radiographs of the files, grey values, hashes and all")
    if arguments.json:
        arguments.json.write_text(json.dumps({"files": files, "bytes": size, "ratio": ratio, **spent}, indent=2) + "\n")
    sys.exit(0)


if __name__ == "__main__":
    main()
