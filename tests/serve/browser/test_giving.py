"""What the page takes and gives, in a browser: files that come, reports that are sent, studies, paper."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pydicom
import pytest
from browsing import Visit, until
from databases import Server
from playwright.sync_api import Page, Request, Route, expect
from serving import Films, Served, node, serving

expect.set_options(timeout=15_000)
GERMAN: dict[str, Any] = {"viewport": {"width": 1600, "height": 1000}, "color_scheme": "dark", "locale": "de-DE"}
VIEWER = "http://viewer.test"
OUT_OF_RESOURCES = 0xA700
# The colours of text and of what is behind it, the nearest that is not transparent.
PRINTED = """all => all.map((one) => {
  const behind = (at) => {
    const colour = at ? getComputedStyle(at).backgroundColor : "rgb(255, 255, 255)";
    return colour === "rgba(0, 0, 0, 0)" ? behind(at.parentElement) : colour;
  };
  return [getComputedStyle(one).color, behind(one)];
})"""
# Notes, whenever something is printed, the sides of each film's canvas and of its block.
PRINTING = """() => matchMedia("print").addEventListener("change", ({ matches }) => {
  const sides = ({ clientWidth, clientHeight }) => [clientWidth, clientHeight];
  const stages = document.querySelectorAll(".film-stage");
  if (matches) globalThis.printed = [...stages].map((one) => [sides(one.firstChild), sides(one)]);
})"""
COPY_PICTURE = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  await navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) })]);
}"""


@dataclass
class Giving:
    """The service, its node and what that has stored; it refuses with the statuses in `refusals`, one a report."""

    served: Served
    peer: str
    stored: list[Any]
    refusals: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def giving(films: Films, server: Server) -> Iterator[Giving]:
    refusals: list[int] = []
    with ExitStack() as stack:
        url = stack.enter_context(films.copy(server))
        peer, stored = stack.enter_context(node(refusals))
        settings = {
            "RADRETRIEVAL_SERVE_STORE_TO": peer,
            "RADRETRIEVAL_SERVE_VIEWER_URL": f"{VIEWER}/viewer?a={{StudyInstanceUID}}&b={{SOPInstanceUID}}#c",
        }
        yield Giving(stack.enter_context(serving(films, url, **settings)), peer, stored, refusals)


def send(page: Page, sure: bool = True) -> None:
    page.once("dialog", lambda dialog: dialog.accept() if sure else dialog.dismiss())
    if not page.locator("#give[open]").count():
        page.locator("#give summary").click()
    page.locator("[data-act=send]").click()


def images(page: Page) -> list[int]:
    """The images of the hits."""
    found = page.locator("#hits img").evaluate_all(r"all => all.map((one) => +one.srcset.match(/images.(\d+)/)[1])")
    return list(found)


def header(giving: Giving, image: int) -> Any:
    return pydicom.dcmread(giving.served.films.known[image - 1], stop_before_pixels=True)


def test_a_report_is_sent_and_refused(giving: Giving, visits: Callable[..., Visit]) -> None:
    visit = visits(**GERMAN)
    page = visit.open(f"{giving.served.url}/?id=1&where=modality=CR&roi=60,60,90,90")
    progress = page.locator("#progress")
    expect(progress).to_contain_text("Ausschnitt in")
    expect(page.locator("[data-act=send]")).to_have_text(f"Bericht an {giving.peer} senden")
    send(page, sure=False)
    expect(progress).to_contain_text("Ausschnitt in")
    assert giving.stored == []
    send(page)
    expect(progress).to_have_text(f"{giving.peer} hat den Bericht angenommen", timeout=60_000)
    (report,) = giving.stored
    query = header(giving, 1)
    assert (report.Modality, report.PatientID, report.StudyInstanceUID) == (
        "SR", query.PatientID, query.StudyInstanceUID
    )  # fmt: skip
    said = report.to_json()
    for image in (1, *images(page)):
        assert header(giving, image).SOPInstanceUID in said
    giving.refusals.append(OUT_OF_RESOURCES)
    send(page)
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("Out of Resources", timeout=60_000)
    expect(problem).to_contain_text(giving.peer)
    expect(progress).to_have_text("")
    assert len(giving.stored) == 1
    assert ["503" in error for error in visit.errors] == [True]
    visit.errors.clear()
    send(page)
    expect(progress).to_contain_text("angenommen", timeout=60_000)
    expect(problem).to_be_hidden()


def test_a_study_opens_in_the_viewer_of_the_site(giving: Giving, visits: Callable[..., Visit]) -> None:
    visit = visits(**GERMAN)
    asked: list[Request] = []
    visit.context.on("request", lambda one: asked.append(one) if one.url.startswith(VIEWER) else None)
    visit.context.route(f"{VIEWER}/**", lambda route: route.fulfill(body="<link rel=icon href=data:,>"))
    page = visit.open(f"{giving.served.url}/?id=1&hit=2&top=40")
    visit.hosts.add(VIEWER.removeprefix("http://"))
    link = page.get_by_role("link", name="Studie öffnen")
    expect(page.locator("#what")).to_contain_text("Treffer 2")
    shown = header(giving, images(page)[1])
    with visit.context.expect_page() as opened:
        link.click()
    study = opened.value
    expect(study).to_have_url(f"{VIEWER}/viewer?a={shown.StudyInstanceUID}&b={shown.SOPInstanceUID}#c")
    assert study.evaluate("[document.referrer, window.opener, history.length]") == ["", None, 1]
    assert "referer" not in asked[0].all_headers()
    assert "id=1" in page.url
    # a picture has no study
    picture = images(page).index(len(giving.served.films.known))
    page.goto(f"{giving.served.url}/?id=1&hit={picture + 1}&top=40")
    expect(page.locator("#what")).to_contain_text(f"Treffer {picture + 1}")
    expect(link).to_be_hidden()


def test_an_answer_on_paper(giving: Giving, visits: Callable[..., Visit]) -> None:
    page = visits(**GERMAN).open(f"{giving.served.url}/?id=1&hit=2&roi=60,60,90,90")
    expect(page.locator("#progress")).to_contain_text("Ausschnitt in")
    expect(page.locator(".film-line").nth(1)).to_contain_text("Zoom")
    until(page, "[...document.querySelectorAll('#hits li:not([hidden]) img')].every((one) => one.naturalWidth > 0)")
    page.evaluate(PRINTING)
    for size in ("A4", "Letter"):
        paper = page.pdf(format=size, margin=dict.fromkeys(("top", "right", "bottom", "left"), "1cm"))
        assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 1, size
        # films are painted for the paper: those of the screen would be cut
        films = page.evaluate("globalThis.printed")
        assert len(films) == 2
        for canvas, block in films:
            assert block[1] < 300
            assert canvas == pytest.approx(block, abs=3)
    # what the printer gets, of a reader whose screen is dark: on white, as large as the paper between its margins
    page.set_viewport_size({"width": 718, "height": 1046})
    page.emulate_media(media="print", color_scheme="dark")
    for seen in ("#query-film", "#hit-film", "#facts .axes", "#hits .found"):
        expect(page.locator(seen).first).to_be_visible()
    for left_out in ("header", "#tools", "#bar", ".actions"):
        expect(page.locator(left_out).first).to_be_hidden()
    told = page.locator("#facts, #what h2, #hits .what, #hits .likely").evaluate_all(PRINTED)
    assert told
    assert {behind for _, behind in told} == {"rgb(255, 255, 255)"}
    assert all(sum(map(int, re.findall(r"\d+", ink))) < 200 for ink, _ in told), told  # nearly black


def test_a_film_that_is_dropped_and_pasted(giving: Giving, visits: Callable[..., Visit]) -> None:
    """By the browser itself: a drag that comes from outside, and Ctrl+V of a picture in the clipboard."""
    page = visits(**GERMAN, permissions=["clipboard-read", "clipboard-write"]).open(giving.served.url)
    expect(page.get_by_role("heading", name="Röntgenaufnahme hierher ziehen")).to_be_visible()
    held: list[Route] = []
    page.route("**/api/answer", lambda route: held.append(route))
    protocol = page.context.new_cdp_session(page)
    film = giving.served.films.new[2]
    dragged = {"items": [], "files": [str(film)], "dragOperationsMask": 1}

    def drag(kind: str) -> None:
        protocol.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": dragged})

    drag("dragEnter")
    drag("dragOver")
    expect(page.locator("body")).to_have_class("over")
    drag("drop")
    # while it is sent
    expect(page.locator("#progress")).to_have_text("new-2.dcm wird gesendet …")
    expect(page.locator("progress")).to_be_visible()
    expect(page.locator("body")).not_to_have_class("over")
    for _ in range(500):
        if not held:
            page.wait_for_timeout(20)
    held.pop().continue_()
    expect(page.locator("#progress")).to_have_text("10 Treffer für new-2.dcm", timeout=60_000)
    expect(page.locator("progress")).to_be_hidden()
    page.unroute("**/api/answer")

    page.evaluate(COPY_PICTURE, base64.b64encode(giving.served.films.picture.read_bytes()).decode())
    page.keyboard.press("Control+v")
    expect(page.locator("#progress")).to_have_text("10 Treffer für image.png", timeout=60_000)
    assert len(images(page)) == 10
    # text is no film: it goes where text goes
    page.evaluate("navigator.clipboard.writeText('4')")
    page.keyboard.press("Control+v")
    expect(page).to_have_title("image.png – radretrieval")
    page.keyboard.press("/")
    page.keyboard.press("Control+v")
    page.keyboard.press("Enter")
    expect(page).to_have_title("Bild 4 – radretrieval")
