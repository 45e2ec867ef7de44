"""The keys of an archive in one file apart from the backup, encrypted under a passphrase if one is given.

Encrypted by AES-256-GCM under a key that scrypt (RFC 7914) derives from the passphrase; a changed byte is noticed.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radretrieval.archive import images
from radretrieval.archive.connections import Connection
from radretrieval.archive.patient_keys import recorded
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.files.atomic import write_bytes
from radretrieval.privacy.archive_key import archive_key
from radretrieval.privacy.pseudonyms import key_file, pending_file

_SHORTEST = 12
_COST = {"n": 2**17, "r": 8, "p": 1}  # 128 MB and a third of a second
_BOUND = b"radretrieval keys 1"


@dataclass(frozen=True)
class Keys:
    """The content of key files by what they are for: `patient`, `path`, `export`."""

    secrets: dict[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Keys:
        """Those that this host has.

        Raises EnvironmentUnusable where one cannot be read, or is being rotated.
        """
        if pending_file(key_file(settings)).exists():
            raise EnvironmentUnusable(
                "the key of the patient pseudonyms is being rotated, or a rotation was not finished; run: radretrieval "
                "patient-key rotate"
            )
        found = {}
        for name, path in _files(settings).items():
            if path is None or (not path.exists() and path.parent == settings.home):
                continue
            try:
                found[name] = path.read_bytes()
            except OSError as error:
                raise EnvironmentUnusable(f"the key {path} cannot be read ({error.strerror})") from error
        return cls(found)

    def require_of(self, connection: Connection, settings: Settings) -> None:
        """Make sure that the keys without which an archive cannot be used are among them.

        Raises WrongPatientKey where it has patients of another key, or none is here; EnvironmentUnusable where it hides
        paths, and the key of that is not here.
        """
        if recorded(connection) is not None:
            archive_key(connection, settings)
        if "path" not in self.secrets and images.hidden_uri(connection) is not None:
            raise EnvironmentUnusable(
                "the archive hides paths, and the key of that is not here: let RADRETRIEVAL_PATH_KEY_FILE name it"
            )

    def write(self, file: Path, passphrase: bytes | None) -> None:
        """Write them to a file that only its owner can read, in place of older ones.

        Raises UsageError where it is a file of something else, as a key itself; EnvironmentUnusable where it cannot be
        written.
        """
        if file.exists() and not _is_of_keys(file):
            raise UsageError(f"{file} is there and holds no keys of a backup; name another file with --keys")
        document: dict[str, Any] = {name: base64.b64encode(key).decode() for name, key in self.secrets.items()}
        if passphrase is not None:
            document = _encrypted(json.dumps(document).encode(), passphrase)
        text = json.dumps({"keys": "radretrieval", "format": 1, **document}, indent=1)
        try:
            write_bytes(file, f"{text}\n".encode(), mode=0o600)
        except OSError as error:
            raise EnvironmentUnusable(f"the keys cannot be written to {file} ({error.strerror})") from error

    @classmethod
    def read(cls, file: Path, passphrase: bytes | None) -> Keys:
        """Those in a file that `write` has written.

        Raises UsageError where it is none, is damaged, or needs another passphrase.
        """
        try:
            document = json.loads(file.read_bytes())
            if document.pop("keys") != "radretrieval" or document.pop("format") != 1:
                raise ValueError
            if "ciphertext" in document:
                document = json.loads(_decrypted(document, passphrase, file))
            return cls({name: base64.b64decode(key, validate=True) for name, key in document.items()})
        except OSError as error:
            raise UsageError(f"the keys {file} cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{file} holds no keys of radretrieval, or is damaged") from None

    def check(self, settings: Settings) -> None:
        """Raise UsageError where this host has another key of a kind, or no setting says where one belongs."""
        for name, path in _files(settings).items():
            if name not in self.secrets:
                continue
            if path is None:
                raise UsageError(
                    "the keys have one of hidden paths; let RADRETRIEVAL_PATH_KEY_FILE name the file where it belongs"
                )
            if path.exists() and path.read_bytes().strip() != self.secrets[name].strip():
                raise UsageError(f"{path} is another key than that of the backup; move it away, or leave out --keys")

    def install(self, settings: Settings) -> None:
        """Write those that this host has not to where its settings say. Raises EnvironmentUnusable."""
        for name, path in _files(settings).items():
            if path is None or name not in self.secrets:
                continue
            try:
                write_bytes(path, self.secrets[name], mode=0o600, parents=True, overwrite=False)
            except OSError as error:
                raise EnvironmentUnusable(f"the key {path} cannot be written ({error.strerror})") from error


def read_passphrase(file: Path) -> bytes:
    """The passphrase in a file: its first line. Raises UsageError where it cannot be read, or is short."""
    try:
        passphrase = (file.read_bytes().splitlines() or [b""])[0].strip()
    except OSError as error:
        raise UsageError(
            f"the passphrase file {file} cannot be read ({error.strerror}); name one with --passphrase-file that can"
        ) from error
    if len(passphrase) < _SHORTEST:
        raise UsageError(f"the passphrase in {file} is shorter than {_SHORTEST} bytes; write a longer one")
    return passphrase


def _is_of_keys(file: Path) -> bool:
    """Whether `Keys.write` has written a file."""
    try:
        return bool(json.loads(file.read_bytes())["keys"] == "radretrieval")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _files(settings: Settings) -> dict[str, Path | None]:
    return {
        "patient": key_file(settings),
        "path": settings.path_key_file,
        "export": settings.home / "export.key",
    }


def _derived(passphrase: bytes, salt: bytes, cost: dict[str, int]) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, **cost).derive(passphrase)


def _encrypted(text: bytes, passphrase: bytes) -> dict[str, Any]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    data = AESGCM(_derived(passphrase, salt, _COST)).encrypt(nonce, text, _BOUND)
    named = {"salt": salt, "nonce": nonce, "ciphertext": data}
    return {"scrypt": _COST, **{name: base64.b64encode(value).decode() for name, value in named.items()}}


def _decrypted(document: dict[str, Any], passphrase: bytes | None, file: Path) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if passphrase is None:
        raise UsageError(f"{file} is encrypted; name the file of its passphrase with --passphrase-file")
    if document["scrypt"] != _COST:
        raise ValueError
    salt, nonce, data = (base64.b64decode(document[name], validate=True) for name in ("salt", "nonce", "ciphertext"))
    try:
        return AESGCM(_derived(passphrase, salt, _COST)).decrypt(nonce, data, _BOUND)
    except InvalidTag:
        raise UsageError(f"{file} was encrypted under another passphrase, or is damaged") from None
