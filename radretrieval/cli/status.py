"""`radretrieval status`."""

from __future__ import annotations

import typer

from radretrieval.cli.common import AsJson, opened, print_json, tell


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """How many images there are, how many can be found, and what is wrong with the others."""
    from radretrieval.archive import engine, images

    with opened(context) as (archive, _):
        facts = engine.check(archive)
        with archive.connection() as connection:
            counts = images.counts(connection)
    document = {
        "images": counts["images"],
        "coded": counts["coded"],
        "pending": counts["images"] - counts["coded"],
        "failed": counts["failed"],
        "encoders": counts["encoders"],
        "database_bytes": counts["database_bytes"],
        "server_version": facts["server_version"],
        "pgvector_version": facts["pgvector_version"],
    }
    if as_json:
        print_json(document)
    else:
        from radretrieval.report.table import key_values

        key_values(list(document.items()))
    if counts["failed"]:
        tell("what failed, and why, is in the tables ingest_failure and coding_failure")
