"""How soon the page shows ten hits of a new film, their thumbnails, and a region in them.

    python benchmarks/page_answer.py DIR [--films 8] [--json FILE]

DIR is the folder of `radretrieval demo`, whose archive is searched; where there is none, the demo makes it. So that it
has 10,000 images, of which 9,520 are coded by the network that the demo trained:

    radretrieval demo DIR
    radretrieval phantom DIR/more --images 9520 --seed 1
    export RADRETRIEVAL_HOME=$PWD/DIR/home
    radretrieval ingest DIR/more --labels DIR/more/labels.csv
    radretrieval work --once
    radretrieval index build

The films are new phantoms as PNG, as large as the demo's, and one of 2500 × 3000 pixels of 12 bits as DICOM. Debian's
Chromium without a window, with its default flags. Times are the page's own: from the choice of a file to the frame in
which ten hits stand; from then to the last decoded thumbnail; from the end of a drag to the frame in which the boxes
stand. The first film is that of the first search after `radretrieval serve` has started. The bars are those of the
demo's archive.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from _common import command, environment, machine, skip, table
from page_paints import served, write_film
from PIL import Image

from radretrieval.config import Settings
from radretrieval.phantom.radiographs import radiograph

CODES = ("1121-120-942-700", "1121-110-414-700", "1123-127-500-000", "1121-120-330-700")
SIZE = 256
BARS = {"first film": 1.5, "next films": 0.5, "thumbnails": 0.3, "region": 0.6, "film of 2500 × 3000": None}
# Notes the times of what a reader does, and of what then stands on the screen.
WATCH = """() => {
  window.at = {};
  const note = (name) => (window.at[name] ??= performance.now());
  const shown = (name) => requestAnimationFrame(() => requestAnimationFrame(() => note(name)));
  document.addEventListener("change", () => (window.at = { asked: performance.now() }), true);
  document.addEventListener("pointerup", () => (window.at.drawn = performance.now()), true);
  new MutationObserver(async () => {
    if (document.querySelectorAll("#hits .hit").length < 10) return;
    shown("hits");
    const images = [...document.querySelectorAll("#cards > li > .hit img")];
    await Promise.all(images.map((one) => one.decode().catch(() => {})));
    note("thumbnails");
  }).observe(document.querySelector("#hits"), { childList: true });
  new MutationObserver(() => document.querySelector("#hits .box:not([hidden])") && shown("boxes"))
    .observe(document.querySelector("#hits"), { attributeFilter: ["hidden"], subtree: true });
}"""


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("radretrieval-demo"), metavar="DIR")
    parser.add_argument("--films", type=int, default=8, help="new films after the first one (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if (chromium := shutil.which("chromium")) is None:
        skip("chromium is not installed")
    settings = Settings(database_url=None, home=(arguments.folder / "home").absolute())
    if not settings.home.is_dir():
        subprocess.run(command("demo", str(arguments.folder)), env=environment(settings), check=True)
    with tempfile.TemporaryDirectory() as folder, served(settings) as url:
        images = json.load(urlopen(f"{url}/api/status"))["images"]
        figures = measured(str(chromium), url, new_films(Path(folder), arguments.films))
    print(f"{machine('playwright')}, load {os.getloadavg()[0]:.1f}; {images} images")
    rows = []
    for name, bar in BARS.items():
        times = figures[name]
        told = "" if bar is None else "reached" if statistics.median(times) <= bar else "MISSED"
        row = [f"{value:.2f}" for value in (statistics.median(times), min(times), max(times))]
        rows.append([name, *row, "" if bar is None else f"{bar:.1f}", told])
    table(["seconds to", "median", "min", "max", "at most", ""], rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def new_films(folder: Path, count: int) -> list[Path]:
    """Phantoms that no archive has: first PNG, then a large DICOM file."""
    rng = np.random.default_rng()
    paths = []
    for number in range(count + 1):
        drawn = radiograph(CODES[number % len(CODES)], rng, SIZE, rng)
        paths.append(folder / f"{number}.png")
        Image.fromarray(np.rint(drawn * 255).astype(np.uint8)).save(paths[-1])
    write_film(folder / "large.dcm", CODES[0], int(rng.integers(2**31)))
    return [*paths, folder / "large.dcm"]


def measured(chromium: str, url: str, films: list[Path]) -> dict[str, list[float]]:
    """Seconds of each step, for each film."""
    from playwright.sync_api import sync_playwright

    figures: dict[str, list[float]] = {name: [] for name in BARS}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1200}, locale="en-GB")
        page.goto(url)
        page.get_by_role("heading", name="Drop a radiograph here").wait_for()
        page.evaluate(WATCH)
        for place, film in enumerate(films):
            page.locator("#file").set_input_files(film)
            at = noted(page, "thumbnails")
            name = "first film" if place == 0 else "next films" if film.suffix == ".png" else list(BARS)[-1]
            figures[name].append((at["hits"] - at["asked"]) / 1000)
            figures["thumbnails"].append(max(at["thumbnails"] - at["hits"], 0) / 1000)
            page.wait_for_timeout(300)
            figures["region"].append(region(page))
        browser.close()
    return figures


def region(page: Any) -> float:
    """Draw a region, wait for the boxes, move it, and give the seconds until the boxes stand anew."""
    box = page.locator("#query-film").bounding_box()
    page.locator("[data-value=region]").click()

    def drag(start: float, end: float) -> None:
        page.evaluate("() => void (delete window.at.boxes, delete window.at.drawn)")
        page.mouse.move(box["x"] + start * box["width"], box["y"] + start * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + end * box["width"], box["y"] + end * box["height"], steps=3)
        page.mouse.up()

    drag(0.4, 0.6)
    noted(page, "boxes")
    page.get_by_text("Region found in").wait_for()
    drag(0.5, 0.48)
    at = noted(page, "boxes")
    return float(at["boxes"] - at["drawn"]) / 1000


def noted(page: Any, name: str) -> dict[str, float]:
    """The times that the page has noted, once this one is among them."""
    for _ in range(1500):
        at: dict[str, float] = page.evaluate("() => window.at")
        if {name, "hits"} <= at.keys():
            return at
        page.wait_for_timeout(20)
    raise AssertionError(f"the page did not come to {name}: {page.locator('#problem').inner_text()}")


if __name__ == "__main__":
    main()
