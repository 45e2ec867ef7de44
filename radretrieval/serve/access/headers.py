"""What the headers of a request must be, and what headers every response has."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from radretrieval.config import ServeSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MOST_HEADERS, MOST_BYTES = 100, 32 * 1024  # of a request
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")
_ANCESTOR = re.compile(r"(https?://)?[A-Za-z0-9*.-]+(:([0-9]{1,5}|\*))?")


def is_loopback(host: str) -> bool:
    """Whether this address is reached from its own machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_hosts(options: ServeSettings) -> frozenset[str]:
    """The names by which users reach the service, beside IP addresses and localhost."""
    named = [urlsplit(options.url).hostname or ""] if options.url else []
    return frozenset(name.lower() for name in ("localhost", *options.hosts, *named) if name)


def wrong_host(headers: Headers, own: Collection[str]) -> str | None:
    """Why this request is not for this service, if so.

    A foreign page that resolves its own name to our address (DNS rebinding) has that name in Host. An IP address there
    is none of a foreign page.
    """
    given = headers.getlist("host")
    if len(given) != 1 or not (match := _HOST.fullmatch(given[0])):
        return "the header Host must be there once, with a host and a port"
    name = match[1].strip("[]").lower()
    if name in own:
        return None
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return f"this service is not called {name}: RADRETRIEVAL_SERVE_URL or RADRETRIEVAL_SERVE_HOSTS say its names"
    return None


def too_many(headers: Headers) -> bool:
    """Whether the headers of a request are more than any browser or proxy sends."""
    return len(headers.raw) > MOST_HEADERS or sum(len(name) + len(value) for name, value in headers.raw) > MOST_BYTES


def from_elsewhere(method: str, headers: Headers, url: str | None) -> bool:
    """Whether a page of another origin makes this request; following a link to us is no such request.

    Parameters
    ----------
    url : the address of the service behind its proxy, where it has one.
    """
    site = headers.get("sec-fetch-site", "none")
    link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("same-origin", "none") and not link:
        return True
    origin = headers.get("origin")
    if origin is None or method in SAFE_METHODS:
        return False
    named = urlsplit(url or "")
    try:
        sent = urlsplit(origin)
    except ValueError:
        return True
    host = headers["host"].lower()
    schemes = {named.scheme} if host == named.netloc.lower() else {"http", "https"}
    return sent.scheme not in schemes or sent.netloc.lower() != host


def from_browser(headers: Headers) -> bool:
    """Whether a browser makes this request: programs send neither of these headers."""
    return "origin" in headers or "sec-fetch-site" in headers


def ancestors(options: ServeSettings) -> str:
    """The sources of frame-ancestors.

    Raises ValueError, with the source that is none.
    """
    for one in options.frame_ancestors:
        if not _ANCESTOR.fullmatch(one):
            raise ValueError(one)
    return " ".join(options.frame_ancestors) or "'none'"


def secure(headers: MutableHeaders, frames: str, *, kept: bool) -> None:
    """Give a response the headers that every response has.

    Parameters
    ----------
    frames : the sources of frame-ancestors.
    kept : a browser may keep it, and asks whether it changed: a file of the page, in which nothing is personal.
    """
    headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        f"base-uri 'none'; form-action 'self'; frame-ancestors {frames}"
    )
    if frames == "'none'":
        headers["X-Frame-Options"] = "DENY"
    headers["X-Content-Type-Options"] = "nosniff"
    # With no-referrer a browser would send `Origin: null` from our own login form.
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
    headers.setdefault("Cache-Control", "no-cache" if kept else "no-store")
