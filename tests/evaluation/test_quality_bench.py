"""The figures of benchmarks/quality.py, on answers made by hand, and its choice of validation films."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from _quality_scores import Figures, Ranked, by_codes, figures, ratio
from _quality_tasks import VALIDATION_SHARE, Film, Task, split_validation
from _quality_trained import Outputs

from radretrieval.coding.rerank import BARCODE_ALONE

HAND, CHEST = "1121-110-414-700", "1123-127-500-000"


def task(folder: Path, parts: dict[str, list[str]]) -> Task:
    films = [
        Film(Path(f"{part}{place}.png"), code, f"{part}{place}", part)
        for part, codes in parts.items()
        for place, code in enumerate(codes)
    ]
    return Task("t", "made by hand", tuple(films), None, folder)


def test_validation_takes_whole_patients_and_about_its_share() -> None:
    films = [Film(Path(f"{place}.png"), HAND, f"p{place // 3}", "train") for place in range(300)]
    films += [Film(Path("test.png"), HAND, "p0", "test")]
    found = split_validation(films)
    parts = Counter(film.part for film in found)
    assert parts["test"] == 1
    assert abs(parts["validation"] - 300 * VALIDATION_SHARE) <= 3
    for patient in {film.patient for film in films[:300]}:
        assert len({film.part for film in found[:300] if film.patient == patient}) == 1


def test_the_figures_of_a_ranking(tmp_path: Path) -> None:
    made = task(tmp_path, {"train": [HAND, CHEST, HAND], "test": [HAND, CHEST], "distractor": [HAND]})
    places = np.array([[0, 1, 2], [0, 2, 1]])
    ranked = Ranked(places, [HAND, HAND], np.array([1.0, 2.0]))
    found = figures(made, "test", ranked, Ranked(places[:1], [HAND], np.array([3.0])))
    assert found.right.tolist() == [True, False]
    assert found.errors[0] == 0 < found.errors[1] <= 1
    assert found.precision == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert found.mean_precision == pytest.approx(((1 + 2 / 3) / 2 + 1 / 3) / 2)
    assert found.flagged == 1


def test_the_ratio_of_errors_is_paired() -> None:
    rng = np.random.default_rng(0)
    errors = rng.random(200)
    theirs = [_figures(errors), _figures(errors)]
    half, low, high = ratio([_figures(errors / 2)], theirs)
    assert half == pytest.approx(low) == pytest.approx(high) == pytest.approx(0.5)
    _, low, high = ratio([_figures(rng.permutation(errors))], theirs)
    assert low < 1 < high


def test_only_the_fifty_nearest_and_ties_are_ordered_by_barcode(tmp_path: Path) -> None:
    """Films 0 … 49 are 1 bit away, film 50 too (a tie), film 51 is 2 bits away and has the query's own barcode."""
    made = task(tmp_path, {"train": [HAND] * 52, "test": [CHEST]})
    barcodes = np.full((52, 544), 255, np.uint8)
    barcodes[[50, 51]] = 0
    for part, values in (("train", barcodes), ("test", np.zeros((1, 544), np.uint8))):
        file = tmp_path / f"t-{made.digest}" / f"barcodes-{part}.npy"
        file.parent.mkdir(exist_ok=True)
        np.save(file, values)
    codes = np.zeros((52, 125), np.uint8)
    codes[:51, 0], codes[51, 0] = 1, 3
    outputs = Outputs({}, {"train": codes, "test": np.zeros((1, 125), np.uint8)}, {}, {})
    assert by_codes(made, outputs, "test", BARCODE_ALONE).places[0].tolist() == [50, *range(50), 51]
    assert by_codes(made, outputs, "test", None).places[0].tolist() == [*range(52)]


def _figures(errors: np.ndarray) -> Figures:
    return Figures(errors, errors == 0, None, None, None)
