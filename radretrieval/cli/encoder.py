"""`radretrieval encoder`: list encoders, switch between them, share and delete them, look at their codes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import (
    AsJson,
    EncoderId,
    bar,
    check_output,
    not_active,
    opened,
    print_document,
    print_json,
    tell,
)

app = typer.Typer(
    help="List encoders, switch between them, share and delete them, and look at their codes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def listed(context: typer.Context, as_json: AsJson = False) -> None:
    """Every encoder, how many codes it has and which one is active."""
    with opened(context) as archive:
        rows = archive.encoders()
    if as_json:
        print_json({"encoders": rows})
        return
    from radretrieval.report.table import table

    cells = [
        [
            row["encoder_id"],
            row["profile"],
            "yes" if row["active"] else "",
            row["codes"],
            f"{row['created_at']:%Y-%m-%d %H:%M}",
        ]
        for row in rows
    ]
    table(["encoder", "profile", "active", "codes", "created"], cells)


@app.command()
def activate(
    context: typer.Context,
    encoder_id: Annotated[
        int, typer.Argument(metavar="ID", min=1, max=2**31 - 1, help="The encoder, as `encoder list` shows it.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Switch although images have no code of it yet.")] = False,
) -> None:
    """Search with another encoder, from one transaction to the next. The same command switches back."""
    with opened(context) as archive:
        archive.activate(encoder_id, force=force)
    tell(f"encoder {encoder_id} is active")


@app.command("export")
def export_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its name ends in .safetensors; replaced if it exists.")],
    encoder: EncoderId = None,
    as_json: AsJson = False,
) -> None:
    """Write an encoder to one file, for `encoder import` of another archive.

    It has the weights, the profile, the classes, what was noted of the training, and a hash of it all; no image, and no
    name of a file or patient.
    """
    with opened(context) as archive:
        exported = archive.export_encoder(file, encoder=encoder)
    print_document(asdict(exported), as_json, without=["added"])


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `encoder export` wrote it.")],
    as_json: AsJson = False,
) -> None:
    """Add the encoder of a file; the first one of an archive becomes active.

    Its hash, weights, profile and classes are verified before. An encoder that the archive has already is not added
    again. Reading the file runs no code that is in it.
    """
    with opened(context) as archive:
        imported = archive.import_encoder(file)
    print_document(asdict(imported), as_json)
    if not imported.added:
        tell(f"the archive has it already, as encoder {imported.encoder_id}")
    elif not imported.active:
        tell(not_active(imported.encoder_id))


@app.command()
def delete(
    context: typer.Context,
    encoder_id: Annotated[
        int, typer.Argument(metavar="ID", min=1, max=2**31 - 1, help="The encoder, as `encoder list` shows it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Delete an encoder that is not active, with its weights and everything computed by it. It cannot be undone.

    Codes, indexes, stored neighbours, coding failures and this host's cached weights go; barcodes stay, they are
    computed without an encoder.
    """
    with opened(context) as archive:
        deleted = archive.delete_encoder(encoder_id)
    print_document(asdict(deleted), as_json)
    tell(f"encoder {encoder_id} ({deleted.profile}) is deleted, with {deleted.codes} codes")


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
    """Check whether an encoder's codes are healthy.

    Reported are the densities of the bits, dead and duplicate bits, equal codes and those shared across classes, and
    the distances within and across classes. Bits are numbered as they are packed, MSB first, from 0.
    """
    from radretrieval.report.code_report import code_report_picture, print_code_report

    check_output(picture, ".png", "picture")
    with opened(context) as archive, bar("codes") as progress:
        found = archive.code_report(encoder, progress=progress)
    if picture is not None:
        code_report_picture(picture, found)
    if as_json:
        print_json(asdict(found))
    else:
        print_code_report(found)
    for note in found.notes:
        tell(note)
