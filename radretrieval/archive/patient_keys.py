"""Pseudonyms of patients in the archive: their replacement, and the check value of the key they are made with.

The check value is the row of the table `patient_key_check`: part of the database, of its dumps, and of the transaction
that writes or replaces pseudonyms.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radretrieval.archive import locks, tombstones
from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.errors import EnvironmentUnusable

_BATCH = 10_000


@dataclass(frozen=True)
class KeyCheck:
    """The row of `patient_key_check`.

    Attributes
    ----------
    check_value : of the key; None where the pseudonyms are of a version that recorded none.
    plain_issuer : the issuer whose identifiers make pseudonyms as those without an issuer do; empty for none. None: the
        pseudonyms take no issuers.
    """

    check_value: str | None
    plain_issuer: str | None


def try_lock_ingestion(connection: Connection) -> None:
    """Take the lock of ingestion without waiting; raises EnvironmentUnusable where an ingestion has it."""
    if not locks.try_lock(connection, locks.INGESTION):
        raise EnvironmentUnusable(
            "an ingestion is writing to the archive, or an interrupted rotation is being rolled back; end ingest, "
            f"receive and pull on every host, then run it again (it is {locks.holder(connection)})"
        )


def recorded(connection: Connection) -> KeyCheck | None:
    """What the archive records of its key; None before the first pseudonym."""
    row = connection.execute(sql("patient_key_check")).fetchone()
    return KeyCheck(**row) if row else None


def record(connection: Connection, check_value: str) -> KeyCheck:
    """Insert the check value where there is none, in the caller's transaction; returns what is recorded then.

    Waits for a transaction that inserts one at the same time (the primary key is the same).
    """
    connection.execute(sql("patient_key_record"), {"check": check_value})
    there = recorded(connection)
    assert there is not None
    return there


def accept(connection: Connection, check_value: str) -> None:
    """Record a check value in place of any other."""
    connection.execute(sql("patient_key_accept"), {"check": check_value})


def take_issuers(connection: Connection, plain_issuer: str) -> None:
    """Have pseudonyms take the issuer from now on; those that are there are of `plain_issuer`."""
    connection.execute(sql("patient_key_issuer"), {"issuer": plain_issuer})


def only_without_issuer(connection: Connection, pseudonyms: Mapping[str, str], coming: Collection[str]) -> set[str]:
    """Those of these pseudonyms that no image has, while one has the pseudonym of the identifier without its issuer.

    Parameters
    ----------
    pseudonyms : with the issuer → without it. coming : without it, of images that are not written yet.
    """
    values = {"named": list(pseudonyms), "plain": list(pseudonyms.values()), "coming": list(coming)}
    return {row["named"] for row in connection.execute(sql("patient_without_issuer"), values)}


def there(connection: Connection, pseudonyms: Sequence[str]) -> set[str]:
    """Those of these pseudonyms that an image has."""
    return {row["patient_key"] for row in connection.execute(sql("patient_there"), {"keys": list(pseudonyms)})}


def examples(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """DICOM images with a pseudonym that earlier transactions wrote, the newest first: uri, sha256, patient_key."""
    return connection.execute(sql("patient_key_examples"), {"limit": limit}).fetchall()


def patients(connection: Connection) -> int:
    """The number of patients that have a pseudonym."""
    row = connection.execute(sql("patient_count")).fetchone()
    return int(row["patients"]) if row else 0


def replace(connection: Connection, next_of: Callable[[str], str], check_value: str) -> tuple[int, int]:
    """Replace pseudonyms, tombstones and check value in the caller's transaction; returns patients and images."""
    connection.execute(sql("patient_keys_staging"))
    found = 0
    with connection.cursor(name="patient_keys") as cursor:
        cursor.execute(sql("patient_keys"))
        while rows := cursor.fetchmany(_BATCH):
            found += len(rows)
            with connection.cursor() as other, other.copy("COPY rekeyed (old, new) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row((row["patient_key"], next_of(row["patient_key"])))
    images = connection.execute(sql("patient_keys_replace")).rowcount
    connection.execute(sql("patient_keys_replace_old"))
    tombstones.replace(connection, next_of)
    accept(connection, check_value)
    return found, images
