"""The reliability of probabilities, and its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radretrieval.evaluation.reliability import Bin, Reliability, calibration_error, in_bins
from radretrieval.report.reliability_picture import write_reliability


def test_bins_and_their_error() -> None:
    found = in_bins(np.array([0.05, 0.95, 0.97, 1.0]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert [one.hits for one in found] == [1, 3]
    assert found[1].right == pytest.approx(2 / 3)
    assert found[1].probability == pytest.approx(2.92 / 3)
    assert calibration_error(found) == pytest.approx((0.05 + 2.92 - 2) / 4)
    assert calibration_error(in_bins(np.empty(0), np.empty(0))) == 0


def test_probabilities_that_hold_have_no_error() -> None:
    p = np.random.default_rng(0).random(40_000)
    right = (np.random.default_rng(1).random(len(p)) < p).astype(float)
    assert calibration_error(in_bins(p, right)) < 0.01
    assert calibration_error(in_bins(p, 1 - right)) > 0.4


def test_the_picture_has_a_bar_as_high_as_the_share_that_is_right(tmp_path: Path) -> None:
    from radretrieval.report.drawing import RIGHT

    bins = [Bin(10, 0.05, 0.0), Bin(20, 0.55, 0.5), Bin(70, 0.95, 1.0)]
    write_reliability(tmp_path / "r.png", Reliability(bins, 0.01, 0.02, 0.0), "Probabilities")
    pixels = np.asarray(Image.open(tmp_path / "r.png").convert("RGB")).astype(int)
    green = (abs(pixels - np.array(RIGHT)).sum(2) == 0).sum(0)
    tall, half = green.max(), np.median(green[(green > green.max() * 0.3) & (green < green.max() * 0.7)])
    assert half / tall == pytest.approx(0.5, abs=0.05)


def test_the_picture_has_the_number_of_hits_of_each_bin_and_faint_bars_of_few(tmp_path: Path) -> None:
    from radretrieval.report.drawing import RIGHT

    pictures = []
    for hits in (9, 10):
        bins = [Bin(hits, 0.05, 0.0), Bin(hits, 0.55, 0.5)]
        write_reliability(tmp_path / "r.png", Reliability(bins, 0.01, 0.02, 0.0), "Probabilities")
        with Image.open(tmp_path / "r.png") as image:
            pictures.append(np.asarray(image.convert("RGB")).astype(int))
    few, enough = ((abs(pixels - np.array(RIGHT)).sum(2) == 0).any() for pixels in pictures)
    assert (few, enough) == (False, True)
    differ = (pictures[0] != pictures[1]).any(2)[: 740 - 66]
    assert differ[:, 50:110].any(), "the number of a bin where none is right"
    assert differ[:, 370:440].any()
