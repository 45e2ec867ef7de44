"""`radretrieval index`: how the nearest codes are found."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from radretrieval.cli.common import AsJson, EncoderId, bar, opened, print_json

app = typer.Typer(
    help="Build, prove, measure and drop indexes of codes. Without one, searches compare with every code.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Kind(StrEnum):
    """Kinds of index."""

    exact = "exact"
    hnsw = "hnsw"


KindOption = Annotated[
    Kind,
    typer.Option(
        "--kind",
        help="exact: the true nearest, by anchors. hnsw: pgvector's graph, approximate; used without the other.",
    ),
]


@app.command()
def build(
    context: typer.Context,
    kind: KindOption = Kind.exact,
    anchors: Annotated[
        int | None,
        typer.Option("--anchors", min=1, max=1_000_000, metavar="N", help="exact: of so many; default by the codes."),
    ] = None,
    encoder: EncoderId = None,
    as_json: AsJson = False,
) -> None:
    """Build the index of an encoder's codes, or build it anew; searches go on meanwhile, and workers with exact."""
    from radretrieval.archive import encoders
    from radretrieval.archive.search import exact_index, hnsw

    started = time.monotonic()
    with opened(context) as (database, _):
        with database.connection() as connection:
            chosen = encoders.get(connection, encoder)
            if kind is Kind.hnsw:
                document: dict[str, Any] = {"kind": kind.value, "codes": hnsw.build(connection, chosen)}
        if kind is Kind.exact:
            with bar("assigning", None) as advance:
                built = exact_index.build(database, chosen, anchors, advance)
            document = {"kind": kind.value, "codes": built.codes, "anchors": built.anchors}
    _print({**document, "seconds": round(time.monotonic() - started, 3)}, as_json)


@app.command()
def check(
    context: typer.Context,
    sample: Annotated[
        int, typer.Option("--sample", min=0, metavar="N", help="Answers that are compared with a plain scan's.")
    ] = 60,
    encoder: EncoderId = None,
    as_json: AsJson = False,
) -> None:
    """Prove the exact index: every code in it, every distance and bound true, and answers equal to a plain scan's."""
    from dataclasses import asdict

    from radretrieval.archive import encoders
    from radretrieval.archive.search import exact_check

    started = time.monotonic()
    with opened(context) as (database, _):
        with database.connection() as connection:
            chosen = encoders.get(connection, encoder)
        found = exact_check.check(database, chosen, sample, chosen.profile.query.candidates)
    _print({"kind": "exact", **asdict(found), "seconds": round(time.monotonic() - started, 3)}, as_json)
    if not found.sound:
        from radretrieval.cli.common import tell

        tell(f"the exact index of encoder {chosen.id} is not sound; build it anew: radretrieval index build")
        raise typer.Exit(1)


@app.command()
def audit(
    context: typer.Context,
    sample: Annotated[int, typer.Option("--sample", min=1, metavar="N", help="Stored codes that are asked for.")] = 200,
    encoder: EncoderId = None,
    as_json: AsJson = False,
) -> None:
    """Measure which share of the true 50 nearest the HNSW index finds: the mean, and the worst query's.

    It is told with every answer through that index until it is measured again.
    """
    from radretrieval.archive import encoders
    from radretrieval.archive.search import hnsw

    started = time.monotonic()
    with opened(context) as (database, _), database.connection() as connection:
        chosen = encoders.get(connection, encoder)
        number, mean, worst = hnsw.audit(connection, chosen, chosen.profile.query.candidates, sample)
    document = {
        "kind": "hnsw",
        "codes": number,
        "seconds": round(time.monotonic() - started, 3),
        "recall": round(mean, 5),
        "recall_worst": round(worst, 5),
    }
    _print(document, as_json)


@app.command()
def drop(
    context: typer.Context,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Of this kind only; without it all.")] = None,
    encoder: EncoderId = None,
    as_json: AsJson = False,
) -> None:
    """Drop the indexes, and what a build that was ended has left; searches compare with every code, exactly."""
    from radretrieval.archive import encoders
    from radretrieval.archive.search import exact_index, hnsw

    started = time.monotonic()
    with opened(context) as (database, _):
        with database.connection() as connection:
            chosen = encoders.get(connection, encoder)
            if kind is not Kind.exact:
                hnsw.drop(connection, chosen)
        if kind is not Kind.hnsw:
            exact_index.drop(database, chosen)
    _print({"kind": kind.value if kind else "all", "seconds": round(time.monotonic() - started, 3)}, as_json)


def _print(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        key_values(list(document.items()))
