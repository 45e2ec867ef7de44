"""Parts of documentation that are made from the code: they stand between two markers of a page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

BEGIN, END = "<!-- generated -->", "<!-- /generated -->"


def written(page: str) -> str:
    """What stands between the markers of a page; raises ValueError where they are missing."""
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return page.partition(BEGIN)[2].partition(END)[0].strip("\n")


def replaced(page: str, text: str) -> str:
    """The page with its generated part renewed."""
    written(page)
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{text.strip()}\n{END}{rest.partition(END)[2]}"


def main(page: Path, text: str) -> None:
    """Print the generated part of a page, or with --write put it there."""
    parser = argparse.ArgumentParser(description=f"The generated part of {page.name}.")
    parser.add_argument("--write", action="store_true", help="renew the page instead of printing")
    if parser.parse_args().write:
        page.write_text(replaced(page.read_text(encoding="utf-8"), text), encoding="utf-8")
    else:
        sys.stdout.write(text + "\n")
