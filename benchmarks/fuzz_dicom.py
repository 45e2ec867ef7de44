"""DICOM files that were cut, mutated and lied in: each must be read, or refused with a reason, by a process that lives.

    python benchmarks/fuzz_dicom.py [--files N] [--seed N] [--seconds N] [--json FILE]

Each file of ../shared/data/dicom (skipped where that is absent) is damaged at random: bits flipped, bytes overwritten,
pieces cut out, doubled, moved or put to zero, the end cut off; and so are values of its header and the headers of its
compressed frames: sizes, bits, frames, lengths. They are decoded as an ingestion does it, in its processes with its
limits. Ends with 1 if a file took longer than --seconds, took its process along, or a process took more than 1 GiB.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import resource
import struct
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _common import machine, skip

from radretrieval.config import Settings
from radretrieval.imaging.reader import decode_image
from radretrieval.storage.worker_pool import WorkerPool

SHARED = Path(__file__).parents[2] / "shared" / "data" / "dicom"
SMALL = 700_000  # bytes; of larger files few copies are damaged, for the time that they take
MOST_MEMORY = 2**30
# group and element, as they stand in a file: what says how large a thing is
SIZES = [
    *(
        (0x28, element)
        for element in (0x02, 0x08, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103, 0x1050, 0x1051, 0x1052, 0x1053)
    ),
    *((0x28, element) for element in (0x04, 0x06, 0x120, 0x3000, 0x3010, 0x1101)),
    (0x7FE0, 0x10),
    (0x02, 0x10),
]


def job(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Decode; frames of the file and the largest memory, in bytes, that this process has taken so far."""
    try:
        frames = decode_image(data, max_pixels=max_pixels).frames
    finally:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if peak > MOST_MEMORY:
            raise RuntimeError(f"PEAK {peak}")
    return frames, peak


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """The file with one to four wounds."""
    out = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        if len(out) < 8:
            break
        place = int(random.integers(len(out))) if random.random() < 0.5 else int(random.integers(min(len(out), 3000)))
        length = int(random.integers(1, min(len(out) - place, 400) + 1))
        match int(random.integers(8)):
            case 0:
                out[place] ^= 1 << int(random.integers(8))
            case 1:
                out[place : place + length] = random.bytes(length)
            case 2:
                del out[place : place + length]
            case 3:
                out[place:place] = out[place : place + length]
            case 4:
                out[place : place + length] = bytes(length)
            case 5:
                del out[place:]
            case 6:
                _lie(out, random)
            case 7:
                _lie_in_frame(out, random)
    return bytes(out)


def _lie(out: bytearray, random: np.random.Generator) -> None:
    """Another value, or another length, of an attribute that says how large something is."""
    group, element = SIZES[int(random.integers(len(SIZES)))]
    place = out.find(struct.pack("<HH", group, element))
    if place < 0 or place + 12 > len(out):
        return
    value = int(random.choice([0, 1, 2, 3, 7, 8, 15, 16, 17, 255, 256, 4096, 32767, 32768, 65535]))
    where = place + int(random.choice([4, 6, 8, 10]))
    out[where : where + 2] = struct.pack("<H", value)


def _lie_in_frame(out: bytearray, random: np.random.Generator) -> None:
    """Another value in the header of a JPEG, JPEG-LS or JPEG 2000 frame."""
    starts = [
        m.start() for m in re.finditer(rb"\xff[\xc0\xc1\xc3\xc4\xf7\xf8\x51\x52\x5c\xda\xdb]", bytes(out[:200_000]))
    ]
    if starts:
        place = starts[int(random.integers(len(starts)))] + int(random.integers(2, 40))
        if place + 2 <= len(out):
            out[place : place + 2] = random.bytes(2)


def files(count: int, seed: int) -> Iterator[bytes]:
    """So many damaged files."""
    random = np.random.default_rng(seed)
    sources = [path.read_bytes() for path in sorted(SHARED.glob("*/*.dcm"))]
    small = [data for data in sources if len(data) <= SMALL]
    for number in range(count):
        pool = sources if number % 20 == 0 else small
        yield damaged(pool[int(random.integers(len(pool)))], random)


def main() -> None:
    """Decode them all, count the outcomes by their reasons, print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="N", help="one file may take (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if not SHARED.exists():
        skip("../shared/data/dicom is absent")
    from fuzz_dicom import job as importable  # decoding processes import it by name

    settings = Settings()
    reasons: collections.Counter[str] = collections.Counter()
    read = peak = 0
    bad: list[str] = []
    started = time.perf_counter()
    task = partial(importable, max_pixels=settings.max_pixels)
    with WorkerPool(2, task, timeout=arguments.seconds, megabytes=settings.decode_megabytes) as decoders:
        for number, (_, found) in enumerate(decoders.map(files(arguments.files, arguments.seed))):
            if not isinstance(found, Exception):
                read, peak = read + 1, max(peak, found[1])
                continue
            text = " ".join(str(found).split())
            if not text or re.search(r"took|process|PEAK", text):
                bad.append(f"file {number}: {text or repr(found)}")
            reasons[re.sub(r"[0-9][0-9,]*|'.*?'|b\".*?\"", "…", text)[:70]] += 1
    figures: dict[str, Any] = {
        "files": arguments.files,
        "read": read,
        "refused": sum(reasons.values()),
        "kinds_of_reasons": len(reasons),
        "peak_bytes": peak,
        "bad": bad,
        "seconds": time.perf_counter() - started,
    }
    print(machine("pydicom", "imagecodecs", "pillow", "pylibjpeg-openjpeg", "pyjpegls"))
    print(
        f"{arguments.files} damaged DICOM files: {read} were read, {figures['refused']} refused with a reason; "
        f"{len(bad)} took too long, too much memory, or their process along"
    )
    print(f"largest memory of a process that read a file: {peak / 2**20:.0f} MiB; {figures['seconds']:.0f} s in all")
    for reason, count in reasons.most_common(25):
        print(f"{count:6d}  {reason}")
    for line in bad[:20]:
        print(line)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(1 if bad or peak > MOST_MEMORY else 0)


if __name__ == "__main__":
    main()
