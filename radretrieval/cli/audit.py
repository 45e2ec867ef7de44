"""`radretrieval audit`: who did what; what may be wrong with the labels, and what users reported of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radretrieval.cli import trail
from radretrieval.cli.common import AsJson, EncoderId, bar, check_output, opened, print_json, tell

app = typer.Typer(
    help="Who did what, and labels that may be wrong.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("list")(trail.list_rows)
app.command("verify")(trail.verify)
app.command("export")(trail.export)
app.command("prune")(trail.prune)


@app.command()
def labels(
    context: typer.Context,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="Images that are listed at most.")] = 100,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", metavar="COL=VALUE", help="Judge only images with this, as in `search`; may be repeated."
        ),
    ] = None,
    encoder: EncoderId = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="PNG", help="Write a contact sheet: the first 40 films, each beside its neighbours."
        ),
    ] = None,
    to_correct: Annotated[
        Path | None,
        typer.Option("--csv", metavar="CSV", help="Write the list; with corrections, `ingest --labels CSV` takes it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List images whose nearest neighbours have another IRMA code, body part, view or laterality, worst first.

    Labels that users reported as wrong on the page come before them.

    Neighbours are images of other patients. Nothing is changed: a person decides whether a label is wrong.
    """
    check_output(picture, ".png", "picture")
    check_output(to_correct, ".csv", "list of labels")
    with opened(context) as archive:
        with bar("audit") as progress:
            found = archive.audit_labels(top=top, where=where or (), encoder=encoder, progress=progress)
        settings = archive.settings
    left_out = 0
    if to_correct is not None:
        from radretrieval.report.label_audit import write_audit_csv

        left_out = write_audit_csv(to_correct, found, settings)
    if picture is not None:
        from radretrieval.report.label_audit import write_contact_sheet

        write_contact_sheet(picture, found, settings)
    if as_json:
        print_json(found.document())
    else:
        from radretrieval.report.label_audit import print_label_audit

        print_label_audit(found)
    for note in found.notes:
        tell(f"note: {note}")
    if left_out:
        tell(
            f"note: {left_out} of the listed images are not in {to_correct}: no file of this machine stands for them, "
            "or it has several frames; correct them by SQL, or at their source"
        )


@app.command()
def dismiss(
    context: typer.Context,
    reports: Annotated[list[int], typer.Argument(metavar="REPORT…", min=1, max=2**63 - 1, help="Their numbers.")],
) -> None:
    """Delete users' reports of labels that are right. One of a label that is corrected goes from the list by itself."""
    with opened(context) as archive:
        archive.dismiss_reports(reports)
    tell(f"dismissed: {', '.join(map(str, sorted(set(reports))))}")
