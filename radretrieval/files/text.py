"""Text for messages, logs and tables."""

from __future__ import annotations

from radretrieval.files.uris import to_path


def printable(text: str) -> str:
    """Text with control characters and undecodable bytes escaped, for terminals, logs and tables."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(uri: str) -> str:
    """A URI for messages and tables: the path of a `file:` URI, any other URI unchanged."""
    return printable(str(to_path(uri)) + uri[len(uri.partition("#")[0]) :] if uri.startswith("file:") else uri)
