"""C-STORE SCP: files that peers send come into the store and are told of, before they are answered (PS3.4, annex B)."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.dicom.data_set import as_file, sop_uids
from radretrieval.dicom.scp.commit_queue import Depot
from radretrieval.dicom.scp.server import Listener, Node, sender
from radretrieval.errors import EnvironmentUnusable, ImageError
from radretrieval.files.uris import printable
from radretrieval.ingest.inbox_worker import Intake
from radretrieval.ingest.report import InboxReport

if TYPE_CHECKING:
    from pynetdicom.events import Event

log = logging.getLogger(__name__)

# PS3.4, B.2.3
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900  # the data set is not what the request says that it is
CANNOT_UNDERSTAND = 0xC000
PROCESSING_FAILURE = 0x0110  # PS3.7, C.5.10


class Receiver:
    """A node that takes files in; it runs from its making to `close`.

    Parameters
    ----------
    arrived : called when files have been taken in.

    Raises
    ------
    EnvironmentUnusable : it cannot listen there.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        node: Node,
        arrived: Callable[[], None] = lambda: None,
    ) -> None:
        self._depot = Depot(database, settings, arrived)
        try:
            self._listener = Listener(node, self._store)
        except BaseException:
            self._depot.close()
            raise
        self.port = self._listener.port

    def close(self) -> None:
        """Let nobody in any more, and end what has begun."""
        try:
            self._listener.close()
        finally:
            self._depot.close()

    def _store(self, event: Event) -> int:
        """Answer one C-STORE request, and log why if not with success."""
        status, why = self._answer(event)
        if status != SUCCESS:
            request: Any = event.request
            uid = printable(str(request.AffectedSOPInstanceUID))
            log.warning("%s: %s: answered 0x%04X: %s", sender(event.assoc), uid, status, printable(why))
        return status

    def _answer(self, event: Event) -> tuple[int, str]:
        request: Any = event.request
        syntax = str(event.context.transfer_syntax)
        data_set = event.encoded_dataset(include_meta=False)  # as it came: nothing is parsed
        try:
            named = sop_uids(data_set, syntax)
        except ImageError as error:
            return CANNOT_UNDERSTAND, str(error)
        asked = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        if named != asked:
            # the instance too: its sender would ask for it by a name under which it is not here
            what = "SOP Class" if named[0] != asked[0] else "SOP Instance"
            is_, said = (named[0], asked[0]) if what == "SOP Class" else (named[1], asked[1])
            return MISMATCH, f"the {what} UID of the data set is {is_}, the request says {said}"
        try:
            self._depot.take_in(as_file(data_set, *named, syntax), str(event.assoc.requestor.ae_title), named[1])
        except EnvironmentUnusable as error:
            return OUT_OF_RESOURCES, str(error)
        except Exception as error:
            log.exception("a file cannot be taken in")
            return PROCESSING_FAILURE, f"{type(error).__name__}: {error}"
        return SUCCESS, ""


def receive(
    database: Database,
    settings: Settings,
    node: Node,
    stop: threading.Event,
    *,
    intake: bool = True,
    workers: int | None = None,
    ready: Callable[[int], None] = lambda port: None,
) -> InboxReport:
    """Take files in, and make images of them, until told to stop.

    Parameters
    ----------
    intake : make images of them here; without, another process does (`Intake`).
    workers : decoding processes; None for one a core.
    ready : called with the port once it listens.

    Raises
    ------
    EnvironmentUnusable : it cannot listen there.
    """
    # what pydicom thinks of a sender's UIDs names neither file nor sender
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
    maker = Intake(database, settings, workers)
    enough = threading.Event()
    with ExitStack() as stack:
        receiver = Receiver(database, settings, node, maker.wake)
        if intake:
            thread = threading.Thread(target=maker.run, args=(enough,), name="intake")
            thread.start()
            stack.callback(thread.join)
            stack.callback(maker.wake)
            stack.callback(enough.set)
        stack.callback(receiver.close)
        ready(receiver.port)
        stop.wait()
    return maker.report
