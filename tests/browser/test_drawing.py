"""An event is drawn on a day: with the mouse, with the keys, and without scripts in the form alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.test_accessibility import faults
from tests.builders import device, group, meter
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def address() -> str:
    """A group of one device, and the page that asks of it from 10:00 to 12:00 tomorrow."""
    now = datetime.now(tz=UTC)
    one = meter()
    device(one)
    group(one, name="South Bay", since=now - timedelta(days=1))
    day = f"{now + timedelta(days=1):%Y-%m-%d}"
    return (
        f"/preview/?way=draw&go=1&tz=UTC&who=South&date={day}&start=10:00&end=12:00"
        "&kind=commitment&rank=1&cap=up-to-site-load"
    )


def times(page) -> tuple[str, str]:
    return page.input_value("[name=start]"), page.input_value("[name=end]")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")], ids=["wide", "narrow, dark"])
def test_an_event_is_drawn_with_the_mouse_and_moved_with_the_keys(desk, address, width, scheme):
    page = desk(address, role="viewer", width=width, scheme=scheme)
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    block = page.get_by_role("slider", name="What if, from and until")
    expect(block).to_have_text("10:00–12:00")

    box = page.locator("[data-draw]").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 17.05 / 24, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 20.2 / 24, box["y"] + 20)
    page.mouse.up()
    assert times(page) == ("17:00", "20:15")

    block.press("ArrowRight")
    block.press("Shift+ArrowRight")
    assert times(page) == ("17:15", "20:45")
    expect(block).to_have_text("17:15–20:45")

    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator(".drawn")).to_have_text("17:15–20:45")
    expect(page.locator(".case-lines").first).to_contain_text("17:15–20:45 UTC")


def test_the_form_alone_draws_without_scripts(chromium, live_server, address):
    person("viewer", name="vera")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(live_server.url + address)
    page.fill("#id_username", "vera")
    page.fill("#id_password", "a-long-password")
    page.get_by_role("button", name="Sign in").click()
    page.fill("[name=end]", "13:30")
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator(".drawn")).to_have_text("10:00–13:30")
    expect(page.locator(".case")).to_contain_text("10:00–13:30 UTC")
    context.close()
