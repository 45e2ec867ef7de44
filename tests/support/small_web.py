"""A small DICOMweb server over HTTP with the habits of bad ones: short pages, no paging, errors, half answers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

HABITS = (
    "closes at once",
    "resets",
    "short body",
    "no closing boundary",
    "gives a page",
    "hangs",
    "hangs within",
    "429",
    "500",
    "502",
    "503",
)
CR = "1.2.840.10008.5.1.4.1.1.1"


@dataclass
class SmallWeb:
    """What it has, and how it behaves; may be changed while it runs.

    studies : study UID → instance UID → file; each study has one series of its own name and `.1`.
    dates : study UID → its date, by which it can be asked for; a study without one is always told.
    page : how many it tells at most at a time, None for as many as asked for; paging : whether it knows `offset`.
    partial : 206 is answered where a page is not the last. broken : path → status and body that are answered instead.
    refused : words that the Accept of a request must not have, else 406.
    kinds : path → Content-Type and body, with 200. redirects : path → URL. habits : path → one of HABITS, by which it
    answers there; woken : ends those that hang.
    asked : what it was asked for. authorized : path and Authorization of each request.
    """

    studies: dict[str, dict[str, bytes]] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    page: int | None = None
    paging: bool = True
    partial: bool = False
    sop_class: str | None = CR
    broken: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    kinds: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    authorized: list[tuple[str, str | None]] = field(default_factory=list)
    habits: dict[str, str] = field(default_factory=dict)
    root: str = ""
    woken: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        self.asked.append(path)
        if path in self.kinds:
            return 200, *self.kinds[path]
        if path in self.broken:
            status, body = self.broken[path]
            return status, "text/html", body
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts == ["studies"]:
            named = query.get("StudyInstanceUID", list(self.studies))
            first, _, last = query.get("StudyDate", ["-"])[0].partition("-")
            dated = [uid for uid in named if first <= self.dates.get(uid, first) <= (last or "9")]
            rows = [
                _row({"0020000D": uid} | ({"00080020": self.dates[uid]} if uid in self.dates else {}))
                for uid in self.studies
                if uid in dated
            ]
            return self._page(rows, query)
        if parts[-1] == "instances":
            wanted = query.get("SOPInstanceUID")
            found = [
                self._instance(study, uid)
                for study, instances in list(self.studies.items())
                for uid in instances
                if (len(parts) == 1 or parts[1] == study) and (wanted is None or uid in wanted)
            ]
            return self._page(found, query)
        data = self.studies.get(parts[1], {}).get(parts[5]) if len(parts) == 6 else None
        if data is None:
            return 404, "text/plain", b"no such instance"
        body = b"\r\n--BB\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--BB--\r\n"
        return 200, 'multipart/related; type="application/dicom"; boundary=BB', body

    def _instance(self, study: str, uid: str) -> dict[str, object]:
        known = {"0020000D": study, "0020000E": f"{study}.1", "00080018": uid}
        return _row(known | ({"00080016": self.sop_class} if self.sop_class else {}))

    def _page(self, rows: list[dict[str, object]], query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        if self.paging:
            offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["1000"])[0])
            rows = rows[offset : offset + limit]
        told = rows[: self.page]
        status = 206 if self.partial and len(told) < len(rows) else 200
        return (status, "application/dicom+json", json.dumps(told).encode()) if told else (204, "", b"")


def _row(values: dict[str, str]) -> dict[str, object]:
    return {tag: {"vr": "UI", "Value": [value]} for tag, value in values.items()}


@contextmanager
def serving(web: SmallWeb, tls: ssl.SSLContext | None = None) -> Iterator[SmallWeb]:
    """It answers at `web.root` on this machine's loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 2**16  # an answer in one piece: no waiting for acknowledgements

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            web.authorized.append((parts.path, self.headers.get("Authorization")))
            if parts.path in web.redirects:
                self.send_response(307)
                self.send_header("Location", web.redirects[parts.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            habit = web.habits.get(parts.path, "")
            status, kind, body = web.answer(parts.path, parse_qs(parts.query))
            if any(word in self.headers["Accept"] for word in web.refused):
                status, kind, body = 406, "text/plain", b""
            if habit in ("closes at once", "hangs"):
                self._end(habit)
                return
            if habit.isdecimal():
                status, kind, body = int(habit), "text/html", b"busy"
            if habit == "gives a page":
                kind, body = "text/html", b"<html>log in</html>"
            if habit == "no closing boundary":
                body = body[: len(body) // 2]
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 206:
                self.send_header("Warning", '299 small: "There are more results that can be requested"')
            if habit in ("429", "503"):
                self.send_header("Retry-After", "1")
            self.end_headers()
            if habit in ("resets", "short body", "hangs within"):
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                self._end(habit)
            else:
                self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def _end(self, habit: str) -> None:
            """Close the connection, whatever was promised."""
            if "hangs" in habit:
                web.woken.wait(90)
            self.close_connection = True
            if habit == "resets":  # RST, no FIN
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())
                return
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    web.root = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        web.woken.set()
        server.shutdown()
        thread.join()
        server.server_close()
