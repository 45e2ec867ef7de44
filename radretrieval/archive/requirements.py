"""What the archive requires of a database: versions, encoding, pgvector; the messages have the SQL for the DBA."""

from __future__ import annotations

from typing import Any

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.errors import EnvironmentUnusable
from radretrieval.logs import Log

log = Log(__name__)

OLDEST_SERVER = 150000
OLDEST_PGVECTOR = (0, 7, 0)


def server_facts(connection: Connection) -> dict[str, Any]:
    """The row of the statement `server`, when server and pgvector are new enough and can be used by this role.

    Raises EnvironmentUnusable with the exact SQL for the DBA otherwise.
    """
    row = connection.execute(sql("server")).fetchone()
    assert row is not None
    require(row)
    return row


def warn_of_collation(row: dict[str, Any]) -> None:
    """Log a warning where the system's collation is of another version than that which the indexes were made with."""
    made, here, database = row["collation_made"], row["collation_here"], row["database"]
    if made is not None and here is not None and made != here:
        log.warning(
            "other_collation",
            "the database %(database)s was made with version %(made)s of its collation, the server's system has "
            "%(here)s: indexes on text may miss rows; stop the services and ask the DBA for: REINDEX DATABASE "
            "%(database)s; ALTER DATABASE %(database)s REFRESH COLLATION VERSION;",
            database=database,
            made=made,
            here=here,
        )


def extension_update(row: dict[str, Any]) -> str | None:
    """What to do where the server's host has another version of pgvector than this database; a row of `server`."""
    here, host = row["pgvector_version"], row["pgvector_available"]
    if here is None or host in (None, here):
        return None
    if _numbers(host) < _numbers(here):
        return f"the server's host has pgvector {host}, and the database {here}: install {here} or newer on the host"
    return (
        f"the server's host has pgvector {host}, and the database {here}: as a superuser in {row['database']}: "
        "ALTER EXTENSION vector UPDATE;"
    )


def require(row: dict[str, Any]) -> None:
    """Raise EnvironmentUnusable, with the way out, unless this row of `server` tells of a usable server."""
    database, version = row["database"], row["server_version"]
    if row["server_number"] < OLDEST_SERVER:
        raise EnvironmentUnusable(
            f"PostgreSQL {version} is too old: 15 or newer is needed; move the database {database} "
            "with pg_dump and pg_restore"
        )
    if row["encoding"] != "UTF8":
        raise EnvironmentUnusable(
            f"the database {database} has the encoding {row['encoding']}, and UTF8 is needed: names and headers are in "
            f"any language; ask the DBA for another database: CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8';"
        )
    if row["pgvector_available"] is None:
        raise EnvironmentUnusable(
            f"this PostgreSQL {version} has no pgvector; install it on the server's host (for example the package "
            f"postgresql-{row['server_number'] // 10000}-pgvector), then as a superuser in {database}: "
            "CREATE EXTENSION vector;"
        )
    _check_extension(row)


def _check_extension(row: dict[str, Any]) -> None:
    wanted = ".".join(map(str, OLDEST_PGVECTOR))
    here, database = row["pgvector_version"], row["database"]
    if _numbers(here or row["pgvector_available"]) < OLDEST_PGVECTOR:
        newer = _numbers(row["pgvector_available"]) >= OLDEST_PGVECTOR
        way = (
            f"as a superuser in {database}: ALTER EXTENSION vector UPDATE;"
            if newer
            else f"install {wanted} or newer on the server's host, then as a superuser in {database}: "
            + ("ALTER EXTENSION vector UPDATE;" if here else "CREATE EXTENSION vector;")
        )
        raise EnvironmentUnusable(f"pgvector {here or row['pgvector_available']} is too old: {wanted} is needed; {way}")
    if here and row["pgvector_schema"] not in ("public", "radretrieval"):
        raise EnvironmentUnusable(
            f"pgvector lies in the schema {row['pgvector_schema']!r}, where its operators are not found; as a "
            f"superuser in {database}: ALTER EXTENSION vector SET SCHEMA public;"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
