"""The key of an archive's pseudonyms: the key file of this host, compared with the check value in the archive.

The first transaction that writes a pseudonym records the check value of its key; a transaction with another key is
refused. An archive of an older version has pseudonyms and no check value: there the key is tested first against DICOM
files of the archive, whose patients' identifiers must yield the pseudonyms that it has.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from radretrieval.archive import patient_keys
from radretrieval.archive.connections import Connection, Database
from radretrieval.config import Settings
from radretrieval.errors import RadretrievalError, WrongPatientKey
from radretrieval.logs import Log
from radretrieval.privacy.pseudonyms import check_value, issuer_name, key_file, load_secret, patient_key
from radretrieval.storage.reading import Reading

log = Log(__name__)

_TESTED = 10  # files of an older archive that can be read
_TRIED = 1000  # the newest may all be gone
_ACCEPT = "radretrieval patient-key accept"


@dataclass(frozen=True)
class ArchiveKey:
    """The key with which pseudonyms of an archive are made.

    Attributes
    ----------
    settings : of this process. path : the key file. secret : its content.
    plain_issuer : as in `patient_keys.KeyCheck`.
    """

    settings: Settings
    path: Path
    secret: bytes = field(repr=False)
    plain_issuer: str | None = ""
    _made: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)  # issuer, pseudonym without it
    _plain: set[str] = field(default_factory=set, repr=False)

    def pseudonym(self, patient_id: str, issuer: str | None = None) -> str:
        """The pseudonym of a patient's identifier.

        Parameters
        ----------
        issuer : who gave it; where nobody says, that of the settings.
        """
        name = issuer_name(issuer) or issuer_name(self.settings.issuer)
        plain = patient_key(self.secret, patient_id)
        if self.plain_issuer is None or name in ("", self.plain_issuer):
            self._plain.add(plain)
            return plain
        made = patient_key(self.secret, patient_id, name)
        self._made[made] = name, plain
        return made

    def now_two(self, connection: Connection) -> dict[str, tuple[str, str]]:
        """Of pseudonyms that were made since the last call: those of identifiers that become two.

        Each with its issuer, and the pseudonym of the identifier without one. They are new in the archive, which has
        that pseudonym, or gets it from one that was made with them. To be called before they are written.
        """
        made = {pseudonym: plain for pseudonym, (_, plain) in self._made.items()}
        found = patient_keys.only_without_issuer(connection, made, self._plain) if made else set()
        two = {pseudonym: self._made[pseudonym] for pseudonym in found}
        self._made.clear()
        self._plain.clear()
        return two

    def still_two(self, connection: Connection, two: Mapping[str, tuple[str, str]]) -> dict[str, str]:
        """Issuers of those pseudonyms of `now_two` that are two after the writing, by pseudonym.

        Where a correction brought the issuer of the only image without one, its patient is one again.
        """
        plain = patient_keys.there(connection, [without for _, without in two.values()]) if two else set()
        return {pseudonym: issuer for pseudonym, (issuer, without) in two.items() if without in plain}

    def confirm(self, connection: Connection) -> None:
        """Record the check value of the key, or compare it with the recorded one, in the caller's transaction.

        To be called in each transaction that writes pseudonyms, before its commit: the key may have been rotated on
        another host, or another host may write its first pseudonym at the same time.

        Raises WrongPatientKey where the archive has the check value of another key.
        """
        there = patient_keys.recorded(connection) or patient_keys.record(connection, check_value(self.secret))
        if there.check_value is None:
            self._test(connection)
            patient_keys.accept(connection, check_value(self.secret))
        else:
            self._compare(there.check_value)

    def compare(self, connection: Connection) -> None:
        """Raises WrongPatientKey where the archive has the check value of another key."""
        there = patient_keys.recorded(connection)
        if there is not None and there.check_value is not None:
            self._compare(there.check_value)

    def _compare(self, recorded: str) -> None:
        if recorded != check_value(self.secret):
            raise WrongPatientKey(
                f"the key of the patient pseudonyms here, {self.path}, is not the archive's: copy the key file from a "
                "host that ingests into this archive, or from where it was rotated (RADRETRIEVAL_PATIENT_KEY_FILE "
                f"names it), then run it again; nothing was written with it. If that key is lost: {_ACCEPT}"
            )

    def _test(self, connection: Connection) -> None:
        """Test the key against files of an archive that has no check value.

        Raises WrongPatientKey where files can be read and no identifier in them yields the archive's pseudonym.
        """
        read, servers = 0, True
        for row in patient_keys.examples(connection, _TRIED):
            remote = row["uri"].startswith(("http:", "https:"))
            patient = _patient_of(row["uri"], bytes(row["sha256"]), self.settings) if servers or not remote else None
            servers = servers and not (remote and patient is None)  # one that does not answer is asked once
            if patient is not None:
                if patient_key(self.secret, patient) == row["patient_key"]:
                    return
                read += 1
            if read == _TESTED:
                break
        if read:
            raise WrongPatientKey(
                f"the key of the patient pseudonyms here, {self.path}, does not seem to be the archive's: it yields "
                f"none of the pseudonyms of {read} DICOM files; copy the key file from the host that ingested them. If "
                f"it is the right one, and these patients were named by labels: {_ACCEPT}"
            )
        log.warning(
            "key_untested",
            "the key %(key)s is recorded as that of the archive's pseudonyms; no DICOM file is at hand to test it",
            key=self.path,
        )


def archive_key(connection: Connection, settings: Settings) -> ArchiveKey:
    """The key file of this host, as the key of this archive; a missing default file is made for a new archive only.

    Raises
    ------
    WrongPatientKey : the archive has the check value of another key, or it has one and there is no key file.
    EnvironmentUnusable : the key file cannot be used, or is being rotated.
    """
    path, there = key_file(settings), patient_keys.recorded(connection)
    if there is not None and settings.patient_key_file is None and not path.exists():
        raise WrongPatientKey(
            f"there is no key of the patient pseudonyms here, {path}, and the archive has patients: copy the key file "
            "from a host that ingests into this archive (RADRETRIEVAL_PATIENT_KEY_FILE names it), then run it again. "
            f"If that key is lost: {_ACCEPT}"
        )
    key = ArchiveKey(settings, path, load_secret(settings), "" if there is None else there.plain_issuer)
    key.compare(connection)
    return key


@dataclass(frozen=True)
class AcceptedKey:
    """The result of `accept`.

    changed : the archive had the check value of another key, or none. patients : how many it has from before.
    """

    changed: bool
    patients: int


def accept(database: Database, settings: Settings) -> AcceptedKey:
    """Record the key of this host as the archive's, whatever key its pseudonyms were made with.

    Raises EnvironmentUnusable where the key cannot be used, or an ingestion is writing.
    """
    with database.connection() as connection:
        patient_keys.try_lock_ingestion(connection)
        there, check = patient_keys.recorded(connection), check_value(load_secret(settings))
        changed = there is None or there.check_value != check
        if changed:
            patient_keys.accept(connection, check)
        return AcceptedKey(changed, patient_keys.patients(connection))


def _patient_of(uri: str, sha256: bytes, settings: Settings) -> str | None:
    """The patient's identifier in the header of an image's file; None where it cannot be read or has none."""
    from radretrieval.imaging.dicom import read_data_set
    from radretrieval.imaging.header import described
    from radretrieval.storage.source import source_bytes

    try:
        data = source_bytes(uri, sha256, Reading.of(settings))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patient: str | None = described(read_data_set(data, settings.max_pixels)[0])["patient_id"]
    except RadretrievalError:
        return None
    except Exception:  # pydicom raises anything on damaged input
        return None
    return patient
