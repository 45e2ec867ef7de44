"""An archive is opened: its database checked, and the embedded one upgraded."""

from __future__ import annotations

from typing import Any

from radretrieval.archive import migrations
from radretrieval.archive.connections import Connection, Database, is_pooled
from radretrieval.archive.queries import sql
from radretrieval.archive.requirements import server_facts, warn_of_collation
from radretrieval.archive.schema.revision import OBJECTS, REVISION
from radretrieval.archive.urls import database_url, direct_url, redacted
from radretrieval.config import Settings
from radretrieval.errors import SchemaOutdated


def open_database(settings: Settings) -> Database:
    """The archive of these settings, checked: server and pgvector new enough, schema at this version's revision.

    The embedded archive is made and upgraded by itself; a database of yours only by `radretrieval db upgrade`.

    Raises
    ------
    DatabaseUnavailable, EnvironmentUnusable, SchemaOutdated, EmbeddedServerError : with what to do.
    """
    url = database_url(settings)
    database = Database(url, embedded=settings.database_url is None, direct=direct_url(settings))
    try:
        check(database)
    except SchemaOutdated:
        if not database.embedded:
            raise
        migrations.upgrade(url)
        check(database)
    return database


def check(database: Database) -> dict[str, Any]:
    """Versions and revision of the archive's database, when it can be used as it stands.

    Raises DatabaseUnavailable, EnvironmentUnusable or SchemaOutdated otherwise.
    """
    with database.connection() as connection:
        pooled = is_pooled(connection)
        server = server_facts(connection)
        warn_of_collation(server)
        revision = _revision(connection, server)
        row = connection.execute(sql("objects_digest")).fetchone() if revision == REVISION else None
    stands = ""
    if revision != REVISION:
        at = f"at revision {revision}" if revision else "not set up yet"
        stands = f"is {at}, this version needs revision {REVISION}"
    elif row is None or row["digest"] != OBJECTS:
        stands = "has the functions and views of another version of radretrieval"
    if stands:
        way = "upgrade radretrieval" if revision and revision > REVISION else "run: radretrieval db upgrade"
        if not database.embedded:
            way += " (with the primary's database URL)" if server["standby"] else " (with the same database URL)"
        raise SchemaOutdated(f"the archive at {redacted(database.url)} {stands}; {way}")
    return {
        "revision": revision,
        "head": REVISION,
        "server_version": server["server_version"],
        "pgvector_version": server["pgvector_version"],
        "standby": server["standby"],
        "pooler": pooled,
    }


def revision_of(database: Database) -> str | None:
    """The revision that an archive's database is at; None before it was set up."""
    with database.connection() as connection:
        return _revision(connection, server_facts(connection))


def _revision(connection: Connection, server: dict[str, Any]) -> str | None:
    row = connection.execute(sql("revision")).fetchone() if server["has_schema"] else None
    return row["version_num"] if row else None
