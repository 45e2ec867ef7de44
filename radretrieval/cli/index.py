"""`radretrieval index`: how the nearest codes are found."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from radretrieval.cli.common import AsJson, EncoderId, opened, print_json

app = typer.Typer(
    help="Build, measure and drop the index of codes. Without one, searches scan all codes, exactly.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Kind(StrEnum):
    """Kinds of index."""

    hnsw = "hnsw"


@app.command()
def build(
    context: typer.Context,
    kind: Annotated[Kind, typer.Option("--kind", help="hnsw: pgvector's graph, fast and approximate.")],
    encoder: EncoderId = None,
    as_json: AsJson = False,
) -> None:
    """Build the index of an encoder's codes (inserting into it is slow: build it when the archive is filled)."""
    from radretrieval.archive import encoders, nearest

    started = time.monotonic()
    with opened(context) as (archive, _), archive.connection() as connection:
        chosen = encoders.get(connection, encoder)
        number = nearest.build_hnsw(connection, chosen)
    _print({"kind": kind.value, "codes": number, "seconds": round(time.monotonic() - started, 3)}, as_json)


@app.command()
def audit(
    context: typer.Context,
    sample: Annotated[int, typer.Option("--sample", min=1, metavar="N", help="Stored codes that are asked for.")] = 200,
    encoder: EncoderId = None,
    as_json: AsJson = False,
) -> None:
    """Measure which share of the true 50 nearest the HNSW index finds: the mean, and the worst query's."""
    from radretrieval.archive import encoders, nearest

    started = time.monotonic()
    with opened(context) as (archive, _), archive.connection() as connection:
        chosen = encoders.get(connection, encoder)
        number, mean, worst = nearest.audit_hnsw(connection, chosen, chosen.profile.query.candidates, sample)
    document = {
        "kind": "hnsw",
        "codes": number,
        "seconds": round(time.monotonic() - started, 3),
        "recall": round(mean, 5),
        "recall_worst": round(worst, 5),
    }
    _print(document, as_json)


@app.command()
def drop(context: typer.Context, encoder: EncoderId = None, as_json: AsJson = False) -> None:
    """Drop the index; searches scan exactly again."""
    from radretrieval.archive import encoders, nearest

    started = time.monotonic()
    with opened(context) as (archive, _), archive.connection() as connection:
        chosen = encoders.get(connection, encoder)
        number = nearest.drop_hnsw(connection, chosen)
    _print({"kind": "exact", "codes": number, "seconds": round(time.monotonic() - started, 3)}, as_json)


def _print(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        key_values(list(document.items()))
