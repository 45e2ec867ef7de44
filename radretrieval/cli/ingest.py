"""`radretrieval ingest`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, bar, opened, print_json, tell, tell_failures, tell_problems


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
    """Bring radiographs into the archive; every file ends as added, unchanged or failed.

    The ImageCLEF 2009 release is recognised by its folders and labelled by its own CSVs, unless --labels is given.
    """
    from radretrieval.ingest import ingest as run
    from radretrieval.labels import read_labels
    from radretrieval.walk import walk

    given = read_labels(labels) if labels else None
    with opened(context) as (archive, settings):
        total = sum(1 for _ in walk(paths)) if sys.stderr.isatty() else None
        with bar("ingest", total) as advance:
            report = run(
                archive, settings, paths, labels=given, split=split, workers=workers, advance=advance, tell=tell
            )
    document = asdict(report)
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        shown = ("seen", "added", "unchanged", "failed", "relabelled", "seconds")
        key_values([(name, document[name]) for name in shown])
        tell_failures(report.failures)
    tell_problems(report.problems)
    unnamed = report.unlabelled - sum(problem["error"] == "ImageWithoutRow" for problem in report.problems)
    if unnamed:
        tell(f"{unnamed} files have no row in {labels or 'the codes of the release, and no code by it'}")
    if report.unknown_codes:
        _tell_codes(report.unknown_codes)
    if report.failed or (report.recognised and report.problems):
        raise typer.Exit(1)


def _tell_codes(codes: dict[str, int], most: int = 5) -> None:
    named = ", ".join(f"{code} ({files} file{'s'[: files > 1]})" for code, files in list(codes.items())[:most])
    more = f", … and {len(codes) - most} more (all of them with --json)" if len(codes) > most else ""
    tell(f"IRMA codes that the code tree does not have, taken as they are: {named}{more}")
