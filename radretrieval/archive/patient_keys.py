"""Pseudonyms of patients in the archive: their replacement, and the check value of the key they were made with.

The check value is the comment of the index on patient_key: part of the database, of its dumps, and of the transaction
that replaces the pseudonyms.
"""

from __future__ import annotations

from collections.abc import Callable

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.errors import EnvironmentUnusable

_BATCH = 10_000


def try_lock_ingestion(connection: Connection) -> None:
    """Take the advisory lock of ingestion without waiting; raises EnvironmentUnusable where an ingestion has it."""
    row = connection.execute(sql("ingestion_try_lock")).fetchone()
    if row is None or not row["mine"]:
        raise EnvironmentUnusable(
            "an ingestion is writing to the archive, or an interrupted rotation is being rolled back; end ingest, "
            "receive and pull on every host, then run it again"
        )


def noted(connection: Connection) -> str | None:
    """The check value of the key; None before its first rotation."""
    row = connection.execute(sql("patient_key_check")).fetchone()
    return str(row["noted"]).rpartition(" ")[2] if row and row["noted"] else None


def require(connection: Connection, check_value: str) -> None:
    """Raises EnvironmentUnusable where the archive's pseudonyms were made with another key.

    Called in each transaction that writes pseudonyms, after the lock of ingestion: a long-running process may have read
    its key before the rotation on another host.
    """
    there = noted(connection)
    if there is not None and there != check_value:
        raise EnvironmentUnusable(
            "the key of the patient pseudonyms here is not the archive's, which was rotated: copy the key file from "
            "the host where that was done (RADRETRIEVAL_PATIENT_KEY_FILE), then run it again; nothing was written"
        )


def replace(connection: Connection, next_of: Callable[[str], str], check_value: str) -> tuple[int, int]:
    """Replace each pseudonym and the check value in the caller's transaction; returns how many patients and images."""
    connection.execute(sql("patient_keys_staging"))
    patients = 0
    with connection.cursor(name="patient_keys") as cursor:
        cursor.execute(sql("patient_keys"))
        while rows := cursor.fetchmany(_BATCH):
            patients += len(rows)
            with connection.cursor() as other, other.copy("COPY rekeyed (old, new) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row((row["patient_key"], next_of(row["patient_key"])))
    images = connection.execute(sql("patient_keys_replace")).rowcount
    if not check_value.isalnum():  # it becomes part of a statement, which takes no parameters
        raise ValueError(check_value)
    connection.execute(sql("patient_key_note").replace("{check}", check_value))
    return patients, images
