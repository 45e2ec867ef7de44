"""Two users do all that the page has, at the same time, by keyboard alone, on an archive of 10,000 images.

The browser gets keys and nothing else: no pointer, no click of a script, no focus that a key has not set. A chooser of
files is answered once a key has opened it. How the archive is made, and what of it is synthetic, stands in
tests/support/large.py.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from browsing import PAGE, Site, Visit, until
from databases import Server
from large import enlarge
from playwright.sync_api import Locator, Page, expect
from serving import CODES, Films, Served, node, serving

from radretrieval.archive.connections import Database, connect
from radretrieval.serve.access.user import Role
from radretrieval.serve.access.users_file import add

expect.set_options(timeout=15_000)
IMAGES = 10_000
PATIENCE = 60_000  # ms: the first search loads the network, for two users, on a machine with other work
PASSWORD = "correct horse battery of {}"
FOCUSED = "one => one === document.activeElement"
# What the keyboard is to come to, in the order of the page; and the one it is at, with whether it is in view.
STOPS = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
  .filter((one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility())
  .map((one) => one.cloneNode().outerHTML)"""
STOP = """() => {
  const one = document.activeElement, { top, bottom, width } = one.getBoundingClientRect();
  return [one.cloneNode().outerHTML, width > 0 && bottom > 0 && top < innerHeight];
}"""
Step = Iterator[None]


@dataclass
class Hospital:
    """The service, the reports that its node has taken, and the site's viewer."""

    served: Served
    sent: list[Any]
    viewer: str


@pytest.fixture
def hospital(films: Films, server: Server, site: Site, tmp_path: Path) -> Iterator[Hospital]:
    """The service on the large archive, for the users anna and ben, each with all roles."""
    for name in ("anna", "ben"):
        add(tmp_path / "users", name, PASSWORD.format(name), list(Role))
    site.files["viewer.html"] = b"<title>viewer</title><link rel=icon href=data:,>"
    with ExitStack() as stack:
        url = stack.enter_context(films.copy(server))
        enlarge(Database(url), IMAGES)
        peer, sent = stack.enter_context(node())
        settings = {
            "USERS_FILE": str(tmp_path / "users"),
            "STORE_TO": peer,
            "VIEWER_URL": f"{site.url}/viewer.html?study={{StudyInstanceUID}}&sop={{SOPInstanceUID}}",
        }
        given = {f"RADRETRIEVAL_SERVE_{name}": value for name, value in settings.items()}
        yield Hospital(stack.enter_context(serving(films, url, **given)), sent, site.url)


class Reader:
    """A user with a keyboard. Each method is a part of the work; it yields where another user may come in between."""

    def __init__(self, visit: Visit, hospital: Hospital, name: str, language: str, place: int) -> None:
        self.name, self.hospital, self.place = name, hospital, place
        self.texts = json.loads((PAGE / "texts" / f"{language}.json").read_text(encoding="utf-8"))
        self.visit = visit
        self.page: Page = visit.open(hospital.served.url + "/")
        visit.hosts.add(hospital.viewer.removeprefix("http://"))
        self.press, self.type = self.page.keyboard.press, self.page.keyboard.type
        self.upload = ""
        # listened to from the beginning: else the browser may open a chooser of its own before Playwright asks for it
        self.page.on("filechooser", lambda chooser: chooser.set_files(hospital.served.films.new[place]))

    def __call__(self, css: str) -> Locator:
        return self.page.locator(css)

    def text(self, key: str, **values: object) -> re.Pattern[str]:
        """A text of the page in the user's language; what is not given may be anything."""
        parts = re.split(r"\{(\w+)\}", self.texts[key])
        known = [re.escape(one) if i % 2 == 0 else str(values.get(one, ".*")) for i, one in enumerate(parts)]
        return re.compile("".join(known))

    def reach(self, css: str, key: str = "Tab", most: int = 60) -> None:
        """Press Tab until the element has the focus."""
        wanted = self(css)
        for _ in range(most):
            if wanted.evaluate(FOCUSED):
                return
            self.press(key)
        raise AssertionError(f"{key} does not come to {css} within {most} steps")

    def use(self, css: str, key: str = "Tab") -> None:
        """Reach a button or link, and press Enter."""
        self.reach(css, key)
        self.press("Enter")

    def told(self, key: str, **values: object) -> None:
        """Wait until the page has told this."""
        expect(self("#progress")).to_have_text(self.text(key, **values), timeout=PATIENCE)

    def line(self, which: int) -> str:
        """What stands below a film: zoom, window, whether it is turned or inverted."""
        return self(".film-line").nth(which).text_content() or ""

    def changes(self, which: int, *keys: str) -> str:
        """Press keys and wait until the line below a film is another; that line."""
        before = self.line(which)
        for key in keys:
            self.press(key)
        expect(self(".film-line").nth(which)).not_to_have_text(before)
        return self.line(which)

    def ids(self) -> list[int]:
        """The images of the hits."""
        found = self("#hits img").evaluate_all(r"all => all.map((one) => +one.srcset.match(/images.(\d+)/)[1])")
        return list(found)

    def logs_in(self) -> Step:
        expect(self("[name=name]")).to_be_focused()
        self.type(self.name)
        self.press("Tab")
        self.type(PASSWORD.format(self.name))
        self.press("Enter")
        yield
        expect(self("#user")).to_have_text(self.name)
        expect(self("#start")).to_be_visible()  # drawn by the script, which takes keys from now on

    def asks(self) -> Step:
        self.press("Tab")
        expect(self(".skip")).to_be_focused()
        self.press("u")
        yield
        self.told("hitsReady", n=10, name=f"new-{self.place}.dcm")
        self.upload = self.page.url
        known = self.hospital.served.films.known[self.place]
        for query in (str(pydicom.dcmread(known).SOPInstanceUID), "4000"):
            self.press("/")
            self.type(query)
            self.press("Enter")
            yield
            self.told("hitsReady", n=10, name=self.text("image", id=self.place + 1 if "." in query else query).pattern)
            expect(self(".hit").first).to_be_focused()

    def reads(self) -> Step:
        hits = self(".hit")
        for key, place in (("ArrowRight", 1), ("j", 2), ("ArrowLeft", 1), ("k", 0), ("End", 9), ("Home", 0)):
            self.press(key)
            expect(hits.nth(place)).to_be_focused()
            expect(self("#what h2")).to_contain_text(self.text("rank", rank=place + 1))
        expect(self("#hit-film")).to_have_attribute("aria-label", self.text("hitLabel", rank=1, id=self.ids()[0]))
        yield
        self.use(".why summary", "Shift+Tab")
        expect(self(".why")).to_have_attribute("open", "")
        expect(self(".why p").first).to_have_text(self.text("byCode"))

    def looks(self) -> Step:
        self.press("w")
        expect(self("#query-film")).to_be_focused()
        first = self.line(1)
        window = self.changes(1, "ArrowRight", "ArrowDown")  # both are linked
        assert self.line(0).partition(" · ")[2] != ""
        self.press("Home")
        expect(self(".film-line").nth(1)).to_have_text(first)
        assert self.changes(0, "PageDown") not in (first, window)
        self.reach("#preset", "Shift+Tab")
        shown = [self.changes(0, "ArrowDown") for _ in range(3)]
        assert len(set(shown)) == 3  # each of the list, not the first one only
        yield
        self.reach("#query-film")
        self.changes(1, "+", "+", "+")
        zooms = "[...document.querySelectorAll('.film-line')].map((one) => one.textContent.split(' · ')[0])"
        until(self.page, f"new Set({zooms}).size === 1")
        self.press("p")
        moved = self("#hit-film").screenshot()
        self.press("ArrowDown")
        self.page.wait_for_timeout(200)
        assert self("#hit-film").screenshot() != moved
        self.changes(0, "0")
        assert "90" in self.changes(0, "r")
        assert self.texts["film_inverted"] in self.changes(0, "i")
        assert self.texts["film_inverted"] not in self.line(1)
        yield
        self.press("l")
        alone = self.line(1)
        self.changes(0, "+")
        assert self.line(1) == alone
        self.changes(0, "1")
        for key, act in (("l", "link"), ("b", "compare"), ("o", "compare"), ("o", "compare")):
            self.press(key)
            pressed = self(f"[data-act={act}][aria-pressed=true]")
            expect(pressed).to_have_count(0 if key == "o" and pressed.count() == 0 else 1)
        self.press("f")
        until(self.page, "document.fullscreenElement?.id === 'films'")
        self.press("f")
        until(self.page, "document.fullscreenElement === null")

    def draws(self) -> Step:
        self.press("d")
        expect(self("#query-film")).to_be_focused()
        self.press("ArrowRight")
        yield
        self.told("regionReady", found=r"[1-9]\d*", n=10)
        boxes = self("#hits .box").evaluate_all("all => all.map((one) => one.style.inset)")
        roi = self.page.url
        with self.page.expect_response("**/api/region"):
            for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowLeft", "Control+ArrowUp"):
                self.press(key)
        yield
        self.told("regionReady", n=10)
        assert self.page.url != roi
        assert self("#hits .box").evaluate_all("all => all.map((one) => one.style.inset)") != boxes
        self.press("Escape")
        until(self.page, "!location.search.includes('roi')")

    def filters(self) -> Step:
        self.use("#modality summary", "Shift+Tab")
        counts = [int(re.sub(r"\D", "", one)) for one in self("#modality label i").all_text_contents()]
        assert sum(counts) == IMAGES
        self.press("Tab")
        self.press("Space")
        yield
        expect(self("#notes .hiddenSome, #notes .hiddenNone")).to_contain_text(
            re.compile(rf"{counts[0]}|{counts[0] - 1}")
        )  # the query is no hit
        expect(self("#modality-0")).to_be_focused()
        self.press("Escape")
        expect(self("#modality-chip")).to_be_focused()
        self.reach("#one_per")
        self.press("Space")
        yield
        until(self.page, "location.search.includes('one_per=patient')")
        expect(self("#one_per")).to_be_focused()
        self.use("[data-act=clear]")
        yield
        until(self.page, "!/where|one_per/.test(location.search)")
        expect(self("#notes p")).to_have_count(0)
        expect(self("#modality-chip")).to_be_focused()
        self.use("[data-act=more]")
        yield
        self.told("hitsReady", n=20)
        assert len(self.ids()) == 20

    def says(self) -> Step:
        """Of the same hits of the same query anna says the contrary of what ben says."""
        keys = ("y", "n") if self.name == "anna" else ("n", "y")
        self.reach(".hit[tabindex='0']")
        for place, key in enumerate(keys, 1):
            self.press("j")
            expect(self("[data-act=judge][aria-pressed=true]")).to_have_count(0)  # nobody else's, too
            self.press(key)
            yield
            expect(self("#hits .verdict").nth(place)).to_have_text("✓" if key == "y" else "✗")
        assert [*filter(None, self("#hits .verdict").all_text_contents())] == [
            "✓" if key == "y" else "✗" for key in keys
        ]
        self.press("e")
        yield
        expect(self("#notes .refined")).to_be_visible()
        self.use("[data-act=wrong]", "Shift+Tab")
        dialog = self("#wrong")
        expect(dialog.locator("[name=expected]")).to_be_focused()
        self.type(CODES[self.place])
        self.press("Tab")
        self.type(f"seen by {self.name}")
        self.press("Tab")
        self.press("Enter")
        yield
        self.told("wrongSent")
        expect(self("[data-act=wrong]")).to_be_focused()

    def gives(self) -> Step:
        self.press("c")
        self.told("copied")
        self.press("/")
        self.press("Control+v")
        expect(self("#query")).to_have_value(self.page.url)
        with self.visit.context.expect_page() as opened:
            self.use("#study")
        study = opened.value
        study.wait_for_load_state()
        assert re.search(r"viewer\.html\?study=[\d.]+&sop=[\d.]+$", study.url)
        assert study.evaluate("[document.referrer, window.opener]") == ["", None]
        study.close()
        yield
        expect(self("#study")).to_be_focused()
        self.press("g")
        for kind in ("sr.dcm", "sc.dcm", "picture.png", "csv.csv", "fhir.json"):
            with self.page.expect_download(timeout=PATIENCE) as download:
                self.use(f"[data-value='{kind}']")
                yield
            assert Path(download.value.path()).stat().st_size > 500
            assert download.value.suggested_filename == f"radretrieval-{kind}"
        self.page.once("dialog", lambda dialog: dialog.accept())  # which the browser gives to Enter
        self.use("[data-act=send]", "Shift+Tab")
        yield
        self.told("sent")
        self.press("Escape")
        expect(self("#give summary")).to_be_focused()

    def analyses(self) -> Step:
        self.press("/")
        self.use("nav a[href='analyst.html']")
        yield
        all_of_all = re.compile(rf"{IMAGES // 1000}.?000 \w+ {IMAGES // 1000}.?000")
        expect(self("#explained")).to_contain_text(all_of_all, timeout=PATIENCE)
        expect(self("#legend input").first).to_be_visible(timeout=PATIENCE)  # the map is drawn
        self.reach("#map")
        for key in ("ArrowRight", "ArrowUp", "Enter"):
            self.press(key)
        yield
        expect(self("#near li")).to_have_count(6)
        self.reach("#find")
        self.type("hand")
        expect(self("#classes tbody tr")).to_have_count(1)
        self.use("#classes tbody a")
        yield
        expect(self("#images li")).to_have_count(24)
        self.use("nav a[href='it.html']", "Shift+Tab")
        yield
        expect(self("#counts > div").first).to_contain_text(re.compile(r"10.?000"))
        self.use("#now")
        self.use("nav a[href='./']", "Shift+Tab")
        yield
        expect(self("#start")).to_be_visible()

    def ends(self) -> Step:
        self.press("?")
        expect(self("#help")).to_be_visible()
        self.press("Escape")
        expect(self("#help")).to_be_hidden()
        other = self("#language").text_content()
        self.use("#language")
        expect(self("[data-act=logout]")).to_have_text("Abmelden" if other == "Deutsch" else "Log out")
        yield
        until(self.page, "document.querySelector('#start:not([hidden]), #answer:not([hidden])')")
        self.use("[data-act=logout]")
        self.page.wait_for_url("**/login?ended=1")


WORK = ("logs_in", "asks", "reads", "looks", "draws", "filters", "says", "gives", "analyses")


def together(*parts: Step) -> None:
    """Go on with each in turn, until all have ended."""
    left = list(parts)
    while left:
        for one in tuple(left):
            try:
                next(one)
            except StopIteration:
                left.remove(one)


def test_two_users_by_keyboard_alone(hospital: Hospital, visits: Callable[..., Visit]) -> None:
    screen: dict[str, Any] = {
        "viewport": {"width": 1600, "height": 1000},
        "permissions": ["clipboard-read", "clipboard-write"],
    }
    anna = Reader(visits(**screen, locale="en-GB"), hospital, "anna", "en", 0)
    ben = Reader(visits(**screen, locale="de-DE"), hospital, "ben", "de", 1)
    for part in WORK:
        together(getattr(anna, part)(), getattr(ben, part)())
    for one, other in ((anna, ben), (ben, anna)):
        one.page.goto(other.upload)  # as typed into the browser's address bar
        expect(one("#problem")).to_contain_text(one.texts["refused"]["the upload is not kept any more.*"])
        assert ["404" in error for error in one.visit.errors] == [True]
        one.visit.errors.clear()
        one.page.goto(hospital.served.url)
    together(anna.ends())
    together(ben.asks())  # his session goes on
    together(ben.ends())
    _audited(hospital, anna, ben)


def _audited(hospital: Hospital, anna: Reader, ben: Reader) -> None:
    """What was stored of each user, under that name and no other."""
    assert [report.Modality for report in hospital.sent] == ["SR", "SR"]
    with connect(hospital.served.database_url) as connection:
        rows = connection.execute("SELECT who, action, detail FROM audit ORDER BY id").fetchall()
        opinions = connection.execute("SELECT who, hit_image_id, relevant FROM feedback ORDER BY 2, 1").fetchall()
        reports = connection.execute("SELECT who, expected, remark FROM label_report ORDER BY 1").fetchall()
    for one in (anna, ben):
        own = [row for row in rows if row["who"] == one.name]
        done = Counter(row["action"] for row in own)
        assert {name: done[name] for name in ("login", "logout", "output", "send")} == {
            "login": 1, "logout": 1, "output": 5, "send": 2
        }  # fmt: skip
        film = hashlib.sha256(hospital.served.films.new[one.place].read_bytes()).hexdigest()
        searched = [row["detail"]["query_sha256"] for row in own if row["action"] == "search"]
        assert set(searched) == {None, film}
    assert len(opinions) == 4
    for hit in (opinions[:2], opinions[2:]):
        assert [row["who"] for row in hit] == ["anna", "ben"]
        assert len({row["hit_image_id"] for row in hit}) == 1
        assert {row["relevant"] for row in hit} == {True, False}
    said = [(row["who"], row["expected"], row["remark"]) for row in reports]
    assert said == [(one.name, CODES[one.place], f"seen by {one.name}") for one in (anna, ben)]


def test_tab_comes_to_all_in_the_order_of_the_page(served: Served, visits: Callable[..., Visit]) -> None:
    page = visits(viewport={"width": 1366, "height": 768}).open(f"{served.url}/?id=2")
    expect(page.locator(".film-line").nth(1)).to_contain_text("Zoom")
    expect(page.locator("#filters summary").first).to_be_visible()
    expected = page.evaluate(STOPS)
    stops = []
    for _ in expected:
        page.keyboard.press("Tab")
        stops.append(page.evaluate(STOP))
    assert [html for html, _ in stops] == expected
    assert all(seen for _, seen in stops), [html for html, seen in stops if not seen]
    page.keyboard.press("Shift+Tab")  # and back: nothing keeps the focus
    assert page.evaluate(STOP)[0] == expected[-2]
