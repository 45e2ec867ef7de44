"""`radretrieval withdraw`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, Issuer, OfImage, OfPatient, OfStudy, Reason, opened, print_document, tell


def withdraw(
    context: typer.Context,
    patient: OfPatient = None,
    issuer: Issuer = None,
    study: OfStudy = None,
    image: OfImage = None,
    reason: Reason = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take it back: they are found again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be withdrawn.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hide the images of a patient, a study or a file from searches, and keep them.

    Nothing that answers shows them: no search, no page, no count of classes; no training learns them. That holds for
    the images that are there now, and until --undo; what comes later is found. It asks nothing: try --dry-run first.
    """
    with opened(context) as archive:
        done = archive.withdraw(
            patient=patient,
            issuer=issuer,
            study=study,
            image=image,
            reason=reason,
            undo=undo,
            dry_run=dry_run,
        )
    print_document(asdict(done), as_json, without=("same_pixels", "undo", "dry_run"))
    if done.same_pixels:
        tell(f"found as before, with the same pixels under other UIDs: images {', '.join(map(str, done.same_pixels))}")
    if dry_run:
        tell("nothing was changed (--dry-run)")
