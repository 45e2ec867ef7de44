"""Objects go to a peer: C-STORE (PS3.4, annex B) or STOW-RS (PS3.18, 10.5). What it refuses is told in its words."""

from __future__ import annotations

import io
import logging
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.files.uris import printable
from radretrieval.storage.wado import CONNECT_SECONDS, READ_SECONDS, authorization

ANSWER_SECONDS = 10.0  # for a peer to take or to refuse an association
_TRANSFER_SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]  # explicit first: what we have needs no conversion
# What to do, by the first digits of a status (PS3.4, table B.2-1; PS3.7, annex C).
_WAYS_OUT = {
    "A7": "its administrator finds the reason (a full disk, say) in its log; then send again",
    "A9": "its log tells which attribute it misses",
    "C": "its log tells what it does not understand",
    "0122": "its administrator must allow this kind of object",
    "0124": "its administrator must allow our AE title (--ae-title) to store",
}


@dataclass(frozen=True)
class Peer:
    """A DICOM node that takes objects; printed as AET@host:port."""

    ae_title: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"


def peer_of(text: str) -> Peer:
    """The peer that AET@host:port names; raises UsageError for another form."""
    found = re.fullmatch(r"([^@]+)@(\[[0-9A-Fa-f:.]+\]|[^@:\s]+):([0-9]{1,5})", text)
    if found is None or not 0 < int(found[3]) < 65536:
        raise UsageError(f"--store-to {printable(text)}: the form is AET@host:port, as ORTHANC@pacs.example:4242")
    return Peer(checked_ae_title(found[1], "--store-to"), found[2].strip("[]"), int(found[3]))


def checked_ae_title(text: str, option: str) -> str:
    """An AE title (PS3.5, 6.2: 1 to 16 characters of ASCII, no backslash, not blank); raises UsageError for another."""
    title = text.strip(" ")
    if not 0 < len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise UsageError(
            f"{option} {printable(text)}: an AE title has 1 to 16 characters of ASCII and no backslash; its "
            "administrator tells the right one"
        )
    return title


def checked_url(text: str) -> str:
    """The root of a DICOMweb server without a slash at its end; raises UsageError for what is none."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError as error:
        raise UsageError(f"--stow {printable(text)}: {error}; the form is https://host/dicom-web") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"--stow {printable(text)}: the form is https://host/dicom-web, the root of a DICOMweb server")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "--stow: user and password do not belong into a URL, which others can read; write them into a file and "
            "name it with RADRETRIEVAL_CREDENTIALS"
        )
    return text.rstrip("/")


def c_store(peer: Peer, objects: Sequence[Any], ae_title: str) -> list[str]:
    """Store objects at a peer, over one association; returns what it remarked, in words.

    Parameters
    ----------
    objects : pydicom data sets with file meta information.
    ae_title : how we call ourselves.

    Raises
    ------
    EnvironmentUnusable : the peer cannot be reached, does not take us or these objects, or could not store one.
    """
    from pynetdicom import AE, evt

    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # what it would log, we raise
    ae = AE(ae_title=ae_title)
    ae.connection_timeout, ae.acse_timeout = CONNECT_SECONDS, ANSWER_SECONDS
    ae.dimse_timeout = ae.network_timeout = READ_SECONDS
    for kind in dict.fromkeys(str(one.SOPClassUID) for one in objects):
        ae.add_requested_context(kind, _TRANSFER_SYNTAXES)
    opened: list[Any] = []
    received: list[Any] = []
    handlers: list[Any] = [(evt.EVT_CONN_OPEN, opened.append), (evt.EVT_PDU_RECV, received.append)]
    begun = time.monotonic()
    try:
        association = ae.associate(peer.host, peer.port, ae_title=peer.ae_title, evt_handlers=handlers)
    except OSError as error:  # a name that is none
        raise EnvironmentUnusable(_unreachable(peer, error.strerror or str(error))) from error
    if not association.is_established:
        if not opened:
            raise EnvironmentUnusable(_unreachable(peer, _network_reason(peer)))
        # the peer's own words: pynetdicom forgets them where the connection is closed right behind them
        refusals = [event.pdu for event in received if type(event.pdu).__name__ == "A_ASSOCIATE_RJ"]
        if refusals:
            raise EnvironmentUnusable(_refused(peer, refusals[-1], ae_title))
        raise EnvironmentUnusable(_not_associated(peer, association, time.monotonic() - begun))
    try:
        return [remark for one in objects for remark in _stored(peer, association, one)]
    finally:
        if association.is_established:
            association.release()


def _stored(peer: Peer, association: Any, one: Any) -> list[str]:
    from pydicom.uid import UID

    name = UID(one.SOPClassUID).name
    try:
        answer = association.send_c_store(one)
    except ValueError as error:  # no context that was accepted is for this object
        raise EnvironmentUnusable(
            f"{peer} does not take objects of the kind {name} ({error}); its administrator must allow it"
        ) from error
    except RuntimeError:  # the association has ended meanwhile
        answer = {}
    if "Status" not in answer:
        raise EnvironmentUnusable(
            f"{peer} gave no answer to {name} and ended the association, or was silent for {READ_SECONDS:.0f} s: "
            "whether it has stored it is not known; look there, and send again"
        )
    status = int(answer.Status)
    told = f"{peer} answers {status_words(status, str(answer.get('ErrorComment') or ''))} to {name}"
    if status == 0:
        return []
    if status & 0xF000 == 0xB000:  # a warning: it is stored (PS3.4, B.2.3)
        return [f"{told}: it is stored"]
    raise EnvironmentUnusable(f"{told}: it is not stored; {_way_out(status)}")


def status_words(status: int, comment: str = "") -> str:
    """A status of a storage service in words, as `0xA700 (Refused: Out of Resources)`."""
    from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

    kind, words = STORAGE_SERVICE_CLASS_STATUS.get(status, ("", ""))
    parts = [part for part in (words or kind, printable(comment)[:128]) if part]
    return f"0x{status:04X}" + (f" ({'; '.join(parts)})" if parts else "")


def _way_out(status: int) -> str:
    text = f"{status:04X}"
    return next((way for start, way in _WAYS_OUT.items() if text.startswith(start)), "its log tells why")


def _not_associated(peer: Peer, association: Any, seconds: float) -> str:
    """Why there is no association with a peer that was reached and did not reject it."""
    if association.rejected_contexts:
        return f"{peer} takes none of the kinds of object that were to be sent; its administrator must allow them"
    met = "ends the association at once"
    if seconds >= ANSWER_SECONDS:
        met = f"does not answer as a DICOM node within {ANSWER_SECONDS:.0f} s"
    return f"{peer} takes connections and {met}; check the port, whether it asks for TLS, and its log"


def _refused(peer: Peer, refusal: Any, ae_title: str) -> str:
    """Why it rejects an association (PS3.8, 9.3.4), and what to do."""
    reason = f"{refusal.result_str.lower()}: {refusal.reason_str.lower()}"
    if "called" in reason:
        return f"{peer} refuses the association ({reason}): it has another AE title; correct --store-to"
    if "calling" in reason:
        return (
            f"{peer} refuses the association ({reason}): it does not know {ae_title}; name the AE title under "
            "which it knows this program with --ae-title, or have it added there"
        )
    return f"{peer} refuses the association ({reason}); try again later, or ask its administrator"


def _unreachable(peer: Peer, reason: str) -> str:
    return f"{peer} cannot be reached ({reason}); check host, port, firewall, and that it runs"


def _network_reason(peer: Peer) -> str:
    import socket

    try:
        socket.create_connection((peer.host, peer.port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return "the connection was not made in time"


def stow(url: str, objects: Sequence[Any], credentials: Path | None) -> list[str]:
    """Store objects at a DICOMweb server, in one request; returns what it remarked, in words.

    Parameters
    ----------
    url : the root of the server's DICOMweb services.
    objects : as in `c_store`. credentials : file of user and password, or of a bearer token.

    Raises
    ------
    EnvironmentUnusable : the server cannot be reached, does not let us in, or has not stored every object.
    """
    import requests

    boundary = uuid.uuid4().hex
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
        **authorization(credentials),
    }
    target, times = f"{url}/studies", (CONNECT_SECONDS, READ_SECONDS)
    body = _multipart(objects, boundary)
    try:
        # a redirected POST would become a GET, and credentials would go elsewhere
        answer = requests.post(target, data=body, headers=headers, timeout=times, allow_redirects=False)
    except requests.exceptions.SSLError as error:
        raise EnvironmentUnusable(
            f"{url} has a certificate that is not trusted here ({_reason(error)}); name the file of its authority "
            "with REQUESTS_CA_BUNDLE"
        ) from error
    except requests.exceptions.ReadTimeout as error:
        raise EnvironmentUnusable(
            f"{url} gave no answer within {READ_SECONDS:.0f} s: whether it has stored anything is not known; look "
            "there, and send again"
        ) from error
    except requests.RequestException as error:
        raise EnvironmentUnusable(
            f"{url} cannot be reached ({_reason(error)}); check the URL, the firewall, and that it runs"
        ) from error
    return _stow_remarks(url, answer, len(objects))


def _multipart(objects: Sequence[Any], boundary: str) -> bytes:
    """The objects as files (PS3.10) in one message of several parts (PS3.18, 8.6)."""
    body = bytearray()
    for one in objects:
        buffer = io.BytesIO()
        one.save_as(buffer, enforce_file_format=True)
        body += f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + buffer.getvalue() + b"\r\n"
    return bytes(body + f"--{boundary}--\r\n".encode())


def _stow_remarks(url: str, answer: Any, count: int) -> list[str]:
    """What the server's answer says (PS3.18, 10.5.3); raises EnvironmentUnusable where something is not stored."""
    code, told = answer.status_code, f"{url} answers {answer.status_code} {answer.reason}"
    if code in (401, 403):
        raise EnvironmentUnusable(
            f"{told}: it does not let us store; name a file of user:password, or of a bearer token, with "
            "RADRETRIEVAL_CREDENTIALS"
        )
    try:
        document = answer.json()
    except ValueError:
        document = {}
    document = document[0] if isinstance(document, list) and document else document
    document = document if isinstance(document, dict) else {}
    failed = [_failure(item) for item in _items(document, "00081198")]  # Failed SOP Sequence
    stored = _items(document, "00081199")  # Referenced SOP Sequence
    if failed:
        raise EnvironmentUnusable(f"{told}: {'; '.join(failed)}; its log tells why")
    if code not in (200, 202):
        raise EnvironmentUnusable(f"{told} for {url}/studies; check that this is the root of its DICOMweb services")
    if document and len(stored) < count:
        raise EnvironmentUnusable(f"{told}: it has stored {len(stored)} of {count} objects; its log tells why")
    remarks = [_value(item, "00081196") for item in stored]  # Warning Reason
    return [f"{told}: stored, with the warning {status_words(int(reason))}" for reason in remarks if reason]


def _failure(item: dict[str, Any]) -> str:
    from pydicom.uid import UID

    name = UID(str(_value(item, "00081150") or "an object")).name  # Referenced SOP Class UID
    reason = _value(item, "00081197")  # Failure Reason
    return f"{name} is not stored{f', {status_words(int(reason))}' if reason else ''}"


def _items(document: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    values = document.get(tag, {}).get("Value") or []
    return [item for item in values if isinstance(item, dict)]


def _value(item: dict[str, Any], tag: str) -> Any:
    return ((item.get(tag) or {}).get("Value") or [None])[0]


def _reason(error: Exception) -> str:
    """The innermost of the reasons that requests and urllib3 put around each other."""
    inner: BaseException = error
    while (following := inner.__cause__ or inner.__context__ or getattr(inner, "reason", None)) is not None:
        if not isinstance(following, BaseException):
            break
        inner = following
    return " ".join(str(getattr(inner, "strerror", None) or inner).split())[:200]
