"""`radretrieval metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import check_output, opened


def metrics(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Replace this .prom file, for the textfile collector of Prometheus."
        ),
    ] = None,
) -> None:
    """Print the state of the archive for Prometheus: images, queues and their ages, failures, services, disks, health.

    Where the database cannot be used, radretrieval_up is 0, and the command ends with 3.
    """
    check_output(out, ".prom", "file of metrics")
    with opened(context) as archive:
        text, usable = archive.metrics()
    if out is None:
        print(text, end="")
    else:
        from radretrieval.files.output import output_file

        with output_file(out, "file of metrics") as draft:
            draft.write_text(text, encoding="utf-8")
    if not usable:
        raise typer.Exit(3)
