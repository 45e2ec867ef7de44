"""`radretrieval audit list|verify|export|prune`: who did what."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, opened, print_document, print_json, tell

Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME", help="A date or time, as 2026-01-31, or a time before now: 12h, 30d, 2w, 6m, 1y."
    ),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Rows before this, in the same forms.")]


def list_rows(
    context: typer.Context,
    since: Since = "1d",
    until: Until = None,
    who: Annotated[str | None, typer.Option("--who", metavar="NAME", help="Of this user or AE title.")] = None,
    action: Annotated[str | None, typer.Option("--action", metavar="NAME", help="Of this action, as search.")] = None,
    as_json: AsJson = False,
) -> None:
    """List who did what: rows of the table audit, the oldest first."""
    import json
    from datetime import UTC

    with opened(context) as archive:
        rows = list(archive.audit_rows(since=since, until=until, who=who, action=action))
    if as_json:
        made = [{**row._asdict(), "at": row.at.astimezone(UTC).isoformat(), "hash": row.hash.hex()} for row in rows]
        print_json({"rows": made})
        return
    from radretrieval.report.table import table

    columns = ["id", "at", "who", "database role", "action", "detail"]
    table(
        columns,
        [
            (row.id, f"{row.at:%Y-%m-%d %H:%M:%S}", row.who, row.db_role, row.action, json.dumps(row.detail))
            for row in rows
        ],
        align="rlllll",
    )


def verify(context: typer.Context, as_json: AsJson = False) -> None:
    """Prove that no row of the audit was changed, inserted, reordered or deleted; ends with 1 where one was.

    Each row has a hash of itself and the row before it. Who owns the database can compute all of them anew: note the
    last hash elsewhere, or export the rows to another host.
    """
    with opened(context) as archive:
        verdict = archive.verify_audit()
    print_document(asdict(verdict), as_json, without=("message", "finding", "id"))
    tell(verdict.message)
    if verdict.finding is not None:
        raise typer.Exit(1)


def export(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="FILE|syslog+tls://HOST:PORT", help="Where the rows go.")],
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME|last",
            help="As in `audit list`, or what the target does not have yet; else all.",
        ),
    ] = None,
    until: Until = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="json|dicom", help="A line of JSON a row, or a DICOM audit message (PS3.15 A.5)."
        ),
    ] = "json",
    as_json: AsJson = False,
) -> None:
    """Write rows of the audit to a file, or send them by syslog over TLS.

    The archive notes how far the files of a folder, or a server, have them: --since last goes on from there, also after
    a connection that broke. A server may get rows of the broken connection twice, never one too few.
    """
    with opened(context) as archive:
        done = archive.export_audit(target, since=since, until=until, form=form)
    print_document(asdict(done), as_json)


def prune(
    context: typer.Context,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Of the past, as 3y; whole months are dropped.")
    ],
    as_json: AsJson = False,
) -> None:
    """Drop the months of the audit that are older, for ever; as the owner of the archive.

    A row with the last hash that was dropped is added, so that `audit verify` goes on from there.
    """
    with opened(context) as archive:
        done = archive.prune_audit(older_than)
    print_document(asdict(done), as_json)
