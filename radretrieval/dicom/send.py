"""DICOM objects to another node: C-STORE (PS3.4, annex B) or STOW-RS (PS3.18, 10.5)."""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radretrieval.dicom.address import Address
from radretrieval.dicom.association import DIMSE_SECONDS, associate
from radretrieval.dicom.json_model import value, values
from radretrieval.dicom.transfer_syntaxes import EXPLICIT, IMPLICIT
from radretrieval.errors import EnvironmentUnusable
from radretrieval.files.text import printable
from radretrieval.storage.wado import CONNECT_SECONDS, READ_SECONDS
from radretrieval.storage.web_session import (
    authorization,
    certificate_refused,
    innermost_reason,
    session_with,
    untrusted,
)

# What to do, by the first digits of a status (PS3.4, table B.2-1; PS3.7, annex C).
_ADVICE = {
    "A7": "its administrator finds the reason (a full disk, say) in its log; then send again",
    "A9": "its log names the attribute that is missing",
    "C": "its log names what it does not understand",
    "0122": "its administrator must allow this kind of object",
    "0124": "its administrator must allow our AE title (--ae-title) to store",
}


def c_store(node: Address, objects: Sequence[Any], own_title: str) -> list[str]:
    """Store objects at a node, over one association; returns its warnings, in words.

    Parameters
    ----------
    objects : pydicom data sets with file meta information. own_title : the calling AE title.

    Raises
    ------
    EnvironmentUnusable : the node cannot be reached, rejects the association or an object, or could not store one.
    """
    from pynetdicom import build_context

    # explicit VR first: our objects need no conversion to it
    classes = dict.fromkeys(str(one.SOPClassUID) for one in objects)
    association = associate(node, own_title, [build_context(one, [EXPLICIT, IMPLICIT]) for one in classes])
    try:
        return [warning for one in objects for warning in _store(node, association, one)]
    finally:
        if association.is_established:
            association.release()


def _store(node: Address, association: Any, one: Any) -> list[str]:
    from pydicom.uid import UID

    name = UID(one.SOPClassUID).name
    try:
        answer = association.send_c_store(one)
    except ValueError as error:  # no presentation context for this object was accepted
        raise EnvironmentUnusable(
            f"{node} does not accept objects of the kind {name} ({error}); its administrator must allow it"
        ) from error
    except RuntimeError:  # the association has ended
        answer = {}
    if "Status" not in answer:
        raise EnvironmentUnusable(
            f"{node} gave no answer to {name} and ended the association, or was silent for {DIMSE_SECONDS:.0f} s: "
            "whether it has stored it is not known; look there, and send again"
        )
    status = int(answer.Status)
    answered = f"{node} answers {status_words(status, str(answer.get('ErrorComment') or ''))} to {name}"
    if status == 0:
        return []
    if status & 0xF000 == 0xB000:  # a warning: it is stored (PS3.4, B.2.3)
        return [f"{answered}: it is stored"]
    digits = f"{status:04X}"
    advice = next((text for start, text in _ADVICE.items() if digits.startswith(start)), "its log has the reason")
    raise EnvironmentUnusable(f"{answered}: it is not stored; {advice}")


def status_words(status: int, comment: str = "") -> str:
    """A status of the storage service in words, as `0xA700 (Refused: Out of Resources)`."""
    from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

    kind, words = STORAGE_SERVICE_CLASS_STATUS.get(status, ("", ""))
    parts = [part for part in (words or kind, printable(comment)[:128]) if part]
    return f"0x{status:04X}" + (f" ({'; '.join(parts)})" if parts else "")


def stow(url: str, objects: Sequence[Any], credentials: Path | None) -> list[str]:
    """Store objects at a DICOMweb server, in one request; returns its warnings, in words.

    Parameters
    ----------
    url : the root of the server's DICOMweb services.
    objects : as in `c_store`. credentials : file of user and password, or of a bearer token.

    Raises
    ------
    EnvironmentUnusable : the server cannot be reached, rejects the credentials, or has not stored every object.
    """
    import requests

    boundary = uuid.uuid4().hex
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    target, times = f"{url}/studies", (CONNECT_SECONDS, READ_SECONDS)
    body = _multipart(objects, boundary)
    try:
        with session_with(authorization(credentials)) as session:
            # no redirection: the POST would become a GET
            answer = session.post(target, data=body, headers=headers, timeout=times, allow_redirects=False)
    except requests.exceptions.ReadTimeout as error:
        raise EnvironmentUnusable(
            f"{url} gave no answer within {READ_SECONDS:.0f} s: whether it has stored anything is not known; look "
            "there, and send again"
        ) from error
    except requests.RequestException as error:
        if certificate_refused(error):
            raise untrusted(url, error) from error
        raise EnvironmentUnusable(
            f"{url} cannot be reached ({innermost_reason(error)}); check the URL, the firewall, and that it runs"
        ) from error
    return _stow_warnings(url, answer, len(objects))


def _multipart(objects: Sequence[Any], boundary: str) -> bytes:
    """The objects as files (PS3.10) in one multipart message (PS3.18, 8.6)."""
    body = bytearray()
    for one in objects:
        buffer = io.BytesIO()
        one.save_as(buffer, enforce_file_format=True)
        body += f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + buffer.getvalue() + b"\r\n"
    return bytes(body + f"--{boundary}--\r\n".encode())


def _stow_warnings(url: str, answer: Any, count: int) -> list[str]:
    """The warnings of a response (PS3.18, 10.5.3); raises EnvironmentUnusable where an object is not stored."""
    code, answered = answer.status_code, f"{url} answers {answer.status_code} {answer.reason}"
    if code in (401, 403):
        raise EnvironmentUnusable(
            f"{answered}: it does not let us store; name a file of user:password, or of a bearer token, with "
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
        raise EnvironmentUnusable(f"{answered}: {'; '.join(failed)}; its log has the reason")
    if code not in (200, 202):
        raise EnvironmentUnusable(f"{answered} for {url}/studies; check that this is the root of its DICOMweb services")
    if document and len(stored) < count:
        raise EnvironmentUnusable(f"{answered}: it has stored {len(stored)} of {count} objects; its log has the reason")
    reasons = [value(item, "00081196") for item in stored]  # Warning Reason
    return [f"{answered}: stored, with the warning {status_words(int(reason))}" for reason in reasons if reason]


def _items(document: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    return [item for item in values(document, tag) if isinstance(item, dict)]


def _failure(item: dict[str, Any]) -> str:
    from pydicom.uid import UID

    name = UID(str(value(item, "00081150") or "an object")).name  # Referenced SOP Class UID
    reason = value(item, "00081197")  # Failure Reason
    return f"{name} is not stored{f', {status_words(int(reason))}' if reason else ''}"
