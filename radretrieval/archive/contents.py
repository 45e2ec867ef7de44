"""What an archive holds, for backups: rows and digests of its tables, and the files that its store has to have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from radretrieval.archive import connections
from radretrieval.archive.connections import Connection
from radretrieval.archive.pg_programs import ROLE
from radretrieval.archive.queries import sql
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable, UsageError


@dataclass(frozen=True)
class StoredFile:
    """A file that the store has to have.

    Attributes
    ----------
    frame : of which it is the reduced picture; 0: it is the file itself.
    needed : False for a file that failed, which may never have been in the store.
    """

    sha256: bytes
    frame: int
    needed: bool


@contextmanager
def reading_all() -> Iterator[None]:
    """Translate psycopg's errors of one who reads every table.

    Raises EnvironmentUnusable where a right is missing, DatabaseUnavailable where a table was dropped meanwhile.
    """
    from psycopg import errors

    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise EnvironmentUnusable(f"the database refuses it: {error.diag.message_primary}; {ROLE}") from error
    except errors.UndefinedTable as error:
        raise DatabaseUnavailable(
            f"a table was dropped meanwhile, as the end of an index build does ({error.diag.message_primary}); run it "
            "again"
        ) from error


def begin(connection: Connection) -> str:
    """Begin the transaction in which the archive is described; returns its snapshot, for pg_dump."""
    connections.snapshot(connection)
    connection.execute(sql("backup_settings"))
    return str(_one(connection, sql("backup_snapshot"))["snapshot"])


def tables(connection: Connection) -> dict[str, dict[str, Any]]:
    """`rows` and `digest` of every table, by name, in a transaction of `begin`."""
    return {
        row["name"]: _one(connection, sql("backup_digest").replace("{table}", row["quoted"]))
        for row in connection.execute(sql("backup_tables")).fetchall()
    }


def identity(connection: Connection) -> str:
    """Which archive this is: the cluster and database that it lies in."""
    return str(_one(connection, sql("backup_archive"))["archive"])


def revision(connection: Connection) -> str:
    """The revision of the schema."""
    return str(_one(connection, sql("revision"))["version_num"])


def encoders(connection: Connection) -> list[dict[str, Any]]:
    """id, active, profile and weights_sha256 of every encoder."""
    return connection.execute(sql("backup_encoders")).fetchall()


def elsewhere(connection: Connection) -> int:
    """How many images have their file where it was found, not in the store."""
    return int(_one(connection, sql("backup_elsewhere"))["images"])


def stored_files(connection: Connection) -> Iterator[StoredFile]:
    """The files that the store has to have, by SHA-256 and frame."""
    with connection.cursor("stored_files", binary=True) as cursor:  # named: the rows stay with the server
        cursor.itersize = 10_000
        for row in cursor.execute(sql("backup_files")):
            yield StoredFile(row["sha256"], row["frame"], row["needed"])


def require_empty(connection: Connection, place: str) -> None:
    """Make the schema, unless an empty one is there. Raises UsageError where something is in it.

    Parameters
    ----------
    place : what the database is called in messages.
    """
    found = _one(connection, sql("restore_place"))
    if found["relations"]:
        images = _one(connection, sql("restore_images"))["images"] if found["archive"] else None
        has = "tables" if images is None else f"an archive of {images} images"
        raise UsageError(
            f"{place} has {has} in the schema radretrieval; a restore changes no archive: name an empty database with "
            "--database-url, or an empty RADRETRIEVAL_HOME for the embedded server. Where nobody needs what is there: "
            "psql -c 'DROP SCHEMA radretrieval CASCADE'"
        )
    if not found["schema"]:
        connection.execute(sql("restore_schema"))


def require_pgvector(server: dict[str, Any], schema: str) -> None:
    """Raise EnvironmentUnusable where pgvector lies in another schema of a server than in that of the backup."""
    if server["pgvector_schema"] != schema:
        raise EnvironmentUnusable(
            f"pgvector lies in the schema {server['pgvector_schema']}, and in the backup's archive in {schema}; as "
            f"a superuser in {server['database']}: ALTER EXTENSION vector SET SCHEMA {schema};"
        )


def settle(connection: Connection) -> None:
    """Forget the services that ran on the archive before, and VACUUM and ANALYZE; the connection is in autocommit."""
    connection.execute(sql("restore_services"))
    named = ", ".join(row["quoted"] for row in connection.execute(sql("backup_tables")).fetchall())
    connection.execute(sql("restore_analyze").replace("{tables}", named))


def remove_restored(connection: Connection) -> None:
    """Drop the schema again, after a restore that was a test."""
    connection.execute(sql("restore_undone"))


def _one(connection: Connection, statement: str) -> dict[str, Any]:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row
