"""Tombstones of what was forgotten, and whether a file that comes is one of it.

A digest is made with the key of the patient pseudonyms, so that nobody tests a guess without it: of a patient it is the
pseudonym, of a UID or a content an HMAC through all keys. A rotation therefore carries it on as it does a pseudonym.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from radretrieval.archive import images, tombstones
from radretrieval.archive.connections import Connection
from radretrieval.archive.images import NewImage
from radretrieval.archive.tombstones import Digest, Tombstone
from radretrieval.config import Settings
from radretrieval.privacy.archive_key import ArchiveKey, archive_key
from radretrieval.privacy.pseudonyms import patient_key

_PSEUDONYM = re.compile("[0-9a-f]{32}")


class Names(NamedTuple):
    """By what a file may have been forgotten."""

    sha256: bytes | None = None
    sop: str | None = None
    study: str | None = None
    patient: str | None = None  # the pseudonym

    @classmethod
    def of(cls, image: NewImage) -> Names:
        """Those of an image that is not written yet."""
        return cls(image.sha256, image.sop_instance_uid, image.study_instance_uid, image.patient_key)

    def digests(self, secret: bytes) -> list[Digest]:
        """The digest of each."""
        return [digest(secret, kind, value) for kind, value in self._asdict().items() if value is not None]


def digest(secret: bytes, kind: str, value: str | bytes) -> Digest:
    """Kind and digest: of a UID, a SHA-256, or a patient's pseudonym.

    Parameters
    ----------
    secret : content of the key file. kind : `patient`, `study`, `sop`, `sha256`.
    """
    text = value.hex() if isinstance(value, bytes) else value
    if kind != "patient":
        text = patient_key(secret, f"radretrieval tombstone {kind} {text}")
    elif not is_pseudonym(text):  # SQL of the site wrote it
        text = patient_key(secret, text)
    return kind, bytes.fromhex(text)


def is_pseudonym(text: str) -> bool:
    """Whether a text has the form of a pseudonym."""
    return _PSEUDONYM.fullmatch(text) is not None


def pseudonyms_of(key: ArchiveKey, patient: str, issuer: str | None) -> tuple[str, ...]:
    """Under which pseudonyms a patient may be, who is named by identifier or by pseudonym."""
    found = {key.pseudonym(patient, issuer)} | ({patient} if is_pseudonym(patient) else set())
    return tuple(sorted(found))


def forgotten(connection: Connection, settings: Settings, files: Sequence[Names]) -> list[datetime | None]:
    """When each of these files was forgotten; None where it was not.

    Raises WrongPatientKey, EnvironmentUnusable where something was forgotten and the archive's key is not here.
    """
    if not files or not tombstones.any_there(connection):
        return [None] * len(files)
    secret = archive_key(connection, settings).secret
    digests = [names.digests(secret) for names in files]
    found = tombstones.find(connection, {one for many in digests for one in many})
    return [min((found[one] for one in many if one in found), default=None) for many in digests]


def refuse(connection: Connection, settings: Settings, files: Sequence[Names]) -> list[datetime | None]:
    """The same of files that are here: those forgotten get tombstones of their own, and the store is to be cleaned.

    A later pull then passes a new image of a forgotten patient over, without retrieving it again.
    """
    when = forgotten(connection, settings, files)
    gone = [(names, at) for names, at in zip(files, when, strict=True) if at is not None]
    if gone:
        secret = archive_key(connection, settings).secret
        kept = {
            row["sop_instance_uid"] for row in images.by_sop_instance(connection, [n.sop for n, _ in gone if n.sop])
        }
        rows = [stones(secret, at, [names.sop] if names.sop not in kept else [], [names.sha256]) for names, at in gone]
        tombstones.add(connection, [one for many in rows for one in many])
    return when


def stones(
    secret: bytes, at: datetime, uids: Iterable[str | None], contents: Iterable[bytes | None]
) -> list[Tombstone]:
    """Tombstones of images by their SOP Instance UIDs and of files, which the store may still have."""
    rows = [Tombstone(digest(secret, "sop", uid), at) for uid in uids if uid is not None]
    return rows + [Tombstone(digest(secret, "sha256", one), at, one) for one in contents if one is not None]


def message(at: datetime) -> str:
    """What is said of a file that was forgotten."""
    return (
        f"it was forgotten on {at:%Y-%m-%d} and is not taken again; delete the file, or, if it is to be taken after "
        "all, see: radretrieval forget --allow"
    )
