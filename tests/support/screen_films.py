"""Films as the page gets them, made of an array: the Film JSON, and the encoded pixels of its levels."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from browsing import Site
from numpy.typing import NDArray

from radretrieval.serve.films import encoded

# One block a view, side by side as flex columns share a width that is no multiple of their number.
PAGE = b"""<!doctype html><html lang="en"><title>Films</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="films.css"><main id="films"></main>"""
STYLE = b"""body { margin: 0 } .film-line { display: none }
main { display: flex; gap: 7px; height: 100vh } main > div { flex: 1; min-width: 0 }"""


def received(body: bytes, rows: int, columns: int) -> NDArray[np.int64]:
    """The pixels of a body without gzip, as a browser makes them, (rows, columns)."""
    low, high = np.frombuffer(body, np.uint8).reshape(2, rows, columns).astype(int)
    folded = low + 256 * high
    return np.cumsum(np.where(folded % 2, -(folded + 1) // 2, folded // 2), axis=1) % 65536


def reduced(values: NDArray[np.uint16], level: int) -> NDArray[np.uint16]:
    """Area means of level × level pixels; those of the last row and column are of what is there."""
    rows, columns = values.shape
    padded = np.pad(values, ((0, -rows % level), (0, -columns % level)), mode="edge").astype(np.float64)
    means = padded.reshape(padded.shape[0] // level, level, -1, level).mean(axis=(1, 3))
    return np.floor(means + 0.5).astype(np.uint16)


def add_film(site: Site, name: str, values: NDArray[np.uint16], **film: Any) -> dict[str, Any]:
    """The Film JSON of these sent values; its levels lie on the site below api/NAME/. `film` replaces entries."""
    levels = []
    for level in (1, 2, 4):
        shown = values if level == 1 else reduced(values, level)
        url = f"api/{name}/{level}"
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/octet-stream", "Cache-Control": "private"}
        site.files[url] = (encoded(shown), headers)
        levels.append({"level": level, "rows": shown.shape[0], "columns": shown.shape[1], "url": url})
    made = {
        "rows": values.shape[0],
        "columns": values.shape[1],
        "bits": 12,
        "offset": 0,
        "levels": levels,
        "modality": {"slope": 1.0, "intercept": 0.0},
        "windows": [{"name": "file", "centre": 2048.0, "width": 4096.0, "function": "LINEAR"}],
        "lut": None,
        "initial": "window",
        "range": [int(values.min()), int(values.max())],
        "inverted": False,
        "padding": None,
        "spacing": None,
        "presets": [],
    }
    return made | film


def add_page(site: Site, films: list[dict[str, Any]]) -> str:
    """A page that shows these films in columns as `views`; its address.

    `ready` is a promise that they are shown.
    """
    site.files["films.html"] = PAGE + b'<script type="module" src="films.js"></script></html>'
    site.files["films.css"] = STYLE
    site.files["films.js"] = f"""
import * as viewer from "./viewer.js";
Object.assign(globalThis, viewer);
globalThis.views = {json.dumps(films)}.map((film, i) => {{
  const view = new viewer.FilmView(document.getElementById("films").appendChild(document.createElement("div")));
  view.done = view.show(film, {{ label: `film ${{i + 1}}` }});
  return view;
}});
globalThis.told = [];
for (const name of ["region", "view"]) addEventListener(name, (event) => told.push([name, event.detail]));
globalThis.ready = Promise.all(views.map((view) => view.done));
""".encode()
    return f"{site.url}/films.html"
