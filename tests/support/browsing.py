"""A real browser for tests of the page: Debian's Chromium, driven by Playwright, one a session.

The fixtures `browser`, `visits` and `visit` in conftest.py give it; `Site` serves the page's files, and what a test
adds, where no archive is needed.
"""

from __future__ import annotations

import asyncio
import mimetypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright
from programs import needs_program

import radretrieval.serve

PAGE = Path(radretrieval.serve.__file__).parent / "page"
# `http://radretrieval.test:PORT` is this machine under a name that browsers do not trust as they do 127.0.0.1:
# there the page has no clipboard API, no crypto.subtle and no SharedArrayBuffer, as on plain HTTP in a hospital.
PLAIN_HOST = "radretrieval.test"
# What the product sends (docs/page.md); a test page that breaks it would not work there.
POLICY = "default-src 'self'; img-src 'self' blob: data:; script-src 'self'; style-src 'self'; object-src 'none'"


def until(page: Page, expression: str, seconds: float = 10) -> Any:
    """The value of the JavaScript expression once it is true; promises in it are awaited.

    Playwright's `wait_for_function` evaluates strings within the page, which the policy forbids.
    """
    end = time.monotonic() + seconds
    while not (value := page.evaluate(expression)):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {expression}")
        page.wait_for_timeout(20)
    return value


class Chromium:
    """The session's browser.

    Playwright's synchronous API leaves its event loop marked as running in the thread, where `asyncio.run` of any other
    test would then fail; between visits the mark is taken away.
    """

    def __init__(self) -> None:
        self._program = needs_program("chromium")
        self._playwright = sync_playwright().start()
        self.browser = self._launched()
        self._loop = asyncio.get_running_loop()
        asyncio.events._set_running_loop(None)

    def _launched(self, *options: str) -> Browser:
        arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1", *options]
        return self._playwright.chromium.launch(executable_path=self._program, args=arguments)

    @contextmanager
    def scaled(self, ratio: float, width: int, height: int) -> Iterator[Visit]:
        """A visit on a screen of this device pixel ratio; window size in CSS pixels.

        `device_scale_factor` of a context emulates one, and then rounds boxes to CSS pixels, which no real screen does.
        """
        with self.driven():
            browser = self._launched(f"--force-device-scale-factor={ratio}", f"--window-size={width},{height}")
            try:
                with visiting(browser, no_viewport=True) as visit:
                    yield visit
            finally:
                browser.close()

    @contextmanager
    def driven(self) -> Iterator[Browser]:
        """The browser, which may be driven within."""
        asyncio.events._set_running_loop(self._loop)
        try:
            yield self.browser
        finally:
            asyncio.events._set_running_loop(None)

    def stop(self) -> None:
        """End the browser and Playwright's process."""
        with self.driven() as browser:
            browser.close()
            self._playwright.stop()


@dataclass
class Visit:
    """A user's browser, without cookies at first: pages, and what none of them may do.

    errors : console errors and exceptions of the page. A test that provokes one asserts it and clears the list.
    foreign : addresses that the page asked of other hosts than those it was opened at.
    """

    context: BrowserContext
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def open(self, url: str, **options: Any) -> Page:
        """A new page at this address, loaded; options as of `Page.goto`."""
        self.hosts.add(urlsplit(url).netloc)
        page = self.context.new_page()
        page.goto(url, **options)
        return page

    def said(self, message: ConsoleMessage) -> None:
        """Takes a line of the console."""
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def asked(self, request: Request) -> None:
        """Takes a request."""
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.netloc not in self.hosts:
            self.foreign.append(request.url)


@contextmanager
def visiting(browser: Browser, **options: Any) -> Iterator[Visit]:
    """A context of its own (options as of `Browser.new_context`: viewport, device_scale_factor, has_touch, locale …).

    Afterwards no page may have written an error to the console or asked another host.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(15_000)
    visit = Visit(context)
    context.on("console", visit.said)
    context.on("weberror", lambda error: visit.errors.append(f"{error.error}"))
    context.on("request", visit.asked)
    try:
        yield visit
    finally:
        context.close()
    assert not visit.errors, "errors of the page:\n" + "\n".join(visit.errors)
    assert not visit.foreign, "requests to other hosts:\n" + "\n".join(visit.foreign)


@dataclass
class Site:
    """A static server of this test's own: the files of a folder, and those that the test adds.

    files : path, without the leading slash → body, or body and headers; goes before the folder.
    asked : the paths that were asked for, in order.
    """

    folder: Path = PAGE
    files: dict[str, bytes | tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def found(self, path: str) -> tuple[bytes, dict[str, str]] | None:
        """Body and headers of a path, None where there is nothing."""
        kind = {"Content-Type": mimetypes.guess_type(path)[0] or "application/octet-stream"}
        if path in self.files:
            given = self.files[path]
            return (given[0], kind | given[1]) if isinstance(given, tuple) else (given, kind)
        file = self.folder / (path or "index.html")
        return (file.read_bytes(), kind) if file.is_file() and ".." not in path else None


@contextmanager
def serving_files(site: Site) -> Iterator[Site]:
    """Serve it on a free port of 127.0.0.1, with the policy that the product sends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = urlsplit(self.path).path.lstrip("/")
            site.asked.append(path)
            found = site.found(path)
            body, headers = found or (b"", {})
            self.send_response(200 if found else 404)
            for name, value in {"Content-Security-Policy": POLICY, **headers, "Content-Length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
