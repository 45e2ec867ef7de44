"""A DICOM node that listens: pynetdicom's server, made safe against peers that are silent, slow or not invited."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any

import pynetdicom
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from radretrieval.dicom.scp.access import Peer, refusal
from radretrieval.dicom.sop_classes import VERIFICATION, syntaxes_of
from radretrieval.errors import EnvironmentUnusable
from radretrieval.files.uris import printable

log = logging.getLogger(__name__)

# Seconds. Who connects and says nothing is let go soon; who has an association may think longer.
REQUEST_SECONDS = 5.0
GRACE_SECONDS = 5.0  # for associations, when the node stops
# The largest that peers like to use: a file of 100 kB comes in one piece, large ones 1.6 times faster than in 16 kB.
PDU_BYTES = 131072
LARGEST_PDU = 2**20  # no data comes in larger ones; a request for all contexts that there are takes a quarter of it
# PS3.8, 9.3.4: result, source, reason of a rejection
_CALLING_UNKNOWN = (1, 1, 3)
_CALLED_UNKNOWN = (1, 1, 7)
_LIMIT_EXCEEDED = (2, 3, 2)

Store = Callable[[evt.Event], int]


@dataclass(frozen=True)
class Node:
    """What a node is, and whom it lets in.

    Attributes
    ----------
    title : its AE title; a caller must name it, unless `any_title`.
    host, port : where it listens; port 0 is any free one.
    peers : who may send; nobody named, everyone may.
    tls : encrypts, if there is one.
    max_associations : at one time; connections that ask for none do not count.
    idle_seconds : an association in which nothing happens for so long is ended.
    sop_classes : UIDs of what it takes.
    """

    title: str
    host: str
    port: int
    sop_classes: Sequence[str]
    peers: Sequence[Peer] = ()
    any_title: bool = False
    tls: ssl.SSLContext | None = None
    max_associations: int = 50
    idle_seconds: float = 60.0


def sender(association: Any) -> str:
    """Who is at the other end, for messages: AE title and address."""
    return f"{printable(str(association.requestor.ae_title))} at {association.requestor.address}"


class Listener:
    """A node that runs from its making to `close`.

    Parameters
    ----------
    store : called for each C-STORE request, in the thread of its association; returns the status.

    Raises
    ------
    EnvironmentUnusable : it cannot listen there.
    """

    def __init__(self, node: Node, store: Store) -> None:
        pynetdicom._config.LOG_HANDLER_LEVEL = "none"  # else each PDU is described to a log that nobody keeps
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it logs tracebacks of what peers do wrong
        self.node = node
        self._admitted: set[Any] = set()
        self._lock = threading.Lock()
        ae = AE(node.title)
        ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = REQUEST_SECONDS, 30, node.idle_seconds
        ae.maximum_pdu_size = PDU_BYTES
        ae.maximum_associations = 2**31  # it counts connections; `_admit` counts associations
        for sop_class in (VERIFICATION, *node.sop_classes):
            ae.add_supported_context(sop_class, list(syntaxes_of(sop_class)))
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, _bound),
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_C_STORE, store),
            (evt.EVT_ABORTED, _ended),
        ]
        options: dict[str, Any] = {"evt_handlers": handlers, "server_class": _Server, "ssl_context": node.tls}
        try:
            self._server: Any = ae.make_server((node.host, node.port), **options)
        except OSError as error:
            raise EnvironmentUnusable(
                f"nothing can listen on {node.host or '*'}:{node.port} ({error.strerror or error}); another program "
                "may have the port: name another one with --port, or an address of this machine with --host"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let nobody in any more; associations may end what they do, for some seconds, then they are aborted."""
        self._server.shutdown_listening()
        deadline = time.monotonic() + GRACE_SECONDS
        while (left := self._server.active_associations) and time.monotonic() < deadline:
            for association in left:
                if not (association.is_established or association.is_released or association.is_aborted):
                    _cut(association)
            time.sleep(0.05)
        for association in left:
            log.warning("%s: aborted, for this node stops", sender(association))
            association.abort(block=False)
        if left:
            time.sleep(0.2)  # for the aborts to be sent
        for association in left:
            _cut(association)

    def _tell_declined(self, association: Any) -> None:
        """A line of the log that answers why files of a kind never come."""
        from pydicom.uid import UID

        known = {VERIFICATION, *self.node.sop_classes}
        asked = {str(context.abstract_syntax) for context in association.requestor.requested_contexts}
        names = sorted(UID(uid).name for uid in asked - known)
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            shown = printable(", ".join(names[:5]))
            log.info("%s: declined: %s%s (--all-classes takes every kind)", sender(association), shown, more)

    def _admit(self, event: evt.Event) -> None:
        """Let an association in, or reject it and log why (PS3.8, 9.3.4)."""
        association = event.assoc
        request: Any = association.requestor.primitive
        title, called = str(request.calling_ae_title).strip(), str(request.called_ae_title).strip()
        association.requestor.ae_title = title
        address = str(association.requestor.address)
        code, why = None, refusal(self.node.peers, title, address)
        if called != self.node.title and not self.node.any_title:
            code, why = _CALLED_UNKNOWN, f"it calls {called!r}, this node is {self.node.title!r}"
        elif why is not None:
            code = _CALLING_UNKNOWN
        else:
            with self._lock:
                self._admitted = {one for one in self._admitted if one.is_alive()}
                if len(self._admitted) >= self.node.max_associations:
                    code, why = _LIMIT_EXCEEDED, f"{len(self._admitted)} associations are open (--max-associations)"
                else:
                    self._admitted.add(association)
        if code is None:
            log.info("%s: association accepted", sender(association))
            self._tell_declined(association)
            return
        log.warning("%s: association rejected: %s", sender(association), printable(str(why)))
        association.acse.send_reject(*code)
        association.kill()


def _bound(event: evt.Event) -> None:
    """Have a connection read whole PDUs at once, and none that is larger than any can be.

    pynetdicom's own reading takes 4 kB at a time, and from anyone as much as 4 GiB.
    """
    wrapped: Any = event.assoc.dul.socket
    peer = event.assoc.requestor.address

    def recv(count: int) -> bytearray:
        if count > LARGEST_PDU:
            log.warning("%s: the connection is ended: it announces a PDU of %d bytes", peer, count)
            raise OSError("the PDU is too large")
        data = bytearray(count)
        view, got = memoryview(data), 0
        while got < count and (more := wrapped.socket.recv_into(view[got:])):
            got += more
        return data if got == count else data[:got]

    wrapped.recv = recv


def _cut(association: Any) -> None:
    """End the connection and the thread that reads from it, which may be waiting for half a message."""
    association.dul.kill_dul()
    wrapped = association.dul.socket
    with contextlib.suppress(OSError, AttributeError):  # closed meanwhile
        wrapped.socket.shutdown(socket.SHUT_RDWR)


def _ended(event: evt.Event) -> None:
    log.warning("%s: the association was aborted", sender(event.assoc))


class _Server(ThreadedAssociationServer):
    """pynetdicom's server, with what a peer can delay done in the peer's own thread, and with time limits."""

    request_queue_size = 128
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection; without TLS yet: a peer that does not go on with that would hold up all others."""
        assert self.socket is not None
        connection, address = self.socket.accept()
        # else a peer that sends half a message and falls silent would be waited for without an end
        connection.settimeout(self.ae.network_timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: TLS, then the association."""
        if self.ssl_context is not None:
            request.settimeout(REQUEST_SECONDS)
            try:
                request = self.ssl_context.wrap_socket(request, server_side=True)
            except OSError as error:  # ssl.SSLError is one
                log.warning("%s: no TLS connection: %s", client_address[0], error)
                request.close()
                return
            request.settimeout(self.ae.network_timeout)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A line of the log, not a traceback on stderr."""
        log.warning("%s: the connection failed", client_address[0], exc_info=log.isEnabledFor(logging.DEBUG))

    def shutdown_listening(self) -> None:
        """Take no more connections."""
        BaseServer.shutdown(self)  # pynetdicom's own looks for it among the servers that `AE.start_server` made
        self.server_close()
