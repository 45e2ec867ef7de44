"""Files that were received or pulled and failed, read again: under other limits, or by other decoders."""

from __future__ import annotations

import time

from radretrieval.archive import inbox
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.report import IngestReport
from radretrieval.storage.content_store import ContentStore


def ingest_failed(database: Database, settings: Settings, workers: int | None = None) -> IngestReport:
    """Make images of them, whichever process reads them; `seen` counts those that were read again.

    Raises
    ------
    EnvironmentUnusable : the store has none of them, or as `InboxWorker.finish`, also DatabaseUnavailable.
    WrongPatientKey : the key of the pseudonyms is not the archive's.
    """
    report, began = IngestReport(), time.monotonic()
    with database.connection() as connection:
        waiting = {arrival.sha256: arrival for arrival in inbox.again(connection)}
        store = ContentStore(settings.store_folder, settings.store_group)
        if waiting and not any(store.path(sha256).exists() for sha256 in waiting):
            connection.rollback()  # else a store that is not mounted would become the reason of each
            raise EnvironmentUnusable(
                f"the store {store.folder} has none of the {len(waiting)} files that were received or pulled and "
                "failed; mount it, or let RADRETRIEVAL_STORE name it"
            )
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
