"""Rows of the audit, written to a file or sent to a syslog server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from radretrieval.archive.audit_trail import AuditRow
from radretrieval.files.output import output_file
from radretrieval.results.audit_messages import dicom_message, failed, json_line
from radretrieval.results.syslog import Syslog, message

_IDENTIFIERS = {"json": "audit+json", "dicom": "DICOM+RFC3881"}  # MSGID


@dataclass(frozen=True)
class ExportedAudit:
    """Rows of the audit that were exported, and the numbers of the first and the last; None without any."""

    rows: int = 0
    first_id: int | None = None
    last_id: int | None = None

    def and_then(self, batch: list[AuditRow]) -> ExportedAudit:
        """These rows and further ones."""
        return ExportedAudit(self.rows + len(batch), self.first_id or batch[0].id, batch[-1].id)


def text_of(form: str) -> Callable[[AuditRow], str]:
    """What makes a line of a row.

    Parameters
    ----------
    form : `json` or `dicom`.
    """
    if form == "json":
        return json_line
    source = f"radretrieval@{socket.gethostname()}"
    return lambda row: dicom_message(row, source)


def write_file(path: Path, batches: Iterable[list[AuditRow]], form: str) -> ExportedAudit:
    """Write a file with a row a line; raises UsageError where it cannot be written."""
    done, line = ExportedAudit(), text_of(form)
    with output_file(path, "audit") as draft, draft.open("w", encoding="utf-8") as file:
        for batch in batches:
            file.writelines(f"{line(row)}\n" for row in batch)
            done = done.and_then(batch)
    return done


def send(server: Syslog, batches: Iterable[list[AuditRow]], form: str, sent: Callable[[int], None]) -> ExportedAudit:
    """Send rows to a syslog server, a connection a batch.

    Parameters
    ----------
    sent : called after each batch with the number of its last row.

    Raises EnvironmentUnusable where the server does not take a batch.
    """
    done, line = ExportedAudit(), text_of(form)
    for batch in batches:
        server.send(
            [
                message(line(row), at=row.at, identifier=_IDENTIFIERS[form], severity=4 if failed(row) else 5)
                for row in batch
            ]
        )
        sent(batch[-1].id)
        done = done.and_then(batch)
    return done
