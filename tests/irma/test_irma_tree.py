"""The official code tree as it is packaged."""

import csv
import json
from pathlib import Path

import pytest

from radretrieval.errors import UsageError
from radretrieval.irma import imageclef
from radretrieval.irma.tree import branching, describe, known, rows, words

SHARED = Path(__file__).parents[3] / "shared" / "data" / "irma"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the official tree is not at {SHARED}")


def test_branching_of_known_nodes() -> None:
    assert [branching("T", "1121"[:i]) for i in range(4)] == [10, 7, 7, 19]
    assert [branching("A", "942"[:i]) for i in range(3)] == [11, 7, 4]


def test_a_node_without_children_counts_one() -> None:
    assert branching("A", "942") == 1
    assert branching("A", "zz") == 1


@pytest.mark.parametrize("axis", ["", "X", "TD", "t"])
def test_unknown_axis_names_the_axes(axis: str) -> None:
    with pytest.raises(UsageError, match="T, D, A and B"):
        branching(axis, "")


@needs_shared
def test_branching_equals_the_official_tree() -> None:
    official = json.loads((SHARED / "branching.json").read_text())
    assert {a: {p: branching(a, p) for p in official[a]} for a in official} == official


@needs_shared
def test_every_real_class_has_words_on_every_specified_axis() -> None:
    with (SHARED / "class_counts.csv").open() as file:
        codes = [row["irma_code"] for row in csv.DictReader(file)]
    for code in codes:
        for text, phrase in zip(code.split("-"), describe(code), strict=True):
            assert (phrase == "unspecified") == (text.strip("0") == ""), (code, phrase)


def test_words_go_from_wide_to_narrow() -> None:
    assert words("A", "942") == ("lower extremity (leg)", "knee", "left knee")
    assert describe("1121-120-942-700") == (
        "x-ray / plain radiography / analog / overview image",
        "anteroposterior (AP, coronal)",
        "lower extremity (leg) / left knee",
        "musculoskeletal system",
    )


def test_words_end_where_knowledge_ends() -> None:
    assert describe("1121-12*-9**-zzz")[1:] == (
        "anteroposterior (AP, coronal)",
        "lower extremity (leg)",
        "unspecified",
    )
    assert describe("****-***-***-***") == ("unspecified",) * 4
    assert describe("CCCC-CCC-CCC-CCC") == ("clutter",) * 4


def test_rows_fill_a_table_with_a_key() -> None:
    terms = rows()
    assert len({(term.axis, term.prefix) for term in terms}) == len(terms)
    assert ("A", "942", "left knee", 0) in terms
    assert {term.axis for term in terms if term.prefix == ""} == set("TDAB")


def test_every_class_of_imageclef_is_known() -> None:
    codes = [one.irma_code for one in imageclef.classes()] + list(imageclef.WITHDRAWN)
    assert [code for code in codes if not known(code)] == []


@pytest.mark.parametrize(
    ("code", "right"),
    [
        ("1121120942700", True),  # without dashes
        ("0000-000-000-000", True),
        ("1121-120-zzz-700", False),
        ("1121-12z-942-700", False),
        ("z121-120-942-700", False),
        ("1121-120-94z-700", False),
        ("1121-120-942-701", False),  # below "0 unspecified" nothing is specified
        ("1121-120-910-700", True),
        ("1121-120-901-700", False),
        ("cccc-ccc-ccc-ccc", True),
        ("1121-120-c00-700", True),  # clutter on A, whatever follows
        ("1121-120-942-c20", True),  # the dental system on B
        ("1121-120-942-cc0", False),
    ],
)
def test_a_code_is_known_by_every_character(code: str, right: bool) -> None:
    assert known(code) == right


def test_what_is_no_code_is_not_asked_for() -> None:
    with pytest.raises(UsageError, match="not an IRMA code"):
        known("1121-120-***-700")
