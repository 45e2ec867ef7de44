"""Text for messages, logs and tables."""

from __future__ import annotations

from pathlib import Path

from radretrieval.errors import ImageError
from radretrieval.files.uris import to_path


def printable(text: str) -> str:
    """Text with control characters and undecodable bytes escaped, for terminals, logs and tables."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(uri: str, key_file: Path | None = None) -> str:
    """A URI for messages and tables: the path of a `file:` URI, any other URI unchanged.

    Parameters
    ----------
    key_file : reveals hidden paths: for who runs the archive, not for answers.
    """
    if not uri.startswith("file:"):
        return printable(uri)
    try:
        return printable(str(to_path(uri, key_file)) + uri[len(uri.partition("#")[0]) :])
    except ImageError:  # hidden, and this key does not reveal it
        return uri
