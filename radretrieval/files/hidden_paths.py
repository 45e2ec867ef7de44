"""Paths of files, encrypted under a key file: what the archive stores of a path where the site hides them.

A path is encrypted by a synthetic initialisation vector, as in RFC 5297 with HMAC-SHA-256 and SHAKE256 as the
pseudorandom functions: equal paths give equal texts, so that they can be looked up; a changed text or another key is
noticed. Paths are padded to multiples of 32 bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from functools import lru_cache
from pathlib import Path

from radretrieval.errors import EnvironmentUnusable, ImageError

_BLOCK = 32
_SETTING = "RADRETRIEVAL_PATH_KEY_FILE"


def hide(path: bytes, key_file: Path) -> str:
    """The encrypted path, in letters, digits, - and _. Raises EnvironmentUnusable where the key cannot be used."""
    authentication, encryption = _keys(key_file)
    padded = path + b"\0" * (-len(path) % _BLOCK)
    tag = hmac.new(authentication, padded, hashlib.sha256).digest()[:16]
    return _text(tag + _crypted(padded, encryption, tag))


def reveal(text: str, key_file: Path | None) -> bytes:
    """The path that `hide` has encrypted.

    Raises ImageError without the key or with another one, EnvironmentUnusable where the key cannot be used.
    """
    if key_file is None:
        raise ImageError(f"has a hidden path; {_SETTING} names the key that reveals it")
    authentication, encryption = _keys(key_file)
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    padded = _crypted(data[16:], encryption, data[:16])
    tag = hmac.new(authentication, padded, hashlib.sha256).digest()[:16]
    if _text(data) != text or not hmac.compare_digest(tag, data[:16]):  # the first: spare bits of the last letter
        raise ImageError(f"has a path that was hidden with another key than {key_file} ({_SETTING})")
    return padded.rstrip(b"\0")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _crypted(data: bytes, key: bytes, tag: bytes) -> bytes:
    stream = hashlib.shake_256(key + tag).digest(len(data))
    return bytes(a ^ b for a, b in zip(data, stream, strict=True))


@lru_cache(maxsize=4)
def _keys(key_file: Path) -> tuple[bytes, bytes]:
    """The keys of authentication and of encryption."""
    try:
        secret = key_file.read_bytes().strip()
    except OSError as error:
        raise EnvironmentUnusable(
            f"the key of hidden paths, {key_file}, cannot be read ({error.strerror}); {_SETTING} names a file with at "
            "least 32 random characters, the same on every host"
        ) from error
    if len(secret) < 16:
        raise EnvironmentUnusable(f"the key of hidden paths, {key_file}, is shorter than 16 bytes; write a longer one")
    names = (b"radretrieval path authentication", b"radretrieval path encryption")
    first, second = (hmac.new(secret, name, hashlib.sha256).digest() for name in names)
    return first, second
