"""How often a second the page paints two linked films, and how soon a film is on the screen.

    python benchmarks/page_paints.py [--seconds 4] [--shows 5] [--json FILE]

Two films of 2500 × 3000 pixels of 12 bits, of phantoms with noise, in an archive of this run, beside each other in a
window of 1600 × 1200; Debian's Chromium without a window, with its default flags, so with rendering by software.
The mouse moves for `--seconds`, as fast as Playwright moves it; each picture that is put on a film's canvas counts, and
the longest time between two. "Work" is the median of what the page's own thread does for a picture of both films.
First paint: from the call that shows a film, of which the server has the pixels in its cache and the browser nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from _common import command, database, environment, machine, skip, table

from radretrieval.config import Settings
from radretrieval.imaging.resample import resample
from radretrieval.ingest.run import ingest
from radretrieval.phantom.radiographs import radiograph

ROWS, COLUMNS = 3000, 2500
WINDOW = {"width": 1600, "height": 1200}
BARS = {"window drag": 30.0, "pan": 20.0, "zoom": 20.0}  # paints a second of each film, issue 14
GAP = 0.15  # seconds between two of a window drag
FIRST = 0.6  # seconds to the first paint
HTML = """<!doctype html><title>Films</title><link rel="icon" href="favicon.svg">
<link rel="stylesheet" href="viewer.css"><style>
body { margin: 0 } main { display: flex; gap: 8px; height: 100vh } main > div { flex: 1 }</style>
<main><div></div><div></div></main><script type="module">
import { FilmView, link } from "./viewer.js";
const put = CanvasRenderingContext2D.prototype.putImageData, frame = requestAnimationFrame;
globalThis.painted = [[], []];
globalThis.work = [];
globalThis.requestAnimationFrame = (act) => frame((now) => {
  const start = performance.now();
  act(now);
  work.push(performance.now() - start);
});
CanvasRenderingContext2D.prototype.putImageData = function (...all) {
  painted[this.canvas.closest("main > div").nextElementSibling ? 0 : 1].push(performance.now());
  put.apply(this, all);
};
globalThis.views = [...document.querySelectorAll("main > div")].map((block) => new FilmView(block));
globalThis.films = Promise.all([1, 2].map(async (id) => (await (await fetch(`api/images/${id}`)).json()).film));
globalThis.show = async (which, state) => {
  const film = (await films)[which], start = performance.now();
  painted[which].length = 0;
  await views[which].show(film, { state });
  return painted[which][0] - start;
};
globalThis.linked = () => void link(views);
</script>"""


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="of each movement (default: %(default)s)")
    parser.add_argument("--shows", type=int, default=5, help="how often a film is shown (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if (chromium := shutil.which("chromium")) is None:
        skip("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder, database() as (where, settings):
        for number, code in enumerate(("1121-120-942-700", "1121-120-330-700")):
            write_film(Path(folder) / f"{number}.dcm", code, number)
        ingest(where, settings, [Path(folder)], workers=1)
        with served(settings) as url, browser(str(chromium), url) as visit:
            figures = measured(visit, arguments.seconds, arguments.shows)
    load = f"{os.getloadavg()[0]:.1f}"
    print(f"{machine('playwright')}, load {load}; {visit_version(str(chromium))}; {COLUMNS} × {ROWS}, 12 bits")
    rows = []
    for name, bar in BARS.items():
        row = figures[name]
        good = row["paints"] >= bar and (name != "window drag" or row["gap"] <= GAP)
        told = [f"{row['paints']:.0f}", f"{row['gap'] * 1000:.0f}", f"{row['work']:.1f}", f"{row['moves']:.0f}"]
        rows.append([name, *told, f"{bar:.0f}", "reached" if good else "MISSED"])
    table(["two linked films", "paints/s", "longest gap ms", "work ms", "moves/s", "at least", ""], rows)
    rows = []
    for name in ("at fit, the half", "at 1:1, the whole"):
        times = figures[name]
        good = "reached" if statistics.median(times) <= FIRST else "MISSED"
        rows.append(
            [name, *(f"{value:.2f}" for value in (statistics.median(times), min(times), max(times), FIRST)), good]
        )
    table(["first paint, s", "median", "min", "max", "at most", ""], rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def write_film(path: Path, code: str, seed: int) -> None:
    """A phantom with noise, as a DICOM file of 12 bits."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    rng = np.random.default_rng(seed)
    drawn = resample(radiograph(code, rng, 1024, rng), (ROWS, COLUMNS)) * 4000 + rng.normal(0, 12, (ROWS, COLUMNS))
    values = np.clip(np.rint(drawn), 0, 4095).astype(np.uint16)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid(entropy_srcs=[code])
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.PixelData = values.tobytes()
    ds.save_as(path, enforce_file_format=True)


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The URL of `radretrieval serve`."""
    words = command("serve", "--port", "0")
    process = subprocess.Popen(words, env=environment(settings), stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "the page is at " in line)
        yield line.partition("the page is at ")[2].partition(";")[0].strip().rstrip("/")
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def browser(program: str, url: str) -> Iterator[Callable[[], Any]]:
    """What opens a page with the two views, nothing shown, in a browser that has nothing in its cache."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])

        def visit() -> Any:
            page = chromium.new_context(viewport=WINDOW).new_page()
            page.route(f"{url}/films.html", lambda route: route.fulfill(body=HTML, content_type="text/html"))
            page.goto(f"{url}/films.html")
            page.evaluate("films")
            return page

        yield visit
        chromium.close()


def visit_version(program: str) -> str:
    """The name and version of the browser."""
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split(" built")[0]


def measured(visit: Callable[[], Any], seconds: float, shows: int) -> dict[str, Any]:
    """The figures of each movement, and the seconds of each first paint."""
    figures: dict[str, Any] = {"at fit, the half": [], "at 1:1, the whole": []}
    for number in range(shows + 1):
        for name, state in (("at fit, the half", {}), ("at 1:1, the whole", {"zoom": 4})):
            page = visit()
            took = page.evaluate("(state) => show(0, state)", state) / 1000
            if number:  # before, the server makes the film
                figures[name].append(took)
            page.context.close()
    page = visit()
    page.evaluate("Promise.all([show(0), show(1)]).then(linked)")
    page.evaluate("for (const view of views) view.mode = 'window'")
    figures["window drag"] = moved(page, seconds, drag)
    page.evaluate("for (const view of views) view.mode = 'pan'")
    figures["pan"] = moved(page, seconds, drag)
    figures["zoom"] = moved(page, seconds, wheel)
    return figures


def drag(page: Any, number: int) -> None:
    """The mouse on a circle, its button held."""
    page.mouse.move(400 + 150 * np.sin(number / 15), 600 + 150 * np.cos(number / 15))


def wheel(page: Any, number: int) -> None:
    """The wheel to and fro."""
    page.mouse.wheel(0, -30 if number // 40 % 2 else 30)


def moved(page: Any, seconds: float, move: Callable[[Any, int], None]) -> dict[str, float]:
    """Paints a second of the film that has fewer, the longest gap, the work of a paint and the moves a second."""
    page.mouse.move(400, 600)
    if move is drag:
        page.mouse.down()
    page.evaluate("[...painted, work].forEach((list) => (list.length = 0))")
    start, number = time.monotonic(), 0
    while (spent := time.monotonic() - start) < seconds:
        move(page, number)
        number += 1
    times, work = page.evaluate("[painted, work]")
    page.mouse.up()
    page.wait_for_timeout(300)
    counts = [len(one) / spent for one in times]
    gaps = [max(np.diff(one)) / 1000 for one in times]
    return {
        "paints": min(counts),
        "gap": float(max(gaps)),
        "work": 2 * statistics.median(work),
        "moves": number / spent,
    }


if __name__ == "__main__":
    main()
