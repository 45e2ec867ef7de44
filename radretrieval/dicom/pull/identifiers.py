"""Identifiers of C-FIND, C-GET and C-MOVE (PS3.4, C.4): made for a request, and read from a response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radretrieval.errors import UsageError


def identifier(level: str, keys: Mapping[str, str]) -> Any:
    """The identifier of a request; raises UsageError for a value that is not valid for its key."""
    from pydicom.dataset import Dataset

    found = Dataset()
    found.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        try:
            setattr(found, keyword, value)
        except (ValueError, TypeError) as error:
            raise UsageError(f"--query {keyword}={value}: the value is not valid for {keyword}: {error}") from None
    return found


def row_value(row: Any, keyword: str) -> Any:
    """A value of a response, None where it is not valid for its VR."""
    try:
        return row.get(keyword)
    except Exception:  # pydicom converts when it is asked, and raises many kinds
        return None


def texts(value: Any) -> tuple[str, ...]:
    """The values of an attribute with any number of them."""
    if value is None or value == "":
        return ()
    return (str(value),) if isinstance(value, str) else tuple(str(one) for one in value)
