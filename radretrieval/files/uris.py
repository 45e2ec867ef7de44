"""URIs of image files in the archive, and the paths on this machine that they stand for.

`file:` is a file on a disk; bytes of its name that are not UTF-8, which a text column would refuse, are escaped with
per cent signs. `store:` with the SHA-256 of the content is a file in the archive's own store. `http:` and `https:` are
an instance of a DICOMweb server. `#frame=N` at the end of a URI is that frame of the file, from 1.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from radretrieval.errors import ImageError


def to_uri(path: str | os.PathLike[str]) -> str:
    """The `file:` URI of a path, made absolute; symbolic links in it are not resolved."""
    return Path(os.path.abspath(path)).as_uri()


def to_path(uri: str) -> Path:
    """The path of a `file:` URI; raises ImageError for another kind of URI."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise ImageError(f"is at {uri}, which is not a file on this machine")
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))


def store_uri(sha256: bytes) -> str:
    """The URI of a file in the archive's own store."""
    return f"store:{sha256.hex()}"


def frame_uri(uri: str, frame: int) -> str:
    """The URI of one frame, from 1, of a file with several."""
    return f"{uri}#frame={frame}"


def file_uri(uri: str) -> str:
    """The URI of the whole file, of which a URI may name one frame."""
    return re.sub(r"#frame=[0-9]+$", "", uri)


def frame_of(uri: str) -> int:
    """The frame that a URI names; 1 where it names none."""
    named = re.search(r"#frame=([1-9][0-9]{0,8})$", uri)
    return int(named[1]) if named else 1
