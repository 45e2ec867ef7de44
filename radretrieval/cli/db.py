"""`radretrieval db`: the database itself."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, check_needs, opened, print_document, tell
from radretrieval.errors import DIRECT, STANDBY, UsageError

app = typer.Typer(help="Set up, check and stop the database.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def upgrade(
    context: typer.Context,
    sql: Annotated[
        bool, typer.Option("--sql", help="Only print the SQL that this database needs, for a DBA to run by hand.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="REVISION",
            help="With --sql: print it for a database of this revision; base: for an empty one.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the schema, its functions and its views to this version's (waits for another upgrade that runs)."""
    check_needs(context, start="sql")
    with opened(context) as archive:
        if sql:
            archive.print_upgrade(sys.stdout, start)
        else:
            print_document(archive.upgrade(), as_json, without=("pgvector_update",))


class Service(StrEnum):
    """What a database role is for."""

    owner = "owner"
    ingest = "ingest"
    worker = "worker"
    search = "search"
    analyst = "analyst"
    auditor = "auditor"


@app.command()
def check(
    context: typer.Context,
    role: Annotated[
        Service | None,
        typer.Option(
            "--role",
            help="Check the rights for this service; default: for those whose roles it is a member of.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check whether the database can be used; ends with 3 and what to do when it cannot.

    Rights that its role lacks, or has too much, are named with the SQL that repairs them; functions, views and triggers
    that were dropped or replaced; and writers that wait for another session.
    """
    with opened(context) as archive:
        found = archive.check(role)
        services = found["services"] if as_json else ", ".join(found["services"]) or "(none: no role of a service)"
        print_document({**found, "services": services}, as_json, without=("pgvector_update",))
        if found["pgvector_update"] is not None:
            tell(found["pgvector_update"])
        if found["standby"]:
            tell(f"this server is a standby: {STANDBY}")
        if found["pooler"] and not archive.settings.direct_database_url:
            tell(f"this database is behind a pooler: {DIRECT}")


@app.command()
def roles(
    context: typer.Context,
    sql: Annotated[bool, typer.Option("--sql", help="Print it: nothing else is done.")] = False,
    hide_patients: Annotated[
        bool, typer.Option("--hide-patients", help="Analysts do not see the pseudonyms of patients.")
    ] = False,
) -> None:
    """Print the SQL that makes a database role for each service and sets its rights, for a DBA to review and to run."""
    if not sql:
        raise UsageError("db roles changes nothing: say --sql, and give what it prints to the DBA")
    with opened(context) as archive:
        archive.print_roles(sys.stdout, patients=not hide_patients)


@app.command()
def url(context: typer.Context) -> None:
    """Print the database's URL, for psql and other programs (the embedded server runs while one of ours does)."""
    with opened(context) as archive:
        print(archive.url)


@app.command()
def stop(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Stop it even while other processes use it.")] = False,
) -> None:
    """Stop the embedded server."""
    tell("stopped" if opened(context).stop_server(force) else "no embedded server is running")
