"""Rotation of the key of patient pseudonyms: every pseudonym is replaced, images of one patient keep one pseudonym.

It protects against a person who knows the old key, from a lost backup say: identifiers cannot be tested against
pseudonyms that are made or replaced from now on. It does not protect an old copy of the database, nor against a person
who has the new key, which contains the old ones; image ids, UIDs and pixels still link an old copy with the archive.
In an archive of a version before issuers were taken, a rotation with the setting `issuer` has pseudonyms take the
issuer from then on: patients that are there count as that issuer's, whose identifiers make the pseudonyms they have.
De-identified exports made after a rotation have other pseudonyms than those before.

The process may be killed after each of these steps:
1. the next key is written beside the key (`….next`); while it is there, `pseudonyms.load_secret` refuses;
2. in one transaction all pseudonyms are replaced, and the check value of the next key is stored;
3. the next key replaces the key.
The next run compares the stored check value: if it is that of the next key, only step 3 is done, else the next key was
never used. The transaction holds the ingestion lock, so that it waits for a commit that a killed process has sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from radretrieval.archive import patient_keys
from radretrieval.archive.connections import Connection, Database
from radretrieval.config import Settings
from radretrieval.logs import Log
from radretrieval.privacy import pseudonyms
from radretrieval.privacy.archive_key import ArchiveKey

log = Log(__name__)


@dataclass(frozen=True)
class Rotation:
    """The result of a rotation.

    patients, images : how many have new pseudonyms. keys : length of the chain of keys.
    finished : an interrupted rotation was completed; nothing else was done.
    """

    patients: int
    images: int
    keys: int
    finished: bool = False


def rotate(database: Database, settings: Settings) -> Rotation:
    """Replace the key of the pseudonyms, or complete an interrupted rotation.

    Raises
    ------
    EnvironmentUnusable : other processes use the key or write to the archive, or the key cannot be replaced.
    WrongPatientKey : the key is not the archive's.
    DatabaseUnavailable : the database went away; run it again.
    """
    path = pseudonyms.key_file(settings)
    with pseudonyms.locked_key(path) as secret, database.connection() as connection:
        patient_keys.try_lock_ingestion(connection)
        recorded = patient_keys.recorded(connection)
        if pseudonyms.pending_file(path).exists():
            pending = pseudonyms.pending_file(path).read_bytes().strip()
            if recorded is not None and recorded.check_value == pseudonyms.check_value(pending):
                pseudonyms.install_pending(path)
                return Rotation(0, 0, len(pseudonyms.keys_of(pending)), finished=True)
            pseudonyms.remove_pending(path)
        ArchiveKey(settings, path, secret).confirm(connection)
        following = pseudonyms.extended(secret)
        newest = pseudonyms.keys_of(following)[-1]
        pseudonyms.write_pending(path, following)
        try:
            patients, images = patient_keys.replace(
                connection, lambda old: pseudonyms.rekeyed(newest, old), pseudonyms.check_value(following)
            )
            if recorded is not None and recorded.plain_issuer is None:
                _take_issuers(connection, settings)
        except BaseException:  # nothing was committed, and nothing will be
            pseudonyms.remove_pending(path)
            raise
        connection.commit()
        pseudonyms.install_pending(path)
    return Rotation(patients, images, len(pseudonyms.keys_of(following)))


def _take_issuers(connection: Connection, settings: Settings) -> None:
    """Have pseudonyms of an older archive take issuers, where the settings say whose the known patients are."""
    issuer = pseudonyms.issuer_name(settings.issuer)
    if issuer:
        patient_keys.take_issuers(connection, issuer)
    else:
        log.warning(
            "no_issuers",
            "the pseudonyms of this archive take no issuer: equal identifiers of two issuers are one patient; to have "
            "them take it, rotate with --issuer NAME, which says who gave the identifiers of the patients so far",
        )
