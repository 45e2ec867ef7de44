"""The figures of an evaluation are those of their definitions, and the goldens of ImageCLEF 2009."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radretrieval.errors import UsageError
from radretrieval.evaluation import scores
from radretrieval.evaluation.published import PUBLISHED, why_not
from radretrieval.irma.error import axis_errors, irma_error, paper_error
from radretrieval.irma.imageclef import WITHDRAWN, classes

CODES = ["1121-127-700-500", "1121-120-942-700", "1123-127-500-000", "1124-410-620-625"]
TRUE = [CODES[0]] * 6 + [CODES[1]] * 4
PREDICTED = [CODES[0]] * 5 + [CODES[2]] + [CODES[1]] * 2 + [CODES[0]] * 2
TEST_2009 = [kind.irma_code for kind in classes() for _ in range(kind.test)]
TRAIN_2009 = [kind.irma_code for kind in classes() for _ in range(kind.train)]

answers = st.lists(
    st.tuples(st.sampled_from(CODES), st.sampled_from([*CODES, scores.NOTHING])), min_size=1, max_size=30
)


@given(answers)
def test_the_figures_are_those_of_the_error(pairs: list[tuple[str, str]]) -> None:
    true, predicted = [t for t, _ in pairs], [p for _, p in pairs]
    each = [irma_error(*pair) for pair in pairs]
    found = scores.score(true, predicted)
    assert found.error_score == pytest.approx(sum(each))
    assert found.error_per_image == pytest.approx(np.mean(each))
    assert list(found.axes.values()) == pytest.approx(np.mean([axis_errors(*pair) for pair in pairs], axis=0))
    assert np.mean(list(found.axes.values())) == pytest.approx(found.error_per_image)
    assert found.first_hit_accuracy == pytest.approx(np.mean([t == p for t, p in pairs]))
    literal = scores.score(true, predicted, "paper")
    assert literal.error_score == pytest.approx(sum(paper_error(*pair) for pair in pairs))
    assert sum(literal.axes.values()) == pytest.approx(literal.error_per_image)


def test_the_interval_holds_the_score_and_repeats_itself() -> None:
    found = scores.score(TRUE, PREDICTED)
    low, high = found.ci95
    assert 0 <= low < found.error_score < high
    assert scores.score(TRUE, PREDICTED).ci95 == found.ci95
    assert scores.score(TRUE, TRUE).ci95 == (0, 0)


def test_the_interval_is_as_wide_as_theory_says() -> None:
    """Of n errors that are 0 or 1/4 with even odds, the sum's deviation is 1/4 · √(n · 1/4)."""
    n = 400
    true = [CODES[0]] * n
    predicted = [CODES[0], "1121-127-700-400"] * (n // 2)
    low, high = scores.score(true, predicted).ci95
    assert (low + high) / 2 == pytest.approx(n / 8, abs=0.5)
    assert high - low == pytest.approx(2 * 1.96 * 0.25 * np.sqrt(n / 4), rel=0.06)


def test_an_incomplete_submission_is_refused() -> None:
    with pytest.raises(UsageError, match="10 queries but 9 answers; every query needs one"):
        scores.score(TRUE, PREDICTED[:-1])
    with pytest.raises(UsageError, match="no rule 'eq2' of the error; the rules are: imageclef, paper"):
        scores.score(TRUE, PREDICTED, "eq2")


def test_constant_answers_reach_the_published_goldens() -> None:
    """Computed for the 1,732 listed test images of 2009 by the official program."""
    found = {row.name: row for row in scores.baselines(TEST_2009, TRAIN_2009, "imageclef")}
    names = ("always the commonest code", "always *", "best constant without *", "best constant")
    commonest, nothing, best, bound = (found[name] for name in names)
    assert (commonest.irma_code, round(commonest.error_score, 2)) == ("1123-127-500-000", 1076.77)
    assert (nothing.irma_code, round(nothing.error_score, 2)) == ("****-***-***-***", 603.77)
    assert (best.irma_code, round(best.error_score, 2)) == ("1121-120-914-700", 644.00)
    assert (bound.irma_code, round(bound.error_score, 2)) == ("1121-***-***-***", 388.72)
    assert commonest.first_hit_accuracy == pytest.approx(29 / 1732)


@given(st.lists(st.sampled_from(CODES), min_size=1, max_size=20), st.sampled_from(["imageclef", "paper"]))
def test_no_constant_of_the_true_axes_is_better_than_the_best(true: list[str], rule: str) -> None:
    found = {row.name: row.error_score for row in scores.baselines(true, true, rule)}
    for code in set(true):
        assert found["best constant without *"] <= scores.errors(true, [code] * len(true), rule).sum() + 1e-9
    # sums in another order differ in the last digit
    assert found["best constant"] == pytest.approx(min(found.values()), abs=1e-9)


def test_class_sizes_sum_to_the_whole() -> None:
    true, predicted = [*TRUE, CODES[3]], [*PREDICTED, CODES[1]]
    found = scores.by_size(true, predicted, np.array([7] * 6 + [200] * 4 + [0]), "imageclef")
    assert [(size.least, size.most) for size in found] == list(scores.SIZES)
    filled = {size.least: size for size in found if size.queries}
    assert {least: (size.classes, size.queries) for least, size in filled.items()} == {
        0: (1, 1),
        5: (1, 6),
        200: (1, 4),
    }
    assert filled[5].first_hit_accuracy == pytest.approx(5 / 6)
    empty = found[1]
    assert (empty.queries, empty.error_score, empty.error_per_image, empty.first_hit_accuracy) == (0, 0, None, None)
    whole = scores.score(true, predicted)
    assert sum(size.error_score for size in found) == pytest.approx(whole.error_score)
    known = scores.by_size(TRUE, PREDICTED, np.array([4, 5, 9, 10, 19, 20, 49, 50, 99, 100]), "imageclef")
    assert [size.least for size in known] == [1, 5, 10, 20, 50, 100, 200], "no row for a class that all have"
    assert [size.queries for size in known] == [1, 2, 2, 2, 2, 1, 0]


def test_the_sizes_of_2009() -> None:
    """Classes of at most 4 training images: 14.4 % of test; the ten largest: 10.6 %."""
    number = {kind.irma_code: kind.train for kind in classes()}
    sizes = np.array([number[code] for code in TEST_2009])
    found = {size.least: size for size in scores.by_size(TEST_2009, TEST_2009, sizes, "imageclef")}
    assert found[1].queries / 1732 == pytest.approx(0.144, abs=0.0005)
    assert found[200].queries / 1732 == pytest.approx(0.106, abs=0.0005)
    assert found[200].classes == 10


def test_a_comparison_counts_pairs() -> None:
    worse = [CODES[2]] * 10
    found = scores.compare(("a", "b"), TRUE, PREDICTED, worse, "imageclef")
    assert found.a_better + found.b_better + found.equal == 10
    assert found.difference == pytest.approx(
        scores.score(TRUE, PREDICTED).error_score - scores.score(TRUE, worse).error_score
    )
    assert found.difference < 0
    assert found.accuracy_difference == pytest.approx(0.7)
    # seven queries right with one and wrong with the other: 2 · ½⁷
    assert found.accuracy_p_value == pytest.approx(2 / 2**7)
    turned = scores.compare(("b", "a"), TRUE, worse, PREDICTED, "imageclef")
    assert (turned.difference, turned.a_better, turned.b_better) == (-found.difference, found.b_better, found.a_better)
    assert turned.p_value == pytest.approx(found.p_value, abs=0.02), "the test is two-sided"


@pytest.mark.parametrize(("worse", "better"), [(5, 0), (0, 5), (6, 2)])
def test_the_permutation_test_is_two_sided(worse: int, better: int) -> None:
    """Of all flips of the signs, those whose sum is as far from zero in either direction."""
    right, wrong = CODES[0], "1121-127-700-400"
    true = [right] * 9
    a = [wrong] * worse + [right] * (9 - worse)
    b = [right] * worse + [wrong] * better + [right] * (9 - worse - better)
    flips = [sum(signs) for signs in product((-1, 1), repeat=worse + better)]
    exact = np.mean([abs(flipped) >= abs(worse - better) for flipped in flips])
    assert scores.compare(("a", "b"), true, a, b, "imageclef").p_value == pytest.approx(exact, rel=0.1)


def test_equal_answers_do_not_differ() -> None:
    found = scores.compare(("a", "a"), TRUE, PREDICTED, PREDICTED, "imageclef")
    assert (found.difference, found.ci95, found.p_value, found.accuracy_p_value) == (0, (0, 0), 1, 1)


def test_chance_gives_small_p_values_as_seldom_as_it_should() -> None:
    """Of two answers that are equally good, one in twenty comparisons may say p < 0.05."""
    rng = np.random.default_rng(5)
    right, wrong = CODES[0], "1121-127-700-400"
    true = [right] * 60
    small = 0
    for _ in range(40):
        a, b = ([right if lucky else wrong for lucky in rng.random(60) < 0.5] for _ in range(2))
        small += scores.compare(("a", "b"), true, a, b, "imageclef").p_value < 0.05
    assert small <= 6


def test_a_difference_that_is_there_is_seen() -> None:
    true = [CODES[0]] * 40
    wrong = [CODES[0]] * 20 + ["1121-127-700-400"] * 20
    assert scores.compare(("a", "b"), true, true, wrong, "imageclef").p_value < 0.001


def test_published_errors_stand_beside_the_queries_of_2009_only() -> None:
    assert why_not(TEST_2009, TRAIN_2009) == ""
    assert why_not(TEST_2009[::-1], [*TRAIN_2009, *WITHDRAWN]) == ""
    first = TEST_2009[0]
    for queries, searched, why in (
        (
            TEST_2009[1:],
            TRAIN_2009,
            f"the queries are not .*: 1 classes differ in number, such as {first}, 28 instead of 29",
        ),
        ([*TEST_2009, "9999-999-999-999"], TRAIN_2009, "such as 9999-999-999-999, 1 instead of 0"),
        (TEST_2009, TRAIN_2009[1:], "the searched images are not .*: 1 classes differ in number"),
        (TEST_2009, TRAIN_2009 + TEST_2009, "the searched images are not"),
        (TRUE, TRUE, "the queries are not"),
    ):
        assert re.search(why, why_not(queries, searched))
    papers = {row.name: row.error_score for row in PUBLISHED if row.name.startswith("the paper")}
    assert list(papers.values()) == [224.13, 237.93, 270.12]
