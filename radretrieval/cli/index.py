"""`radretrieval index`: how the nearest codes are found."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from radretrieval.cli.common import AsJson, EncoderId, bar, opened, print_document, tell

app = typer.Typer(
    help="Build, prove, measure and drop indexes of codes. Without one, searches compare with every code.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


Kind = Literal["exact", "hnsw"]
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
    kind: KindOption = "exact",
    anchors: Annotated[
        int | None,
        typer.Option("--anchors", min=1, max=1_000_000, metavar="N", help="exact: of so many; default by the codes."),
    ] = None,
    encoder: EncoderId = None,
    as_json: AsJson = False,
) -> None:
    """Build the index of an encoder's codes, or build it anew; searches go on meanwhile, and workers with exact."""
    with opened(context) as archive, bar("assigning") as progress:
        document = archive.build_index(kind, anchors=anchors, encoder=encoder, progress=progress)
    print_document(document, as_json)


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
    with opened(context) as archive:
        document = archive.check_index(sample=sample, encoder=encoder)
        chosen = archive.encoder(encoder)
    sound = document.pop("sound")
    print_document(document, as_json)
    if chosen.bypassed:
        tell(chosen.bypass_message)
    if not sound:
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

    Every answer from that index states it, until it is measured again.
    """
    with opened(context) as archive:
        document = archive.audit_index(sample=sample, encoder=encoder)
    print_document(document, as_json)


@app.command()
def drop(
    context: typer.Context,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Of this kind only; without it all.")] = None,
    encoder: EncoderId = None,
    as_json: AsJson = False,
) -> None:
    """Drop the indexes, and what a build that was ended has left; searches compare with every code, exactly."""
    with opened(context) as archive:
        document = archive.drop_index(kind, encoder=encoder)
    print_document(document, as_json)
