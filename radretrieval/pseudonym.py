"""Patient pseudonyms: one patient stays one patient, without a name or a number.

The key is a secret file outside the database: who reads the database alone cannot test a guessed identifier.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable


def patient_key(secret: bytes, patient_id: str) -> str:
    """HMAC-SHA-256 of a patient identifier, the first 128 bits as 32 hexadecimal digits."""
    return hmac.new(secret, patient_id.strip().encode(), hashlib.sha256).hexdigest()[:32]


def load_secret(settings: Settings) -> bytes:
    """The secret key of the pseudonyms; a missing default key is made, a missing named one is an error."""
    named = settings.patient_key_file
    path = named or settings.home / "patient.key"
    try:
        if named is None and not path.exists():
            _create(path)
        secret = path.read_bytes().strip()
    except OSError as error:
        raise EnvironmentUnusable(
            f"the key of the patient pseudonyms, {path}, cannot be read ({error.strerror}); "
            "set RADRETRIEVAL_PATIENT_KEY_FILE to a file with at least 32 random characters"
        ) from error
    if len(secret) < 16:
        raise EnvironmentUnusable(
            f"the key of the patient pseudonyms, {path}, is shorter than 16 bytes; write a longer one"
        )
    return secret


def _create(path: Path) -> None:
    """Write a new key so that of two processes at once only one wins and both read the winner's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # readable by its owner alone
    try:
        with open(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
