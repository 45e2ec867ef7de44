"""The browser of the tests sees what it must: console errors, exceptions, requests to other hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from browsing import PLAIN_HOST, Chromium, Site, Visit, visiting


async def one() -> int:
    return 1


def test_asyncio_works_between_visits(browser: Chromium, site: Site) -> None:
    site.files["a.html"] = b"<title>a</title><link rel=icon href=data:,>"
    for _ in range(2):
        with browser.driven() as driven, visiting(driven) as visit:
            assert visit.open(f"{site.url}/a.html").title() == "a"
        assert asyncio.run(one()) == 1


@pytest.mark.parametrize(
    ("page", "seen"),
    [
        (b"<script src=missing.js></script>", "missing.js"),
        (b"<script>document.title = 1</script>", "Content Security Policy"),
        (b"<script src=a.js></script>", "it breaks"),
        (b"<img src=http://192.0.2.1/a.png>", "192.0.2.1"),
    ],
)
def test_what_a_page_may_not_do_fails_the_test(page: bytes, seen: str, browser: Chromium, site: Site) -> None:
    site.files["a.html"] = b"<!doctype html><link rel=icon href=data:,>" + page
    site.files["a.js"] = b"throw new Error('it breaks')"
    with browser.driven() as driven, pytest.raises(AssertionError, match=seen), visiting(driven) as visit:
        visit.open(f"{site.url}/a.html")


def test_a_host_name_is_plain_http(visits: Callable[..., Visit], site: Site) -> None:
    site.files["a.html"] = b"<link rel=icon href=data:,>"
    visit = visits(viewport={"width": 300, "height": 200})
    page = visit.open(f"{site.url}/a.html".replace("127.0.0.1", PLAIN_HOST))
    assert page.evaluate("[isSecureContext, typeof SharedArrayBuffer, typeof navigator.clipboard, innerWidth]") == [
        False,
        "undefined",
        "undefined",
        300,
    ]
