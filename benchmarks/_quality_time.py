"""How long a query takes with the networks of the quality benchmark: network, barcode, search and re-ranking."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from _quality_tasks import Task
from _quality_trained import Learner
from numpy.typing import NDArray

from radretrieval.coding.cnnc import Coder
from radretrieval.coding.hamming import nearest
from radretrieval.coding.radon import barcode
from radretrieval.coding.rerank import Weights, rerank
from radretrieval.profile import Profile

REPEATS = 30


def query_times(
    networks: Sequence[tuple[Learner, Profile]], task: Task, folder: Path
) -> dict[str, tuple[float, float]] | None:
    """Median milliseconds of one film, by learner: its code alone, and the whole query in memory.

    The learners take turns, so that other work on the machine slows all of them. None where one is not trained yet.
    """
    asks: dict[str, Callable[[], tuple[float, float]]] = {}
    for learner, profile in networks:
        made, weights = learner.kept(folder, task, 0), learner.place(folder, task, 0).with_suffix(".safetensors")
        if made is None:
            return None
        asks[learner.name] = _asked(Coder(weights.read_bytes(), profile), made.codes["train"], task)
    times = np.array([[ask() for ask in asks.values()] for _ in range(REPEATS)])
    return {name: (float(a), float(b)) for name, (a, b) in zip(asks, 1000 * np.median(times, axis=0), strict=True)}


def _asked(coder: Coder, codes: NDArray[np.uint8], task: Task) -> Callable[[], tuple[float, float]]:
    profile = coder.profile
    film = np.array(task.images("validation", profile.network.input_size)[:1])
    large = np.array(task.images("validation", profile.barcode.size)[:1])
    stored, weights = np.array(task.barcodes("train")), Weights.of(profile)

    def ask() -> tuple[float, float]:
        started = time.perf_counter()
        code = coder.codes(film)
        coded = time.perf_counter()
        ids, apart = nearest(code[0], codes, profile.query.candidates)
        rerank(barcode(large)[0], stored[ids], apart, ids, weights)
        return coded - started, time.perf_counter() - started

    return ask
