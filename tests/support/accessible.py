"""Accessibility of a page by axe-core from a wheel; it runs as script text, which the policy does not forbid."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@lru_cache(maxsize=1)
def _axe() -> str:
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Page) -> list[str]:
    """What WCAG 2.2 AA forbids on the page as it stands: rule, and elements that break it."""
    page.evaluate(_axe())
    found = page.evaluate("(tags) => axe.run(document, { runOnly: tags })", RULES)
    return [f"{one['id']}: {', '.join(node['html'] for node in one['nodes'][:5])}" for one in found["violations"]]
