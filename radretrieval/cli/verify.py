"""`radretrieval verify`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, bar, opened, print_document, tell, tell_failures


def verify(
    context: typer.Context,
    tidy: Annotated[
        bool,
        typer.Option(
            "--tidy", help="Take files older than an hour out of the store that nothing in the archive names."
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, metavar="N", help="Files read at a time; default two a core.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the file of every image: is it there, and is it still the one that was ingested?

    Ends with 1 when one is not, and no reduced copy of it is kept, or when others may read the store than
    RADRETRIEVAL_STORE_GROUP says.
    """
    with opened(context) as archive, bar("verify") as progress:
        report = archive.verify(tidy=tidy, workers=workers, progress=progress)
    print_document(asdict(report), as_json, without=("orphan_files", "wider_files", "repair"))
    if not as_json:
        tell_failures(report.failures)
        for path in report.orphan_files[:20]:
            tell(f"no row names it: {path}")
        if report.orphans > report.removed:
            left = " (younger than an hour: their rows may not be committed yet)" if tidy else "; --tidy removes"
            tell(f"{report.orphans - report.removed} files in the store are of no image{left}")
        for path in report.wider_files[:20]:
            tell(f"others may read or change it: {path}")
        if report.repair:
            tell(
                f"{report.wider} files and folders of the store are open to others, and headers have names; run: "
                f"{report.repair} (or let RADRETRIEVAL_STORE_GROUP name the group that may read)"
            )
    if report.unsound or report.wider:
        raise typer.Exit(1)
