"""`radretrieval feedback`: what users say of hits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import opened, tell

app = typer.Typer(
    help="What users say of hits on the page.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def feedback() -> None:
    """What users say of hits on the page."""


@app.command()
def export(
    context: typer.Context,
    out: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A .csv, or a .parquet (pip install 'radretrieval[parquet]')."),
    ],
) -> None:
    """Write a row for each opinion that a hit is relevant to a query, or is not."""
    with opened(context) as archive:
        count = archive.export_feedback(out)
    tell(f"{count} opinions are in {out}")
