"""The data transfer of an association (PS3.8, 9.2: state 6), after pynetdicom has negotiated it.

One thread waits in `recv` and serves what comes. pynetdicom has two threads an association, which look for work a
thousand times a second each, and makes an object of each element of a command: that took more of the processors than
all that is done with a file.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from radretrieval.dicom.data_set import LONGEST_UID
from radretrieval.dicom.scp import command_set, pdu
from radretrieval.dicom.scp.store_request import StoreRequest
from radretrieval.files.text import printable
from radretrieval.logs import Log

log = Log(__name__)

ENDED = "%(sender)s: the connection is ended: %(reason)s"
LARGEST_COMMAND = 2**16  # bytes of a command set: one has less than 1 kB
DATA_SET_SECONDS = 15.0  # for the data set to begin that a C-STORE request announces
CLOSE_SECONDS = 2.0  # for the peer to close the connection, at the end
_CANCEL = 0x0FFF
_UIDS = command_set.CLASS, command_set.INSTANCE
_COMMAND, _LAST = 1, 2  # bits of a message control header (PS3.8, E.2)

NewRequest = Callable[[str, str, str, str, str], StoreRequest]  # title, sender, SOP class, SOP instance, syntax


class _Invalid(Exception):
    """What came ends the association; the message says why."""


class DataTransfer:
    """Serves C-ECHO and C-STORE over the connection of an association, one request after the other.

    Parameters
    ----------
    association : pynetdicom's, which reads from its connection no more. reader : of the connection.
    store : called for each C-STORE request; returns the status.
    new_request : makes what takes its data set.
    message_seconds : that a message may take, and one more for each `SLOWEST` bytes.

    Attributes
    ----------
    requests : how many were stored, and refused.
    """

    def __init__(
        self,
        association: Any,
        reader: pdu.Reader,
        store: Callable[[StoreRequest], int],
        new_request: NewRequest,
        message_seconds: float,
    ) -> None:
        self.requests: Counter[str] = Counter()
        self._title, self._sender = str(association.requestor.ae_title).strip(), requestor(association)
        self._address = str(association.requestor.address)
        self._connection: socket.socket = association.dul.socket.socket
        self._syntaxes = {one.context_id: str(one.transfer_syntax[0]) for one in association.accepted_contexts}
        self._largest_pdu = int(association.requestor.maximum_length or 0)
        self._store, self._new_request = store, new_request
        self._reader, self._message_seconds = reader, message_seconds
        self._stopping = False
        self._command = bytearray()  # of the message that comes, until it is whole
        self._begun = 0.0  # when it began; 0 between messages
        self._request: StoreRequest | None = None  # whose data set comes
        self._answered: tuple[int, dict[int, bytes]] = (0, {})  # context and command set of that request

    def run(self) -> None:
        """Serve until the peer releases, aborts or leaves, breaks a rule or a limit, or `stop` is called."""
        try:
            while self._serve_pdu():
                self._check_time()
        except (_Invalid, ValueError) as error:
            self._abort(str(error), pdu.ABORT_INVALID)
        except pdu.PduRefused as error:
            log.warning("connection_ended", ENDED, sender=self._address, reason=error)
        except TimeoutError:
            self._abort(f"nothing came for {self._reader.seconds:g} s", pdu.ABORT_BY_NODE)
        except OSError:
            self._tell_aborted()
        finally:
            if self._request is not None:
                self._request.close_draft()

    def stop(self) -> None:
        """End the association after the request that is being served; called by another thread."""
        self._stopping = True
        with suppress(OSError):  # of TLS too the socket alone: its own `shutdown` would go on without encryption
            socket.socket.shutdown(self._connection, socket.SHUT_RD)

    def close(self) -> None:
        """Wait for the peer to close the connection: what it has sent would else reset it, and it lose what is sent."""
        deadline = time.monotonic() + CLOSE_SECONDS
        with suppress(OSError):
            while (left := deadline - time.monotonic()) > 0 and not self._stopping:
                self._connection.settimeout(left)
                if not self._connection.recv(pdu.LARGEST):
                    break

    def _serve_pdu(self) -> bool:
        """Serve what the next PDU completes; False where the association ends with it."""
        kind, body = self._next_pdu()
        if kind == pdu.P_DATA:
            for value in pdu.data_values(body):
                self._take(*value)
        elif kind == pdu.RELEASE_RQ:
            self._connection.sendall(pdu.RELEASE_RP)
            return False
        elif kind == pdu.ABORT:
            self._tell_aborted()
            return False
        elif kind:
            raise _Invalid(f"a PDU of type {kind} came")
        if self._stopping:
            self._abort("this node stops", pdu.ABORT_BY_NODE)
        elif not kind:
            self._tell_aborted()
        return kind > 0 and not self._stopping

    def _next_pdu(self) -> tuple[int, memoryview]:
        """The type and the body of the next PDU; 0 where the connection ended before it was whole."""
        if self._request is None or self._request.size:
            return self._reader.pdu(self._reader.seconds)
        try:
            return self._reader.pdu(max(0.001, self._begun + DATA_SET_SECONDS - time.monotonic()))
        except TimeoutError:
            self._finish()  # as with an empty data set, which is answered with a failure
            return self._next_pdu()

    def _take(self, context: int, header: int, fragment: memoryview) -> None:
        """Take one fragment of a command set or of a data set."""
        if header & _COMMAND:
            if self._request is not None:
                raise _Invalid("a command set came where a data set was announced")
            self._begun = self._begun or time.monotonic()
            self._command += fragment
            if len(self._command) > LARGEST_COMMAND:
                raise _Invalid(f"the command set of a message has more than {LARGEST_COMMAND:,} bytes")
            if header & _LAST:
                command, self._command = bytes(self._command), bytearray()
                self._begin(context, command_set.decode(command))
        else:
            if self._request is None:
                raise _Invalid("a data set came that no request announced")
            self._request.write(fragment)
            if header & _LAST:
                self._finish()

    def _begin(self, context: int, command: dict[int, bytes]) -> None:
        """Serve a request whose command set is whole, or wait for its data set."""
        kind = command_set.number(command, command_set.KIND)
        if kind == command_set.C_STORE:
            self._begin_store(context, command)
            return
        self._begun = 0.0
        if kind == command_set.C_ECHO:
            self._check("C-ECHO", context, command, command_set.CLASS, command_set.MESSAGE)
            self._respond(context, command, 0)
        elif kind != _CANCEL:  # which cancels nothing here, and has no response
            raise _Invalid(f"a message came that this node does not serve, of the kind {kind}")

    def _begin_store(self, context: int, command: dict[int, bytes]) -> None:
        self._check("C-STORE", context, command, *command_set.NAMES)
        command[command_set.INSTANCE] = command[command_set.INSTANCE][:LONGEST_UID]  # the data set has another then
        sop_class, instance = (command[element].decode("ascii", "replace") for element in _UIDS)
        self._request = self._new_request(self._title, self._sender, sop_class, instance, self._syntaxes[context])
        self._answered = context, command
        if command_set.number(command, command_set.DATA_SET) == command_set.NO_DATA_SET:
            self._finish()

    def _check(self, name: str, context: int, command: dict[int, bytes], *needed: int) -> None:
        """Refuse a request that cannot be answered."""
        if context not in self._syntaxes:
            raise _Invalid(f"a {name} request has a presentation context that was not accepted")
        if missing := [command_set.NAMES[element] for element in needed if not command.get(element)]:
            raise _Invalid(f"a {name} request has no {' and no '.join(missing)}")
        if command_set.number(command, command_set.MESSAGE) is None:
            raise _Invalid(f"the MessageID of a {name} request is no number")

    def _finish(self) -> None:
        """Store what has come, and answer."""
        assert self._request is not None
        status = self._store(self._request)
        self.requests["stored" if status == 0 else "refused"] += 1
        self._request, self._begun = None, 0.0
        self._respond(*self._answered, status)

    def _respond(self, context: int, command: dict[int, bytes], status: int) -> None:
        self._connection.sendall(pdu.command(context, command_set.response(command, status), self._largest_pdu))

    def _check_time(self) -> None:
        """Refuse a message that comes too slowly: each of its PDUs, however small, begins the time of silence anew."""
        if self._begun:
            size = len(self._command) + (self._request.size if self._request is not None else 0)
            if time.monotonic() - self._begun > self._message_seconds + size / pdu.SLOWEST:
                raise _Invalid(f"{size:,} bytes of a message came too slowly")

    def _abort(self, reason: str, encoded: bytes) -> None:
        log.warning(
            "association_aborted",
            "%(sender)s: the association is aborted: %(reason)s",
            sender=self._sender,
            reason=reason,
        )
        with suppress(OSError):
            self._connection.sendall(encoded)

    def _tell_aborted(self) -> None:
        log.warning("association_aborted", "%(sender)s: the association was aborted", sender=self._sender)


def requestor(association: Any) -> str:
    """The requestor of an association for messages: AE title and address."""
    return f"{printable(str(association.requestor.ae_title))} at {association.requestor.address}"
