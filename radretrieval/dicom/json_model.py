"""Values of the DICOM JSON model (PS3.18, annex F), read from documents that need not be well formed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def values(item: Mapping[str, Any], tag: str) -> list[Any]:
    """All values of an attribute; `tag` as `0020000D`. A single one may stand without its list."""
    found = item.get(tag)
    listed = found.get("Value") if isinstance(found, dict) else None
    return listed if isinstance(listed, list) else [listed] if isinstance(listed, str | int) else []


def value(item: Mapping[str, Any], tag: str) -> str | int | None:
    """The first value of an attribute, if it is a text or a whole number."""
    first = next(iter(values(item, tag)), None)
    return first if isinstance(first, str | int) else None
