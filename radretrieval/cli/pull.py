"""`radretrieval pull`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, Issuer, bar, opened, print_document, tell_failures, tell_problems


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
            "--again",
            help="List everything since --since again, and fetch it, whether the archive has it or not: what was "
            "corrected there is corrected here.",
        ),
    ] = False,
    changes: Annotated[
        bool, typer.Option("--changes/--no-changes", help="Follow Orthanc's list of changes, where it has one.")
    ] = True,
    reconcile: Annotated[
        bool | None,
        typer.Option(
            "--reconcile/--no-reconcile",
            help="Look for images that the peer has no more, one query a study. Default: once a day.",
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
        str, typer.Option("--ae-title", metavar="AET", help="Our own AE title (DIMSE).")
    ] = "RADRETRIEVAL",
    move_to: Annotated[
        str | None,
        typer.Option(
            "--move-to",
            metavar="AET",
            help="Have the node send to this radretrieval receive (C-MOVE), instead of taking the files (C-GET).",
        ),
    ] = None,
    issuer: Issuer = None,
    as_json: AsJson = False,
) -> None:
    """Bring the radiographs of a PACS into the archive, over DICOMweb or DIMSE; again: what is new there.

    Each instance is fetched once, in the transfer syntax in which it is stored; again if its study or series changed
    there, or with --again. A pull that was killed goes on.
    """
    with opened(context) as archive, bar("pull") as progress:
        report = archive.pull(
            url,
            since=since,
            until=until,
            query=query or (),
            all_classes=all_classes,
            again=again,
            changes=changes,
            reconcile=reconcile,
            workers=workers,
            credentials=credentials,
            ae_title=ae_title,
            move_to=move_to,
            issuer=issuer,
            progress=progress,
        )
    shown = ("seen", "added", "unchanged", "updated", "skipped", "forgotten", "failed", "gone", "back", "seconds")
    print_document(asdict(report), as_json, only=shown)
    if not as_json:
        tell_failures(report.failures)
    tell_problems(report.problems)
    if report.failed:
        raise typer.Exit(1)
