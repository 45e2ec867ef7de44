"""The messages of an association while they come: data sets go to the disk fragment by fragment, never into memory."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from radretrieval.dicom.data_set import HEAD, LONGEST_UID, file_head
from radretrieval.dicom.scp.store_response import respond_to_store
from radretrieval.errors import EnvironmentUnusable
from radretrieval.files.text import printable
from radretrieval.logs import Log
from radretrieval.storage.draft import Draft

log = Log(__name__)

_C_STORE = "C_STORE_RQ"
_NEEDED = ("AffectedSOPClassUID", "AffectedSOPInstanceUID", "MessageID")
LARGEST_COMMAND = 2**16  # bytes of a command set: one has less than 1 kB
MOST_WAITING = 16  # requests that an association sends before it has the responses; without negotiation it is one
SLOWEST = 1000  # bytes a second that a PDU, and a message, come with at least, after the first seconds
DATA_SET_SECONDS = 15.0  # for the data set to begin that a C-STORE request announces


class IncomingDataSet(io.BytesIO):
    """The data set of one message, as pynetdicom writes its fragments: that of a C-STORE request is a draft of a file.

    A data set that cannot be taken is dropped to its end, since the association goes on behind it.

    Parameters
    ----------
    message : pynetdicom's, whose command set comes before the data set.
    new_draft : makes the draft. largest : bytes that a data set may have.

    Attributes
    ----------
    size : bytes that have come. head : the first of them, `HEAD` at most.
    draft : preamble, meta header and data set; None before the first fragment, and where it cannot be taken.
    error : why it cannot be taken.
    """

    def __init__(self, association: Any, message: Any, new_draft: Callable[[], Draft], largest: int) -> None:
        super().__init__()
        self._association, self._message = association, message
        self._new_draft, self._largest = new_draft, largest
        self.size = 0
        self.head = b""
        self.draft: Draft | None = None
        self.error: Exception | None = None

    def write(self, data: Any, /) -> int:
        """Take the next fragment; what fails is kept in `error`."""
        self.size += len(data)
        if self.error is None:
            try:
                self._append(data)
            except Exception as error:
                self.error = error
                self.close_draft()
                log.warning(
                    "file_refused",
                    "%(sender)s: %(uid)s: refused while it comes: %(reason)s",
                    sender=requestor(self._association),
                    uid=self._message.command_set.get("AffectedSOPInstanceUID"),
                    reason=error,
                )
        return len(data)

    def close_draft(self) -> None:
        """Delete the draft, unless it is in the store."""
        if self.draft is not None:
            self.draft.close()
            self.draft = None

    def _append(self, data: bytes) -> None:
        if self.size > self._largest:
            raise EnvironmentUnusable(
                f"its data set has more than {self._largest:,} bytes; RADRETRIEVAL_LARGEST_DATA_SET allows more"
            )
        if type(self._message).__name__ != _C_STORE:  # no other request that is served has a data set
            return
        if self.draft is None:
            self.draft = self._new_draft()
            command = self._message.command_set
            sop_class, instance = (str(command.get(f"AffectedSOP{name}UID")) for name in ("Class", "Instance"))
            syntax = self._association.reader.syntaxes[self._message.context_id]
            self.draft.write(file_head(sop_class, instance, syntax))
        if len(self.head) < HEAD:
            self.head += data[: HEAD - len(self.head)]
        self.draft.write(data)


def requestor(association: Any) -> str:
    """The requestor of an association for messages: AE title and address."""
    return f"{printable(str(association.requestor.ae_title))} at {association.requestor.address}"


class MessageReader:
    """Reads the messages of one association in place of pynetdicom's `receive_primitive`, and limits what they take.

    Parameters
    ----------
    new_data_set : called with association and message for each message.
    seconds : that a message may take, and one more for each `SLOWEST` bytes.
    """

    def __init__(self, association: Any, new_data_set: Callable[[Any, Any], IncomingDataSet], seconds: float) -> None:
        self._association, self._dimse = association, association.dimse
        self._new_data_set = new_data_set
        self._receive = self._dimse.receive_primitive
        self._lock = threading.Lock()
        self._seconds = seconds
        self._begun: float | None = None  # when a message began that is not complete
        self._announced: float | None = None  # when a data set was announced of which nothing has come
        self._dimse.receive_primitive = self.receive
        respond_to_store(self._dimse)

    @cached_property
    def syntaxes(self) -> dict[int, str]:
        """The transfer syntaxes of the accepted presentation contexts, by their ids; asked for once there are any."""
        return {one.context_id: str(one.transfer_syntax[0]) for one in self._association.accepted_contexts}

    def receive(self, primitive: Any) -> None:
        """Take one P-DATA primitive."""
        with self._lock:
            self._take(primitive)

    def check_command(self, message: Any) -> None:
        """Look at a complete message: pynetdicom ends the association for these without a word.

        Abort where a C-STORE request lacks what its response must name. Of an instance UID that is too long the begin
        is left, which the data set does not have: this one request is refused.
        """
        if type(message).__name__ != _C_STORE:
            return
        command = message.command_set
        if message.context_id not in self.syntaxes:
            self._abort("a C-STORE request has a presentation context that was not accepted")
        elif missing := [keyword for keyword in _NEEDED if command.get(keyword) in (None, "")]:
            self._abort(f"a C-STORE request has no {' and no '.join(missing)}")
        elif len(str(command.AffectedSOPInstanceUID)) > LONGEST_UID:
            command.AffectedSOPInstanceUID = str(command.AffectedSOPInstanceUID)[:LONGEST_UID]

    def answer_overdue(self) -> None:
        """Take a data set that was announced and does not come as an empty one, which is answered with a failure."""
        if self._announced is not None and time.monotonic() - self._announced > DATA_SET_SECONDS:
            with self._lock:
                from pynetdicom.pdu_primitives import P_DATA

                if self._announced is not None:
                    last = P_DATA()
                    last.presentation_data_value_list.append((self._dimse.message.context_id, b"\x02"))
                    self._take(last)

    def end_slow(self) -> None:
        """Abort where a message comes too slowly: each of its PDUs, however small, begins the time of silence anew."""
        with self._lock:
            message, begun = self._dimse.message, self._begun
            if message is None or begun is None:
                return
            size = message.encoded_command_set.tell() + message.data_set.size
            if time.monotonic() - begun > self._seconds + size / SLOWEST:
                self._begun = None
                self._abort(f"{size:,} bytes of a message came too slowly")

    def close(self) -> None:
        """Delete the draft of a message that is not complete; called when the connection has ended."""
        with self._lock:
            self._announced = None
            if self._dimse.message is not None:
                self._dimse.message.data_set.close_draft()
                self._dimse.message = None

    def _take(self, primitive: Any) -> None:
        from pynetdicom.dimse_messages import DIMSEMessage

        if self._dimse.message is None:
            self._dimse.message, self._begun = DIMSEMessage(), time.monotonic()
            self._dimse.message.data_set = self._new_data_set(self._association, self._dimse.message)
        self._receive(primitive)
        message, before, self._announced = self._dimse.message, self._announced, None
        if message is None:
            if self._dimse.msg_queue.qsize() > MOST_WAITING:
                self._abort(f"it has sent more than {MOST_WAITING} requests without waiting for the responses")
        elif message.encoded_command_set.tell() > LARGEST_COMMAND:
            self._abort(f"the command set of a message has more than {LARGEST_COMMAND:,} bytes")
        elif message.context_id is not None and not message.data_set.size:
            self._announced = before or time.monotonic()

    def _abort(self, reason: str) -> None:
        log.warning(
            "association_aborted",
            "%(sender)s: the association is aborted: %(reason)s",
            sender=requestor(self._association),
            reason=reason,
        )
        self._dimse.dul.event_queue.put("Evt19")  # PS3.8, 9.2.1: an invalid PDU
