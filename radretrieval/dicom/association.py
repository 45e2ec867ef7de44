"""Associations that this program requests (PS3.8): opened, or an error that says why the node did not accept."""

from __future__ import annotations

import logging
import socket
import time
import warnings
from collections.abc import Sequence
from typing import Any

from radretrieval.dicom.address import Address
from radretrieval.errors import EnvironmentUnusable

CONNECT_SECONDS = 5.0
ACSE_SECONDS = 10.0  # for the node to accept or to reject the association
DIMSE_SECONDS = 60.0
TRANSIENT = 2  # the result of a rejection (PS3.8, 9.3.4)


class NodeBusy(EnvironmentUnusable):
    """The node rejects the association for now: it has as many as it accepts."""


def associate(
    node: Address, own_title: str, contexts: Sequence[Any], roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
) -> Any:
    """Open an association with a node.

    Parameters
    ----------
    own_title : the calling AE title.
    contexts, roles, handlers : presentation contexts, role selections and event handlers of pynetdicom.

    Raises
    ------
    EnvironmentUnusable : the node cannot be reached, rejects the association (NodeBusy: for now), or accepts none of
    the contexts.
    """
    from pynetdicom import AE, evt

    for name in ("pynetdicom", "pydicom"):  # what they would log is in our messages
        logging.getLogger(name).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=name)
    ae = AE(ae_title=own_title)
    ae.connection_timeout, ae.acse_timeout = CONNECT_SECONDS, ACSE_SECONDS
    ae.dimse_timeout = ae.network_timeout = DIMSE_SECONDS
    opened: list[Any] = []
    rejections: list[Any] = []

    def keep_rejection(event: Any) -> None:
        # pynetdicom loses the reason where the connection is closed immediately after it
        if type(event.pdu).__name__ == "A_ASSOCIATE_RJ":
            rejections.append(event.pdu)

    all_handlers = [(evt.EVT_CONN_OPEN, opened.append), (evt.EVT_PDU_RECV, keep_rejection), *handlers]
    started = time.monotonic()
    try:
        association = ae.associate(
            node.host, node.port, list(contexts), node.title, ext_neg=list(roles), evt_handlers=all_handlers
        )
    except OSError as error:  # the host name cannot be resolved
        raise EnvironmentUnusable(_unreachable(node, error.strerror or str(error))) from error
    if association.is_established:
        return association
    if not opened:
        raise EnvironmentUnusable(_unreachable(node, _network_reason(node)))
    if rejections:
        kind = NodeBusy if rejections[-1].result == TRANSIENT else EnvironmentUnusable
        raise kind(_rejected(node, rejections[-1], own_title))
    raise EnvironmentUnusable(_not_accepted(node, association, time.monotonic() - started))


def _unreachable(node: Address, reason: str) -> str:
    return f"{node} cannot be reached ({reason}); check host, port, firewall, and that it runs"


def _network_reason(node: Address) -> str:
    """Why no TCP connection can be made: pynetdicom does not report it, so it is tried once more."""
    try:
        socket.create_connection((node.host, node.port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return "the connection was not made in time"


def _rejected(node: Address, rejection: Any, own_title: str) -> str:
    """Why a node rejects an association (PS3.8, 9.3.4), and what to do."""
    reason = f"{rejection.result_str.lower()}: {rejection.reason_str.lower()}"
    if "called" in reason:
        return f"{node} refuses the association ({reason}): its AE title is not {node.title}; correct it"
    if "calling" in reason:
        return (
            f"{node} refuses the association ({reason}): it does not know the AE title {own_title}; name the AE title "
            "under which it knows this program with --ae-title, or have it added there"
        )
    return f"{node} refuses the association ({reason}); try again later, or ask its administrator"


def _not_accepted(node: Address, association: Any, seconds: float) -> str:
    """Why there is no association with a node that accepted the connection and did not reject the association."""
    if association.rejected_contexts:
        return (
            f"{node} accepts none of the kinds of object or service that are needed; its administrator must allow them"
        )
    outcome = "ends the association at once"
    if seconds >= ACSE_SECONDS:
        outcome = f"does not answer as a DICOM node within {ACSE_SECONDS:.0f} s"
    return f"{node} accepts connections and {outcome}; check the port, whether it requires TLS, and its log"
