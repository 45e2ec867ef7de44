"""`radretrieval health`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, opened, print_json


def health(
    context: typer.Context,
    waiting: Annotated[
        float,
        typer.Option("--waiting", min=0, metavar="MINUTES", help="That an image or a file may wait for a service."),
    ] = 15.0,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect",
            metavar="SERVICE",
            help="A service that must be alive, as work or work@host; repeat. Default: each that did not end.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="CHECK", help="Make this check only; repeat for others.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check whether the archive does its work; ends with 0, with 1 where a check fails, with 3 without a database.

    Each line names a check, what it found, and what to do: database, locks, disks, waiting images and files, services
    that are alive, a search with a known answer, the index, standbys, the key of the patients, the clocks.
    """
    with opened(context) as archive:
        found = archive.health(waiting=timedelta(minutes=waiting), expect=tuple(expect or ()), only=tuple(only or ()))
    if as_json:
        print_json(found.document())
    else:
        from radretrieval.files.text import printable

        for check in found.checks:
            repair = f": {check.repair}" if check.repair else ""
            print(printable(f"{check.level:<7}  {check.name:<14}  {check.text}{repair}"))
    if found.exit_code:
        raise typer.Exit(found.exit_code)
