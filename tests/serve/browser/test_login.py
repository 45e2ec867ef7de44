"""A person logs in by the page, in a browser, and out; a session that ended leads back to the login."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from accessible import violations
from browsing import Visit
from databases import Server
from listening import listening

from radretrieval.config import Settings
from radretrieval.serve.access.user import Role
from radretrieval.serve.access.users_file import add

PASSWORD = "correct horse battery"


def test_a_person_logs_in_and_out(
    visits: Callable[..., Visit], server: Server, migrated_template: str, tmp_path: Path
) -> None:
    add(tmp_path / "users", "anna", PASSWORD, [Role.SEARCH])
    settings = Settings(home=tmp_path / "home")
    visit = visits(locale="de-DE", color_scheme="dark")
    with (
        server.database(template=migrated_template) as settings.database_url,
        listening(settings, users_file=tmp_path / "users") as port,
    ):
        page = visit.open(f"http://127.0.0.1:{port}/?id=7")
        assert page.title() == "radretrieval: Anmelden"
        assert violations(page) == []
        page.keyboard.type("anna")  # the name has the focus
        page.keyboard.press("Tab")
        page.keyboard.type("a wrong one")
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        assert page.get_by_role("alert").inner_text() == "Der Name oder das Passwort ist falsch."
        assert violations(page) == []
        page.emulate_media(color_scheme="light")
        assert violations(page) == []
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Passwort").fill(PASSWORD)
        page.get_by_role("button", name="Anmelden").click()
        page.get_by_text("anna", exact=True).wait_for()
        assert page.url == f"http://127.0.0.1:{port}/?id=7"
        page.get_by_role("alert").wait_for()  # this archive has no encoder; the scripts have asked it
        visit.context.clear_cookies()
        page.locator("#query").fill("8")
        page.keyboard.press("Enter")
        page.get_by_text("nicht mehr angemeldet").wait_for()
        page.reload()
        page.get_by_label("Passwort").wait_for()
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Passwort").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        page.get_by_role("button", name="Abmelden").click()
        page.get_by_text("Sie haben sich abgemeldet.").wait_for()
        page.go_back()
        page.get_by_label("Passwort").wait_for()
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Passwort").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Klassen und Karte").click()
        page.get_by_text("noch keinen Encoder").wait_for()
        page.get_by_role("button", name="Abmelden").click()
        page.get_by_text("Sie haben sich abgemeldet.").wait_for()
    # what the browser says of 401 to a wrong password, of no encoder in this archive, and of the ended session
    assert all("status of 401" in error or "status of 503" in error for error in visit.errors)
    visit.errors.clear()
