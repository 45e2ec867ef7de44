"""`radretrieval db`: the database itself."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from radretrieval.cli.common import AsJson, leaving_embedded, print_json, settings, tell

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
    from radretrieval.archive import connections, migrations, opening
    from radretrieval.errors import UsageError

    if start is not None and not sql:
        raise UsageError("--from goes with --sql; db upgrade itself starts where the database stands")
    chosen = settings(context)
    if sql and start is None:
        if chosen.database_url is None:
            raise UsageError(
                "db upgrade --sql needs a database to start from: name it with --database-url, or its revision with "
                "--from (base: there is nothing yet)"
            )
        start = opening.revision_of(connections.Database(connections.database_url(chosen))) or "base"
    if start is not None:
        migrations.print_sql(sys.stdout, start)
        return
    with leaving_embedded(chosen):
        url = connections.database_url(chosen)
        migrations.upgrade(url)
        _print(opening.check(connections.Database(url)), as_json)


@app.command()
def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Tell whether the database can be used as it stands; ends with 3 and what to do when it cannot.

    Functions, views and triggers that were dropped or replaced are named.
    """
    from radretrieval.archive import opening
    from radretrieval.archive.schema import objects

    chosen = settings(context)
    with leaving_embedded(chosen):
        database = opening.open_database(chosen)
        objects.check(database)
        _print(opening.check(database), as_json)


@app.command()
def url(context: typer.Context) -> None:
    """Print the database's URL, for psql and other programs (the embedded server runs while one of ours does)."""
    from radretrieval.archive import connections

    chosen = settings(context)
    with leaving_embedded(chosen):
        print(connections.database_url(chosen))


@app.command()
def stop(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Stop it even while other processes use it.")] = False,
) -> None:
    """Stop the embedded server."""
    from radretrieval.archive.embedded import shared_server
    from radretrieval.errors import UsageError

    chosen = settings(context)
    if chosen.database_url is not None:
        raise UsageError("db stop stops the embedded server only; the database of --database-url is its DBA's to stop")
    tell("stopped" if shared_server.stop(chosen.home, force) else "no embedded server is running")


def _print(facts: dict[str, object], as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        from radretrieval.report.table import key_values

        key_values(list(facts.items()))
