"""`radretrieval export`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from radretrieval.cli.common import AsJson, EncoderId, bar, check_needs, opened, print_document, tell, tell_failures


def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or that of an earlier export.")],
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COL=VALUE", help="Only images with this, as in `search`; may be repeated."),
    ] = None,
    ids: Annotated[
        str | None, typer.Option("--ids", metavar="N,N-M,…", help="Only these images, by number; ranges too.")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images", help="Only the files; without --images and --index both.")
    ] = False,
    index: Annotated[
        bool, typer.Option("--index", help="Only the index: what the archive knows of each image, codes and barcodes.")
    ] = False,
    form: Annotated[
        Literal["csv", "parquet"],
        typer.Option("--format", help="Of the index. parquet: pip install 'radretrieval[parquet]'."),
    ] = "csv",
    deidentify: Annotated[
        bool,
        typer.Option(
            "--deidentify",
            help="Nothing leaves that identifies a patient: PS3.15's basic profile, days moved, keyed UIDs and names.",
        ),
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="Secret of the replacements; the same key gives the same ones. Default: export.key in "
            "RADRETRIEVAL_HOME, made when first needed.",
        ),
    ] = None,
    accept_burned_in: Annotated[
        bool,
        typer.Option(
            "--accept-burned-in", help="Take along, and flag, images whose pixels may show names; else they stay."
        ),
    ] = False,
    encoder: EncoderId = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, metavar="N", help="Writing processes; default one a core.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write images and what the archive knows of them into a folder; run it again, and it goes on from there.

    Every file ends as exported, unchanged or failed. With --deidentify look at the pictures before they
    leave: names that were written on a film stay on it.
    """
    check_needs(context, key="deidentify", accept_burned_in="deidentify")
    with opened(context) as archive, bar("export") as progress:
        report = archive.export(
            folder,
            where=where or (),
            ids=ids,
            images=images or not index,
            index=index or not images,
            form=form,
            deidentify=deidentify,
            key=key,
            accept_burned_in=accept_burned_in,
            encoder=encoder,
            workers=workers,
            progress=progress,
        )
    print_document(asdict(report), as_json)
    if not as_json:
        tell_failures(report.failures)
    if report.flagged:
        tell(f"{report.flagged} of the exported files may show text (burned_in in files.csv): look at them")
    if report.failed:
        raise typer.Exit(1)
