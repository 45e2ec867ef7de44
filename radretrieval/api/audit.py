"""The audit of an archive: who did what, whether it is as it was written, copies elsewhere, old months."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.api.base import ArchiveBase
from radretrieval.api.noting import operator
from radretrieval.errors import UsageError

if TYPE_CHECKING:
    from radretrieval.archive.audit_trail import AuditRow, ChainVerdict, Pruned
    from radretrieval.results.audit_export import ExportedAudit

_DAYS = {"h": 1 / 24, "d": 1, "w": 7, "m": 30, "y": 365}


class ArchiveAudit(ArchiveBase):
    """The part of `Archive` that reads and keeps the audit."""

    def audit_rows(
        self,
        *,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        who: str | None = None,
        action: str | None = None,
    ) -> Iterator[AuditRow]:
        """Who did what: rows of the table audit, in their order.

        Parameters
        ----------
        since, until : a date or time (2026-01-31, 2026-01-31T08:00+01:00), or a time before now (12h, 30d, 2w, 6m, 1y);
            `until` is not part of it.
        who, action : rows of this user, of this action.
        """
        from radretrieval.archive import audit_trail
        from radretrieval.archive.audit_trail import AuditFilter

        chosen = AuditFilter(moment(since, "--since"), moment(until, "--until"), who, action)
        for found in audit_trail.rows(self._database, chosen):
            yield from found

    def verify_audit(self) -> ChainVerdict:
        """Compute every hash of the audit anew: were rows changed, inserted, reordered, or are some missing?"""
        from radretrieval.archive import audit_trail

        with self._database.connection() as connection:
            return audit_trail.verify(connection)

    def export_audit(
        self,
        target: str,
        *,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        form: str = "json",
    ) -> ExportedAudit:
        """Write rows of the audit to a file, or send them to a syslog server over TLS. It is a row of the audit itself.

        How far a target has them is noted in the archive, of the files of one folder and of a server; not where `since`
        is a time.

        Parameters
        ----------
        target : a file, which is replaced, or `syslog+tls://host:port`.
        since, until : as in `audit_rows`; since `last`: what the target does not have yet, a new file; None: all.
        form : `json`, a line a row, or `dicom`, a DICOM audit message (PS3.15 A.5) a line.

        Raises
        ------
        UsageError : a form or target that there is not; since `last`, a file that is there. EnvironmentUnusable : the
            server does not take them; it has what was sent before, and since `last` goes on from there.
        """
        from radretrieval.archive import audit_trail
        from radretrieval.archive.audit_trail import AuditFilter
        from radretrieval.results import audit_export
        from radretrieval.results.syslog import Syslog

        if form not in ("json", "dicom"):
            raise UsageError(f"{form!r} is no format of the audit; there are: json, dicom")
        server = Syslog(target, self.settings.audit_ca, self.settings.audit_cert) if "://" in target else None
        name = server.name if server else f"file:{Path(target).absolute().parent}"
        if server is None and since == "last" and Path(target).exists():
            raise UsageError(
                f"{target} is there: --since last would replace it, and the rows in it would be in no file, for they "
                "count as exported; name a new file"
            )

        def sent(number: int | None) -> None:
            if number is not None and since in (None, "last"):  # else rows before `since` would be left out
                with self._database.connection() as connection:
                    audit_trail.remember(connection, name, number)

        after, begun = 0, None
        if since == "last":
            with self._database.connection() as connection:
                after = audit_trail.exported(connection, name) or 0
        else:
            begun = moment(since, "--since")
        batches = audit_trail.rows(self._database, AuditFilter(begun, moment(until, "--until"), after=after))
        if server is None:
            done = audit_export.write_file(Path(target), batches, form)
            sent(done.last_id)
        else:
            done = audit_export.send(server, batches, form, sent)
        detail = {**vars(done), "to": server.name if server else "file", "form": form}
        self._note("audit export", detail)
        return done

    def prune_audit(self, older_than: str | datetime) -> Pruned:
        """Drop the months of the audit that ended before a moment, for ever; as the owner of the archive.

        Parameters
        ----------
        older_than : as `since` of `audit_rows`, as 3y.
        """
        from radretrieval.archive import audit_trail

        before = moment(older_than, "--older-than")
        assert before is not None
        with self._database.connection() as connection:
            connection.autocommit = True
            return audit_trail.prune(connection, before, operator())


def moment(text: str | datetime | None, option: str) -> datetime | None:
    """A date or time, or a time before now (12h, 30d, 2w, 6m, 1y), as a time; None for None.

    Raises UsageError for anything else.
    """
    if text is None or isinstance(text, datetime):
        return text
    if found := re.fullmatch(r"([0-9]{1,4})\s*([hdwmy])", text.strip().lower()):
        return datetime.now(UTC) - timedelta(days=int(found[1]) * _DAYS[found[2]])
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option} {text!r} is neither a date or time (2026-01-31, 2026-01-31T08:00+01:00) nor a time before now "
            "(12h, 30d, 2w, 6m, 1y)"
        ) from None
