"""Pseudonyms of patients: an HMAC of the patient identifier, which is not stored.

The key lies in a file outside the database: with the database alone a guessed identifier cannot be tested.

A key can be rotated (`key_rotation`). As identifiers are not stored, a new pseudonym is the HMAC of the old one under
the new key. The key file then holds a chain of keys, oldest first; the pseudonym of a new patient is computed through
all of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable
from radretrieval.files.atomic import make_folders, sync_folder, sync_names, write_bytes

_CHAIN = b"chain:"  # begins a key file that was rotated; the keys follow in hexadecimal digits, separated by colons
_WAY = "set RADRETRIEVAL_PATIENT_KEY_FILE to a file with at least 32 random characters"
_locked: dict[Path, tuple[int, int]] = {}  # key files that this process has locked: inode and open descriptor


def patient_key(secret: bytes, patient_id: str, issuer: str = "") -> str:
    """HMAC-SHA-256 of a patient identifier, first 128 bits as 32 hexadecimal digits; through all keys of a chain.

    Parameters
    ----------
    issuer : who gave the identifier, as `issuer_name` writes it: each has a sub-key of its own. Empty for none.
    """
    first, *later = keys_of(secret)
    if issuer:
        first = hmac.new(
            first, b"radretrieval issuer of patient identifiers " + issuer.encode(), hashlib.sha256
        ).digest()
    value = rekeyed(first, patient_id.strip())
    for key in later:
        value = rekeyed(key, value)
    return value


def issuer_name(given: str | None) -> str:
    """An issuer as pseudonyms take it: blanks single, letters small and composed; empty for none."""
    return unicodedata.normalize("NFC", " ".join((given or "").split()).casefold())


def rekeyed(key: bytes, value: str) -> str:
    """The pseudonym of an identifier under one key, or the next pseudonym of a pseudonym."""
    return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()[:32]


def keys_of(secret: bytes) -> list[bytes]:
    """The keys of the content of a key file, oldest first: one, unless it was rotated."""
    if not secret.startswith(_CHAIN):
        return [secret]
    try:
        return [bytes.fromhex(key.decode("ascii")) for key in secret[len(_CHAIN) :].split(b":")]
    except ValueError:
        raise EnvironmentUnusable(
            "the key of the patient pseudonyms begins with 'chain:' but is damaged; restore it from its backup"
        ) from None


def extended(secret: bytes) -> bytes:
    """The secret with a new random key at the end of its chain."""
    return _CHAIN + b":".join(key.hex().encode() for key in (*keys_of(secret), secrets.token_bytes(32)))


def check_value(secret: bytes) -> str:
    """32 hexadecimal digits that identify a secret and do not reveal it; the database stores them."""
    return patient_key(secret, "radretrieval: the check value of a key, no patient")


def load_secret(settings: Settings) -> bytes:
    """The secret key of the pseudonyms; a missing default file is made, a missing file that was named is an error.

    The key file stays locked against a rotation until this process ends.

    Raises EnvironmentUnusable where there is no usable key, or a rotation is running or was interrupted.
    """
    path = key_file(settings)
    secret = read_key(path, made=settings.patient_key_file is None, what="the patient pseudonyms", way=_WAY, hold=True)
    if pending_file(path).exists():
        raise EnvironmentUnusable(
            f"the key of the patient pseudonyms, {path}, is being rotated, or a rotation was not finished; run: "
            "radretrieval patient-key rotate"
        )
    return secret


def read_key(path: Path, *, made: bool, what: str, way: str, hold: bool = False) -> bytes:
    """A secret key from a file.

    Parameters
    ----------
    made : make a missing file, readable by its owner only.
    what, way : what the key is for, and what to do about an unusable one, for messages.
    hold : take a shared lock on the file until this process ends; `locked_key` fails meanwhile.

    Raises EnvironmentUnusable where it cannot be read or is shorter than 16 bytes.
    """
    try:
        if made and not path.exists():
            # who may write to the folder could put another key there
            make_folders(path.parent, lambda folder: folder.mkdir(0o755))
            # of two processes at once one makes the key, and both read that
            write_bytes(path, f"{secrets.token_hex(32)}\n".encode(), mode=0o600, parents=True, overwrite=False)
        elif made:
            sync_names(path)  # another process may have made key and folders, and not synced them yet
        if hold:
            _lock_shared(path)
        secret = path.read_bytes().strip()
    except OSError as error:
        raise EnvironmentUnusable(f"the key of {what}, {path}, cannot be read ({error.strerror}); {way}") from error
    return _long_enough(secret, f"the key of {what}, {path},")


def key_file(settings: Settings) -> Path:
    """The file of the key of the patient pseudonyms."""
    return (settings.patient_key_file or settings.home / "patient.key").resolve()


def pending_file(path: Path) -> Path:
    """The file of the next key during a rotation."""
    return path.with_name(f"{path.name}.next")


@contextmanager
def locked_key(path: Path) -> Iterator[bytes]:
    """The secret of a key file, under an exclusive lock on the file.

    Raises EnvironmentUnusable where another process has it locked, or it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise EnvironmentUnusable(f"the key {path} cannot be read ({error.strerror}): nothing to rotate") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EnvironmentUnusable(
                f"other processes use the key {path} (ingest, receive, pull, or a search); end them, then run it again"
            ) from None
        except OSError:  # a file system without locks: the archive's own lock remains
            pass
        if os.fstat(handle).st_ino != os.stat(path).st_ino:
            raise EnvironmentUnusable(f"the key {path} was rotated just now; run it again if it is to be once more")
        yield _long_enough(path.read_bytes().strip(), f"the key {path}")
    finally:
        os.close(handle)


def write_pending(path: Path, secret: bytes) -> None:
    """Write the next key beside the key, with its owner and permissions. Raises EnvironmentUnusable."""
    pending = pending_file(path)
    try:
        owner = path.stat()
        write_bytes(pending, secret + b"\n", mode=owner.st_mode & 0o777, owner=(owner.st_uid, owner.st_gid))
    except OSError as error:
        raise EnvironmentUnusable(
            f"the next key cannot be written beside {path} ({error.strerror}); let its folder be writable, or rotate "
            "where it is"
        ) from error


def install_pending(path: Path) -> None:
    """Replace the key by the next key, atomically."""
    os.replace(pending_file(path), path)
    sync_folder(path.parent)


def remove_pending(path: Path) -> None:
    """Remove a next key that was never used."""
    pending_file(path).unlink(missing_ok=True)
    sync_folder(path.parent)


def _long_enough(secret: bytes, named: str) -> bytes:
    if len(secret) < 16:
        raise EnvironmentUnusable(f"{named} is shorter than 16 bytes; write a longer one")
    return secret


def _lock_shared(path: Path) -> None:
    inode = path.stat().st_ino
    if path in _locked and _locked[path][0] == inode:
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise EnvironmentUnusable(f"the key {path} is being rotated; run it again when that is done") from None
    except OSError:  # a file system without locks
        pass
    if path in _locked:
        os.close(_locked[path][1])
    _locked[path] = (os.fstat(handle).st_ino, handle)
