"""Commands and devices in a real browser: a refresh keeps the place, Retry and Hold are pressed."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from devices.models import Command, Device
from dispatch.models import Override
from tests.browser.test_accessibility import faults
from tests.dispatch import rows, set_points

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def fleet(monkeypatch, transactional_db, settings) -> Device:
    """A live event with devices in each state, two of which failed; the one that takes set-points."""
    monkeypatch.setattr(rows, "NOW", datetime.now(tz=UTC))
    settings.DEVICE_DRIVERS = settings.DEVICE_DRIVERS | set_points.DRIVERS
    named = rows.meter()
    live = rows.event(rows.group(), to=rows.recipients(named), unmapped_meters=1)
    coming = rows.event(rows.group("Later"), to=rows.recipients(named), start=rows.at(4), end=rows.at(5))
    for state in ("FAILED", "FAILED", "SENT"):
        rows.schedule(rows.device(named), live, coming, state=state)
    inverter = rows.device(named)
    set_points.told(inverter, live)
    set_points.proof(inverter, live, state="PROVEN")
    Command.objects.filter(kind="SETPOINT").update(renewed_at=rows.NOW, finished_at=rows.at(0))
    return inverter


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")], ids=["wide", "narrow, dark"])
def test_the_ledger_passes_axe_and_fits(desk, fleet, width, scheme):
    page = desk("/commands/", width=width, scheme=scheme)
    base = page.url.removesuffix("/commands/")
    coming = rows.DispatchEvent.objects.order_by("-starts_at")[0]
    for path in ("/commands/", f"/devices/{fleet.pk}/", f"/events/{coming.pk}/"):
        page.goto(base + path)
        assert faults(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path


def test_a_refresh_keeps_filter_scroll_and_what_is_unfolded(desk, fleet):
    page = desk("/commands/?kind=setpoint")
    page.locator("summary", has_text="1 attempt").click()
    page.set_viewport_size({"width": 1440, "height": 300})
    page.evaluate("scrollTo(0, 120)")
    before = page.evaluate("scrollY")
    assert before > 0
    Command.objects.filter(kind="SETPOINT").update(detail="Changed by someone else: 2 kW.")
    expect(page.get_by_text("Changed by someone else: 2 kW.")).to_be_visible()
    expect(page.locator("details[open]", has_text="Acknowledged")).to_have_count(1)
    assert page.evaluate("scrollY") == before
    assert page.locator("#commands tbody tr").count() == 1
    expect(page.locator("[name=kind]")).to_have_value("setpoint")


def test_all_shown_are_tried_again_from_where_one_stands(desk, fleet):
    page = desk("/commands/?state=failed&sort=due")
    page.get_by_role("button", name="Retry all 2 shown").click()
    expect(page.get_by_role("status")).to_contain_text("2 commands tried again within seconds.")
    expect(page).to_have_url(re.compile(r"/commands/\?state=failed&sort=due$"))
    assert not Command.objects.filter(state="FAILED").exists()


def test_a_device_is_held_from_its_page_and_let_go(desk, fleet):
    page = desk(f"/devices/{fleet.pk}/")
    page.get_by_role("link", name="Hold…").click()
    page.get_by_role("button", name="Keep running").click()
    expect(page.locator("#hold")).to_be_hidden()
    page.get_by_role("link", name="Hold…").click()
    page.locator("#hold-reason").fill("Serviced on site")
    page.get_by_role("button", name="Hold this device").click()
    expect(page.get_by_role("status")).to_contain_text("Held until")
    expect(page.locator("#now")).to_contain_text("Serviced on site")
    page.locator("#now").get_by_role("button", name="End it").click()
    expect(page.get_by_role("link", name="Hold…")).to_be_visible()
    assert Override.objects.get().ended_at is not None
