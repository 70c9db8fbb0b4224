"""What Leap posts appears in an open calendar, in its cell; a cancellation strikes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import expect

from dispatch.recording import record_waiting
from tests.bodies import group_body, text, timeslot

pytestmark = pytest.mark.django_db(transaction=True)


def post(live_server, **changes) -> None:
    """Post a notification as Leap does, and record it as a worker would."""
    slot = timeslot(level="group", **changes)
    answer = httpx.post(
        live_server.url + "/webhooks/leap/dispatch/",
        json=group_body(slot),
        headers={"x-api-key": "key-one"},
        timeout=60,
    )
    assert answer.status_code == 202
    record_waiting(now=datetime.now(tz=UTC))


@pytest.fixture
def noon() -> datetime:
    """Noon of tomorrow, so that the event has not begun."""
    today = datetime.now(tz=UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    return today + timedelta(days=1)


def asked(noon: datetime) -> dict:
    """A window of two hours from noon, with a power to be found on the page."""
    return {"start_time": text(noon), "end_time": text(noon + timedelta(hours=2)), "energy_kw": 4321}


def test_a_posted_event_appears_in_its_cell_of_an_open_month(desk, live_server, noon):
    page = desk(f"/calendar/?view=month&date={noon:%Y-%m-%d}&tz=UTC")
    entry = page.locator("#calendar").get_by_text("4,321 kW")
    expect(entry).to_have_count(0)
    post(live_server, **asked(noon))
    expect(entry).to_have_count(1)
    expect(page.locator(f"[data-date='{noon:%Y-%m-%d}']").get_by_text("4,321 kW")).to_be_visible()


@pytest.mark.parametrize("view", ["month", "week"])
def test_a_cancellation_strikes_the_event_in_its_cell(desk, live_server, noon, view):
    post(live_server, **asked(noon))
    post(live_server, **asked(noon), cancelled=True)
    page = desk(f"/calendar/?view={view}&date={noon:%Y-%m-%d}&tz=UTC")
    entry = page.locator(f"[data-date='{noon:%Y-%m-%d}'] .is-cancelled")
    expect(entry).to_be_visible()
    expect(entry.locator(".struck").first).to_have_css("text-decoration-line", "line-through")


def test_the_keys_of_the_calendar_press_its_links(desk):
    page = desk("/calendar/?view=month&date=2026-08-25&tz=UTC")
    page.keyboard.press("w")
    expect(page.get_by_role("heading", level=1)).to_have_text("23–29 August 2026")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", level=1)).to_have_text("30 Aug – 5 Sep 2026")
    page.keyboard.press("d")
    expect(page.get_by_role("heading", level=1)).to_have_text("Tuesday 1 September 2026")
    page.keyboard.press("m")
    expect(page.get_by_role("heading", level=1)).to_have_text("September 2026")
