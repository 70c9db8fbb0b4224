"""Every page passes axe in light and dark, wide and narrow, full and empty, without a word on the console."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.dispatch import rows
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)
PAGES = [
    "/",
    "/calendar/?view=month",
    "/calendar/?view=week",
    "/calendar/?view=day",
    "/calendar/subscribe/",
    "/events/",
    "/overlaps/",
    "/changes/",
]


@pytest.fixture
def live(monkeypatch, transactional_db):
    """A portfolio of today with an event in each state; its live event."""
    monkeypatch.setattr(rows, "NOW", datetime.now(tz=UTC))
    asked, to = rows.group("Other states"), rows.recipients(rows.meter())
    states = [
        {"is_cancelled": True},
        {"is_confirmed": False},
        {"test": "COMMUNICATION"},
        {"is_voluntary": True},
        {"starts_at": rows.at(-4), "ends_at": rows.at(-3)},
    ]
    for hour, state in enumerate(states, start=1):
        rows.event(asked, to=to, **{"starts_at": rows.at(hour), "ends_at": rows.at(hour + 1)} | state)
    return rows.portfolio(1)[0]


def faults(page) -> list[str]:
    """What axe finds, one line each, with the element."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['help']} {each['nodes'][0]['html'][:200]}" for each in found]


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")], ids=["wide", "narrow, dark"])
def test_a_full_page_passes_axe_and_fits(desk, live, width, scheme):
    page = desk("/", width=width, scheme=scheme)
    base = page.url.rstrip("/")
    for path in [*PAGES, f"/events/{live.pk}/"]:
        page.goto(base + path)
        assert faults(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path


def test_an_empty_page_passes_axe(desk):
    page = desk("/")
    base = page.url.rstrip("/")
    for path in PAGES:
        page.goto(base + path)
        assert faults(page) == [], path


def test_sign_in_passes_axe(desk):
    page = desk("/sign-in/", role="")
    assert faults(page) == []


def test_a_page_works_without_scripts(chromium, live_server, live):
    person("operator", name="maya")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(live_server.url + "/events/?when=upcoming")
    page.fill("#id_username", "maya")
    page.fill("#id_password", "a-long-password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Events")
    page.get_by_label("Tests").select_option("yes")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody a.row-title").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Other states, CCA")
    context.close()
