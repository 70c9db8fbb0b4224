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


@pytest.mark.parametrize("view", ["month", "week"])
def test_a_posted_event_appears_in_its_cell_and_a_cancellation_strikes_it(desk, live_server, view):
    noon = datetime.now(tz=UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=1)
    times = {"start_time": text(noon), "end_time": text(noon + timedelta(hours=2)), "energy_kw": 4321}
    page = desk(f"/calendar/?view={view}&date={noon:%Y-%m-%d}&tz=UTC")
    entry = page.locator(f"[data-date='{noon:%Y-%m-%d}']").get_by_text("4,321 kW")
    expect(entry).to_have_count(0)
    post(live_server, **times)
    expect(entry).to_be_visible()
    chips = page.locator("#calendar").get_by_text("4,321 kW").locator("visible=true")
    expect(chips).to_have_count(1)
    post(live_server, **times, cancelled=True)
    expect(page.locator(f"[data-date='{noon:%Y-%m-%d}'] .is-cancelled")).to_be_visible()
    struck = page.locator(f"[data-date='{noon:%Y-%m-%d}'] .struck").first
    expect(struck).to_have_css("text-decoration-line", "line-through")


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
