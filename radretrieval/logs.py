"""The log: each line is an event with a name that stays, as text or as one JSON object (docs/operations.md, Logs).

No line has anything of a patient, or the path of an image file.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from radretrieval.files.text import LogFormatter, printable


class Log:
    """What a module logs: `log.warning("key_untested", "the key %(key)s is not tested", key=path)`.

    Each method takes the name of the event, its message with `%(field)s` for fields, and the fields: numbers and None
    stay what they are in JSON, all else becomes printable text.
    """

    def __init__(self, module: str) -> None:
        self._logger = logging.getLogger(module)

    @property
    def debugs(self) -> bool:
        """Whether the log has events of the level DEBUG."""
        return self._logger.isEnabledFor(logging.DEBUG)

    def debug(self, event: str, message: str, /, *, exc_info: bool = False, **fields: object) -> None:
        """What only a developer needs."""
        self._log(logging.DEBUG, event, message, fields, exc_info)

    def info(self, event: str, message: str, /, *, exc_info: bool = False, **fields: object) -> None:
        """What -v shows."""
        self._log(logging.INFO, event, message, fields, exc_info)

    def warning(self, event: str, message: str, /, *, exc_info: bool = False, **fields: object) -> None:
        """What somebody should look at some time."""
        self._log(logging.WARNING, event, message, fields, exc_info)

    def error(self, event: str, message: str, /, *, exc_info: bool = False, **fields: object) -> None:
        """What somebody has to mend."""
        self._log(logging.ERROR, event, message, fields, exc_info)

    def _log(self, level: int, event: str, message: str, fields: dict[str, object], exc_info: bool) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.handle(_record(self._logger.name, level, event, message, fields, exc_info))


def say(event: str, message: str) -> bool:
    """Log what a command says on stderr, where the log is JSON; False, and nothing is logged, where it is text."""
    found = [one for one in logging.getLogger().handlers if isinstance(one.formatter, _JsonLines)]
    for handler in found:
        assert isinstance(handler.formatter, _JsonLines)
        said = handler.formatter.without_arguments(message)
        handler.handle(_record("radretrieval.cli", logging.INFO, event, said, {}, False))
    return bool(found)


def start(form: str, level: int, arguments: Sequence[str] = ()) -> None:
    """Write the log of this process to stderr.

    Parameters
    ----------
    form : `text` or `json`.
    level : the lowest level that is written.
    arguments : the command line. In JSON, what a command says has `[argument N]` for those that name files.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(arguments) if form == "json" else LogFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(form == "json")


def _record(
    name: str, level: int, event: str, message: str, fields: dict[str, object], exc_info: bool
) -> logging.LogRecord:
    kept = {key: one if isinstance(one, int | float | None) else printable(str(one)) for key, one in fields.items()}
    args = (kept,) if kept else ()
    found = sys.exc_info() if exc_info else None
    extra = {"event": event, "fields": kept}
    return logging.getLogger(name).makeRecord(name, level, "", 0, message, args, found, extra=extra)


class _JsonLines(logging.Formatter):
    """One JSON object a line; what a library logs is the event `library`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        super().__init__()
        self._hidden: list[tuple[str, str]] = []
        for number, argument in enumerate(arguments, 1):
            if "/" in argument or Path(argument).exists():
                self._hidden += [(argument, f"[argument {number}]"), (Path(argument).name, f"[argument {number}]")]
        self._hidden.sort(key=lambda one: -len(one[0]))

    def without_arguments(self, message: str) -> str:
        for argument, place in self._hidden:
            message = message.replace(argument, place) if argument else message
        return message

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": getattr(record, "event", "library"),
            "message": record.getMessage(),
            "fields": getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
