"""The picture and the table of the code report, and the charts they are drawn with."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from radretrieval.coding.code_statistics import Duplicates
from radretrieval.jobs.code_report import CodeReport, Dead, Density, Distances, Nearest, Spread
from radretrieval.report.charts import Plane, axes, bars, ticks
from radretrieval.report.code_report import code_report_picture, key_figures, print_code_report
from radretrieval.report.drawing import INK, RIGHT, WRONG, length, wrapped


def spread(*bins: int) -> Spread:
    """Pairs with distances in these bins of ten, equally many in each."""
    histogram = [int(place in bins) * 7 for place in range(100)]
    return Spread(sum(histogram), 10.0 * bins[0], 10, 10, 10 * bins[0], 10 * bins[-1], histogram)


REPORT = CodeReport(
    encoder_id=4,
    profile="paper",
    bits=1000,
    codes=14000,
    labelled=13000,
    classes=193,
    density=Density(0.5, 0.0, 1.0, 0.1, 0.5, 0.9, [50] * 20),
    dead=Dead([1, 2], [3]),
    duplicates=Duplicates([[5, 6]], [([5, 6], [7])], 2),
    entropy_bits=800.0,
    distinct_codes=13990,
    sharing=20,
    collisions=None,
    distances=Distances(4000, 13000, spread(10, 11), spread(30, 31), 0.987654, 123.4),
    nearest=Nearest(256, 50, 12.5, 40.0),
    notes=["a note " * 30],
)


def drawn(path: Path, report: CodeReport) -> np.ndarray:
    code_report_picture(path, report)
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image).astype(int)


def columns(image: np.ndarray, colour: tuple[int, int, int], rows: slice) -> np.ndarray:
    return np.flatnonzero((image[rows] == colour).all(-1).any(0))


def test_the_two_histograms_stand_where_their_distances_are(tmp_path: Path) -> None:
    image = drawn(tmp_path / "a.png", REPORT)
    middle = slice(300, 380)  # below the legend, above the axis
    second = 24 + 470 + 36
    within = columns(image[:, second:], RIGHT, middle)
    across = columns(image[:, second:], WRONG, middle)
    # the axis ends at 400; bins 10 and 11 are 100…120, bins 30 and 31 are 300…320
    scale = (across.min() - within.min()) / 200
    assert within.max() - within.min() == pytest.approx(20 * scale, abs=3)
    assert across.max() - across.min() == pytest.approx(20 * scale, abs=3)
    assert across.max() < 470


@pytest.mark.parametrize(
    "changed",
    [
        {"distances": None},
        {"distances": replace(REPORT.distances, within=None, separability=None, independent_bits=None)},
        {"distances": replace(REPORT.distances, within=spread(0), across=spread(0))},
        {"distances": replace(REPORT.distances, across=spread(0, 99))},
        {"nearest": Nearest(2, 50, 0.0, None), "notes": []},
        {"notes": ["words " * 100] * 5},
    ],
)
def test_whatever_is_left_out_there_is_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any]
) -> None:
    report = replace(REPORT, **changed)
    image = drawn(tmp_path / "a.png", report)
    assert (image[:, -20:] == 255).all(), "nothing is drawn over the margin"
    assert (image[-20:] == 255).all()
    print_code_report(report)
    told = capsys.readouterr().out
    assert "nan" not in told.lower()
    assert "None" not in told


def test_the_table_lists_bits_and_cuts_long_lists(capsys: pytest.CaptureFixture[str]) -> None:
    print_code_report(replace(REPORT, dead=Dead(list(range(100)), [])))
    told = capsys.readouterr().out
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … 88 more" in told
    assert "5=6≠7" in told
    assert "always 1  " not in told
    assert "Hamming distances among 4000 of 13000 labelled images" in told
    assert dict(key_figures(REPORT))["separability"] == "0.9877 (0.5 is chance)"


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 10))
def test_ticks_are_round_and_inside(low: float, width: float, about: int) -> None:
    found = ticks(low, low + width, about)
    slack = width * 1e-6
    assert all(low - slack <= tick <= low + width + slack for tick in found)
    assert about / 2 - 1 <= len(found) <= 2 * about + 1
    steps = np.diff(found)
    if len(steps):
        mantissa = steps.mean() / 10 ** math.floor(math.log10(steps.mean() * 1.0001))
        assert round(mantissa, 3) in (1, 2, 5)


def test_ticks_of_the_examples() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(0, 730) == [0, 200, 400, 600]


@pytest.mark.parametrize(("last", "between", "marked"), [(1, 0.2, True), (2, 0.5, False), (3, 0.5, False)])
def test_a_span_of_two_or_more_has_ticks_at_whole_numbers(last: int, between: float, marked: bool) -> None:
    canvas = Image.new("RGB", (600, 300), (255, 255, 255))
    plane = axes(canvas, (0, 0, 600, 300), (0, last), (0, 1), title="t", x_label="x", y_label="y")
    places = [plane.at(x, 0) for x in (between, last)]
    below = np.asarray(canvas)[round(places[0][1]) + 3]
    found = [bool((below[round(x) - 1 : round(x) + 2] == INK).all(-1).any()) for x, _ in places]
    assert found == [marked, True]


def test_bars_reach_their_heights() -> None:
    canvas = Image.new("RGB", (400, 300), (255, 255, 255))
    plane = axes(canvas, (0, 0, 400, 300), (0, 4), (0, 10), title="t", x_label="x", y_label="y")
    bars(canvas, plane, [0, 1, 2, 4], [10, 0, 5], RIGHT)
    pixels = np.asarray(canvas).astype(int)

    def painted(x: float, y: float) -> bool:
        across, down = map(round, plane.at(x, y))
        return bool(pixels[down, across, 2] - pixels[down, across, 0] > 50)

    assert [painted(0.5, 9.5), painted(1.5, 0.5), painted(3, 4.5), painted(3, 5.5)] == [True, False, True, False]
    left, _, right, _ = plane.box
    assert right - left > 300


def test_a_point_and_its_pixel() -> None:
    plane = Plane((100, 50, 300, 250), (0, 10), (-1, 1))
    assert plane.at(0, -1) == (100, 250)
    assert plane.at(10, 1) == (300, 50)
    assert plane.at(5, 0) == (200, 150)


@pytest.mark.parametrize("width", [1, 60, 200])
def test_wrapped_lines_fit_and_lose_nothing(width: int) -> None:
    text = "distances are those among 4000 of 13517 labelled images"
    lines = wrapped(text, 13, width)
    assert " ".join(lines) == text
    assert all(length(line, 13) <= width or " " not in line for line in lines)
