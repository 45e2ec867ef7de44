"""`radretrieval forget`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, Issuer, OfImage, OfPatient, OfStudy, Reason, opened, print_document, tell


def forget(
    context: typer.Context,
    patient: OfPatient = None,
    issuer: Issuer = None,
    study: OfStudy = None,
    image: OfImage = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="AGE",
            help="Images of studies older than 10y, 18m, 6w or 90d; those without a study date by their ingestion.",
        ),
    ] = None,
    origin: Annotated[
        str | None, typer.Option("--origin", metavar="NAME", help="Of those, the images from this AE title or URL.")
    ] = None,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be forgotten.")] = False,
    allow: Annotated[
        bool,
        typer.Option("--allow", help="Take it back: the files of this patient, study or instance UID may come again."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete all that the archive has of a patient, a study or an image, and never take it again.

    Without any of these, finish what an earlier run, which was killed, has left. It asks nothing: try --dry-run first.
    Backups, exports and a network that was trained on the films are not changed.

    Ends with 1 where files are left in the store: it is not at hand here, or somebody reads them.
    """
    with opened(context) as archive:
        done = archive.forget(
            patient=patient,
            issuer=issuer,
            study=study,
            image=image,
            older_than=older_than,
            origin=origin,
            reason=reason,
            dry_run=dry_run,
            allow=allow,
        )
    print_document(asdict(done), as_json, without=("dry_run",))
    if dry_run:
        tell("nothing was changed (--dry-run)")
    if done.left:
        tell(f"{done.left} files are still in the store; run `radretrieval forget` again on a host that has it")
        raise typer.Exit(1)
