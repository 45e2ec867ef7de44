"""An archive is opened: its database checked, and the embedded one upgraded."""

from __future__ import annotations

from typing import Any

from radretrieval.archive import migrations
from radretrieval.archive.connections import Connection, Database, is_pooled
from radretrieval.archive.queries import sql
from radretrieval.archive.requirements import extension_update, server_facts, warn_of_collation
from radretrieval.archive.schema.revision import OBJECTS, REVISION
from radretrieval.archive.urls import database_url, direct_url, read_url, redacted
from radretrieval.config import Settings
from radretrieval.errors import SchemaOutdated

READER_SECONDS = 2  # for a standby to answer, before searches are read from the primary


def open_database(settings: Settings) -> Database:
    """The archive of these settings, checked: server and pgvector new enough, schema at this version's revision.

    The embedded archive is made and upgraded by itself; a database of yours only by `radretrieval db upgrade`.

    Raises
    ------
    DatabaseUnavailable, EnvironmentUnusable, SchemaOutdated, EmbeddedServerError : with what to do.
    """
    url = database_url(settings)
    standbys = read_url(settings)
    reader = None if standbys is None else Database(standbys, patience=READER_SECONDS)
    database = Database(url, embedded=settings.database_url is None, direct=direct_url(settings), reader=reader)
    try:
        check(database)
    except SchemaOutdated:
        if not database.embedded:
            raise
        migrations.upgrade(url)
        check(database)
    return database


def check(database: Database) -> dict[str, Any]:
    """Versions and revision of the archive's database, when it can be used as it stands; `pgvector_update`: what
    brings its pgvector to the version of the server's host, None where nothing has to.

    Raises DatabaseUnavailable, EnvironmentUnusable or SchemaOutdated otherwise.
    """
    with database.connection() as connection:
        pooled = is_pooled(connection)
        server = server_facts(connection)
        warn_of_collation(server)
        revision = _revision(connection, server)
        row = connection.execute(sql("objects_digest")).fetchone() if revision == REVISION else None
    if revision != REVISION or row is None or row["digest"] != OBJECTS:
        where = "" if database.embedded else " (with the same database URL)"
        if server["standby"]:
            where = " (with the primary's database URL)"
        raise SchemaOutdated(f"the archive at {redacted(database.url)} {_differs(revision, where)}")
    return {
        "revision": revision,
        "head": REVISION,
        "server_version": server["server_version"],
        "pgvector_version": server["pgvector_version"],
        "pgvector_update": extension_update(server),
        "standby": server["standby"],
        "pooler": pooled,
    }


def outdated(connection: Connection, database: Database) -> SchemaOutdated | None:
    """The error that the archive is at another revision, as after an upgrade by another version; None where it is not.

    Of functions and views it says nothing: `db upgrade` may put them right while services run.
    """
    row = connection.execute(sql("revision")).fetchone()
    if row is None or row["version_num"] == REVISION:
        return None
    return SchemaOutdated(f"the archive at {redacted(database.url)} {_differs(row['version_num'], '')}")


def _differs(revision: str | None, where: str) -> str:
    """How a database that this version cannot use differs from what it needs, and the way out."""
    run = f"run: radretrieval db upgrade{where}"
    if revision is None:
        return f"is not set up yet, this version needs revision {REVISION}; {run}"
    if revision == REVISION:
        return (
            f"has the functions and views of another version of radretrieval, at the same revision {REVISION}, or an "
            f"upgrade of it was not finished; with the newest version that uses it, {run}"
        )
    stands = f"is at revision {revision}, this version needs revision {REVISION}"
    return f"{stands}; upgrade radretrieval" if revision > REVISION else f"{stands}; {run}"


def revision_of(database: Database) -> str | None:
    """The revision that an archive's database is at; None before it was set up."""
    with database.connection() as connection:
        return _revision(connection, server_facts(connection))


def _revision(connection: Connection, server: dict[str, Any]) -> str | None:
    row = connection.execute(sql("revision")).fetchone() if server["has_schema"] else None
    return row["version_num"] if row else None
