"""Which Code Strings (CS) stay in a de-identified data set: known terms. Any other may be a name in capitals.

A name has the form of a Code String, so the form says nothing. `code_strings.txt` lists the terms; it is one list for
all attributes, as a term of the standard tells nothing of a person wherever it stands.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources

# Directions of rows and columns (PS3.3 C.7.6.1.1.1): from right to left and the like, up to three letters.
_DIRECTIONS = re.compile(r"(?!.*(.).*\1)[APRLHF]{1,3}")


@lru_cache(maxsize=1)
def terms() -> frozenset[str]:
    """The terms that stay."""
    text = resources.files(__package__).joinpath("code_strings.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return frozenset(term.strip() for line in lines for term in line.split(","))


def known(value: str, keyword: str = "") -> bool:
    """Whether a value of an attribute stays: it is empty, a term, or a direction of Patient Orientation."""
    return not value or value in terms() or (keyword == "PatientOrientation" and bool(_DIRECTIONS.fullmatch(value)))
