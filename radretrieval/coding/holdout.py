"""Which training films are held out: not learnt by the network, but measured on, for early stopping and calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def hold_out(
    codes: Sequence[str], patients: Sequence[str | None], share: float = 0.1, seed: int = 0
) -> NDArray[np.bool_]:
    """Choose films at random, whole patients at a time, at most `share` of each class (rounded down).

    A class with fewer than 1/share films therefore keeps all of them for learning. No patient is on both sides.

    Parameters
    ----------
    codes : the class of each film.
    patients : the patient of each film; a film whose patient is None counts as a patient of its own.
    share : the largest share of each class that is held out, 0 … 1.
    seed : equal arguments give the same choice.

    Returns
    -------
    bool (n,), true where the film is held out. All false where every class is small.
    """
    films: dict[str | int, list[int]] = {}
    for film, patient in enumerate(patients):
        films.setdefault(film if patient is None else patient, []).append(film)
    groups = list(films.values())
    room = {code: int(share * count + 1e-9) for code, count in Counter(codes).items()}
    held = np.zeros(len(codes), bool)
    for place in np.random.default_rng(seed).permutation(len(groups)).tolist():
        wanted = Counter(codes[film] for film in groups[place])
        if all(room[code] >= count for code, count in wanted.items()):
            held[groups[place]] = True
            for code, count in wanted.items():
                room[code] -= count
    return held
