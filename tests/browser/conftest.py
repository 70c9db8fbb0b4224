"""A real Chromium, signed in, that notes everything it complains about."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.people import person

PATIENCE_MS = 60_000


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests of a process."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def desk(chromium, live_server, client):
    """Open a page as someone of a role; what the browser complained about must be nothing at the end."""
    complaints: list[str] = []
    contexts = []

    def open_page(path: str, *, role: str = "operator", width: int = 1440, scheme: str = "light") -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if role:
            if "sessionid" not in client.cookies:
                client.force_login(person(role))
            context.add_cookies(
                [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
            )
        page = context.new_page()
        page.on("console", lambda said: complaints.extend([said.text] * (said.type in ("error", "warning"))))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(live_server.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
