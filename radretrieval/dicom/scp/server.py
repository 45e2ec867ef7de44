"""A DICOM server: pynetdicom's, with limits on time, PDU size and associations, and access control."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any

import pynetdicom
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from radretrieval.dicom.scp import association_request, pdu
from radretrieval.dicom.scp.access import AllowedPeer, rejection_reason
from radretrieval.dicom.scp.data_transfer import ENDED, DataTransfer, NewRequest, requestor
from radretrieval.dicom.scp.store_request import StoreRequest
from radretrieval.dicom.sop_classes import VERIFICATION, syntaxes_of
from radretrieval.errors import EnvironmentUnusable
from radretrieval.logs import Log

log = Log(__name__)

_REJECTED = "%(sender)s: association rejected: %(reason)s"
_BLANK_TITLE = "%(sender)s: association refused: its calling AE title is blank; set one on the device"

REQUEST_SECONDS = 5.0  # for a connection to request an association; for an association `ScpConfig.idle_seconds`
GRACE_SECONDS = 5.0  # for associations to end, when the server stops
# The largest that most senders use: a file of 100 kB is one PDU, large files come 1.6 times faster than in 16 kB.
PDU_BYTES = 131072
# PS3.8, 9.3.4: result, source, reason of a rejection
_CALLING_UNKNOWN = (1, 1, 3)
_CALLED_UNKNOWN = (1, 1, 7)
_LIMIT_EXCEEDED = (2, 3, 2)

Ended = Callable[[str, str, Counter[str], str | None], None]


@dataclass(frozen=True)
class ScpConfig:
    """The configuration of a storage SCP.

    Attributes
    ----------
    title : its AE title; a caller must name it, unless `any_title`.
    host, port : where it listens; port 0 is any free one.
    sop_classes : UIDs of the storage classes that it accepts.
    peers : the nodes that may send; empty: all.
    tls : None accepts connections without TLS.
    max_associations : at one time; connections that have not requested one do not count.
    idle_seconds : an association without any PDU, or whose PDU is slower than `SLOWEST`, for so long is aborted.
    """

    title: str
    host: str
    port: int
    sop_classes: Sequence[str]
    peers: Sequence[AllowedPeer] = ()
    any_title: bool = False
    tls: ssl.SSLContext | None = None
    max_associations: int = 50
    idle_seconds: float = 60.0


class ScpServer:
    """Serves C-ECHO and C-STORE from its creation to `close`.

    pynetdicom negotiates an association; what is sent over it is served by a `DataTransfer`.

    Parameters
    ----------
    store : called for each C-STORE request, in the thread of its association; returns the status.
    new_request : makes what takes the data set of a C-STORE request.
    ended : called for each association that ended, or was rejected, in its thread, with calling AE title, address,
        how many files were stored and refused, and the reason of a rejection.

    Raises
    ------
    EnvironmentUnusable : it cannot listen on the configured host and port.
    """

    def __init__(
        self,
        config: ScpConfig,
        store: Callable[[StoreRequest], int],
        new_request: NewRequest,
        ended: Ended = lambda title, address, requests, reason: None,
    ) -> None:
        pynetdicom._config.LOG_HANDLER_LEVEL = "none"  # else it formats a log message for each PDU
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it logs tracebacks of protocol errors
        self.config = config
        self._store, self._new_request, self._ended = store, new_request, ended
        self._accepted: dict[Any, DataTransfer | None] = {}  # associations; None until they are established
        self._lock = threading.Lock()
        ae = AE(config.title)
        ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = REQUEST_SECONDS, 30, config.idle_seconds
        ae.maximum_pdu_size = PDU_BYTES
        ae.maximum_associations = 2**31  # it counts connections; `_negotiate` counts associations
        for sop_class in (VERIFICATION, *config.sop_classes):
            ae.add_supported_context(sop_class, list(syntaxes_of(sop_class)))
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, _read_request),
            (evt.EVT_REQUESTED, self._negotiate),
            (evt.EVT_PDU_SENT, _hand_over),
            (evt.EVT_ESTABLISHED, self._transfer),
            (evt.EVT_PDU_SENT, _log_refused),
            (evt.EVT_CONN_CLOSE, lambda event: self._end(event.assoc)),
        ]
        options: dict[str, Any] = {"evt_handlers": handlers, "server_class": _Server, "ssl_context": config.tls}
        try:
            self._server: Any = ae.make_server((config.host, config.port), **options)
        except OSError as error:
            raise EnvironmentUnusable(
                f"nothing can listen on {config.host or '*'}:{config.port} ({error.strerror or error}); another "
                "program may have the port: name another one with --port, or an address of this machine with --host"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="scp", daemon=True)
        self._thread.start()

    def _transfer(self, event: evt.Event) -> None:
        """Serve an association that is established, in its own thread, until it ends."""
        association: Any = event.assoc
        association.dul.join()  # it ends when the acceptance is sent (`_hand_over`)
        if association.dul.socket.socket is not None:  # else the peer has left meanwhile
            seconds = self.config.idle_seconds + PDU_BYTES / pdu.SLOWEST  # a PDU counts when it is whole
            try:
                association.reader.seconds = self.config.idle_seconds
                transfer = DataTransfer(association, association.reader, self._store, self._new_request, seconds)
                with self._lock:
                    self._accepted[association] = transfer
                transfer.run()
                self._end(association)
                transfer.close()
            except Exception:
                log.error(
                    "connection_failed",
                    "%(sender)s: the connection failed",
                    exc_info=True,
                    sender=requestor(association),
                )
        association.dul.socket.close()
        self._end(association)
        association.kill()

    def _end(self, association: Any) -> None:
        """Give the place of an association free, and tell of it; once, and only where it was accepted."""
        with self._lock:
            accepted = association in self._accepted
            transfer = self._accepted.pop(association, None)
        if accepted:
            requests = transfer.requests if transfer is not None else Counter()
            self._ended(str(association.requestor.ae_title), str(association.requestor.address), requests, None)

    def close(self) -> None:
        """Accept no more connections; associations get some seconds to end, then each is aborted after its request."""
        self._server.shutdown_listening()
        self._wait(GRACE_SECONDS)
        with self._lock:
            transfers = [one for one in self._accepted.values() if one is not None]
        for transfer in transfers:
            transfer.stop()
        for association in self._wait(GRACE_SECONDS):  # for what is being stored to be answered
            _kill_connection(association)

    def _wait(self, seconds: float) -> list[Any]:
        """Wait for all associations to end, and end connections that have requested none; returns what is left."""
        deadline = time.monotonic() + seconds
        while (left := self._server.active_associations) and time.monotonic() < deadline:
            for association in left:
                if not (association.is_established or association.is_released or association.is_aborted):
                    _kill_connection(association)
            time.sleep(0.05)
        return list(left)

    def _log_declined_classes(self, association: Any) -> None:
        """Log the requested storage classes that are not accepted: their files never come."""
        from pydicom.uid import UID

        accepted = {VERIFICATION, *self.config.sop_classes}
        requested = {str(context.abstract_syntax) for context in association.requestor.requested_contexts}
        names = sorted(UID(uid).name for uid in requested - accepted)
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            log.info(
                "classes_declined",
                "%(sender)s: declined: %(classes)s (--all-classes accepts every kind)",
                sender=requestor(association),
                classes=", ".join(names[:5]) + more,
            )

    def _negotiate(self, event: evt.Event) -> None:
        """Accept an association, or reject it and log why (PS3.8, 9.3.4)."""
        association = event.assoc
        request: Any = association.requestor.primitive
        title, called = str(request.calling_ae_title).strip(), str(request.called_ae_title).strip()
        association.requestor.ae_title = title
        address = str(association.requestor.address)
        code, reason = None, rejection_reason(self.config.peers, title, address)
        if called != self.config.title and not self.config.any_title:
            code, reason = _CALLED_UNKNOWN, f"it calls {called!r}, this node is {self.config.title!r}"
        elif reason is not None:
            code = _CALLING_UNKNOWN
        else:
            with self._lock:
                self._accepted = {one: transfer for one, transfer in self._accepted.items() if one.is_alive()}
                if len(self._accepted) >= self.config.max_associations:
                    code, reason = _LIMIT_EXCEEDED, f"{len(self._accepted)} associations are open (--max-associations)"
                else:
                    self._accepted[association] = None
        if code is None:
            log.info("association_accepted", "%(sender)s: association accepted", sender=requestor(association))
            self._log_declined_classes(association)
            return
        log.warning("association_rejected", _REJECTED, sender=requestor(association), reason=reason)
        association.acse.send_reject(*code)
        association.kill()
        self._ended(title, address, Counter(), str(reason))


def _read_request(event: evt.Event) -> None:
    """Replace a connection's `recv`, by which pynetdicom reads the association request.

    Its own reads PDUs of up to 4 GiB. The whole PDU is read before its length is told, since `repaired` may change it.
    """
    association: Any = event.assoc
    wrapped = association.dul.socket
    address = association.requestor.address
    association.reader = pdu.Reader(wrapped.socket, REQUEST_SECONDS)
    repaired_body = bytearray()
    first = True

    def read(count: int) -> bytearray:
        try:
            return bytearray(association.reader.read(count))
        except pdu.PduRefused as error:
            log.warning("connection_ended", ENDED, sender=address, reason=error)
            raise

    def recv(count: int) -> bytearray:
        nonlocal first
        if repaired_body:
            data = repaired_body[:count]
            repaired_body.clear()
            return data
        data = read(count)
        if first and len(data) == pdu.HEAD and data[0] == pdu.ASSOCIATE_RQ:
            body = association_request.repaired(bytes(read(int.from_bytes(data[2:], "big"))))
            if not association_request.calling_title(body):
                log.warning("association_rejected", _BLANK_TITLE, sender=address)
            repaired_body.extend(body)
            data = data[:2] + len(body).to_bytes(4, "big")
        first = False
        return data

    wrapped.recv = recv


def _hand_over(event: evt.Event) -> None:
    """End pynetdicom's thread of a connection once it has sent the acceptance, before it reads what comes then."""
    if type(event.pdu).__name__ == "A_ASSOCIATE_AC":
        event.assoc.dul.kill_dul()


def _log_refused(event: evt.Event) -> None:
    """Log an abort that is sent before there is an association: what came is no association request."""
    if type(event.pdu).__name__ == "A_ABORT_RQ" and not event.assoc.is_established and not event.assoc.is_aborted:
        address = event.assoc.requestor.address
        log.warning("connection_ended", ENDED, sender=address, reason="no valid association request came")


def _kill_connection(association: Any) -> None:
    """End the connection and the thread that reads from it, which may be waiting for the rest of a PDU."""
    association.dul.kill_dul()
    wrapped = association.dul.socket
    with contextlib.suppress(OSError, AttributeError):  # it was closed meanwhile
        wrapped.socket.shutdown(socket.SHUT_RDWR)


class _Server(ThreadedAssociationServer):
    """pynetdicom's server, with time limits, and with the TLS handshake in the connection's own thread."""

    request_queue_size = 128
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, without the TLS handshake: a silent client would block all others."""
        assert self.socket is not None
        connection, address = self.socket.accept()
        # else reading from a client that falls silent within a PDU would never end
        connection.settimeout(self.ae.network_timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Make the TLS handshake, then the association; called in the connection's own thread."""
        if self.ssl_context is not None:
            request.settimeout(REQUEST_SECONDS)
            try:
                request = self.ssl_context.wrap_socket(request, server_side=True)
            except OSError as error:  # ssl.SSLError is one
                log.warning(
                    "no_tls",
                    "%(sender)s: no TLS connection: %(reason)s",
                    sender=client_address[0],
                    reason=error,
                )
                request.close()
                return
            request.settimeout(self.ae.network_timeout)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a line, instead of printing a traceback to stderr."""
        log.warning(
            "connection_failed", "%(sender)s: the connection failed", exc_info=log.debugs, sender=client_address[0]
        )

    def shutdown_listening(self) -> None:
        """Accept no more connections."""
        BaseServer.shutdown(self)  # pynetdicom's own expects a server that `AE.start_server` created
        self.server_close()
