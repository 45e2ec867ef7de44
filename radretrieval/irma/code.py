"""The IRMA code: four axes `TTTT-DDD-AAA-BBB` (technique, direction, anatomy, biosystem)."""

from __future__ import annotations

import re
from functools import lru_cache

from radretrieval.errors import UsageError

AXES = "TDAB"
LENGTHS = (4, 3, 3, 3)

_BLANKS = " \t\n\r\f\v"
_FORM = re.compile(r"([0-9a-z*]{4})-?([0-9a-z*]{3})-?([0-9a-z*]{3})-?([0-9a-z*]{3})")


@lru_cache(maxsize=1 << 16)
def normalise(text: str, wildcard: bool = False) -> str:
    """An IRMA code in its one written form, `TTTT-DDD-AAA-BBB` in lower case.

    Parameters
    ----------
    text : the code with or without dashes, in upper or lower case, with or without blanks around it.
    wildcard : whether `*` ("don't know") may stand in place of a character; only predictions may hold one.

    Returns
    -------
    The code, 16 characters.

    Raises
    ------
    UsageError : `text` is not an IRMA code.

    Examples
    --------
    >>> normalise(" 11214A0914700 ")
    '1121-4a0-914-700'
    """
    stripped = text.strip(_BLANKS)
    match = _FORM.fullmatch(stripped.lower()) if stripped.isascii() else None
    if match is None or ("*" in stripped and not wildcard):
        characters = "0-9, a-z or *" if wildcard else "0-9 or a-z; * stands in predictions only"
        raise UsageError(
            f"{text!r} is not an IRMA code; the form is TTTT-DDD-AAA-BBB, 13 characters {characters}, "
            "for example 1121-120-942-700 (the dashes may be left out)"
        )
    return "-".join(match.groups())


def axes(code: str, wildcard: bool = False) -> tuple[str, str, str, str]:
    """The four axes (T, D, A, B) of a code, in lower case: 4, 3, 3 and 3 characters.

    Raises
    ------
    UsageError : `code` is not an IRMA code (see `normalise`).
    """
    technique, direction, anatomy, biosystem = normalise(code, wildcard).split("-")
    return technique, direction, anatomy, biosystem
