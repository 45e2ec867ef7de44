"""The picture of the page in docs/page.png: a search in the archive of `radretrieval demo`, all of it synthetic.

python packaging/page_picture.py DIR    of the demo, in which `make demo` has put its archive

Needs Debian's Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parents[1] / "docs" / "page.png"
QUERY = "id=1&roi=40,120,120,110"  # the region of the demo
WIDTH, HEIGHT = 1360, 850


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The address of `radretrieval serve` on the archive in this home."""
    command = [sys.executable, "-m", "radretrieval", "serve", "--port", "0"]
    environment = os.environ | {"RADRETRIEVAL_HOME": str(home.absolute())}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "the page is at " in line)
            yield line.partition("the page is at ")[2].partition(";")[0]
        finally:
            process.terminate()


def picture(url: str) -> bytes:
    """The page with an answer, as PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark", locale="en-GB")
        page.goto(f"{url}?{QUERY}")
        page.get_by_text("Region found in").wait_for()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(500)  # films are interpolated when nothing moves
        taken = page.screenshot()
        browser.close()
    return taken


def main() -> None:
    """Renew the picture."""
    parser = argparse.ArgumentParser(description="Renew docs/page.png.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of `radretrieval demo`")
    with served(parser.parse_args().folder / "home") as url:
        taken = Image.open(io.BytesIO(picture(url))).convert("RGB")
    taken.quantize(160, kmeans=1, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
