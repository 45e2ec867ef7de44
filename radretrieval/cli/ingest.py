"""`radretrieval ingest`."""

from __future__ import annotations

import sys
import threading
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radretrieval.cli.common import AsJson, bar, opened, print_json, stop_on_signals, tell, tell_failures, tell_problems

if TYPE_CHECKING:
    from radretrieval.archive.connections import Database
    from radretrieval.config import Settings
    from radretrieval.ingest.labels_csv import Labels
    from radretrieval.ingest.report import IngestReport


class Keep(StrEnum):
    """The values of the setting `keep`."""

    REFERENCE = "reference"
    COPY = "copy"
    REDUCED = "reduced"


class Frames(StrEnum):
    """The values of the setting `frames`."""

    FIRST = "first"
    EACH = "each"
    REFUSE = "refuse"


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
    keep: Annotated[
        Keep | None,
        typer.Option(
            "--keep", help="What the archive keeps of the files itself; default RADRETRIEVAL_KEEP, reference."
        ),
    ] = None,
    frames: Annotated[
        Frames | None,
        typer.Option("--frames", help="Which frames of a file with several; default RADRETRIEVAL_FRAMES, first."),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on: ingest what comes into the folders, until ended by Ctrl-C or SIGTERM."),
    ] = False,
    settle: Annotated[
        float, typer.Option("--settle", min=0, metavar="SECONDS", help="With --watch: for so long a file lay still.")
    ] = 5.0,
    move_to: Annotated[
        Path | None,
        typer.Option("--move-to", metavar="FOLDER", help="With --watch: files go there once they are in the archive."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring radiographs into the archive; every file ends as added, unchanged or failed.

    The ImageCLEF 2009 release is recognised by its folders and labelled by its own CSVs, unless --labels is given.
    """
    from radretrieval.files.walk import walk
    from radretrieval.ingest.labels_csv import read_labels
    from radretrieval.ingest.run import ingest as run

    given = read_labels(labels) if labels else None
    chosen = {"keep": keep and keep.value, "frames": frames and frames.value}
    if move_to is not None and not watch:
        raise typer.BadParameter("goes with --watch", param_hint="--move-to")
    with opened(context) as (database, found):
        settings = found.model_copy(update={name: value for name, value in chosen.items() if value is not None})
        if watch:
            report = _watch(database, settings, paths, settle, move_to, given, split, workers)
        else:
            total = sum(1 for _ in walk(paths)) if sys.stderr.isatty() else None
            with bar("ingest", total) as advance:
                report = run(
                    database, settings, paths, labels=given, split=split, workers=workers, advance=advance, tell=tell
                )
    document = asdict(report)
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        shown = ("seen", "added", "unchanged", "failed", "relabelled", "seconds")
        key_values([(name, document[name]) for name in shown])
        tell_failures([] if watch else report.failures)
    tell_problems(report.problems)
    unnamed = report.unlabelled - sum(problem["error"] == "ImageWithoutRow" for problem in report.problems)
    if unnamed:
        tell(f"{unnamed} files have no row in {labels or 'the codes of the release, and no code by it'}")
    if report.unknown_codes:
        _tell_codes(report.unknown_codes)
    if not watch and (
        report.failed or (report.recognised and report.problems)
    ):  # a service that was told to end did well
        raise typer.Exit(1)


def _watch(
    database: Database,
    settings: Settings,
    paths: list[Path],
    settle: float,
    move_to: Path | None,
    labels: Labels | None,
    split: str | None,
    workers: int | None,
) -> IngestReport:
    from radretrieval.ingest.watch_folder import WatchOptions, watch

    def told(report: IngestReport) -> None:
        tell(f"{report.added} added, {report.unchanged} unchanged, {report.failed} failed")
        tell_failures(report.failures)

    stop = threading.Event()
    stop_on_signals(stop)
    tell(f"watching {', '.join(map(str, paths))}; Ctrl-C or SIGTERM ends it")
    options = WatchOptions(settle, None, move_to, labels, split, workers)
    return watch(database, settings, paths, options, stop, told)


def _tell_codes(codes: dict[str, int], most: int = 5) -> None:
    named = ", ".join(f"{code} ({files} file{'s'[: files > 1]})" for code, files in list(codes.items())[:most])
    more = f", … and {len(codes) - most} more (all of them with --json)" if len(codes) > most else ""
    tell(f"IRMA codes that the code tree does not have, taken as they are: {named}{more}")
