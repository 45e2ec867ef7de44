"""Where an image's file is: `file:` URIs in the archive, paths on this machine.

A URI takes any name that a file system allows, a byte that is not UTF-8 too, which a text column would refuse.
"""

from __future__ import annotations

import os
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
