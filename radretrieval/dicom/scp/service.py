"""The storage SCP (PS3.4, annex B): a C-STORE response with success is sent after fsync and commit."""

from __future__ import annotations

import logging
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

from radretrieval import metrics
from radretrieval.archive import audit
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.data_set import sop_uids
from radretrieval.dicom.scp.commit_queue import ReceiveQueue
from radretrieval.dicom.scp.server import ScpConfig, ScpServer
from radretrieval.dicom.scp.store_request import StoreRequest
from radretrieval.errors import EnvironmentUnusable, ImageError
from radretrieval.files.text import printable
from radretrieval.ingest.inbox_worker import InboxWorker
from radretrieval.ingest.report import InboxReport
from radretrieval.ingest.store_check import check_store
from radretrieval.logs import Log

log = Log(__name__)

# PS3.4, B.2.3
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900  # the data set has another SOP class or instance UID than the request
CANNOT_UNDERSTAND = 0xC000
PROCESSING_FAILURE = 0x0110  # PS3.7, C.5.10

POLL_SECONDS = 0.5


class StorageScp:
    """A server that stores received files through a `ReceiveQueue`, from its creation to `close`.

    Parameters
    ----------
    on_commit : called when files have been committed.

    Raises
    ------
    EnvironmentUnusable : it cannot listen on the configured host and port.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        config: ScpConfig,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._queue = ReceiveQueue(database, settings, on_commit)
        self._database = database
        new_request = partial(StoreRequest, new_draft=self._queue.draft, largest=settings.largest_data_set)
        try:
            self._server = ScpServer(config, self._handle, new_request, self._note)
        except BaseException:
            self._queue.close()
            raise
        self.port = self._server.port

    def close(self) -> None:
        """Accept no more connections, and finish the requests that are being served."""
        try:
            self._server.close()
        finally:
            self._queue.close()

    def _note(self, title: str, address: str, requests: Counter[str], reason: str | None) -> None:
        """Add the row of an association to the audit; while the database is unavailable, the log has it."""
        detail: dict[str, object] = {"address": address}
        action = "association" if reason is None else "association rejected"
        detail |= {"reason": reason} if reason is not None else {name: requests[name] for name in ("stored", "refused")}
        noted = False
        with suppress(EnvironmentUnusable), self._database.connection() as connection:
            noted = audit.note(connection, title, action, detail, wait=True)
        if not noted:
            log.warning("audit_row", "audit: %(who)s %(action)s %(detail)s", who=title, action=action, detail=detail)

    def _handle(self, request: StoreRequest) -> int:
        """Serve one C-STORE request; log the reason of any status but success."""
        try:
            status, reason = self._store(request)
        except EnvironmentUnusable as error:
            status, reason = OUT_OF_RESOURCES, str(error)
        except Exception as error:
            log.error("file_not_stored", "a file cannot be stored", exc_info=True)
            status, reason = PROCESSING_FAILURE, f"{type(error).__name__}: {error}"
        metrics.count(metrics.RECEIVED, 1, printable(request.title), f"0x{status:04X}")
        if status != SUCCESS:
            log.warning(
                "file_refused",
                "%(sender)s: %(uid)s: answered %(status)s: %(reason)s",
                sender=request.sender,
                uid=request.sop_instance,
                status=f"0x{status:04X}",
                reason=reason,
            )
        return status

    def _store(self, request: StoreRequest) -> tuple[int, str]:
        try:
            if request.error is not None:
                raise request.error
            uids = sop_uids(request.head, request.syntax)
            requested = (request.sop_class, request.sop_instance)
            for name, found, expected in zip(("SOP Class", "SOP Instance"), uids, requested, strict=True):
                if found != expected:  # the sender would look for the image by a UID that the archive does not have
                    return MISMATCH, f"the {name} UID of the data set is {found}, the request has {expected}"
            assert request.draft is not None  # it has UIDs
            self._queue.store_draft(request.draft, request.title, uids[1])
        except ImageError as error:
            return CANNOT_UNDERSTAND, str(error)
        finally:
            request.close_draft()
        return SUCCESS, ""


def receive(
    database: Database,
    settings: Settings,
    config: ScpConfig,
    stop: threading.Event,
    *,
    intake: bool = True,
    workers: int | None = None,
    ready: Callable[[int], None] = lambda port: None,
) -> InboxReport:
    """Receive files, and make images of them in another thread, until `stop` is set.

    Parameters
    ----------
    intake : make images here; without, another process does (`InboxWorker`).
    workers : decoding processes; None for one a core.
    ready : called with the port once it listens.

    Raises
    ------
    EnvironmentUnusable : it cannot listen on the configured host and port.
    StoreUnavailable : the archive's store is not on this host.
    WrongPatientKey : the key of the pseudonyms is not the archive's; what was received waits in the inbox.
    """
    # what pydicom warns of in a UID names neither file nor sender
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
    worker = InboxWorker(database, settings, workers)
    worker_stop = threading.Event()
    with database.connection() as connection:
        check_store(connection, worker.store)
    with ExitStack() as stack:
        scp = StorageScp(database, settings, config, worker.wake)
        if intake:
            thread = threading.Thread(target=worker.run, args=(worker_stop,), name="intake")
            thread.start()
            stack.callback(thread.join)
            stack.callback(worker.wake)
            stack.callback(worker_stop.set)
        stack.callback(scp.close)
        ready(scp.port)
        while not stop.wait(POLL_SECONDS) and worker.error is None:
            pass
    if worker.error is not None:
        raise worker.error
    return worker.report
