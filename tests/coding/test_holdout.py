"""Films that are held out: whole patients, at most a share of each class, always the same."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from radretrieval.coding.holdout import hold_out

FILMS = st.lists(
    st.tuples(st.sampled_from(["hand", "knee", "chest", "rare"]), st.sampled_from([None, "a", "b", "c", "d", "e"])),
    max_size=120,
)


@settings(max_examples=100, deadline=None)
@given(FILMS, st.sampled_from([0.1, 0.2, 0.5]), st.integers(0, 9))
def test_whole_patients_and_at_most_the_share_of_each_class(
    films: list[tuple[str, str | None]], share: float, seed: int
) -> None:
    codes, patients = [code for code, _ in films], [patient for _, patient in films]
    held = hold_out(codes, patients, share, seed)
    assert held.shape == (len(films),)
    assert (held == hold_out(codes, patients, share, seed)).all()
    every = Counter(codes)
    for code, count in Counter(np.array(codes)[held].tolist()).items():
        assert count <= int(share * every[code] + 1e-9)
    chosen = {patient for patient, out in zip(patients, held, strict=True) if out}
    left = {patient for patient, out in zip(patients, held, strict=True) if not out}
    assert not (chosen & left) - {None}


def test_a_tenth_of_films_whose_patients_have_few() -> None:
    codes = ["chest"] * 500 + ["hand"] * 95 + ["rare"] * 9
    patients = [str(place // 2) for place in range(len(codes))]
    held = hold_out(codes, patients)
    assert Counter(np.array(codes)[held].tolist()) in ({"chest": 50, "hand": 9}, {"chest": 50, "hand": 8})
    assert (held != hold_out(codes, patients, seed=1)).any()


def test_small_classes_are_learnt_whole() -> None:
    assert not hold_out(["a"] * 9 + ["b"] * 5, [None] * 14).any()
    assert hold_out([], []).shape == (0,)
