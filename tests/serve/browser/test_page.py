"""The page in a browser, on a real server with a real archive: few visits, many assertions each."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
from accessible import violations
from browsing import PAGE, PLAIN_HOST, Visit, until
from playwright.sync_api import Page, expect
from serving import Served

expect.set_options(timeout=15_000)
READING_ROOM: dict[str, Any] = {"viewport": {"width": 1600, "height": 1000}, "color_scheme": "dark"}
KEYS = "all => all.map((one) => one.dataset.key)"
DROP = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  for (const type of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
  }
}"""
PASTE = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([bytes], name));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
}"""


def give(page: Page, way: str, file: Path) -> None:
    """Drop or paste a file."""
    page.evaluate(way, [file.name, base64.b64encode(file.read_bytes()).decode()])


def asked(page: Page) -> dict[str, list[str]]:
    """What the page's address says."""
    return parse_qs(urlsplit(page.url).query)


def hits(page: Page) -> Any:
    """The hits that are not folded."""
    return page.locator("#hits .hit:visible")


def ids(page: Page) -> list[str]:
    """The images of the hits, by the addresses of their thumbnails."""
    return page.locator("#hits img").evaluate_all(r"all => all.map((one) => one.srcset.match(/images.(\d+)/)[1])")


def drag(page: Page, film: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag on a film between two places, as shares of it."""
    box = page.locator(film).bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()


def test_the_scripts_are_small() -> None:
    assert sum(script.stat().st_size for script in PAGE.rglob("*.js")) <= 60_000


def test_texts_are_the_same_in_each_language() -> None:
    read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (PAGE / "texts").glob("*.json")}
    assert set(read) == {"en", "de"}
    assert read["en"].keys() == read["de"].keys()
    for key, text in read["en"].items():
        if isinstance(text, str):
            assert set(re.findall(r"\{\w*\}", text)) == set(re.findall(r"\{\w*\}", read["de"][key])), key


def test_every_text_that_a_script_names_is_there() -> None:
    texts = json.loads((PAGE / "texts" / "en.json").read_text(encoding="utf-8"))
    named = {key for script in PAGE.glob("*.js") for key in re.findall(r'\bt\("(\w+)"', script.read_text())}
    assert len(named) > 30
    assert named <= texts.keys()


def test_start_in_german(served: Served, visits: Callable[..., Visit]) -> None:
    page = visits(locale="de-DE", color_scheme="dark").open(served.url + "/")
    expect(page.get_by_role("heading", name="Röntgenaufnahme hierher ziehen")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "de"
    assert violations(page) == []
    page.locator("#language").click()
    expect(page.get_by_role("heading", name="Drop a radiograph here")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Drop a radiograph here")).to_be_visible()


def test_a_new_film(served: Served, visits: Callable[..., Visit]) -> None:
    page = visits(**READING_ROOM).open(served.url + "/")
    expect(page.get_by_role("heading", name="Drop a radiograph here")).to_be_visible()
    give(page, DROP, served.films.new[0])
    expect(page.locator("#hits li")).to_have_count(10)
    assert len(asked(page)["upload"]) == 1
    expect(page).to_have_title("new-0.dcm – radretrieval")
    expect(page.locator("#query-film")).to_have_attribute("aria-label", "Query film, new-0.dcm")
    expect(page.locator("#hit-film")).to_have_attribute("aria-label", re.compile(r"Hit 1, image \d+"))
    until(page, "[...document.querySelectorAll('#cards > li > .hit img')].every((one) => one.naturalWidth > 0)")
    expect(page.locator("#hits .fold summary")).to_have_text("+ 1 nearly the same")
    first = hits(page).first
    expect(first.locator(".likely")).to_have_text(re.compile(r"(likely|possibly|unlikely) \(\d+\s%\)"))
    expect(first).to_contain_text(re.compile(r"\d+ \+ \d+ bits"))
    expect(first).to_contain_text("CHEST")

    # a region is drawn, and moved: it is found in the hits anew
    page.keyboard.press("d")
    expect(page.locator("[data-value=region]")).to_have_attribute("aria-pressed", "true")
    drag(page, "#query-film", (0.4, 0.4), (0.6, 0.6))
    expect(page.locator("#progress")).to_contain_text(re.compile(r"Region found in \d+ of 10 hits"))
    x, y, width, height = map(int, asked(page)["roi"][0].split(","))
    assert width > 20
    assert height > 20
    expect(page.locator("#hits .found").first).to_have_text(re.compile("region"))
    with page.expect_response("**/api/region"):
        drag(page, "#query-film", (0.5, 0.5), (0.45, 0.5))
    until(page, "!location.search.includes('roi=%s%%2C')" % x)  # noqa: UP031
    moved = list(map(int, asked(page)["roi"][0].split(",")))
    assert moved[0] < x
    assert moved[1:] == [y, width, height]
    assert violations(page) == []

    # query and hit are zoomed together, and the next hit is shown at the same place
    lines = page.locator(".film-line")
    first_shown = lines.nth(1).text_content()
    page.locator("#query-film").hover()
    page.mouse.wheel(0, -400)
    expect(lines.nth(1)).not_to_have_text(first_shown or "")
    zoomed = re.compile(re.escape((lines.nth(0).text_content() or "").partition(" · ")[0]))
    expect(lines.nth(1)).to_have_text(zoomed)
    hits(page).nth(2).click()
    expect(page.locator("#hit-film")).not_to_have_attribute("aria-label", re.compile("^Hit 1,"))
    expect(hits(page).nth(2)).to_have_attribute("aria-current", "true")
    expect(lines.nth(1)).to_have_text(zoomed)

    # filters, and the way back
    before = ids(page)
    page.locator("#modality summary").click()
    with page.expect_response("**/api/answer"):
        page.locator("#modality label", has_text="CR").click()
    expect(page.locator("#notes")).to_contain_text(re.compile(r"\d+ images pass the filters, which hid"))
    assert asked(page)["where"] == ["modality=CR"]
    assert ids(page) != before
    page.locator("#exclude_same_patient").click()
    page.wait_for_url("**exclude_same_patient=true**")
    page.go_back()
    page.go_back()
    until(page, "!location.search.includes('where')")
    expect(page.locator("#notes p")).to_have_count(0)
    assert ids(page) == before
    assert list(map(int, asked(page)["roi"][0].split(","))) == moved
    page.go_forward()
    expect(page.locator("#modality")).to_have_class("chip on")

    # a new film begins without the conditions of this one; what is said of patients stays
    page.locator("#one_per").click()
    page.wait_for_url("**one_per=patient**")
    give(page, DROP, served.films.new[1])
    expect(page).to_have_title("new-1.dcm – radretrieval")
    assert "where" not in asked(page)
    assert asked(page)["one_per"] == ["patient"]
    expect(page.locator("#modality")).to_have_class("chip")
    expect(page.locator("#one_per")).to_be_checked()
    page.get_by_role("button", name="Clear filters").click()
    page.wait_for_url(lambda url: "one_per" not in url)


def test_keyboard_alone(served: Served, visits: Callable[..., Visit]) -> None:
    page = visits(**READING_ROOM).open(served.url + "/")
    expect(page.get_by_role("heading", name="Drop a radiograph here")).to_be_visible()
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_text("Skip to the hits")).to_be_focused()
    press("/")
    page.keyboard.type("2")
    press("Enter")
    expect(page.locator(".hit").first).to_be_focused()
    press("ArrowRight")
    expect(hits(page).nth(1)).to_be_focused()
    press("j")
    expect(hits(page).nth(2)).to_be_focused()
    expect(page.locator("#detail h2")).to_have_text(re.compile("Hit 3"))
    expect(page.locator("#detail")).to_contain_text("upper extremity (arm) / left hand")

    # a region by arrow keys, inverted films
    press("d")
    expect(page.locator("#query-film")).to_be_focused()
    with page.expect_response("**/api/region"):
        press("ArrowRight")
    expect(page.locator("#progress")).to_contain_text(re.compile("Region found in [1-9]"))
    expect(page.locator("#detail dd").first).to_have_text(re.compile("found"))
    drawn = asked(page)["roi"]
    with page.expect_response("**/api/region"):
        press("Shift+ArrowDown")
    until(page, f"!location.search.includes('{drawn[0].replace(',', '%2C')}')")
    press("i")
    expect(page.locator(".film-line").first).to_contain_text("inverted")
    press("Escape")
    until(page, "!location.search.includes('roi')")

    # the keys, and a report
    press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert violations(page) == []
    shown = set(page.locator("#help kbd").all_text_contents())
    assert {key.upper() for key in page.locator("[data-key]").evaluate_all(KEYS)} <= shown
    press("Escape")
    press("g")
    press("Tab")
    expect(page.get_by_role("button", name="DICOM report (SR)")).to_be_focused()
    with page.expect_download() as download:
        press("Enter")
    report = pydicom.dcmread(download.value.path())
    assert report.Modality == "SR"
    press("Escape")
    expect(page.get_by_role("button", name="DICOM report (SR)")).to_be_hidden()


def test_flicker_and_overlay(served: Served, visits: Callable[..., Visit]) -> None:
    page = visits(**READING_ROOM).open(f"{served.url}/?id=1&hit=2")
    expect(page.locator("#hit-film .film-line")).to_contain_text("Zoom")
    page.keyboard.press("l")  # not linked: to compare links them
    page.keyboard.press("o")
    expect(page.locator("[data-act=link]")).to_have_attribute("aria-pressed", "true")
    query, hit = (page.locator(film) for film in ("#query-film", "#hit-film"))
    assert query.bounding_box() == hit.bounding_box()
    expect(hit).to_have_css("opacity", "0.5")
    assert violations(page) == []
    page.keyboard.press("b")
    expect(hit).to_have_css("opacity", "1")
    seen = set()
    for _ in range(12):
        page.wait_for_timeout(150)
        seen.add(hit.is_visible())
    assert seen == {True, False}
    page.emulate_media(reduced_motion="reduce")
    for _ in range(6):
        page.wait_for_timeout(150)
        assert hit.is_visible()
    query.focus()
    page.keyboard.press(" ")
    expect(hit).to_be_hidden()
    page.keyboard.press(" ")
    expect(hit).to_be_visible()
    page.keyboard.press("b")
    until(page, "document.querySelector('#query-film').getBoundingClientRect().right < innerWidth / 2")


def test_what_is_saved_has_all_hits_that_are_shown(served: Served, visits: Callable[..., Visit]) -> None:
    page = visits(**READING_ROOM).open(f"{served.url}/?id=5&top=60")
    expect(hits(page).nth(15)).to_be_visible()
    shown = ids(page)
    page.keyboard.press("g")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 1 + len(shown) > 11


def test_what_a_reader_says(served: Served, visits: Callable[..., Visit]) -> None:
    page = visits(**READING_ROOM | {"color_scheme": "light"}).open(f"{served.url}/?id=5&hit=2")
    verdict = hits(page).nth(1).locator(".verdict")
    expect(hits(page).nth(1)).to_have_attribute("aria-current", "true")
    page.keyboard.press("y")
    expect(verdict).to_have_text("✓")
    relevant = page.get_by_role("button", name="Relevant", exact=True)
    expect(relevant).to_have_attribute("aria-pressed", "true")
    relevant.click()
    expect(verdict).to_have_text("")
    page.keyboard.press("n")
    expect(verdict).to_have_text("✗")
    expect(page.locator("[data-act=refine]")).to_have_text("Refine by 1")
    judged = ids(page)[1]
    page.keyboard.press("e")
    expect(page.locator("#notes")).to_contain_text("Refined by your judgements")
    assert asked(page)["not_relevant"] == [judged]
    page.go_back()
    expect(page.locator("#notes p")).to_have_count(0)
    expect(verdict).to_have_text("✗")
    page.get_by_role("button", name="Wrong label").click()
    dialog = page.get_by_role("dialog", name=re.compile(r"Wrong label of image \d+"))
    assert violations(page) == []
    dialog.get_by_role("button", name="Report").click()
    expect(page.locator("#progress")).to_have_text(re.compile("Nothing is reported"))
    page.get_by_role("button", name="Wrong label").click()
    dialog.get_by_label("What is wrong").fill("the other side")
    dialog.get_by_label("Right IRMA code").fill("left hand")
    dialog.get_by_role("button", name="Report").click()
    expect(dialog).to_be_visible()  # what was written is not lost
    dialog.get_by_label("Right IRMA code").fill("")
    dialog.get_by_role("button", name="Report").click()
    expect(page.locator("#progress")).to_have_text(re.compile(r"Reported: the label audit lists image \d+"))
    image = int(ids(page)[1])
    with served.client() as client:
        said = client.get("/api/feedback", params={"id": 5}).json()["feedback"]
        assert [(one["hit_image_id"], one["relevant"], one["rank"]) for one in said] == [(image, False, 2)]
        headers = {"X-CSRF-Token": client.get("/api/session").json()["csrf"]}
        client.post("/api/labels/reports", json={"image": image}, headers=headers)  # takes the report back
    page.keyboard.press("n")
    expect(verdict).to_have_text("")


def test_what_cannot_be_read(served: Served, visits: Callable[..., Visit]) -> None:
    visit = visits(**READING_ROOM)
    page = visit.open(served.url + "/?id=999999")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("Not found")
    expect(problem).to_contain_text("999999")
    give(page, PASTE, served.films.broken)
    expect(problem).to_contain_text("This cannot be read")
    page.locator("#query").fill("left shoulder")
    page.keyboard.press("Enter")
    expect(problem).to_contain_text("has a number or a UID")
    page.locator("#query").fill("1.2.3.4.5")
    page.keyboard.press("Enter")
    expect(problem).to_contain_text("Not found")
    assert violations(page) == []
    # a condition that cannot hold, and whose chip is not seen, is not asked again
    page.goto(f"{served.url}/?id=30&exclude_same_patient=true")
    expect(problem).to_contain_text("patient of this film is not known")
    page.locator("#query").press("Enter")
    expect(page.locator("#hits li")).to_have_count(10)
    page.locator("#file").set_input_files(served.films.picture)
    expect(page.locator("#hits li")).to_have_count(10)
    expect(problem).to_be_hidden()
    # of another film than the one that cannot be read, nothing stands below the message; the way back leads to it
    give(page, DROP, served.films.broken)
    expect(problem).to_contain_text("broken.dcm")
    expect(page.locator("#answer")).to_be_hidden()
    assert asked(page) == {}
    page.go_back()
    expect(page.locator("#hits li")).to_have_count(10)
    assert len(visit.errors) == 6  # what was refused; the browser writes it to its console
    visit.errors.clear()


def test_a_server_that_is_away(served: Served, visits: Callable[..., Visit]) -> None:
    visit = visits(**READING_ROOM)
    page = visit.open(f"{served.url}/?id=5")
    expect(page.locator("#hits li")).to_have_count(10)
    page.locator("#modality summary").click()
    choice = page.locator("#modality label", has_text="CR")
    expect(choice).to_be_visible()
    page.context.set_offline(True)
    choice.click()
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("The server cannot be reached")
    expect(page.locator("#hits li")).to_have_count(10)  # of the same film, and the chips say with what filters
    expect(choice.get_by_role("checkbox")).not_to_be_checked()
    assert "where" not in asked(page)
    give(page, DROP, served.films.new[0])
    expect(page.locator("#answer")).to_be_hidden()
    expect(problem).to_contain_text("The server cannot be reached")
    page.context.set_offline(False)
    give(page, DROP, served.films.new[0])
    expect(page).to_have_title("new-0.dcm – radretrieval")
    expect(problem).to_be_hidden()
    assert all("ERR_INTERNET_DISCONNECTED" in error for error in visit.errors)
    visit.errors.clear()


def test_an_answer_that_is_given_up_while_it_comes_is_no_empty_answer(
    served: Served, visits: Callable[..., Visit]
) -> None:
    page = visits().open(served.url)
    given_up = """async () => {
      const { call } = await import("./page.js");
      const json = () => Promise.reject(new DOMException("", "AbortError"));
      window.fetch = async () => ({ ok: true, status: 200, json });
      return call("api/region", null, { signal: AbortSignal.abort() }).then(() => "answered", (error) => error.name);
    }"""
    assert page.evaluate(given_up) == "AbortError"


def test_all_of_a_hit_is_seen_on_a_small_screen(served: Served, visits: Callable[..., Visit]) -> None:
    page = visits(viewport={"width": 1366, "height": 768}).open(f"{served.url}/?id=2&roi=60,60,80,80")
    expect(page.locator("#hits .found").last).to_have_text(re.compile("region"))
    ends = page.locator("#cards > li > .hit").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().bottom)"
    )
    assert max(ends) <= 768
    assert page.evaluate("document.querySelector('#query-film').clientHeight") > 250


def test_a_small_screen_without_the_server(served: Served, visits: Callable[..., Visit]) -> None:
    """What is wrong is seen though the page is longer than the window; no hit's facts stand beside another's film."""
    visit = visits(viewport={"width": 1366, "height": 600})
    page = visit.open(f"{served.url}/?id=1&hit=3")
    expect(page.locator("#hit-film .film-line")).to_contain_text("Zoom")
    assert page.evaluate("scrollY") == 0  # the notes above the films are not scrolled away
    page.context.set_offline(True)
    page.keyboard.press("j")
    expect(page.get_by_role("alert")).to_be_in_viewport()
    expect(page.locator("#what")).to_contain_text("Hit 4")
    expect(page.locator("figure:has(#hit-film) figcaption")).to_contain_text("Hit 4")
    page.evaluate("scrollTo(0, 9999)")
    expect(page.get_by_role("alert")).to_be_in_viewport()
    visit.errors.clear()


def test_plain_http_magnified(served: Served, visits: Callable[..., Visit]) -> None:
    url = served.url.replace("127.0.0.1", PLAIN_HOST)
    visit = visits(viewport={"width": 800, "height": 500}, device_scale_factor=2, color_scheme="light")
    page = visit.open(f"{url}/?id=1")
    expect(page.locator("#hits li")).to_have_count(10)
    assert page.evaluate("navigator.clipboard === undefined && window.isSecureContext === false")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    page.set_viewport_size({"width": 320, "height": 500})  # 1280 pixels at 400 %
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#give summary").click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#progress")).to_have_text("The link is copied")
    page.locator("#query").fill("")
    page.locator("#query").press("Control+v")
    expect(page.locator("#query")).to_have_value(page.url)
