"""`radretrieval ingest`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

import radretrieval as rr
from radretrieval.cli.common import (
    AsJson,
    Issuer,
    Workers,
    bar,
    check_needs,
    opened,
    print_document,
    stop_on_signals,
    tell,
    tell_failures,
    tell_passed_over,
    tell_problems,
)


def ingest(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Radiographs, and folders of them; with --labels by default its files."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="CSV", help="Labels: a column 'file' and irma_code, split, …"),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="The split of files whose labels name none.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Instead of paths: what was received or pulled, and failed, once more.")
    ] = False,
    workers: Workers = None,
    keep: Annotated[
        Literal["reference", "copy", "reduced"] | None,
        typer.Option(
            "--keep", help="What the archive keeps of the files itself; default RADRETRIEVAL_KEEP, reference."
        ),
    ] = None,
    frames: Annotated[
        Literal["first", "each", "refuse"] | None,
        typer.Option("--frames", help="Which frames of a file with several; default RADRETRIEVAL_FRAMES, first."),
    ] = None,
    issuer: Issuer = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Keep running: ingest new files of the folders, until Ctrl-C or SIGTERM."),
    ] = False,
    settle: Annotated[
        float,
        typer.Option("--settle", min=0, metavar="SECONDS", help="With --watch: so long a file must not have changed."),
    ] = 5.0,
    move_to: Annotated[
        Path | None,
        typer.Option("--move-to", metavar="FOLDER", help="With --watch: files go there once they are in the archive."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring radiographs into the archive; every file ends as added, unchanged, updated or failed.

    The ImageCLEF 2009 release is recognised by its folders and labelled by its own CSVs, unless --labels is given.
    """
    folders = paths or []
    if failed:
        _check_alone(folders, watch, move_to, labels, split, keep, frames, issuer)
    elif not folders and (watch or labels is None):
        raise typer.BadParameter("name a radiograph or a folder of radiographs", param_hint="PATH")
    check_needs(context, settle="watch", move_to="watch")
    with opened(context) as archive:
        asked = partial(
            archive.watch if watch else archive.ingest,
            folders,
            labels=labels,
            split=split,
            keep=keep,
            frames=frames,
            issuer=issuer,
            workers=workers,
        )
        if watch:
            stop = stop_on_signals()
            archive.open()
            tell(f"watching {', '.join(map(str, folders))}; Ctrl-C or SIGTERM ends it", "service_ready")
            report = asked(settle=settle, move_to=move_to, stop=stop, on_round=_tell_round)
        elif failed:
            report = archive.ingest_failed(workers)
        else:
            with bar("ingest") as progress:
                report = asked(progress=progress, on_release=tell)
    _print(report, labels, watch, as_json)
    if not watch and report.unsound:  # a service that was told to end did well
        raise typer.Exit(1)


def _check_alone(*others: object) -> None:
    """--failed reads what the archive has: other files, and what goes with them, would be left out in silence."""
    if any(others):
        raise typer.BadParameter("goes alone, or with --workers and --json", param_hint="--failed")


def _tell_round(report: rr.IngestReport) -> None:
    updated = f", {report.updated} updated" if report.updated else ""
    tell(f"{report.added} added, {report.unchanged} unchanged, {report.failed} failed{updated}")
    tell_failures(report.failures)


def _print(report: rr.IngestReport, labels: Path | None, watched: bool, as_json: bool) -> None:
    shown = ("seen", "added", "unchanged", "updated", "failed", "relabelled", "seconds")
    print_document(asdict(report), as_json, only=shown)
    if not as_json and not watched:
        tell_failures(report.failures)
    tell_problems(report.problems)
    if report.hidden:
        tell(f"{report.hidden} of the unchanged are withdrawn from searches (radretrieval withdraw), and stay so")
    if report.passed_over and not as_json:
        tell_passed_over(report.passed_over)
    unnamed = report.unlabelled - sum(problem["error"] == "ImageWithoutRow" for problem in report.problems)
    if unnamed:
        tell(f"{unnamed} files have no row in {labels or 'the codes of the release, and no code by it'}")
    if report.unknown_codes:
        _tell_codes(report.unknown_codes)


def _tell_codes(codes: dict[str, int], most: int = 5) -> None:
    named = ", ".join(f"{code} ({files} file{'s'[: files > 1]})" for code, files in list(codes.items())[:most])
    more = f", … and {len(codes) - most} more (all of them with --json)" if len(codes) > most else ""
    tell(f"IRMA codes that the code tree does not have, taken as they are: {named}{more}")
