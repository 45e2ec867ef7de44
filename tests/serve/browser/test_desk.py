"""The pages for IT and for analysts in a browser, on a real server with a real archive."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from accessible import violations
from browsing import Visit
from playwright.sync_api import Page, expect
from serving import CODES, EACH, Served

from radretrieval.archive import images as image_rows
from radretrieval.archive.connections import Database
from radretrieval.archive.images import Failure

NAME = "Doe^Jane"


@pytest.fixture
def failed(served: Served) -> Iterator[str]:
    """30 files that failed for one reason, which a page has to tell without what their messages say of a patient."""
    uris = [f"file:///films/{NAME}/{number}.dcm" for number in range(30)]
    with Database(served.database_url).connection() as connection:
        told = f"the DICOM header is damaged: {NAME} is not a number"
        image_rows.keep_failures(connection, [Failure(uri, bytes(32), "ImageError", told) for uri in uris])
    yield "the DICOM header is damaged"
    with Database(served.database_url).connection() as connection:
        image_rows.forget_failures(connection, uris)


def test_the_page_of_it(served: Served, visit: Visit, failed: str) -> None:
    page = visit.open(f"{served.url}/it.html")
    expect(page).to_have_title(re.compile("State of the archive"))
    expect(page.locator("#counts > div").first).to_contain_text(str(len(served.films.known)))
    row = page.locator("#failures tbody tr", has_text=failed)
    expect(row).to_contain_text("30")
    expect(page.locator("#findings")).to_contain_text("30")
    assert violations(page) == []
    # by keyboard alone: the list of those failures, and its second page, which the refresh leaves as they are
    row.get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#listed")).to_have_text(f"1 to 20: {failed}")
    expect(page.locator("#listed")).to_be_focused()
    page.locator("#older").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#files tbody tr")).to_have_count(10)
    assert NAME not in page.content()
    page.evaluate("document.querySelector('#listed').kept = true")
    page.locator("#now").focus()
    with page.expect_response("**/it.html?*"):
        page.keyboard.press("Enter")
    expect(page.locator("#now")).to_be_focused()
    assert page.evaluate("document.querySelector('#listed').kept")
    page.locator("#language").click()
    expect(page.locator("#listed")).to_have_text(f"21 bis 30: {failed}")
    expect(page.locator("#h-findings")).to_have_text("Was zu tun ist")
    assert violations(page) == []
    page.goto(f"{served.url}/it.html?reason=unknown")  # an address of yesterday, whose files were mended
    expect(page.locator("#listed")).to_have_text("Keine Dateien: unknown")
    expect(page.locator("#files")).to_have_count(0)


def test_it_asks_only_while_somebody_looks(served: Served, visit: Visit) -> None:
    asked: list[str] = []
    visit.context.on("request", lambda one: asked.append(one.url) if one.url.endswith("/it.html") else None)
    page = visit.context.new_page()
    visit.hosts.add(served.url.removeprefix("http://"))
    page.clock.install()
    page.goto(f"{served.url}/it.html")
    expect(page.locator("#counts strong").first).to_be_visible()
    assert len(asked) == 1
    with page.expect_response("**/it.html"):
        page.clock.fast_forward(10_500)
    _hide(page, True)
    page.clock.fast_forward(3_600_000)
    assert len(asked) == 2
    # a server that fails is asked ever more seldom
    away = "<div id=problem role=alert>away</div>"
    page.route("**/it.html", lambda route: route.fulfill(status=503, body=away, content_type="text/html"))
    with page.expect_response("**/it.html"):
        _hide(page, False)
    expect(page.locator("#problem")).to_contain_text("away")
    for expected, seconds in ((3, 15), (4, 6), (4, 30)):
        page.clock.fast_forward(1000 * seconds)
        page.wait_for_timeout(100)
        assert len(asked) == expected
    expect(page.locator("#counts strong").first).to_be_visible()  # what was known stays
    page.unroute("**/it.html")
    page.context.set_offline(True)
    page.locator("#now").click()
    expect(page.locator("#stale")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    page.locator("#now").click()
    expect(page.locator("#stale")).to_be_hidden()
    expect(page.locator("#problem")).to_be_hidden()
    count = len(asked)
    page.locator("#live").uncheck()
    page.clock.fast_forward(600_000)
    page.wait_for_timeout(100)
    assert len(asked) == count
    assert sum("503" in error for error in visit.errors) == 2
    assert all("503" in error or "ERR_INTERNET_DISCONNECTED" in error for error in visit.errors)
    visit.errors.clear()


def test_the_pages_work_without_scripts(served: Served, visits: Callable[..., Visit], failed: str) -> None:
    visit = visits(java_script_enabled=False)
    page = visit.open(f"{served.url}/it.html?reason={failed}")
    page.locator("#older").click()
    expect(page.locator("#files tbody tr")).to_have_count(10)
    page.get_by_role("link", name="Classes and map").click()
    page.locator("#find").fill("knee")
    page.keyboard.press("Enter")
    rows = page.locator("#classes tbody tr")
    expect(rows).to_have_count(1)
    rows.first.get_by_role("link").click()
    expect(page.locator("#images li")).to_have_count(EACH - 1)
    page.goto(f"{served.url}/analyst.html?id=1")
    expect(page.locator("#near li")).to_have_count(6)
    page.goto(f"{served.url}/analyst.html?id=4711")
    expect(page.get_by_role("alert")).to_contain_text("no image 4711")
    assert visit.errors.pop().startswith("Failed to load resource: the server responded with a status of 404")


def _hide(page: Page, hidden: bool) -> None:
    page.evaluate(
        "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def test_the_page_of_analysts(served: Served, visits: Callable[..., Visit]) -> None:
    visit = visits(viewport={"width": 1300, "height": 900})
    page = visit.open(f"{served.url}/analyst.html")
    rows = page.locator("#classes tbody tr")
    expect(rows).to_have_count(len(CODES) + 1)
    expect(page.locator("#explained")).to_contain_text(f"{len(served.films.known)} of {len(served.films.known)}")
    expect(rows.first).to_contain_text("%")
    assert violations(page) == []
    page.locator("#find").fill("knee")
    expect(rows).to_have_count(1)
    _map_by_keyboard(page)
    rows.first.get_by_role("link").click()
    expect(page.locator("#h-images")).to_be_focused()
    expect(page.locator("#images li")).to_have_count(EACH - 1)
    assert violations(page) == []


def _map_by_keyboard(page: Page) -> None:
    page.locator("#map").focus()
    said = page.locator("#said")
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("image")
    first = said.inner_text()
    for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("0")
    chosen = said.inner_text()
    assert re.match(r"image \d+", first)
    page.keyboard.press("Enter")
    expect(page.locator("#h-detail")).to_be_focused()
    assert chosen.startswith(page.locator("#h-detail").inner_text())
    expect(page.locator("#own a")).to_have_attribute("href", re.compile(r"^\./\?id=\d+$"))
    expect(page.locator("#near li")).to_have_count(6)


def test_a_click_on_the_map_opens_the_image_there(served: Served, visit: Visit) -> None:
    page = visit.open(f"{served.url}/analyst.html")
    expect(page.locator("#legend input")).to_have_count(len(CODES) + 1)
    page.locator("#legend label").first.click()
    expect(page.locator("#legend :checked")).to_have_count(1)
    page.keyboard.press("Space")
    expect(page.locator("#legend :checked")).to_have_count(0)
    shown = page.evaluate("fetch('api/map').then((answer) => answer.json())")["map"]
    box = page.locator("#map").bounding_box()
    assert box is not None
    side = 0.94 * min(box["width"], box["height"])
    across, up = (shown[axis][0] / shown["grid"] - 0.5 for axis in ("x", "y"))
    page.mouse.click(
        box["x"] + box["width"] / 2 + side * across,
        box["y"] + box["height"] / 2 - side * up,
    )
    near = [
        image
        for image, x, y in zip(shown["image_ids"], shown["x"], shown["y"], strict=True)
        if abs(x - shown["x"][0]) + abs(y - shown["y"][0]) < 300
    ]
    assert int(page.locator("#h-detail").inner_text().split()[-1]) in near
