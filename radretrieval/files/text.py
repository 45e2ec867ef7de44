"""Text for messages, logs and tables."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radretrieval.errors import ImageError
from radretrieval.files.uris import to_path

if TYPE_CHECKING:
    from types import TracebackType

_NOT_ASCII = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    """Text with control characters and undecodable bytes escaped, for terminals, logs and tables."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable_lines(text: str) -> str:
    """`printable` of each line of a text that has several."""
    return "\n".join(map(printable, text.split("\n")))


def json_line(document: Any) -> str:
    """A document as one line of JSON, in which what is not printable is escaped: its values stay as they are."""
    text = json.dumps(document, default=str, ensure_ascii=False)
    return _NOT_ASCII.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


class LogFormatter(logging.Formatter):
    """Writes a record in one printable line, whatever its values are; a traceback follows in lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """See `logging.Formatter`."""
        return printable(super().formatMessage(record))

    def formatException(  # noqa: N802
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """See `logging.Formatter`."""
        return printable_lines(super().formatException(ei))


def without_path(message: str, path: str) -> str:
    """A message for the log, in which its file is not named."""
    return message.replace(path, "its file") if path else message


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
