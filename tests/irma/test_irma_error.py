"""The hierarchical error, against the values of the official program."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radretrieval.errors import UsageError
from radretrieval.irma.error import axis_errors, irma_error, paper_error

SHARED = Path(__file__).parents[3] / "shared" / "data" / "irma"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the golden values are not at {SHARED}")

REAL = ["1123-127-500-000", "1121-120-942-700", "1124-310-610-625", "1121-4b0-233-700", "1121-120-200-700"]
CHARACTERS = "0123456789ab"
TRUE = st.one_of(st.sampled_from(REAL), st.text(CHARACTERS, min_size=13, max_size=13))
PREDICTED = st.one_of(st.sampled_from(REAL), st.text(CHARACTERS + "*", min_size=13, max_size=13))


def read(name: str) -> list[dict[str, str]]:
    with (SHARED / name).open() as file:
        return list(csv.DictReader(file))


@needs_shared
def test_equals_every_golden_pair() -> None:
    for row in read("error_golden.csv"):
        true, predicted, expected = row["true_code"], row["predicted_code"], float(row["error"])
        if "only" in true:
            true, predicted = true.split()[0] + "000000000", predicted + "000000000"
        errors = axis_errors(true, predicted)
        assert irma_error(true, predicted) == pytest.approx(expected, abs=1e-6)
        for axis, value in zip("TDAB", errors, strict=True):
            assert value == pytest.approx(float(row[f"axis{axis}"] or 0), abs=1e-6), (true, predicted, axis)


@needs_shared
@pytest.mark.parametrize(
    ("answer", "score"),
    [("1123-127-500-000", 1076.77), ("****-***-***-***", 603.77), ("1121-120-914-700", 644.00)],
)
def test_whole_test_set_of_2009_with_one_answer(answer: str, score: float) -> None:
    truth = [row["irma_code"] for row in read("class_counts.csv") for _ in range(int(row["n_test_2009"]))]
    assert len(truth) == 1732
    assert sum(irma_error(code, answer) for code in truth) == pytest.approx(score, abs=0.005)


@given(TRUE, PREDICTED)
def test_error_lies_between_zero_and_one(true: str, predicted: str) -> None:
    error = irma_error(true, predicted)
    assert 0 <= error <= 1 + 1e-12
    assert error == pytest.approx(sum(axis_errors(true, predicted)) / 4)


@given(TRUE)
def test_right_is_zero_and_wrong_everywhere_is_one(true: str) -> None:
    assert irma_error(true, true) == 0
    assert paper_error(true, true) == 0
    assert irma_error(true, "zzzz-zzz-zzz-zzz") == pytest.approx(1)


@given(TRUE, st.integers(0, 2), st.integers(1, 3))
def test_the_earlier_the_first_wrong_character_the_larger_the_error(true: str, axis: int, later: int) -> None:
    digits = true.replace("-", "")
    start = (0, 4, 7)[axis]
    last = (3, 6, 9)[axis]
    first, second = start, min(start + later, last)
    wrong_early = digits[:first] + "z" + digits[first + 1 :]
    wrong_late = digits[:second] + "z" + digits[second + 1 :]
    assert irma_error(true, wrong_early) > irma_error(true, wrong_late) > 0


@given(TRUE, st.integers(0, 12), st.text(CHARACTERS + "*", min_size=13, max_size=13))
def test_whatever_follows_the_first_wildcard_counts_nothing(true: str, position: int, noise: str) -> None:
    end = next(end for end in (4, 7, 10, 13) if position < end)
    digits = true.replace("-", "")
    starred = digits[:position] + "*" * (end - position) + digits[end:]
    noisy = digits[:position] + "*" + noise[position + 1 : end] + digits[end:]
    assert irma_error(true, noisy) == irma_error(true, starred)
    wrong = digits[:position] + "z" + digits[position + 1 :]
    assert irma_error(true, starred) <= irma_error(true, wrong) / 2 + 1e-12


def test_wildcard_for_an_unspecified_place_costs_nothing() -> None:
    assert irma_error("1121-120-800-700", "1121-12*-8**-7**") == 0
    assert irma_error("1121-120-800-700", "1121-12*-8**-***") > 0
    assert irma_error("1121-120-800-700", "1121-32*-800-700") == irma_error("1121-120-800-700", "1121-300-800-700")


def test_clutter_in_the_truth_costs_nothing() -> None:
    assert irma_error("CCCC-CCC-CCC-CCC", "1121-120-942-700") == 0
    assert axis_errors("1121-CCC-942-700", "1121-120-800-700")[1] == 0
    assert axis_errors("1121-120-942-c10", "1121-120-942-700")[3] == 1, "c on the B axis is the dental system"


def test_literal_equation_looks_at_each_place_alone() -> None:
    # A axis of 942: weights 1/11, 1/(7·2), 1/(4·3)
    assert paper_error("1121-120-942-700", "1121-120-842-700") == pytest.approx(1 / 11)
    assert paper_error("1121-120-942-700", "1121-120-8*3-700") == pytest.approx(1 / 11 + 0.5 / 14 + 1 / 12)
    assert irma_error("1121-120-942-700", "1121-120-842-700") == 0.25


def test_bad_input_is_refused() -> None:
    with pytest.raises(UsageError, match="predictions only"):
        irma_error("1121-12*-942-700", "1121-120-942-700")
    with pytest.raises(UsageError, match="TTTT-DDD-AAA-BBB"):
        irma_error("1121-120-942-700", "1121")
