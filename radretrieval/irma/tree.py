"""The official code tree: how many children each node has, and its words.

`terms.csv` holds every node of the tree. It is made by `benchmarks/make_irma_terms.py`.
"""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from radretrieval.errors import UsageError
from radretrieval.irma.code import AXES, axes

UNSPECIFIED = "unspecified"
_ABBREVIATED = re.compile(r"[a-z -]+\(([A-Z]+)[^)]*\)")  # of "anteroposterior (AP, coronal)" AP is left


class Term(NamedTuple):
    """One node of the tree: its axis (T, D, A or B), the characters that lead to it, words and children."""

    axis: str
    prefix: str
    label: str
    children: int


def rows() -> tuple[Term, ...]:
    """Every term, in the order of the columns of `irma_term`; the axis itself has the empty prefix."""
    return tuple(_terms().values())


def branching(axis: str, prefix: str) -> int:
    """How many children the node that `prefix` reaches has ("0 unspecified" is one); 1 if it has none.

    Parameters
    ----------
    axis : T, D, A or B.
    prefix : the characters of that axis up to the node, lower case; empty for the axis itself.

    Raises
    ------
    UsageError : there is no such axis.

    Examples
    --------
    >>> branching("T", "112")
    19
    """
    if axis not in AXES or len(axis) != 1:
        raise UsageError(f"unknown IRMA axis {axis!r}; the axes are T, D, A and B")
    term = _terms().get((axis, prefix))
    return max(1, term.children) if term else 1


def words(axis: str, text: str) -> tuple[str, ...]:
    """The words of one axis of a code, the widest first; what is unspecified or unknown has none.

    Examples
    --------
    >>> words("A", "942")
    ('lower extremity (leg)', 'knee', 'left knee')
    """
    if is_clutter(axis, text):
        return ("clutter",)
    nodes = (_terms().get((axis, text[:length])) for length in range(1, len(text) + 1))
    return tuple(term.label for term in nodes if term and term.label and term.label != UNSPECIFIED)


def describe(code: str) -> tuple[str, str, str, str]:
    """A code in words, per axis (T, D, A, B): the path from the widest to the narrowest known term.

    A term that the next one repeats ("knee" before "left knee") is left out; an axis of which nothing is
    known is "unspecified".

    Parameters
    ----------
    code : an IRMA code; a prediction may hold `*`.

    Raises
    ------
    UsageError : `code` is not an IRMA code.

    Examples
    --------
    >>> describe("1121-120-942-700")[2]
    'lower extremity (leg) / left knee'
    """
    technique, direction, anatomy, biosystem = axes(code, wildcard=True)
    return _phrase("T", technique), _phrase("D", direction), _phrase("A", anatomy), _phrase("B", biosystem)


def in_short(code: str) -> tuple[str, ...]:
    """A code for a small space: the narrowest term of its anatomy, and its direction without the plane.

    Raises
    ------
    UsageError : `code` is not an IRMA code.

    Examples
    --------
    >>> in_short("1123-127-500-000")
    ('chest', 'AP / supine')
    """
    _, direction, anatomy, _ = axes(code, wildcard=True)
    ways = words("D", direction)
    way = " / ".join(_ABBREVIATED.sub(r"\1", one) for one in ways[1:] or ways)
    return tuple(phrase for phrase in (*words("A", anatomy)[-1:], way) if phrase)


@lru_cache(maxsize=1 << 16)
def known(code: str) -> bool:
    """Whether the tree has a node for every character of every axis of a code; an axis of clutter is known.

    Below a node without children only zeros follow: nothing more is specified.

    Parameters
    ----------
    code : an IRMA code without `*`.

    Raises
    ------
    UsageError : `code` is not an IRMA code.

    Examples
    --------
    >>> known("1121-120-942-700"), known("1121-120-zzz-700")
    (True, False)
    """
    return all(is_clutter(axis, text) or _leads_on(axis, text) for axis, text in zip(AXES, axes(code), strict=True))


def is_clutter(axis: str, text: str) -> bool:
    """Whether that axis of a code is the mark `C` (clutter: no right answer exists).

    On the B axis a lone leading `c` is the dental system, so that only `ccc` is clutter there.
    """
    return text == "c" * len(text) if axis == "B" else text.startswith("c")


def _leads_on(axis: str, text: str) -> bool:
    terms = _terms()
    for length in range(1, len(text) + 1):
        if not terms[axis, text[: length - 1]].children:
            return not text[length - 1 :].strip("0")
        if (axis, text[:length]) not in terms:
            return False
    return True


def _phrase(axis: str, text: str) -> str:
    labels = words(axis, text)
    followers = (*labels[1:], "")[: len(labels)]
    kept = [label for label, follower in zip(labels, followers, strict=True) if label not in follower]
    return " / ".join(kept) or UNSPECIFIED


@lru_cache(maxsize=1)
def _terms() -> dict[tuple[str, str], Term]:
    with resources.files(__package__).joinpath("terms.csv").open(encoding="utf-8") as file:
        terms = (Term(row["axis"], row["prefix"], row["label"], int(row["children"])) for row in csv.DictReader(file))
        return {(term.axis, term.prefix): term for term in terms}
