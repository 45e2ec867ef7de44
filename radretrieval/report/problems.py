"""The problems that an ingestion lists, by their kind."""

from __future__ import annotations

from collections.abc import Iterable

from radretrieval.ingest.problem import KINDS

Problems = list[dict[str, str]]


def by_kind(problems: Iterable[dict[str, str]]) -> list[tuple[str, Problems]]:
    """Each kind that occurs, by what it is called in the plural, with its problems."""
    listed = list(problems)
    groups = [(called, [one for one in listed if one["error"] == kind]) for kind, called in KINDS.items()]
    return [(called, found) for called, found in groups if found]
