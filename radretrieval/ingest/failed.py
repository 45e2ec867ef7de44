"""Files that were received or pulled and failed, read again: under other limits, or by other decoders."""

from __future__ import annotations

import time

from radretrieval.archive import images, inbox
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.inbox import Arrival
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable
from radretrieval.ingest.inbox_worker import BEFORE, LOST, InboxWorker
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
        waiting = {arrival.sha256: arrival for arrival in _again(connection, settings, report)}
        connection.commit()

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


def _again(connection: Connection, settings: Settings, report: IngestReport) -> list[Arrival]:
    """What failed becomes arrivals once more; what the store has lost keeps its reason, and is told in the report.

    Raises EnvironmentUnusable where the store has none of them: it is not mounted.
    """
    images.lock_ingestion(connection)  # as who makes images of them: what they have done is seen, and not done again
    failing = inbox.failing(connection)
    store = ContentStore(settings.store_folder, settings.store_group)
    there = [arrival for arrival, _, _ in failing if store.path(arrival.sha256).exists()]
    if failing and not there:
        connection.rollback()
        raise EnvironmentUnusable(
            f"the store {store.folder} has none of the {len(failing)} files that were received or pulled and "
            "failed; mount it, or let RADRETRIEVAL_STORE name it"
        )
    report.seen, found = len(failing), {arrival.sha256 for arrival in there}
    for arrival, error, message in failing:
        if arrival.sha256 not in found:
            report.fail(arrival.uri, error, LOST + BEFORE + message)
    inbox.again(connection, there)
    return there
