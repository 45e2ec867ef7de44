"""Files that were received or pulled and failed, read again: under other limits, or by other decoders."""

from __future__ import annotations

import time

from radretrieval.archive import inbox
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.report import IngestReport


def ingest_failed(database: Database, settings: Settings, workers: int | None = None) -> IngestReport:
    """Make images of them, whichever process reads them; `seen` counts those that were read again.

    Raises
    ------
    DatabaseUnavailable, EnvironmentUnusable. WrongPatientKey : the key of the pseudonyms is not the archive's.
    """
    report, began = IngestReport(), time.monotonic()
    with database.connection() as connection:
        waiting = {arrival.sha256: arrival for arrival in inbox.again(connection)}
        connection.commit()
        report.seen = len(waiting)

        def settled() -> bool:
            for row in inbox.outcomes(connection, list(waiting.values())):
                arrival = waiting.pop(bytes(row["sha256"]))
                if row["error"] is None:
                    report.count(row["outcome"])
                else:
                    report.fail(arrival.uri, row["error"], row["message"])
            connection.commit()
            return not waiting

        InboxWorker(database, settings, workers).finish(settled)
    report.seconds = time.monotonic() - began
    return report
