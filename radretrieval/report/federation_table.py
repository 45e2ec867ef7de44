"""The sites of a federation as a table on stdout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from radretrieval.report.table import table

COLUMNS = ["site", "reachable", "revision", "images", "encoders: codes", "lag", "round trip"]


def print_sites(sites: Iterable[dict[str, Any]]) -> None:
    """Print what `Archive.federation_status` returns; encoders by the beginning of the hash of their weights."""
    rows = []
    for one in sites:
        if not one["reachable"]:
            rows.append([one["site"], "no", *["-"] * 5])
            continue
        encoders = ", ".join(
            f"{encoder['weights_sha256'][:12]}{'*' if encoder['active'] else ''}: {encoder['codes']}"
            for encoder in one["encoders"]
        )
        lag = f"{one['lag_seconds']:.1f} s" if one["standby"] and one["lag_seconds"] is not None else "-"
        revision = one["revision"] if one["askable"] else f"{one['revision']} (too old)"
        rows.append(
            [one["site"], "yes", revision, one["images"], encoders or "none", lag, f"{one['round_trip_ms']:.1f} ms"]
        )
    table(COLUMNS, rows)
