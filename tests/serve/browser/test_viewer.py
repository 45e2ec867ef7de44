"""The film viewer of the page, in a real browser, over films that the test makes."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from browsing import PLAIN_HOST, Chromium, Site, Visit, until
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, Route
from screen_films import PACKED, STYLE, add_film, add_page, grey
from screen_films import PAGE as PAGE_OF_FILMS
from serving import Served

from radretrieval.imaging import read_image
from radretrieval.imaging.display import Display, Lut, Window
from radretrieval.serve.film import Film
from radretrieval.serve.films import area_mean, encoded

# Where each canvas stands on the screen, in device pixels, and its greys.
CANVASES = """views.map(({ element }) => {
  const canvas = element.querySelector("canvas"), box = canvas.getBoundingClientRect();
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let i = 0; i < data.length; i += 4) text += String.fromCharCode(data[i]);
  return [box.left * devicePixelRatio, box.top * devicePixelRatio, canvas.width, canvas.height, btoa(text)];
})"""
# What a page on the product's server runs, to show one image of the archive.
SHOWN = """import { FilmView } from "./viewer.js";
globalThis.views = [new FilmView(document.getElementById("films").appendChild(document.createElement("div")))];
globalThis.ready = (async () => views[0].show((await (await fetch("api/images/NUMBER")).json()).film))();
"""
FRAME = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
ALIKE = (300, 400)  # rows and columns of a film that fills a window of 400 × 300 at 1:1


def noisy(rows: int, columns: int, seed: int = 0) -> NDArray[np.uint16]:
    """A film of 12 bits in which no pixel is like its neighbours: one that is shifted or interpolated is seen."""
    return np.random.default_rng(seed).integers(0, 4096, (rows, columns), dtype=np.uint16)


def canvases(page: Page) -> list[tuple[int, int, NDArray[np.uint8]]]:
    """Left, top and greys (rows, columns) of each view's canvas, once what was changed is painted."""
    page.evaluate(FRAME)
    found = []
    for left, top, columns, rows, data in page.evaluate(CANVASES):
        assert abs(left - round(left)) < 0.05
        assert abs(top - round(top)) < 0.05
        values = np.frombuffer(base64.b64decode(data), np.uint8).reshape(rows, columns)
        found.append((round(left), round(top), values))
    return found


def shown(page: Page) -> NDArray[np.uint8]:
    """The greys of the first view's canvas."""
    return canvases(page)[0][2]


def opened(visits: Callable[..., Visit], site: Site, *films: Film, **options: Any) -> Page:
    """A page of these films in a window of 400 × 300, shown."""
    visit = visits(**{"viewport": {"width": 400, "height": 300}} | options)
    page = visit.open(add_page(site, *films))
    page.evaluate("ready")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === views[0].element")
    return page


def hold_rest(page: Page) -> None:
    """Lets the film rest, and be interpolated, only where the test calls what is in `due`: never between two steps."""
    page.evaluate("window.due = []; window.setTimeout = (act) => due.push(act); 0")


def line(page: Page) -> str:
    """The text line of the first view."""
    page.evaluate(FRAME)
    return str(page.evaluate("document.querySelector('.film-line').textContent"))


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], button: str = "left") -> None:
    """Moves the mouse, its button held."""
    page.mouse.move(*start)
    page.mouse.down(button=button)
    page.mouse.move(*((a + b) / 2 for a, b in zip(start, end, strict=True)))
    page.mouse.move(*end)
    page.mouse.up(button=button)


@pytest.mark.parametrize("ratio", [1, 1.25, 2])
def test_the_screen_shows_the_canvas(ratio: float, browser: Chromium, site: Site) -> None:
    films = [add_film(site, f"{i}", noisy(300, 250, i)) for i in range(3)]
    with browser.scaled(ratio, 601, 433) as visit:
        page = visit.open(add_page(site, *films))
        page.evaluate("ready")
        assert page.evaluate("devicePixelRatio") == ratio
        for count in (3, 2, 1):
            page.evaluate(FRAME)  # a film that has come is painted with the next frame
            screen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
            seen = canvases(page)
            assert len(seen) == count
            for left, top, values in seen:
                assert values.std() > 20
                part = screen[top : top + values.shape[0], left : left + values.shape[1]]
                assert (part != values[..., None]).sum() == 0
            page.evaluate("views.pop().element.remove()")


def test_greys_at_one_to_one_however_it_is_turned(visits: Callable[..., Visit], site: Site) -> None:
    values = noisy(*ALIKE)
    film = add_film(site, "a", values)
    page = opened(visits, site, film)
    assert (shown(page) == grey(film, values)).all()
    page.evaluate("views[0].rotate()")  # a quarter turn, then at 1:1, of which the window shows the middle
    page.keyboard.press("1")
    seen = shown(page)
    assert (seen[:, 50:350] == np.rot90(grey(film, values), -1)[50:350]).all()
    assert not seen[:, :50].any()
    page.evaluate("views[0].rotate(3)")
    page.evaluate("views[0].fit()")
    page.wait_for_timeout(200)  # interpolation at rest changes nothing at 1:1
    assert (shown(page) == grey(film, values)).all()


def test_a_level_for_the_scale_nearest_while_moving_bilinear_at_rest(visits: Callable[..., Visit], site: Site) -> None:
    values = noisy(600, 800)
    film = add_film(site, "a", values)
    page = opened(visits, site, film)
    assert (shown(page) == grey(film, area_mean(values, 2, None))).all()
    assert [path for path in site.asked if path.startswith("api")] == ["api/a/2"]
    page.evaluate("views[0].restore({ zoom: 4, x: 0.25, y: 0.25 })")  # two screen pixels for each of the film
    until(page, "views[0].state.zoom === 4")
    page.wait_for_timeout(400)
    assert site.asked[-1] == "api/a/1"
    hold_rest(page)
    page.evaluate("views[0].rotate(2)")
    page.evaluate("views[0].rotate(2)")
    moving = shown(page)
    assert (moving[::2, ::2] == grey(film, values)[75:225, 100:300]).all()
    assert (moving[1::2, 1::2] == moving[::2, ::2]).all()
    page.evaluate("due.forEach((act) => act())")
    page.wait_for_timeout(250)
    # a screen pixel lies a quarter of a film pixel from the middle of its own, so three quarters are of that
    four = values[75:227, 100:302].astype(np.float64)
    upper = four[:-1] * 0.75 + four[1:] * 0.25
    expected = np.floor(upper[:, :-1] * 0.75 + upper[:, 1:] * 0.25 + 0.5).astype(np.uint16)
    at_rest = shown(page)
    assert np.abs(at_rest[1::2, 1::2].astype(int) - grey(film, expected)[:150, :200]).max() <= 1
    assert (at_rest != moving).mean() > 0.5


def test_a_window_is_dragged_by_the_bits_stored(visits: Callable[..., Visit], site: Site) -> None:
    values = noisy(*ALIKE)
    film = add_film(site, "a", values)
    page = opened(visits, site, film)
    page.evaluate("views[0].mode = 'window'")
    drag(page, (100, 100), (80, 130))
    assert page.evaluate("views[0].window") == {"centre": 2168, "width": 4016, "function": "LINEAR"}
    assert (shown(page) == grey(film, values, Window(2168, 4016))).all()
    drag(page, (100, 100), (101, 100), "right")  # in any mode
    assert page.evaluate("views[0].window.width") == 4020
    page.keyboard.down("Shift")
    drag(page, (100, 100), (108, 100))
    page.keyboard.up("Shift")
    assert page.evaluate("views[0].window.width") == 4024
    drag(page, (390, 100), (10, 100))
    drag(page, (390, 100), (10, 100))
    drag(page, (390, 100), (10, 100))
    assert page.evaluate("views[0].window.width") == 1  # never 0 or below
    assert (shown(page) == grey(film, values, Window(2168, 1))).all()
    assert len([path for path in site.asked if path.startswith("api")]) == 1


def test_monochrome1_is_inverted_once_and_after_the_window(visits: Callable[..., Visit], site: Site) -> None:
    values = noisy(*ALIKE)
    film = add_film(site, "a", values, Display(windows=(Window(1000, 900),), inverted=True, padding=(0, 99)))
    page = opened(visits, site, film)
    assert (shown(page) == grey(film, values)).all()
    assert shown(page)[(values >= 100) & (values < 500)].min() == 255
    assert not shown(page)[values < 100].any()
    page.evaluate("views[0].invert()")
    assert (shown(page) == grey(film, values, inverted=True)).all()
    assert not shown(page)[values < 550].any()
    page.evaluate("views[0].invert()")
    assert (shown(page) == grey(film, values)).all()


def test_a_voi_lut_is_applied_and_can_be_left(visits: Callable[..., Visit], site: Site) -> None:
    values = noisy(*ALIKE)
    broken = Lut(0, np.full(4096, 255, np.uint16))  # a vendor's wrong one: all white
    film = add_film(site, "a", values, Display(lut=broken, largest=255, windows=(Window(2000, 3000, name="chest"),)))
    without = add_film(site, "b", values, Display(lut=Lut(16, np.arange(1024, dtype=np.uint16)), largest=1023))
    page = opened(visits, site, film)
    assert shown(page).min() == 255
    assert "VOI LUT" in line(page)
    page.evaluate("views[0].mode = 'window'")
    drag(page, (100, 100), (101, 100))
    assert (shown(page) == grey(film, values, Window(2000, 3004))).all()
    page.keyboard.press("Home")
    assert shown(page).min() == 255
    page.keyboard.press("PageDown")
    assert (shown(page) == grey(film, values, Window(2000, 3000))).all()
    assert "chest" in line(page)
    page.keyboard.press("PageUp")
    assert shown(page).min() == 255
    page.evaluate("film => views[0].show(film)", without.model_dump())
    assert (shown(page) == grey(without, values)).all()
    drag(page, (100, 100), (100, 101))  # without a window of the file: from what the table maps
    window = Window((16 + 1039) / 2 + 4, 1023, "LINEAR_EXACT")
    assert (shown(page) == grey(without, values, window)).all()


def test_a_film_without_a_window_is_stretched(visits: Callable[..., Visit], site: Site) -> None:
    values = noisy(*ALIKE)
    film = add_film(site, "a", values // 2 + 100, Display(range=(100.0, 2147.0)))
    page = opened(visits, site, film)
    assert (shown(page) == grey(film, values // 2 + 100)).all()
    page.evaluate("views[0].mode = 'window'")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("views[0].window.width") == 2047 + 16 * 4


def test_a_region_is_in_film_pixels_turned_and_zoomed(visits: Callable[..., Visit], site: Site) -> None:
    film = add_film(site, "a", noisy(600, 800))
    page = opened(visits, site, film)
    page.evaluate("views[0].mode = 'region'")
    drag(page, (50, 60), (150, 110))
    assert page.evaluate("views[0].region") == {"x": 100, "y": 120, "width": 200, "height": 100}
    assert page.evaluate("told.filter(([name]) => name === 'region')") == [["region", page.evaluate("views[0].region")]]
    drag(page, (100, 80), (120, 70))  # from within: moved
    assert page.evaluate("views[0].region") == {"x": 140, "y": 100, "width": 200, "height": 100}
    drag(page, (170, 100), (200, 120))  # its corner: resized
    assert page.evaluate("views[0].region") == {"x": 140, "y": 100, "width": 260, "height": 140}
    drag(page, (120, 80), (-300, -300))  # never out of the film
    assert page.evaluate("views[0].region") == {"x": 0, "y": 0, "width": 260, "height": 140}
    page.mouse.click(300, 250)  # a click is no region
    assert page.evaluate("views[0].region.width") == 260
    page.keyboard.press("Escape")
    assert (
        page.evaluate("[views[0].region, told.at(-1).name, told.filter(([name]) => name === 'region').at(-1)[1]]")[0]
        is None
    )
    page.evaluate("views[0].rotate()")
    page.evaluate("views[0].one()")
    # turned clockwise at 1:1: the window shows the middle; its left top corner is the film's (300, 500)
    page.evaluate(FRAME)
    drag(page, (10, 20), (110, 60))
    region = page.evaluate("views[0].region")
    assert region == {"x": 250 + 20, "y": 500 - 110, "width": 40, "height": 100}


def test_a_region_by_keys_alone(visits: Callable[..., Visit], site: Site) -> None:
    film = add_film(site, "a", noisy(600, 800))
    page = opened(visits, site, film)
    page.evaluate("views[0].mode = 'region'")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("views[0].region") == {"x": 232, "y": 150, "width": 400, "height": 300}
    page.keyboard.press("Shift+ArrowDown")
    assert page.evaluate("views[0].region") == {"x": 232, "y": 150, "width": 400, "height": 332}
    page.keyboard.press("Control+ArrowUp")
    page.keyboard.press("Control+Shift+ArrowLeft")
    assert page.evaluate("views[0].region") == {"x": 232, "y": 149, "width": 399, "height": 332}
    until(page, "told.some(([name]) => name === 'region')")
    assert page.evaluate("told.filter(([name]) => name === 'region').length") == 1  # once, when it rests
    page.evaluate("views[0].rotate()")
    page.keyboard.press("Control+ArrowRight")  # turned clockwise, to the right is up in the film
    assert page.evaluate("views[0].region") == {"x": 232, "y": 148, "width": 399, "height": 332}
    page.keyboard.press("Control+Shift+ArrowRight")
    assert page.evaluate("views[0].region") == {"x": 232, "y": 147, "width": 399, "height": 333}


def test_everything_else_by_keys(visits: Callable[..., Visit], site: Site) -> None:
    film = add_film(site, "a", noisy(600, 800))
    page = opened(visits, site, film)
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    state = page.evaluate("views[0].state")
    assert (state["zoom"], state["x"]) == (1.25, 0.5 - 16 / 500)
    page.keyboard.press("1")
    assert page.evaluate("views[0].state.zoom") == 2
    page.evaluate("views[0].fit()")
    page.keyboard.press("-")
    assert page.evaluate("views[0].state.zoom") == 0.8
    page.keyboard.press("PageDown")
    assert page.evaluate("views[0].window") == "range"
    page.evaluate("views[0].rotate()")
    page.evaluate("views[0].invert()")
    state = page.evaluate("views[0].state")
    assert (state["rotation"], state["inverted"]) == (1, True)
    page.keyboard.press("Home")
    state = page.evaluate("views[0].state")
    assert (state["zoom"], state["rotation"], state["window"]) == (1, 0, {"preset": 0})
    page.keyboard.press("Control+p")  # the browser's
    told = until(page, "document.querySelector('[role=status]').textContent")
    assert "Zoom 50 %" in told
    assert "file · Window 2048 / 4096" in told


def test_the_wheel_zooms_at_the_pointer(visits: Callable[..., Visit], site: Site) -> None:
    values = noisy(600, 800)
    page = opened(visits, site, add_film(site, "a", values))
    page.evaluate("views[0].region = { x: 200, y: 400, width: 16, height: 16 }")
    page.mouse.move(100, 200)
    page.mouse.wheel(0, -400)
    page.evaluate(FRAME)
    state = page.evaluate("views[0].state")
    assert state["zoom"] == pytest.approx(1.0015**400)
    # the film's (200, 400) is where the pointer is
    scale = state["zoom"] * 0.5
    assert 200 + (200 - state["x"] * 800) * scale == pytest.approx(100)
    assert 150 + (400 - state["y"] * 600) * scale == pytest.approx(200)
    drag(page, (100, 200), (130, 190))
    moved = page.evaluate("views[0].state")
    assert (state["x"] - moved["x"]) * 800 * scale == pytest.approx(30)
    page.mouse.wheel(0, 9000)
    page.mouse.wheel(0, 9000)
    page.evaluate(FRAME)
    assert page.evaluate("views[0].state.zoom") == 0.2
    page.evaluate("views[0].restore({ zoom: 1e9, x: -4, y: NaN, window: { width: 0 }, rotation: 'x' })")
    assert page.evaluate("views[0].state") == {
        "zoom": 64,
        "x": 0,
        "y": 0.5,
        "rotation": 0,
        "inverted": False,
        "window": {"width": 0},
    }
    shown(page)  # what is no window is taken for the first


def test_linked_films_of_other_sizes_move_in_step(visits: Callable[..., Visit], site: Site) -> None:
    values = noisy(600, 400)
    films = [
        add_film(site, "a", values, Display(windows=(Window(2048, 4096),))),
        add_film(site, "b", noisy(240, 200), Display(windows=(Window(512, 1024),)), 10),
    ]
    page = opened(visits, site, *films)
    page.evaluate("(globalThis.unlink = link(views)) && 0")
    page.mouse.move(50, 50)
    page.mouse.wheel(0, -300)
    drag(page, (50, 50), (80, 90))
    states = page.evaluate("views.map((view) => view.state)")
    assert states[0]["zoom"] > 1.5
    assert [states[0][name] for name in ("zoom", "x", "y")] == [states[1][name] for name in ("zoom", "x", "y")]
    drag(page, (50, 50), (60, 70), "right")
    assert page.evaluate("views[0].window") == {"centre": 2128, "width": 4136, "function": "LINEAR"}
    # a quarter of the values: a quarter of the way
    assert page.evaluate("views[1].window") == {"centre": 532, "width": 1034, "function": "LINEAR"}
    page.evaluate("views[1].window = 'range'")
    assert page.evaluate("views[0].window") == "range"
    page.keyboard.press("Home")
    assert page.evaluate("views[1].window") == {"preset": 0}
    assert page.evaluate("views.map(({ state }) => [state.zoom, state.x, state.y])") == [[1, 0.5, 0.5]] * 2
    page.mouse.wheel(0, -300)
    page.evaluate("views[0].rotate()")
    page.evaluate("views[0].invert()")
    assert page.evaluate("views.map(({ state }) => [state.rotation, state.inverted])") == [[1, True], [0, False]]
    page.evaluate("unlink()")
    page.evaluate("views[0].fit()")
    assert page.evaluate("views.map(({ state }) => state.zoom === 1)") == [True, False]


def test_two_fingers_pinch(visits: Callable[..., Visit], site: Site) -> None:
    page = opened(visits, site, add_film(site, "a", noisy(600, 800)), has_touch=True)
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[int, int]) -> None:
        fingers.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]},
        )

    touch("touchStart", (150, 150), (250, 150))
    touch("touchMove", (100, 150), (300, 150))
    touch("touchEnd")
    state = page.evaluate("views[0].state")
    assert state["zoom"] == pytest.approx(2)
    assert (state["x"], state["y"]) == pytest.approx((0.5, 0.5))
    touch("touchStart", (150, 150))
    touch("touchMove", (130, 140))
    touch("touchEnd")
    assert page.evaluate("views[0].state.x") == pytest.approx(0.5 + 20 / 800)


def test_a_large_film_is_shown_by_its_half(visits: Callable[..., Visit], site: Site) -> None:
    film = add_film(site, "a", np.zeros((8, 8), np.uint16))
    levels = [level.model_copy() for level in film.levels]
    for level in levels:
        level.rows, level.columns = 16000 // level.level, 9000 // level.level
    small = np.zeros((levels[1].rows, levels[1].columns), np.uint16)
    site.files["api/a/2"] = (encoded(small + 3000), PACKED)
    site.files["api/a/4"] = (encoded(small[::2, ::2] + 3000), PACKED)
    large = film.model_copy(update={"rows": 16000, "columns": 9000, "levels": levels})
    page = opened(visits, site, large)
    page.evaluate("views[0].one()")
    until(page, "document.querySelector('.film-line').textContent.includes('too large, shown at 1/2')")
    assert [path for path in site.asked if path.startswith("api")] == ["api/a/4", "api/a/2"]
    assert set(np.unique(shown(page))) == {187}
    # the canvas is that of the screen, however large the film
    assert page.evaluate("[...document.querySelectorAll('canvas')].map((one) => one.width * one.height)") == [120000]


def test_few_films_are_kept(visit: Visit, site: Site) -> None:
    level = {"rows": 4000, "columns": 5000}
    body = encoded(np.zeros((4000, 5000), np.uint16))
    for number in range(6):
        site.files[f"api/{number}"] = (body, PACKED)
    site.files["a.html"] = b"<link rel=icon href=data:,>"
    page = visit.open(f"{site.url}/a.html")
    page.evaluate(
        """async (level) => {
          const { levelPixels } = await import("./film.js");
          for (const number of [0, 1, 2, 3, 0, 4, 5, 0, 1]) {
            await levelPixels({ ...level, url: `api/${number}` }, null, () => {});
          }
        }""",
        level,
    )
    # of 40 MB each: four are kept; the first was used again, so that it stays
    assert [path[-1] for path in site.asked if path.startswith("api")] == [*"0123", *"45", "1"]


def test_what_cannot_be_fetched_is_said(visit: Visit, site: Site) -> None:
    film = add_film(site, "a", noisy(*ALIKE))
    page = visit.open(add_page(site, film))
    page.evaluate("ready")
    site.files["api/b/1"] = (encoded(noisy(10, 10)), PACKED)
    for url, words in (("api/none", "404"), ("api/b/1", "200 / 240000 bytes")):
        broken = film.model_copy(update={"levels": [film.levels[0].model_copy(update={"url": url})]})
        told = page.evaluate("(film) => views[0].show(film).catch((error) => error.message)", broken.model_dump())
        assert told == words
        said = until(page, "document.querySelector('[role=status]').textContent")
        assert until(page, f"document.querySelector('[role=status]').textContent.includes({words!r})"), said
    assert ["404" in error for error in visit.errors] == [True]
    visit.errors.clear()
    # the film of before is not shown as if it were this one
    assert not canvases(page)[0][2].any()


def test_a_film_that_is_no_longer_wanted_is_not_shown(visit: Visit, site: Site) -> None:
    values = noisy(*ALIKE, 1)
    films = [add_film(site, "a", noisy(*ALIKE)), add_film(site, "b", values)]
    page = visit.open(add_page(site, films[0]))
    page.evaluate("ready")
    films[0].levels[0].url += "?again"
    both = "(films) => Promise.all(films.map((film) => views[0].show(film)))"
    assert page.evaluate(both, [film.model_dump() for film in films]) == [False, True]
    again = "(film) => Promise.all([film, film].map((one) => views[0].show(one)))"
    assert page.evaluate(
        again, films[0].model_dump() | {"levels": [films[0].levels[0].model_dump() | {"url": "api/a/1?2"}]}
    )
    assert "cannot" not in line(page)
    page.evaluate(both, [film.model_dump() for film in films])
    page.evaluate("views[0].one()")
    top, left = (720 - 300) // 2, (1280 - 400) // 2
    assert (shown(page)[top : top + 300, left : left + 400] == grey(films[1], values)).all()
    page.evaluate("views[0].clear()")
    assert not shown(page).any()
    assert page.evaluate("views[0].film") is None


def test_no_film_is_painted_as_another(visit: Visit, site: Site) -> None:
    films = [add_film(site, name, np.full(ALIKE, value, np.uint16)) for name, value in (("a", 1000), ("b", 3000))]
    page = visit.open(add_page(site, films[0]))
    page.evaluate("ready")
    painted = page.evaluate(
        """async (films) => {
          const painted = [], put = CanvasRenderingContext2D.prototype.putImageData;
          CanvasRenderingContext2D.prototype.putImageData = function (image, ...at) {
            painted.push(image.data[0]);
            put.call(this, image, ...at);
          };
          // the first is there already, so that nothing is given up
          await Promise.all(films.map((film) => views[0].show(film)));
          return painted;
        }""",
        [film.model_dump() for film in films],
    )
    assert painted == [187]


def test_boxes_are_drawn_with_their_labels(visits: Callable[..., Visit], site: Site) -> None:
    page = opened(visits, site, add_film(site, "a", np.zeros(ALIKE, np.uint16)))
    boxes = [
        {"x": 100, "y": 100, "width": 80, "height": 60, "label": "0.93", "found": True},
        {"x": 200, "y": 100, "width": 80, "height": 60, "label": "not found", "found": False},
    ]
    page.evaluate("(boxes) => { views[0].boxes = boxes }", boxes)
    page.evaluate(FRAME)
    screen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    found, missing = (screen[120:158, x : x + 2].max(axis=1) for x in (100, 200))
    assert (found == [94, 224, 255]).all()  # a whole line; that of one not found is broken
    assert 0 < (missing.sum(axis=1) == 0).sum() < 38
    assert (screen[102:120, 102:130].sum(axis=2) > 300).sum() > 20
    page.evaluate("views[0].rotate()")
    page.evaluate(FRAME)
    place = page.evaluate("document.querySelector('.film-box').getBoundingClientRect().toJSON()")
    # at 3/4 of its size, turned clockwise: what was above is to the right
    assert [place[side] for side in ("x", "y", "width", "height")] == pytest.approx([192.5, 75, 45, 60], abs=0.6)


def given(kind: str, body: bytes, route: Route) -> None:
    """Answers with a file of the test's own."""
    route.fulfill(body=body, content_type=f"text/{'javascript' if kind == 'js' else kind}")


@pytest.mark.parametrize("number", [0, 3])  # that of 3 is MONOCHROME1
def test_the_canvas_shows_what_read_image_reads(number: int, served: Served, visit: Visit) -> None:
    read = read_image(served.films.known[number])
    files = {"html": PAGE_OF_FILMS, "css": STYLE, "js": SHOWN.replace("NUMBER", str(number + 1)).encode()}
    for kind, body in files.items():
        visit.context.route(f"**/films.{kind}", partial(given, kind, body))
    page = visit.open(f"{served.url}/films.html")
    page.evaluate("ready")
    page.evaluate("views[0].one()")
    seen = shown(page)
    rows, columns = read.pixels.shape
    top, left = ((side - size) // 2 for side, size in zip(seen.shape, (rows, columns), strict=True))
    expected = np.floor(255 * read.pixels.astype(np.float64) + 0.5)
    assert len(np.unique(expected)) > 100
    assert (seen[top : top + rows, left : left + columns] == expected).all()


def test_a_film_over_plain_http(visits: Callable[..., Visit], site: Site) -> None:
    values = noisy(*ALIKE)
    film = add_film(site, "a", values)
    visit = visits(viewport={"width": 400, "height": 300})
    page = visit.open(add_page(site, film).replace("127.0.0.1", PLAIN_HOST))
    page.evaluate("ready")
    assert page.evaluate("isSecureContext") is False
    assert (shown(page) == grey(film, values)).all()


def test_a_tiny_film_fits_and_is_shown_at_one_to_one(visits: Callable[..., Visit], site: Site) -> None:
    values = noisy(3, 4)
    film = add_film(site, "a", values)
    page = opened(visits, site, film)
    hold_rest(page)
    page.evaluate("views[0].rotate(4)")  # moves, so the nearest pixels
    assert (shown(page)[50::100, 50::100] == grey(film, values)).all()
    page.keyboard.press("1")
    assert (shown(page)[149:152, 198:202] == grey(film, values)).all()


def test_pixels_that_are_not_square(visits: Callable[..., Visit], site: Site) -> None:
    film = add_film(site, "a", noisy(150, 400) | 1, spacing=(0.2, 0.1))
    page = opened(visits, site, film)
    assert shown(page).any(axis=1).all()
    assert shown(page).any(axis=0).all()
    page.evaluate("views[0].region = { x: 0, y: 0, width: 8, height: 8 }")
