"""One instance from a DICOMweb server, as it is stored there (WADO-RS, PS3.18 10.4)."""

from __future__ import annotations

import re
from pathlib import Path

from radretrieval.config import Reading
from radretrieval.errors import EnvironmentUnusable, ImageError

CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
# any transfer syntax: a server that is not told so transcodes, and refuses what it cannot (PS3.18, 8.7.3.5)
ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*, application/dicom; transfer-syntax=*; q=0.5'


def authorization(credentials: Path | None) -> dict[str, str]:
    """The HTTP header for the credentials in a file: `user:password`, or `Bearer TOKEN`; none without a file.

    Raises EnvironmentUnusable for a file that cannot be read, or that holds neither.
    """
    if credentials is None:
        return {}
    import base64

    try:
        text = credentials.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise EnvironmentUnusable(f"the credentials {credentials} cannot be read ({error}); check who may") from error
    if text.lower().startswith("bearer ") and "\n" not in text:
        return {"Authorization": text}
    if ":" in text and "\n" not in text:
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}
    raise EnvironmentUnusable(
        f"the credentials {credentials} are not one line `user:password` or `Bearer TOKEN`; write the file again"
    )


def fetch(url: str, reading: Reading) -> bytes:
    """The DICOM file of an instance; raises ImageError with the reason when it cannot be had."""
    import requests

    headers = {"Accept": ACCEPT, **authorization(reading.credentials)}
    most = 8 * reading.max_pixels + 2**26
    data = bytearray()
    try:
        with requests.get(url, headers=headers, timeout=(CONNECT_SECONDS, READ_SECONDS), stream=True) as answer:
            if answer.status_code != 200:
                raise ImageError(f"the server answers {answer.status_code} {answer.reason} for {url}")
            for piece in answer.iter_content(2**20):
                data += piece
                if len(data) > most:
                    raise ImageError(f"{url} is larger than any image of at most {reading.max_pixels:,} pixels")
            kind = answer.headers.get("Content-Type", "")
    except requests.RequestException as error:
        raise ImageError(f"{url} cannot be reached ({error}); check the server and RADRETRIEVAL_CREDENTIALS") from error
    parts = split_parts(bytes(data), kind) if kind.lower().startswith("multipart/") else [bytes(data)]
    if len(parts) != 1:
        raise ImageError(f"{url} gives {len(parts)} files, not one; name an instance")
    return parts[0]


def split_parts(data: bytes, kind: str) -> list[bytes]:
    """The bodies of a multipart message (RFC 2046, 5.1), byte for byte; `kind` is its Content-Type."""
    named = re.search(r'boundary="?([^";]+)"?', kind, re.IGNORECASE)
    if named is None:
        raise ImageError("the server's answer has several parts and does not tell where they end")
    parts = (b"\r\n" + data).split(b"\r\n--" + named[1].encode())
    return [part.partition(b"\r\n\r\n")[2] for part in parts[1:] if not part.startswith(b"--")]
