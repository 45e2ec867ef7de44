"""The written form of an IRMA code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radretrieval.errors import UsageError
from radretrieval.irma.code import LENGTHS, axes, normalise

CODES = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=13, max_size=13)


@pytest.mark.parametrize(
    "text", ["1121-4a0-914-700", "11214a0914700", "1121-4A0-914-700", "  11214A0914700\n", "1121-4a0914-700"]
)
def test_every_way_of_writing_is_one_code(text: str) -> None:
    assert normalise(text) == "1121-4a0-914-700"
    assert axes(text) == ("1121", "4a0", "914", "700")


@pytest.mark.parametrize(
    "text",
    ["", "1121", r"\N", "1121-120-942-70", "1121-120-942-7000", "112-1120-942-700", "1121 120 942 700",
     "1121-12ö-942-700", "1121--120-942-700", "1121-120-942-7\uff10\uff10"],
)  # fmt: skip
def test_anything_else_names_the_legal_form(text: str) -> None:
    with pytest.raises(UsageError, match="TTTT-DDD-AAA-BBB") as caught:
        normalise(text)
    assert repr(text) in str(caught.value)


def test_wildcard_stands_in_predictions_only() -> None:
    assert normalise("1121-12*-9**-***", wildcard=True) == "1121-12*-9**-***"
    with pytest.raises(UsageError, match="predictions"):
        normalise("1121-12*-9**-***")


@given(CODES)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    code = normalise(text.upper())
    assert normalise(code) == code
    assert "".join(axes(code)) == text
    assert tuple(map(len, axes(code))) == LENGTHS
