"""Images on their way to the disk: one after the other, or in processes beside each other."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.phantom.radiographs import radiograph

_PATIENT, _IMAGE = 1, 2  # streams of random numbers, apart so that any image can be made alone
_BATCH = 16  # images that a process is given at a time


class Item(NamedTuple):
    """One image of an archive: its file within the folder, and what is drawn in it."""

    number: int
    file: str
    code: str
    split: str
    patient: int
    unlabelled: bool = False


def write_images(
    folder: Path,
    plan: Sequence[Item],
    seed: int,
    size: int,
    processes: int = 1,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write what is not there yet; the images are the same for any number of processes."""
    for name in {item.file.rpartition("/")[0] for item in plan}:
        (folder / name).mkdir(parents=True, exist_ok=True)
    write = partial(_write_missing, folder, seed, size)
    with _pool(min(processes, len(plan) // _BATCH)) as each:
        for done, _ in enumerate(each(write, plan), start=1):
            if progress is not None:
                progress(done)


@contextmanager
def _pool(processes: int) -> Iterator[Callable[[Callable[[Item], None], Sequence[Item]], Iterator[None]]]:
    if processes <= 1:
        yield map
        return
    from multiprocessing import get_context  # only here are there processes

    # Started afresh: a copy of this process might copy a lock that one of its threads holds.
    with get_context("spawn").Pool(processes, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield partial(pool.imap_unordered, chunksize=_BATCH)


def _write_missing(folder: Path, seed: int, size: int, item: Item) -> None:
    target = folder / item.file
    if not target.exists():
        _write_image(target, item, seed, size)


def _write_image(target: Path, item: Item, seed: int, size: int) -> None:
    rng = np.random.default_rng([seed, _IMAGE, item.number])
    patient = np.random.default_rng([seed, _PATIENT, item.patient])
    grey = radiograph(item.code, rng, size, patient)
    grey *= 255
    grey += 0.5
    with renamed(target) as temporary:
        temporary.write_bytes(png(grey.astype(np.uint8)))


def png(grey: NDArray[np.uint8]) -> bytes:
    """A PNG file of 8-bit grey (rows, columns)."""
    from imagecodecs import PNG, png_encode  # heavy; only who makes phantoms needs it

    # one filter for all rows and run lengths: on noisy grey twice as fast as the defaults, and no larger
    return bytes(png_encode(grey, level=1, strategy=PNG.STRATEGY.RLE, filter=PNG.FILTER.UP))


@contextmanager
def renamed(target: Path) -> Iterator[Path]:
    """A temporary name beside the target, which it gets when all is written."""
    temporary = target.with_name(f".{target.name}.part")
    yield temporary
    os.replace(temporary, target)
