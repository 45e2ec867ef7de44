"""`radretrieval export`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, EncoderId, bar, opened, print_json, tell, tell_failures


class Form(StrEnum):
    """Forms of the index."""

    csv = "csv"
    parquet = "parquet"


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
        Form, typer.Option("--format", help="Of the index. parquet: pip install 'radretrieval[parquet]'.")
    ] = Form.csv,
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
    from radretrieval.archive.filters import Filter, parse
    from radretrieval.errors import UsageError
    from radretrieval.export.run import ExportOptions
    from radretrieval.export.run import export as run

    if (key or accept_burned_in) and not deidentify:
        raise UsageError("--key and --accept-burned-in are about --deidentify; say that too, or leave them out")
    options = ExportOptions(
        where=Filter(where=tuple(parse(text) for text in where or ())),
        ids=None if ids is None else parse_ids(ids),
        images=images or not index,
        index=index or not images,
        deidentify=deidentify,
        key=key,
        accept_burned_in=accept_burned_in,
        form=form.value,
        encoder=encoder,
        workers=workers,
    )
    with opened(context) as (database, settings), bar("export", None) as advance:
        report = run(database, settings, folder, options, advance, advance.set_total)
    document = asdict(report)
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        key_values([(name, value) for name, value in document.items() if name != "failures"])
        tell_failures(report.failures)
    if report.flagged:
        tell(f"{report.flagged} of the exported files may show text (burned_in in files.csv): look at them")
    if report.failed:
        raise typer.Exit(1)


def parse_ids(text: str) -> tuple[int, ...]:
    """Numbers of images, as 7,9,20-29. Raises UsageError for anything else."""
    from radretrieval.errors import UsageError

    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        last = last if dash else first
        if not all(piece.isascii() and piece.isdecimal() and len(piece) < 19 for piece in (first, last)):
            raise UsageError(
                f"--ids {text!r} is not of the form 7,9,20-29: whole numbers, as `search` and SQL show them"
            )
        if int(last) - int(first) > 10_000_000:
            raise UsageError(f"--ids {part.strip()} are more than ten million images; --where asks for many")
        found.update(range(int(first), int(last) + 1))
    return tuple(sorted(found))
