"""Elements of a DICOM data set read so that a bad value says nothing, instead of ending the reading (PS3.5, 6.2)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from radretrieval.errors import ImageError

_NUMBER = re.compile(r"[-+0-9.,]{1,20}([eE][-+0-9]{1,4})?")


def values(ds: Any, keyword: str) -> list[Any]:
    """The values of an element; none where it is absent, empty, or cannot be parsed at all."""
    try:
        value = ds.get(keyword)
    except MemoryError:
        raise
    except Exception:  # pydicom raises anything on a damaged element
        return []
    if value is None or value == "" or value == b"":
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]


def text(ds: Any, keyword: str) -> str | None:
    """An element's (first) value as text, None where absent or blank; NUL, which PostgreSQL refuses, is dropped."""
    found = values(ds, keyword)
    return (str(found[0]).replace("\0", "").strip() or None) if found else None


def codes(ds: Any, keyword: str) -> list[str]:
    """The values of a Code String in its legal form: upper case, without insignificant blanks (PS3.5, 6.2)."""
    return [" ".join(str(value).replace("\0", " ").upper().split()) for value in values(ds, keyword)]


def code(ds: Any, keyword: str) -> str | None:
    """The first of `codes`, None where it is absent or blank."""
    return next(iter(codes(ds, keyword)), None) or None


def numbers(ds: Any, keyword: str) -> list[float]:
    """The values of a numeric element; NaN stands for each that is no finite number."""
    return [_finite(value) for value in values(ds, keyword)]


def _finite(value: Any) -> float:
    try:
        result = float(value)
    except (ValueError, TypeError, OverflowError):
        return math.nan
    return result if math.isfinite(result) and "_" not in str(value) else math.nan


def integer(ds: Any, keyword: str, default: Any = math.nan) -> Any:
    """The first value of a numeric element as an int, the default where it is absent or no number.

    Raises ImageError where an element without default is absent or no number.
    """
    found = numbers(ds, keyword)
    if found and math.isfinite(found[0]):
        return int(found[0])
    if default is None or math.isfinite(default):
        return default
    if found:
        raise ImageError(f"the DICOM header is damaged: {keyword} is not a number")
    raise ImageError(f"the DICOM header lacks {keyword}: the object is damaged or holds no image")


def said(ds: Any, *keywords: str) -> str:
    """Numeric elements as they stand in the header, for a message: `WindowCenter 2048 and WindowWidth (no number)`.

    What is no number, and longer than three characters, is not quoted: in a damaged header it may be a name.
    """
    return " and ".join(f"{keyword} {_shown(values(ds, keyword))}" for keyword in keywords)


def _shown(found: list[Any]) -> str:
    texts = ("".join(c if c.isprintable() else "?" for c in str(value).strip()) for value in found)
    quoted = (one if len(one) <= 3 or _NUMBER.fullmatch(one) else "(no number)" for one in texts)
    return "\\".join(quoted)[:60] or "(empty)"
