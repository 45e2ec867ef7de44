"""The process as it listens: TLS, slow and broken HTTP, a port that is taken, a proxy in front."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from databases import Server
from fastapi import FastAPI
from listening import certificate, listening
from starlette.responses import Response
from starlette.routing import Route

from radretrieval.config import ServeSettings, Settings
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.serve import run as running


@pytest.fixture(scope="module")
def settings_of_module(
    server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    with server.database(template=migrated_template) as url:
        yield Settings(home=tmp_path_factory.mktemp("home"), database_url=url)


@pytest.fixture(scope="module")
def port(settings_of_module: Settings) -> Iterator[int]:
    with patch.multiple(running, HEAD_SECONDS=0.6, REST_SECONDS=0.3), listening(settings_of_module) as port:
        yield port


def said(port: int, *parts: bytes, pause: float = 0.0, wait: float = 0.8) -> bytes:
    """What the service answers to these bytes, until it ends the connection or says nothing more."""
    with socket.create_connection(("127.0.0.1", port), wait) as connection:
        answer = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            while got := connection.recv(65536):
                answer += got
        except (TimeoutError, ConnectionError):
            pass
        return answer


def test_a_head_that_comes_too_slowly_ends_the_connection(port: int) -> None:
    began = time.monotonic()
    assert said(port) == b""
    assert said(port, b"GET /health/live HTTP/1.1\r\n", b"Host: localhost\r\n", b"X: ", pause=0.3) == b""
    assert time.monotonic() - began < 3
    whole = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    second = said(port, whole, b"GET /health/live HT", b"TP/1.1\r\n", b"Host: ", pause=0.3)
    assert second.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /api/logout HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        b"POST /api/logout HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/logout HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1_0\r\n\r\n0123456789",
        b"POST /api/logout HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /api/logout HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n folded\r\nX\x00: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
def test_http_that_can_be_read_in_two_ways_is_refused(port: int, request_: bytes) -> None:
    answer = said(port, request_)
    assert re.match(rb"HTTP/1.1 (400|404|421|431) ", answer), answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_refused_body_is_no_second_request(port: int) -> None:
    smuggled = b"GET /api/session HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = b"POST /api/logout HTTP/1.1\r\nHost: evil.example\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
    answer = said(port, head + smuggled)
    assert answer.startswith(b"HTTP/1.1 421 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    both = head.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length")
    answer = said(port, both + b"0\r\n\r\n" + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_body_that_has_no_end_is_cut_off_after_its_answer(port: int) -> None:
    head = b"POST /api/logout HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
    for host, status in ((b"localhost", b"200"), (b"evil.example", b"421")):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), 3) as connection:
            connection.sendall(head % host)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 " + status), answer  # before the body came
            with suppress(ConnectionError):
                while time.monotonic() - began < 5:
                    connection.sendall(b"10\r\n0123456789abcdef\r\n")
                    time.sleep(0.02)
        assert time.monotonic() - began < 3


def test_an_answer_that_is_not_read_is_dropped_and_one_that_is_read_slowly_is_not(settings_of_module: Settings) -> None:
    size, made = 12 * 2**20, running.create_app

    def with_much(settings: Settings, options: ServeSettings) -> FastAPI:
        app = made(settings, options)
        app.router.routes.insert(0, Route("/api/much", lambda _: Response(bytes(size))))
        return app

    def read(port: int, pause: float) -> int:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
            connection.settimeout(5)
            connection.connect(("127.0.0.1", port))
            connection.sendall(b"GET /api/much HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            time.sleep(pause)
            count = 0
            with suppress(ConnectionError):
                while got := connection.recv(2**16):
                    count += len(got)
                    time.sleep(0.01)
            return count

    limits = {"READ_SECONDS": 0.6, "READ_BYTES": 2**18, "create_app": with_much}
    with patch.multiple(running, **limits), listening(settings_of_module) as port:
        assert read(port, 0) > size
        assert read(port, 1.5) < size


def test_nothing_of_the_server_is_told(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/health/live")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["server"] is None
    connection.close()


def test_who_opens_all_connections_shuts_nobody_out(settings_of_module: Settings) -> None:
    proxy, other, many = "127.0.0.3", "127.0.0.1", "127.0.0.2"
    options = {"user_header": "X-User", "proxies": (proxy,)}
    asked = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    slow = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"

    def opened(host: str) -> socket.socket:
        return stack.enter_context(socket.create_connection(("127.0.0.1", port), 5, (host, 0)))

    def answered(connection: socket.socket) -> bool:
        connection.sendall(asked)
        got = b""
        while not got.endswith(b'{"status":"live"}') and (more := connection.recv(65536)):
            got += more
        assert got.startswith(b"HTTP/1.1 200"), got
        return got.endswith(b"}")

    with (
        ExitStack() as stack,
        patch.object(running, "CONNECTIONS", 100),
        listening(settings_of_module, **options) as port,
    ):
        before, proxied = opened(other), [opened(proxy) for _ in range(10)]
        assert answered(before)
        assert all(map(answered, proxied))
        for place in range(150):  # idle ones, and some that send no body
            one = opened(many)
            if place % 3 == 0:
                one.sendall(slow)
        began = time.monotonic()
        assert answered(before), "who has few connections keeps them"
        assert all(map(answered, proxied)), "so does a proxy"
        assert all(answered(opened(other)) for _ in range(3))
        assert time.monotonic() - began < 3


def test_it_speaks_tls_from_1_2_on(settings_of_module: Settings, tmp_path: Path) -> None:
    key, cert = certificate(tmp_path, "localhost")
    with listening(settings_of_module, tls_cert=cert, tls_key=key) as port:
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=5)
        connection.request("GET", "/health/live")
        assert connection.getresponse().status == 200
        connection.close()
        assert b"200" not in said(port, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            pytest.raises(OSError, match="version|reset|EOF"),
        ):
            old.wrap_socket(plain, server_hostname="localhost")
    with pytest.raises(UsageError, match="cannot be used"):
        running.run(settings_of_module, ServeSettings(port=0, tls_cert=key), print)


def test_a_port_that_is_taken_is_named(port: int, settings_of_module: Settings) -> None:
    with pytest.raises(EnvironmentUnusable, match=f"127.0.0.1:{port} .*--port"):
        running.run(settings_of_module, ServeSettings(port=port), print)
