"""A calibration for tests: fitted on answers whose hits are the more often right the nearer they are."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from radretrieval.coding import calibration
from radretrieval.coding.calibration import Calibration, Ranked

CODES = ("1121-120-500-000", "1121-110-500-000", "1111-110-414-700", "1113-220-500-000")


def answers(films: int, seed: int, hits: int = 10) -> tuple[list[Ranked], list[str]]:
    """Answers to films of known codes, and the codes."""
    draw = np.random.default_rng(seed)
    found, codes = [], []
    for _ in range(films):
        code = draw.integers(len(CODES))
        cnnc = np.sort(draw.integers(20, 300, hits))
        right = draw.random(hits) > cnnc / 400
        other = (code + 1 + draw.integers(len(CODES) - 1, size=hits)) % len(CODES)
        own = [CODES[code if yes else wrong] for yes, wrong in zip(right, other, strict=True)]
        rbc = (draw.integers(100, 900, hits) / 4352).tolist()
        found.append(Ranked(own, (cnnc / 1000).tolist(), rbc, calibration.mean_distance(cnnc.tolist(), 1000)))
        codes.append(CODES[code])
    return found, codes


@lru_cache
def fitted(films: int = 300, seed: int = 0) -> Calibration:
    """A calibration that was fitted on such answers."""
    found = calibration.fit(*answers(films, seed))
    assert found is not None
    return found
