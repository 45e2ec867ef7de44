"""Multipart messages (RFC 2046, 5.1) as DICOMweb servers write them: their parts, byte for byte."""

from __future__ import annotations

import re
from email.message import Message

from radretrieval.errors import NotFetched

_HEADERS = re.compile(rb"(?:[!-9;-~]+[ \t]*:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*)*\r?\n")
_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*([0-9]+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_LINE_END = re.compile(rb"[ \t]*(\r?\n)")


def media_type(content_type: str) -> tuple[str, str | None]:
    """Media type of a Content-Type in lower case, and its boundary, if it names one (RFC 2045, 5.1)."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    return message.get_content_type(), boundary.strip() if isinstance(boundary, str) else None


def split_parts(body: bytes, boundary: str | None) -> list[bytes]:
    """The bodies of the parts of a message, byte for byte.

    A part ends where its Content-Length says, if a delimiter follows there, else before the next delimiter. A delimiter
    is one only with what must follow it: the headers of a part, or nothing more than an epilogue. Lines may end with LF
    alone, as that of the first delimiter does.

    Raises
    ------
    NotFetched : there is no boundary or no delimiter, or the message ends within a part.
    """
    if not boundary:
        raise NotFetched("the server's response has several parts and does not name their boundary")
    delimiter = b"--" + boundary.encode("latin-1", "replace")
    first = _first(body, delimiter)
    if first is None:
        raise NotFetched("the server's response has no part: its boundary does not occur in it")
    start, newline = first
    parts = []
    while True:
        headers = _HEADERS.match(body, start)
        if headers is None:
            raise NotFetched("the server's response ends within the header of a part")
        end, following = _end(body, headers, newline + delimiter)
        parts.append(body[headers.end() : end])
        if following is None:
            return parts
        start = following


def _first(body: bytes, delimiter: bytes) -> tuple[int, bytes] | None:
    """Where the headers of the first part begin, and how its lines end; a preamble is passed over."""
    place = body.find(delimiter)
    while place >= 0:
        line = _LINE_END.match(body, place + len(delimiter))
        if line is not None and (place == 0 or body[place - 1] == 0x0A):
            return line.end(), line[1]
        place = body.find(delimiter, place + 1)
    return None


def _end(body: bytes, headers: re.Match[bytes], delimiter: bytes) -> tuple[int, int | None]:
    """Where a part ends, and where the headers of the next one begin: None after the last."""
    length = _LENGTH.search(headers[0])
    if length is not None:
        end = headers.end() + int(length[1])
        if end <= len(body) and not body[end:].strip(b"\r\n"):
            return end, None  # the whole part, though no delimiter closes it
        if body.startswith(delimiter, end) and (found := _follows(body, end + len(delimiter), True)) is not None:
            return end, found or None
    last = body.rfind(delimiter)
    # the line end of the headers may be that of the delimiter: the part is empty
    place = body.find(delimiter, headers.end() - delimiter.index(b"--"))
    while place >= 0:
        if (found := _follows(body, place + len(delimiter), place == last)) is not None:
            return max(place, headers.end()), found or None
        place = body.find(delimiter, place + 1)
    raise NotFetched("the server's response ends within a part: its closing boundary is missing")


def _follows(body: bytes, place: int, may_close: bool) -> int | None:
    """Where the headers of a part begin behind a delimiter, 0 behind a closing one; None: it belongs to the data.

    may_close : the length of the part is known, or no delimiter follows this one.
    """
    if body.startswith(b"--", place):
        return 0 if may_close else None
    line = _LINE_END.match(body, place)
    return line.end() if line is not None and _HEADERS.match(body, line.end()) else None
