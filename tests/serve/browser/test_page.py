"""The page in a browser, on a real server with a real archive."""

from __future__ import annotations

from collections.abc import Callable

from accessible import violations
from browsing import PAGE, Visit
from playwright.sync_api import expect
from serving import Served

OURS = ("app.js", "films.js", "filters.js", "hits.js", "page.js")


def test_the_scripts_are_small() -> None:
    assert sum((PAGE / name).stat().st_size for name in OURS) <= 36_000


def test_texts_are_the_same_in_each_language() -> None:
    import json

    read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (PAGE / "texts").glob("*.json")}
    assert set(read) == {"en", "de"}
    assert read["en"].keys() == read["de"].keys()
    for key, text in read["en"].items():
        if isinstance(text, str):
            assert _places(text) == _places(read["de"][key]), key


def _places(text: str) -> set[str]:
    return {part.partition("}")[0] for part in text.split("{")[1:]}


def test_start_in_german(served: Served, visits: Callable[..., Visit]) -> None:
    page = visits(locale="de-DE", color_scheme="dark").open(served.url + "/")
    expect(page.get_by_role("heading", name="Röntgenaufnahme hierher ziehen")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "de"
    assert violations(page) == []
    page.locator("#language").select_option("en")
    expect(page.get_by_role("heading", name="Drop a radiograph here")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Drop a radiograph here")).to_be_visible()
