"""How an archive is doing, for who operates it: origins, arrivals, pulls, failures, and who is connected.

Each answer is one scan at most: they are asked for again and again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql

MOST_ROWS = 500  # of lists that a page shows whole: peers, pulls, kinds of failures

Rows = list[dict[str, Any]]


def origins(connection: Connection) -> Rows:
    """Rows (origin, images, hidden, gone, same_uid, flat, last_day, last_at) by peer; origin None: found.

    `last_day` counts images that came in the last 24 hours.
    """
    return connection.execute(sql("origins")).fetchall()


def arrivals(connection: Connection) -> Rows:
    """Rows (origin, files, oldest): files that came and are no images yet, by peer."""
    return connection.execute(sql("arrival_origins")).fetchall()


def pulls(connection: Connection) -> Rows:
    """Rows (url, query, study_date, change, pulled_at, reconciled_at) of the table `pull`, the last pull first."""
    return connection.execute(sql("pulls"), {"limit": MOST_ROWS}).fetchall()


def oldest_pending(connection: Connection, encoder_id: int) -> datetime | None:
    """When the first image came that has no code and was not tried in vain."""
    row = connection.execute(sql("pending_oldest"), {"encoder": encoder_id}).fetchone()
    return None if row is None else row["ingested_at"]


def failure_groups(connection: Connection) -> Rows:
    """Rows (stage, error, reason, origin, files, attempts, last_at), those of most files first.

    Stage is `ingest` of files and `code` of images; `reason` is the message without anything of the file: no path, no
    text of a header. `origin` is the DICOMweb root of an instance that was not given.
    """
    return connection.execute(_all_failures(sql("failure_groups")), {"limit": MOST_ROWS}).fetchall()


def failures(connection: Connection, limit: int, offset: int, reason: str | None = None) -> Rows:
    """Rows (stage, name, error, reason, attempts, last_at) of failures, the last first.

    `name` is the beginning of a file's SHA-256, or the image as `id:7`.

    Parameters
    ----------
    reason : only those of this reason, as `failure_groups` gives it.
    """
    values = {"limit": limit, "offset": offset, "reason": reason}
    return connection.execute(_all_failures(sql("failure_page")), values).fetchall()


def _all_failures(statement: str) -> str:
    return statement.replace("{failures}", sql("failures")).replace("{reason}", sql("failure_reason"))


def programs(connection: Connection) -> Rows:
    """Rows (program, host, sessions, active, since, oldest_transaction) of the sessions of this database.

    `host` is None for sessions through a socket; `program` is the application name: commands of ours set theirs.
    """
    return connection.execute(sql("programs")).fetchall()


def database_bytes(connection: Connection) -> int:
    """What the database takes on its server's disk, in bytes."""
    row = connection.execute(sql("database_size")).fetchone()
    assert row is not None
    return int(row["bytes"])
