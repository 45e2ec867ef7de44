"""Where an image's file is: URIs in the archive, paths on this machine.

`file:` a file on a disk; its URI takes any name that a file system allows, a byte that is not UTF-8 too, which a text
column would refuse. `store:` and the SHA-256 of the content: a file that has no place but the archive's own store.
`http:`, `https:` an instance of a DICOMweb server. `#frame=N` behind any of them: that frame of the file, from 1.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from radretrieval.errors import ImageError


def to_uri(path: str | os.PathLike[str]) -> str:
    """The `file:` URI of a path, absolute; links in it are kept as they are."""
    return Path(os.path.abspath(path)).as_uri()


def printable(text: str) -> str:
    """Text with control characters, and bytes that were not UTF-8, as escapes: safe for terminals and tables."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def to_path(uri: str) -> Path:
    """The path of a `file:` URI; raises ImageError for another kind of URI."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise ImageError(f"is at {uri}, which is not a file on this machine")
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))


def store_uri(sha256: bytes) -> str:
    """The URI of a file that the archive's own store keeps."""
    return f"store:{sha256.hex()}"


def frame_uri(uri: str, frame: int) -> str:
    """The URI of one frame, from 1, of a file with several."""
    return f"{uri}#frame={frame}"


def frame_of(uri: str) -> int:
    """The frame that a URI names; 1 where it names none."""
    named = re.search(r"#frame=([1-9][0-9]{0,8})$", uri)
    return int(named[1]) if named else 1


def shown(uri: str) -> str:
    """A URI for people: the path of a file, and what else it is as it stands."""
    return printable(str(to_path(uri)) + uri[len(uri.partition("#")[0]) :] if uri.startswith("file:") else uri)
