"""Rows of the audit for other systems: lines of JSON, and DICOM audit messages (PS3.15 A.5)."""

from __future__ import annotations

import base64
import json
from datetime import UTC
from typing import Any, NamedTuple
from xml.etree import ElementTree

from radretrieval.archive.audit_trail import AuditRow

OWN = "99RADRETRIEVAL"  # our coding scheme


class _Code(NamedTuple):
    value: str
    meaning: str
    scheme: str = "DCM"

    def attributes(self) -> dict[str, str]:
        return {"csd-code": self.value, "codeSystemName": self.scheme, "originalText": self.meaning}


class _Event(NamedTuple):
    """EventID (CID 400), EventActionCode, and the EventTypeCode (CID 401) where DICOM has one."""

    identifier: _Code
    action: str
    kind: _Code | None = None


_APPLICATION = _Code("110100", "Application Activity")
_LOG_USED = _Code("110101", "Audit Log Used")
_ACCESSED = _Code("110103", "DICOM Instances Accessed")
_TRANSFERRED = _Code("110104", "DICOM Instances Transferred")
_DELETED = _Code("110105", "DICOM Study Deleted")
_EXPORT = _Code("110106", "Export")
_IMPORT = _Code("110107", "Import")
_QUERY = _Code("110112", "Query")
_ALERT = _Code("110113", "Security Alert")
_USER = _Code("110114", "User Authentication")
_LOGIN = _Code("110122", "Login")
_SOFTWARE = _Event(_ALERT, "E", _Code("110131", "Software Configuration"))
_SECURITY = _Event(_ALERT, "E", _Code("110129", "Security Configuration"))

EVENTS = {
    "search": _Event(_QUERY, "E"),
    "search many": _Event(_QUERY, "E"),
    "ingest": _Event(_IMPORT, "C"),
    "keep": _Event(_IMPORT, "C"),
    "pull": _Event(_IMPORT, "C"),
    "association": _Event(_TRANSFERRED, "C"),
    "association rejected": _Event(_ALERT, "E", _Code("110126", "Node Authentication")),
    "send": _Event(_TRANSFERRED, "R"),
    "output": _Event(_EXPORT, "R"),
    "export": _Event(_EXPORT, "R"),
    "feedback export": _Event(_EXPORT, "R"),
    "backup": _Event(_EXPORT, "R"),
    "restore": _Event(_IMPORT, "C"),
    "feedback": _Event(_ACCESSED, "U"),
    "label report": _Event(_ACCESSED, "U"),
    "label report dismissed": _Event(_ACCESSED, "U"),
    "withdraw": _Event(_ACCESSED, "U"),
    "forget": _Event(_DELETED, "D"),
    "login": _Event(_USER, "E", _LOGIN),
    "login refused": _Event(_USER, "E", _LOGIN),
    "logout": _Event(_USER, "E", _Code("110123", "Logout")),
    "audit export": _Event(_LOG_USED, "R"),
    "audit prune": _Event(_LOG_USED, "D"),
    "db roles": _Event(_ALERT, "E", _Code("110136", "Security Roles Changed")),
    "patient-key rotate": _SECURITY,
    "patient-key accept": _SECURITY,
    "patient-key of": _SECURITY,
    "train": _SOFTWARE,
    "encoder activate": _SOFTWARE,
    "encoder delete": _SOFTWARE,
    "encoder import": _SOFTWARE,
    "encoder export": _Event(_EXPORT, "R"),
    "index build": _SOFTWARE,
    "index drop": _SOFTWARE,
    "verify": _SOFTWARE,
}
"""Of each action the event that it is in DICOM; any other is an Application Activity."""

_REFUSED = {"login refused", "association rejected"}
_SENDER, _RECEIVER = _Code("110153", "Source Role ID"), _Code("110152", "Destination Role ID")
_APPLICATION_ROLE = _Code("110150", "Application")


def failed(row: AuditRow) -> bool:
    """Whether what the row tells of was refused or ended by an error."""
    return row.action in _REFUSED or "error" in _told(row)


def _told(row: AuditRow) -> dict[str, Any]:
    """The detail of a row; nothing where whoever called audit_add has given another value than an object."""
    return row.detail if isinstance(row.detail, dict) else {}


def json_line(row: AuditRow) -> str:
    """A row as one line of JSON, in ASCII: the columns, the time in UTC, the hash in hexadecimal digits."""
    return json.dumps({**row._asdict(), "at": _moment(row), "hash": row.hash.hex()})


def dicom_message(row: AuditRow, source: str) -> str:
    """A row as a DICOM audit message, XML on one line.

    Its object is the row itself, with hash and detail; of a query the detail is the query.

    Parameters
    ----------
    source : who reports it, AuditSourceID.
    """
    event = EVENTS.get(row.action, _Event(_APPLICATION, "E"))
    root = ElementTree.Element("AuditMessage")
    head = ElementTree.SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=_moment(row),
        EventOutcomeIndicator="4" if failed(row) else "0",
    )
    ElementTree.SubElement(head, "EventID", event.identifier.attributes())
    for kind in (event.kind, _Code(_xml(row.action).replace(" ", "-"), _xml(row.action), OWN)):
        if kind is not None:
            ElementTree.SubElement(head, "EventTypeCode", kind.attributes())
    _participants(root, row, source)
    ElementTree.SubElement(
        ElementTree.SubElement(root, "AuditSourceIdentification", AuditSourceID=source),
        "AuditSourceTypeCode",
        {"csd-code": "4"},
    )
    _object(root, row, query=event.identifier is _QUERY)
    return ElementTree.tostring(root, encoding="unicode")


def _participants(root: ElementTree.Element, row: AuditRow, source: str) -> None:
    """Who asked, from which address; and this program, as the role of the database that it logged in with."""
    asking = {"UserID": _xml(row.who), "UserIsRequestor": "true"}
    if address := _told(row).get("address"):
        asking |= {"NetworkAccessPointID": _xml(str(address)), "NetworkAccessPointTypeCode": "2"}
    requestor = ElementTree.SubElement(root, "ActiveParticipant", asking)
    if row.action.startswith("association"):
        ElementTree.SubElement(requestor, "RoleIDCode", _SENDER.attributes())
    program = {"UserID": source, "UserIsRequestor": "false"}
    if row.db_role is not None:
        program["AlternativeUserID"] = _xml(row.db_role)
    ElementTree.SubElement(
        ElementTree.SubElement(root, "ActiveParticipant", program), "RoleIDCode", _APPLICATION_ROLE.attributes()
    )
    if row.action == "send":
        nodes = _told(row).get("to")
        for name in nodes if isinstance(nodes, list) else ():
            peer = ElementTree.SubElement(root, "ActiveParticipant", UserID=_xml(str(name)), UserIsRequestor="false")
            ElementTree.SubElement(peer, "RoleIDCode", _RECEIVER.attributes())


def _object(root: ElementTree.Element, row: AuditRow, query: bool) -> None:
    """The row, by its number."""
    made = ElementTree.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=str(row.id),
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole="24" if query else "13",
    )
    number = _Code("audit-row", "Number of the row of the audit", OWN)
    ElementTree.SubElement(made, "ParticipantObjectIDTypeCode", number.attributes())
    detail = json.dumps(row.detail, ensure_ascii=False)
    if query:
        ElementTree.SubElement(made, "ParticipantObjectQuery").text = _base64(detail)
    else:
        ElementTree.SubElement(made, "ParticipantObjectName").text = f"audit row {row.id}"
        ElementTree.SubElement(made, "ParticipantObjectDetail", type="detail", value=_base64(detail))
    ElementTree.SubElement(made, "ParticipantObjectDetail", type="hash", value=_base64(row.hash.hex()))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _moment(row: AuditRow) -> str:
    return row.at.astimezone(UTC).isoformat(timespec="microseconds")


def _xml(text: str) -> str:
    """A text without the control characters that XML has no way to write."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
