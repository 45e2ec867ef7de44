"""Backups of an archive, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from radretrieval.api.base import ArchiveBase, Progress, StrPath, optional_path
from radretrieval.api.noting import operator
from radretrieval.errors import UsageError

if TYPE_CHECKING:
    from radretrieval.archive.connections import Database
    from radretrieval.backup.keys import Keys
    from radretrieval.backup.restore import RestoreReport
    from radretrieval.backup.run import BackupReport
    from radretrieval.backup.verify import Verification


class ArchiveBackups(ArchiveBase):
    """The part of `Archive` that saves it and brings it back."""

    def back_up(
        self,
        folder: StrPath,
        *,
        keys: StrPath | None = None,
        passphrase_file: StrPath | None = None,
        jobs: int = 2,
        progress: Progress | None = None,
    ) -> BackupReport:
        """Save database and store into a folder, or renew the backup that it holds; others may write meanwhile.

        Parameters
        ----------
        folder : a new one, or that of an earlier backup of this archive, which stays whole until the new one is.
        keys : file for the keys of pseudonyms, hidden paths and exports; never in `folder`. None: they are not saved.
        passphrase_file : file of the passphrase that they are encrypted under.
        jobs : tables that are dumped at a time.

        Raises
        ------
        UsageError : the folder holds something else.
        WrongPatientKey, EnvironmentUnusable : `keys` are asked for, and the archive's are not on this host.
        EnvironmentUnusable : no pg_dump fits, a full disk, a right missing.
        """
        from radretrieval.backup.keys import Keys
        from radretrieval.backup.run import back_up

        file = _keys_file(keys, passphrase_file, Path(folder))
        passphrase = _passphrase(passphrase_file)
        database = self._database
        if file is not None:
            keys_here = Keys.of(self.settings)
            with database.connection() as connection:
                keys_here.require_of(connection, self.settings)
        _note(database, "backup", {"begun": True})
        if file is not None:
            keys_here.write(file, passphrase)
        report = back_up(database, self.settings, Path(folder), jobs, progress or _silent)
        sizes = {"images": report.images, "database_bytes": report.database_bytes, "store_bytes": report.store_bytes}
        _note(database, "backup", sizes)
        return report

    def verify_backup(
        self, folder: StrPath, *, scratch: str | None = None, progress: Progress | None = None
    ) -> Verification:
        """Restore a backup into a scratch server and compare tables, answers and indexes; no archive is touched.

        Parameters
        ----------
        scratch : URL of an empty database for it, which is left empty; None for an embedded server of its own.

        Raises
        ------
        UsageError : no whole backup. EnvironmentUnusable : no program fits, or the scratch server cannot be used.
        """
        from radretrieval.backup.verify import verify

        return verify(self.settings, Path(folder), progress or _silent, scratch)

    def restore(
        self,
        folder: StrPath,
        *,
        keys: StrPath | None = None,
        passphrase_file: StrPath | None = None,
        skip_damaged: bool = False,
        progress: Progress | None = None,
    ) -> RestoreReport:
        """Restore a backup into this archive's database, which must be empty, and into its store.

        Parameters
        ----------
        keys, passphrase_file : as in `back_up`; the keys go to where the settings say, and replace no other.
        skip_damaged : leave out files of the store that are missing or damaged in the backup.

        Raises
        ------
        UsageError : no whole backup, a damaged file, a database that is not empty; nothing was changed.
        EnvironmentUnusable : a server, pgvector or program that does not fit, no room.
        """
        from radretrieval.archive import urls
        from radretrieval.backup.manifest import Manifest
        from radretrieval.backup.restore import restore

        Manifest.read(Path(folder))  # before a server is started
        found: Keys | None = None
        file = _keys_file(keys, passphrase_file, Path(folder))
        if file is not None:
            from radretrieval.backup.keys import Keys

            found = Keys.read(file, _passphrase(passphrase_file))
            found.check(self.settings)
        url = self.url
        url = urls.direct_url(self.settings) or url
        shown = progress or _silent
        report = restore(url, self.settings, Path(folder), shown, keys=found, skip_damaged=skip_damaged)
        _note(self._database, "restore", {"images": report.images, "made_at": report.made_at})
        return report


def _keys_file(keys: StrPath | None, passphrase_file: StrPath | None, folder: Path) -> Path | None:
    file = optional_path(keys)
    if file is None and passphrase_file is not None:
        raise UsageError("--passphrase-file is of --keys; name the file of the keys too")
    if file is not None and folder.resolve() in file.resolve().parents:
        raise UsageError(f"{file} lies in the backup {folder}: who has both has the patients; name a file elsewhere")
    return file


def _passphrase(file: StrPath | None) -> bytes | None:
    from radretrieval.backup.keys import read_passphrase

    return None if file is None else read_passphrase(Path(file))


def _note(database: Database, action: str, detail: dict[str, Any]) -> None:
    """Add the row of the audit, where this role may."""
    from radretrieval.archive import audit

    with database.connection() as connection:
        audit.note(connection, operator(), action, detail)


def _silent(count: int, total: int | None = None, step: str | None = None, /) -> None:
    """No progress is shown."""
