"""Paths of files, encrypted under a key file: what the archive stores of a path where the site hides them.

A path is encrypted by AES-SIV (RFC 5297), which is deterministic: equal paths give equal texts, so that they can be
looked up; a changed text or another key is noticed. Paths are padded to multiples of 32 bytes.
"""

from __future__ import annotations

import base64
import hmac
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.errors import EnvironmentUnusable, ImageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_BLOCK = 32
_SETTING = "RADRETRIEVAL_PATH_KEY_FILE"


def hide(path: bytes, key_file: Path) -> str:
    """The encrypted path, in letters, digits, - and _. Raises EnvironmentUnusable where the key cannot be used."""
    return _text(_cipher(key_file).encrypt(path + b"\0" * (-len(path) % _BLOCK), None))


def reveal(text: str, key_file: Path | None) -> bytes:
    """The path that `hide` has encrypted.

    Raises ImageError without the key or with another one, EnvironmentUnusable where the key cannot be used.
    """
    if key_file is None:
        raise ImageError(f"has a hidden path; {_SETTING} names the key that reveals it")
    from cryptography.exceptions import InvalidTag

    cipher = _cipher(key_file)
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if _text(data) != text:  # spare bits of the last letter
            raise ValueError
        padded: bytes = cipher.decrypt(data, None)
    except (ValueError, InvalidTag):
        raise ImageError(f"has a path that was hidden with another key than {key_file} ({_SETTING})") from None
    return padded.rstrip(b"\0")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@lru_cache(maxsize=4)
def _cipher(key_file: Path) -> AESSIV:
    """AES-256 in SIV mode, with a key derived from the secret in a file."""
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    try:
        secret = key_file.read_bytes().strip()
    except OSError as error:
        raise EnvironmentUnusable(
            f"the key of hidden paths, {key_file}, cannot be read ({error.strerror}); {_SETTING} names a file with at "
            "least 32 random characters, the same on every host"
        ) from error
    if len(secret) < 16:
        raise EnvironmentUnusable(f"the key of hidden paths, {key_file}, is shorter than 16 bytes; write a longer one")
    return AESSIV(hmac.digest(secret, b"radretrieval hidden paths", "sha512"))
