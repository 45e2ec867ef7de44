"""`radretrieval encoder`: list encoders, switch between them, and look at the health of their codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, EncoderId, bar, opened, print_json, tell

app = typer.Typer(
    help="List encoders, switch between them, and look at their codes.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def listed(context: typer.Context, as_json: AsJson = False) -> None:
    """Every encoder, how many codes it has and which one is active."""
    from radretrieval.archive import encoders

    with opened(context) as (database, _), database.connection() as connection:
        rows = encoders.listed(connection)
    if as_json:
        print_json({"encoders": rows})
    else:
        from radretrieval.report.table import table

        table(
            ["encoder", "profile", "active", "codes", "created"],
            [
                [
                    row["encoder_id"],
                    row["profile"],
                    "yes" if row["active"] else "",
                    row["codes"],
                    f"{row['created_at']:%Y-%m-%d %H:%M}",
                ]
                for row in rows
            ],
        )


@app.command()
def activate(
    context: typer.Context,
    encoder_id: Annotated[
        int, typer.Argument(metavar="ID", min=1, max=2**31 - 1, help="The encoder, as `encoder list` shows it.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Switch although images have no code of it yet.")] = False,
) -> None:
    """Search with another encoder, from one transaction to the next. The same command switches back."""
    from radretrieval.archive import codes, encoders
    from radretrieval.errors import UsageError

    with opened(context) as (database, _), database.connection() as connection:
        encoders.get(connection, encoder_id)
        missing = codes.pending_count(connection, encoder_id)
        if missing and not force:
            raise UsageError(
                f"{missing} images have no code of encoder {encoder_id} and could not be found; run: radretrieval "
                f"work --once --encoder {encoder_id} (or switch all the same with --force)"
            )
        encoders.activate(connection, encoder_id)
    tell(f"encoder {encoder_id} is active")


@app.command()
def report(
    context: typer.Context,
    encoder: EncoderId = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="PNG", help="Write the histograms and key figures as a picture."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether an encoder's codes are healthy.

    Reported are the densities of the bits, dead and duplicate bits, equal codes and those shared across classes, and
    the distances within and across classes. Bits are numbered as they are packed, MSB first, from 0.
    """
    from dataclasses import asdict

    from radretrieval.files.output import check_output
    from radretrieval.jobs.code_report import code_report
    from radretrieval.report.code_report import code_report_picture, print_code_report

    if picture is not None:
        check_output(picture, ".png", "picture")
    with opened(context) as (database, _), bar("codes", None) as advance:
        found = code_report(database, encoder, advance=advance)
    if picture is not None:
        code_report_picture(picture, found)
    if as_json:
        print_json(asdict(found))
    else:
        print_code_report(found)
    for note in found.notes:
        tell(note)
