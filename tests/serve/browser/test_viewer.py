"""The film viewer of the page, in a real browser, over films that the test makes."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from browsing import Chromium, Site
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page
from screen_films import add_film, add_page

# Where each canvas stands on the screen, in device pixels, and its greys.
CANVASES = """views.map(({ element }) => {
  const canvas = element.querySelector("canvas"), box = canvas.getBoundingClientRect();
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let i = 0; i < data.length; i += 4) text += String.fromCharCode(data[i]);
  return [box.left * devicePixelRatio, box.top * devicePixelRatio, canvas.width, canvas.height, btoa(text)];
})"""


def noisy(rows: int, columns: int, seed: int = 0, high: int = 4096) -> NDArray[np.uint16]:
    """A film in which no pixel is like its neighbours, so that one that is shifted or interpolated is seen."""
    return np.random.default_rng(seed).integers(0, high, (rows, columns), dtype=np.uint16)


def greys(page: Page) -> list[tuple[int, int, NDArray[np.uint8]]]:
    """Left, top and greys (rows, columns) of each view's canvas."""
    found = []
    for left, top, columns, rows, data in page.evaluate(CANVASES):
        assert abs(left - round(left)) < 0.05
        assert abs(top - round(top)) < 0.05
        values = np.frombuffer(base64.b64decode(data), np.uint8).reshape(rows, columns)
        found.append((round(left), round(top), values))
    return found


@pytest.mark.parametrize("ratio", [1, 1.25, 2])
def test_the_screen_shows_the_canvas(ratio: float, browser: Chromium, site: Site) -> None:
    films = [add_film(site, f"{i}", noisy(300, 250, i)) for i in range(3)]
    with browser.scaled(ratio, 601, 433) as visit:
        page = visit.open(add_page(site, films))
        page.evaluate("ready")
        assert page.evaluate("devicePixelRatio") == ratio
        for count in (3, 2, 1):
            screen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
            shown = greys(page)
            assert len(shown) == count
            for left, top, values in shown:
                seen = screen[top : top + values.shape[0], left : left + values.shape[1]]
                assert values.std() > 20
                assert (seen != values[..., None]).sum() == 0
            page.evaluate("views.pop().element.remove()")
            page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
