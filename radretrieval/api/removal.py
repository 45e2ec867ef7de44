"""What is taken out of an archive: deleted for ever, or hidden from searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radretrieval.api.base import ArchiveBase
from radretrieval.api.noting import operator
from radretrieval.errors import UsageError
from radretrieval.files.text import printable

if TYPE_CHECKING:
    from radretrieval.jobs.forget import ForgetReport
    from radretrieval.jobs.withdraw import WithdrawReport


class ArchiveRemoval(ArchiveBase):
    """The part of `Archive` that forgets and withdraws images."""

    def forget(
        self,
        *,
        patient: str | None = None,
        issuer: str | None = None,
        study: str | None = None,
        image: int | None = None,
        older_than: str | None = None,
        origin: str | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        allow: bool = False,
    ) -> ForgetReport:
        """Delete all that the archive has of a patient, a study, an image or an age, and never take it again.

        Without any of these an earlier run, which was killed, is finished.

        Parameters
        ----------
        patient : identifier, or pseudonym. issuer : who gave the identifier; None for that of the settings.
        study : Study Instance UID. image : id, with all images of its file.
        older_than : as 10y, 18m, 6w, 90d: by the date of the study, without one by that of ingestion.
        origin : of those, the images from this AE title or URL.
        reason : for the audit; no name of a patient.
        dry_run : only count. allow : take back that `patient` or `study` was forgotten: the files may come again.

        Raises
        ------
        NotInArchive : there is nothing of it. UsageError : it is not named as it must be.
        EnvironmentUnusable, WrongPatientKey : the archive's key of the pseudonyms is not here.
        """
        from radretrieval.jobs.forget import Forget, forget

        _check_text(patient=patient, issuer=issuer, study=study, origin=origin, reason=reason)
        what = Forget(patient, issuer, study, image, older_than, origin, reason, dry_run, allow)
        return forget(self._database, self.settings, what, operator())

    def withdraw(
        self,
        *,
        patient: str | None = None,
        issuer: str | None = None,
        study: str | None = None,
        image: int | None = None,
        reason: str | None = None,
        undo: bool = False,
        dry_run: bool = False,
    ) -> WithdrawReport:
        """Hide the images of a patient, a study or a file from searches, and keep them; or take that back (`undo`).

        It is about the images that are there now: what comes later is found.

        Parameters
        ----------
        patient, issuer, study, image, reason : as in `forget`. dry_run : only count.

        Raises
        ------
        NotInArchive : there are none. UsageError : they are not named as they must be.
        EnvironmentUnusable, WrongPatientKey : a patient is named, and the archive's key of the pseudonyms is not here.
        """
        from radretrieval.jobs.withdraw import Withdraw, withdraw

        _check_text(patient=patient, issuer=issuer, study=study, reason=reason)
        what = Withdraw(patient, issuer, study, image, reason, dry_run, undo)
        return withdraw(self._database, self.settings, what, operator())


def _check_text(**given: str | None) -> None:
    """Raise UsageError for what is no text that the database can hold, as what a terminal in another encoding sends."""
    for name, text in given.items():
        if text is not None and ("\0" in text or text.encode(errors="replace").decode() != text):
            raise UsageError(f"--{name} {printable(text)}: it is not text in UTF-8; set the terminal to UTF-8")
