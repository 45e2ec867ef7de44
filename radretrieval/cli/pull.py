"""`radretrieval pull`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radretrieval.cli.common import AsJson, bar, opened, print_json, settings, tell_failures, tell_problems

if TYPE_CHECKING:
    from radretrieval.config import Settings
    from radretrieval.dicom.pull.dicomweb import Web
    from radretrieval.dicom.pull.dimse import Dimse
    from radretrieval.dicom.pull.orthanc import Orthanc
    from radretrieval.dicom.pull.query import Asked


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

    asked = _asked(since, until, query or [], all_classes, again)
    chosen = settings(context)
    peer = _peer(url, credentials, chosen, ae_title, move_to, all_classes)
    try:
        with opened(context) as (database, opened_settings), bar("pull", None) as advance:
            report = run(
                database,
                opened_settings,
                peer,
                asked,
                workers=workers,
                orthanc=_orthanc(peer) if changes else None,
                deletions=reconcile,
                advance=advance,
            )
    finally:
        peer.close()
    document = asdict(report)
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        key_values([(name, value) for name, value in document.items() if name not in ("failures", "problems")])
        tell_failures(report.failures)
    tell_problems(report.problems)
    if report.failed:
        raise typer.Exit(1)


def _asked(since: str | None, until: str | None, query: list[str], all_classes: bool, again: bool) -> Asked:
    from datetime import date

    from radretrieval.dicom.pull.query import Asked, filters_of, when
    from radretrieval.errors import UsageError

    today = date.today()
    first, rolling = when(since, today, "--since") if since is not None else (None, False)
    last = when(until, today, "--until")[0] if until is not None else None
    if first is not None and last is not None and last < first:
        raise UsageError(f"--until {last} is before --since {first}; there is no day between them")
    return Asked(filters_of(query), first, last, rolling, again, all_classes)


def _peer(
    url: str, credentials: Path | None, chosen: Settings, ae_title: str, move_to: str | None, all_classes: bool
) -> Web | Dimse:
    from radretrieval.dicom.pull.dicomweb import Web
    from radretrieval.dicom.pull.dimse import Dimse, address, check_title
    from radretrieval.errors import UsageError

    if url.lower().startswith(("http:", "https:")):
        if move_to is not None:
            raise UsageError("--move-to is for a node AET@host:port; a DICOMweb server gives its files itself")
        return Web(url, credentials or chosen.credentials, chosen.max_pixels)
    node = address(url)
    if node is None:
        raise UsageError(
            f"{url} is neither a DICOMweb root (https://pacs.example.org/dicom-web) nor a node (AE_TITLE@host:port)"
        )
    for title in (ae_title, move_to):
        check_title(title)
    return Dimse(node, ae_title, move_to, every_class=all_classes)


def _orthanc(peer: Web | Dimse) -> Orthanc | None:
    from radretrieval.dicom.pull.dicomweb import Web
    from radretrieval.dicom.pull.orthanc import orthanc

    return orthanc(peer) if isinstance(peer, Web) else None
