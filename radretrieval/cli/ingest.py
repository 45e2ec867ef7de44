"""`radretrieval ingest`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, bar, opened, print_json, tell, tell_failures


def ingest(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Radiographs, and folders of them.")],
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="CSV", help="Labels: a column 'file' and irma_code, split, …"),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="The split of files whose labels name none.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Decoding processes; default one a core."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring radiographs into the archive; every file ends as added, unchanged or failed."""
    from radretrieval.ingest import ingest as run
    from radretrieval.labels import read_labels
    from radretrieval.walk import walk

    given = read_labels(labels) if labels else None
    with opened(context) as (archive, settings):
        total = sum(1 for _ in walk(paths)) if sys.stderr.isatty() else None
        with bar("ingest", total) as advance:
            report = run(archive, settings, paths, labels=given, split=split, workers=workers, advance=advance)
    document = asdict(report)
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        shown = ("seen", "added", "unchanged", "failed", "relabelled", "seconds")
        key_values([(name, document[name]) for name in shown])
        tell_failures(report.failures)
    if report.unlabelled:
        tell(f"{report.unlabelled} files have no row in {labels}")
    if report.unmatched:
        tell(f"{report.unmatched} rows of {labels} name none of these files")
    if report.failed:
        raise typer.Exit(1)
