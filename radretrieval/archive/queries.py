"""The SQL of the archive, by name.

`queries.sql` holds every statement under a line `-- name: description`; parameters are psycopg's.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=1)
def _all() -> dict[str, str]:
    text = resources.files(__package__).joinpath("queries.sql").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for part in text.split("\n-- :")[1:]:
        head, _, body = part.partition("\n")
        found[head.split(" ", 1)[0]] = body.strip().rstrip(";")
    return found


def sql(name: str) -> str:
    """The statement of that name; KeyError for one that is not there (a slip of ours, not of a user)."""
    return _all()[name]
