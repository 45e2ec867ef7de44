"""`radretrieval pull`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radretrieval.cli.common import AsJson, bar, opened, print_json, settings, tell_failures, tell_problems

if TYPE_CHECKING:
    from radretrieval.config import Settings
    from radretrieval.dicom.pull.orthanc import OrthancApi
    from radretrieval.dicom.pull.query import PullQuery
    from radretrieval.dicom.pull.source import PullSource


def pull(
    context: typer.Context,
    url: Annotated[
        str,
        typer.Argument(metavar="URL|AET@HOST:PORT", help="A DICOMweb root, or a node that answers C-FIND and C-GET."),
    ],
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="DATE|DURATION",
            help="Studies of this day and later. A DATE (2026-01-31): the first pull begins there, later ones go on "
            "where the last one stopped. A DURATION (12h, 30d, 2w, 6m, 1y): these last days, each time.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE|DURATION", help="Studies of this day and earlier.")
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(
            "--query",
            metavar="KEY=VALUE",
            help="Only studies with this, as ModalitiesInStudy=CR (keywords of DICOM); may be repeated.",
        ),
    ] = None,
    all_classes: Annotated[
        bool, typer.Option("--all-classes", help="Also what is no projection radiography: CT, MR, ….")
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="List everything since --since again, not only what is new; fetch what is missing."
        ),
    ] = False,
    changes: Annotated[
        bool, typer.Option("--changes/--no-changes", help="Follow Orthanc's list of changes, where it has one.")
    ] = True,
    reconcile: Annotated[
        bool | None,
        typer.Option(
            "--reconcile/--no-reconcile",
            help="Look for images that the peer has no more, one question a study. Default: once a day.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, metavar="N", help="Files that are asked for at a time.")
    ] = 4,
    credentials: Annotated[
        Path | None,
        typer.Option(
            "--credentials",
            metavar="FILE",
            help="One line, user:password or Bearer TOKEN; default RADRETRIEVAL_CREDENTIALS, which searches with --roi "
            "or --picture need too.",
        ),
    ] = None,
    ae_title: Annotated[
        str, typer.Option("--ae-title", metavar="AET", help="What we call ourselves (DIMSE).")
    ] = "RADRETRIEVAL",
    move_to: Annotated[
        str | None,
        typer.Option(
            "--move-to",
            metavar="AET",
            help="Have the node send to this radretrieval receive (C-MOVE), instead of taking the files (C-GET).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the radiographs of a PACS into the archive, over DICOMweb or DIMSE; again: what is new there.

    Each instance is fetched once, in the transfer syntax in which it is stored. A pull that was killed goes on.
    """
    from radretrieval.dicom.pull.run import pull as run

    chosen = _query(since, until, query or [], all_classes, again)
    source = _source(url, credentials, settings(context), ae_title, move_to, all_classes)
    try:
        with opened(context) as (database, opened_settings), bar("pull", None) as advance:
            report = run(
                database,
                opened_settings,
                source,
                chosen,
                workers=workers,
                orthanc=_orthanc_api(source) if changes else None,
                deletions=reconcile,
                advance=advance,
            )
    finally:
        source.close()
    document = asdict(report)
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        names = ("seen", "added", "unchanged", "skipped", "failed", "gone", "back", "seconds")
        key_values([(name, document[name]) for name in names])
        tell_failures(report.failures)
    tell_problems(report.problems)
    if report.failed:
        raise typer.Exit(1)


def _query(since: str | None, until: str | None, filters: list[str], all_classes: bool, again: bool) -> PullQuery:
    from datetime import date

    from radretrieval.dicom.pull.query import PullQuery, parse_date_or_duration, parse_filters
    from radretrieval.errors import UsageError

    today = date.today()
    first, rolling = parse_date_or_duration(since, today, "--since") if since is not None else (None, False)
    last = parse_date_or_duration(until, today, "--until")[0] if until is not None else None
    if first is not None and last is not None and last < first:
        raise UsageError(f"--until {last} is before --since {first}; there is no day between them")
    return PullQuery(parse_filters(filters), first, last, rolling, again, all_classes)


def _source(
    url: str, credentials: Path | None, chosen: Settings, ae_title: str, move_to: str | None, all_classes: bool
) -> PullSource:
    from radretrieval.dicom.address import Address, check_title
    from radretrieval.dicom.pull.dicomweb import DicomWebSource
    from radretrieval.dicom.pull.dimse import DimseSource
    from radretrieval.errors import UsageError

    if url.lower().startswith(("http:", "https:")):
        if move_to is not None:
            raise UsageError("--move-to is for a node AET@host:port; a DICOMweb server gives its files itself")
        return DicomWebSource(url, credentials or chosen.credentials, chosen.max_pixels)
    if "@" not in url:
        raise UsageError(
            f"{url} is neither a DICOMweb root (https://pacs.example.org/dicom-web) nor a node (AE_TITLE@host:port)"
        )
    node, own_title = Address.parse(url, "pull"), check_title(ae_title, "--ae-title")
    to = None if move_to is None else check_title(move_to, "--move-to")
    return DimseSource(node, own_title, to, every_class=all_classes)


def _orthanc_api(source: PullSource) -> OrthancApi | None:
    from radretrieval.dicom.pull.dicomweb import DicomWebSource
    from radretrieval.dicom.pull.orthanc import orthanc_api

    return orthanc_api(source) if isinstance(source, DicomWebSource) else None
