"""Films of arrays on a page of the test's own, and the greys that the rule of DICOM gives them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from browsing import PAGE as FOLDER
from browsing import Site
from numpy.typing import NDArray

from radretrieval.imaging.display import Display, Window
from radretrieval.serve.film import Film, Level, described
from radretrieval.serve.films import LEVELS, area_mean, encoded

# One block a view, side by side: flex columns, whose width is no multiple of a pixel.
TEXTS = (FOLDER / "texts" / "en.json").read_text(encoding="utf-8")
PAGE = f"""<!doctype html><html lang="en"><title>Films</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="viewer.css"><link rel="stylesheet" href="films.css"><main id="films"></main>
<script type="application/json" id="texts">{TEXTS}</script>
<script type="module" src="films.js"></script></html>""".encode()
STYLE = b"""body { margin: 0 } .film-stage > .film-line { display: none }
main { display: flex; gap: 7px; height: 100vh } main > div { flex: 1; min-width: 0 }"""
PACKED = {"Content-Encoding": "gzip", "Content-Type": "application/octet-stream"}
SCRIPT = """
import * as viewer from "./viewer.js";
Object.assign(globalThis, viewer);
globalThis.films = FILMS;
globalThis.views = films.map(() => {
  return new viewer.FilmView(document.getElementById("films").appendChild(document.createElement("div")));
});
globalThis.told = [];
for (const name of ["region", "view"]) addEventListener(name, (event) => told.push([name, event.detail]));
globalThis.ready = (async () => {
  await Promise.all(views.map((view, i) => view.show(films[i], { label: `film ${i + 1}` })));
})();
"""


def received(body: bytes, rows: int, columns: int) -> NDArray[np.int64]:
    """The pixels of a body without gzip, as a browser makes them, (rows, columns)."""
    low, high = np.frombuffer(body, np.uint8).reshape(2, rows, columns).astype(int)
    folded = low + 256 * high
    return np.cumsum(np.where(folded % 2, -(folded + 1) // 2, folded // 2), axis=1) % 65536


def add_film(
    site: Site, name: str, values: NDArray[np.uint16], display: Display | None = None, bits: int = 12, **fields: Any
) -> Film:
    """The film of these sent values, its levels on the site as `api/NAME/LEVEL`; `fields` replaces those of Film."""
    levels = []
    for level in LEVELS:
        shown = area_mean(values, level, None)
        url = f"api/{name}/{level}"
        site.files[url] = (encoded(shown), PACKED)
        levels.append(Level(level=level, rows=shown.shape[0], columns=shown.shape[1], url=url))
    display = display or Display(windows=(Window(2048, 4096, "LINEAR", "file"),))
    facts = {"offset": 0, "spacing": None, "presets": [], "ignored": [], "reduced": None} | described(display)
    facts["range"] = display.range or (float(values.min()), float(values.max()))
    rows, columns = values.shape
    return Film(**{"rows": rows, "columns": columns, "bits": bits, "levels": levels} | facts | fields)


def add_page(site: Site, *films: Film) -> str:
    """A page that shows these films in columns, as `views`; its address. `ready` is the promise of all of them."""
    shown = json.dumps([film.model_dump() for film in films])
    site.files |= {"films.html": PAGE, "films.css": STYLE, "films.js": SCRIPT.replace("FILMS", shown).encode()}
    return f"{site.url}/films.html"


def grey(film: Film, values: NDArray[Any], window: Window | None = None, inverted: bool = False) -> NDArray[np.uint8]:
    """Greys of sent values, by the rule of imaging/display.py; `inverted` by the user."""
    display = film.display()
    if window is not None:
        display = replace(display, lut=None, windows=(window,))
    shown = replace(display, inverted=film.inverted != inverted).grey(values.astype(np.int64) + film.offset)
    return np.asarray(np.floor(255 * shown + 0.5), np.uint8)
