"""Calibration: probabilities that are monotone, inside (0, 1) and right on average; what is far is said to be."""

from __future__ import annotations

import json

import numpy as np
import pytest
from calibrating import CODES, answers, fitted
from hypothesis import given, settings
from hypothesis import strategies as st

from radretrieval.coding import calibration
from radretrieval.coding.calibration import Calibration, Curve, Ranked, agreement, fit, fit_curve, isotonic

REALS = st.floats(-1e3, 1e3, allow_subnormal=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.001, 0.999), st.floats(0.1, 50)), min_size=1, max_size=30))
def test_isotonic_regression_rises_keeps_the_mean_and_what_rises_already(rows: list[tuple[float, float]]) -> None:
    values, weights = (np.array(column) for column in zip(*rows, strict=True))
    found = isotonic(values, weights)
    assert len(found) == len(values)
    assert list(found) == sorted(found)
    assert values.min() * (1 - 1e-9) <= min(found) <= max(found) <= values.max() * (1 + 1e-9)
    assert np.array(found) @ weights == pytest.approx(values @ weights)
    rising = np.sort(values)
    assert isotonic(rising, weights) == pytest.approx(rising)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5), st.booleans()), min_size=1, max_size=60)
)
def test_a_curve_rises_and_is_never_certain(rows: list[tuple[float, float, float, bool]]) -> None:
    features = np.array([row[:3] for row in rows])
    curve = fit_curve(features, np.array([row[3] for row in rows], float), np.full(len(rows), 0.1))
    assert len(curve.scores) == len(curve.values) <= 20
    assert list(curve.scores) == sorted(set(curve.scores))
    assert list(curve.values) == sorted(curve.values)
    assert all(0 < value < 1 for value in curve.values)
    assert all(np.isfinite(curve.weights))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(REALS, st.floats(0.01, 0.99)), min_size=1, max_size=20), REALS, REALS)
def test_interpolation_is_monotone_and_within_its_values(rows: list[tuple[float, float]], a: float, b: float) -> None:
    knots, values = (sorted(column) for column in zip(*rows, strict=True))
    curve = Curve((0.0, 1.0), tuple(knots), tuple(values))
    low, high = (curve([at]) for at in sorted((a, b)))
    assert values[0] <= low <= high * (1 + 1e-9) <= values[-1] * (1 + 1e-8)
    for knot in knots:
        assert curve([knot]) == values[len(knots) - 1 - knots[::-1].index(knot)]


def test_the_probabilities_of_other_films_are_right_on_average() -> None:
    found, codes = answers(600, 7)
    made = fitted(400)
    p, right = [], []
    for answer, code in zip(found, codes, strict=True):
        for own, likely in zip(answer.codes, made.likelihoods(answer), strict=True):
            if likely is not None:
                p.append(likely.code)
                right.append(own == code)
    assert len(p) > 0.95 * 10 * len(found)
    probability, correct = np.array(p), np.array(right, float)
    bins = np.minimum((probability * 10).astype(int), 9)
    error = sum(abs((probability - correct)[bins == one].sum()) for one in range(10)) / len(p)
    assert error < 0.03
    assert np.corrcoef(probability, correct)[0, 1] > 0.3  # and they say which


def test_an_axis_is_at_least_as_likely_as_the_whole_code() -> None:
    for answer in answers(50, 3)[0]:
        for likely in filter(None, fitted().likelihoods(answer)):
            assert likely.code <= min(likely[1:])
            assert 0 < likely.code <= max(likely) < 1


def test_nearer_hits_of_a_code_that_more_hits_carry_are_likelier() -> None:
    made = fitted()
    cnnc, rbc = [0.05 + 0.01 * place for place in range(10)], [0.1] * 10
    likely = made.likelihoods(Ranked([CODES[0]] * 8 + [CODES[1]] * 2, cnnc, rbc, 0.09))
    assert likely[0] is not None
    assert likely[9] is not None
    assert likely[0].code > 0.8 > 0.5 > likely[9].code


def test_agreement_is_that_of_the_first_ten() -> None:
    a, b = CODES[0], CODES[2]
    assert agreement([a, b, b], "code") == [1 / 3, 2 / 3, 2 / 3]
    assert agreement([a, None, b], "code") == [0.5, 0.0, 0.5]
    assert agreement([a] * 10 + [b] * 5, "code") == [1.0] * 10 + [0.0] * 5
    assert agreement([CODES[0], CODES[1]], "T") == [1.0, 1.0]
    assert agreement([CODES[0], CODES[1]], "D") == [0.5, 0.5]
    assert agreement([None], "code") == [0.0]
    assert agreement([], "code") == []


def test_hits_of_a_query_that_is_like_nothing_have_no_likelihood() -> None:
    far = Ranked([CODES[0]] * 3, [0.05] * 3, [0.1] * 3, 0.9)
    assert fitted().likelihoods(far) == [None] * 3


def test_a_hit_without_a_code_has_no_likelihood() -> None:
    likely = fitted().likelihoods(Ranked([CODES[0], None], [0.05, 0.06], [0.1, 0.1], 0.055))
    assert likely[0] is not None
    assert likely[1] is None


def test_few_of_the_films_held_out_have_nothing_similar_and_what_is_farther_has() -> None:
    found, codes = answers(300, 0)
    made = fit(found, codes)
    assert made is not None
    flagged = sum(made.nothing_similar(answer.distance) for answer in found)
    assert 0 < flagged <= 0.02 * len(found)
    assert made.nothing_similar(1.0)
    assert not made.nothing_similar(0.0)
    assert 0.99 < made.farther_than(1.0) < 1
    assert made.farther_than(0.0) == 0
    middle = float(np.median([answer.distance for answer in found]))
    assert made.farther_than(middle) == pytest.approx(0.5, abs=0.02)


def test_it_is_small_plain_json_and_comes_back_the_same() -> None:
    made = fitted()
    text = json.dumps(made.as_json())
    assert len(text) < 8000
    assert Calibration.from_json(json.loads(text)) == made


@pytest.mark.parametrize("seed", range(4))
def test_a_curve_follows_few_films_where_the_logistic_one_is_wrong(seed: int) -> None:
    """Ten hits that agree are nearly always right, eight of ten in three of ten films: logistic curves are smoother."""
    draw = np.random.default_rng(seed)
    shares, right = [], []
    for share in [1.0] * 140 + [0.8] * 12:
        truth = draw.random() < (0.99 if share == 1 else 0.3)
        for place in range(10):
            shares.append(share if place < 10 * share else 1 - share)
            right.append(float(truth and place < 10 * share))
    features = np.column_stack([shares, np.full((len(shares), 2), 0.1)])
    curve = fit_curve(features, np.array(right), np.full(len(shares), 0.1))
    for share in (0.8, 1.0):
        seen = np.array(right)[features[:, 0] == share].mean()
        assert curve((share, 0.1, 0.1)) == pytest.approx(seen, abs=0.04)


def test_few_films_give_none_and_one_class_gives_no_certainty() -> None:
    assert fit(*answers(calibration.FEWEST - 1, 0)) is None
    assert fit([Ranked([], [], [], 1.0)] * 40, [CODES[0]] * 40) is None
    right = fit([Ranked([CODES[0]] * 3, [0.1] * 3, [0.1] * 3, 0.1)] * 40, [CODES[0]] * 40)
    assert right is not None
    likely = right.likelihoods(Ranked([CODES[0]], [0.1], [0.1], 0.1))
    assert likely[0] is not None
    assert 0.95 < likely[0].code < 1


def test_a_regression_finds_its_weights() -> None:
    draw = np.random.default_rng(1)
    features = draw.normal(size=(5000, 3)) * [1, 5, 0.2]
    score = 0.5 + features @ np.array([1.0, -0.4, 3.0])
    right = (draw.random(len(score)) < 1 / (1 + np.exp(-score))).astype(float)
    found = calibration.regression(features, right, np.ones(len(score)))
    assert found == pytest.approx([0.5, 1.0, -0.4, 3.0], rel=0.12)
    curve = fit_curve(features, right, np.ones(len(score)))
    assert isinstance(curve, Curve)
    assert curve([0.0, 0.0, 0.0]) == pytest.approx(1 / (1 + np.exp(-0.5)), abs=0.1)  # a step of the curve
