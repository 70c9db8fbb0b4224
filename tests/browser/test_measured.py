"""The chart of an event in a real browser: it loads by itself and stays while the page around is renewed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from devices.telemetry import DeviceReading, record_many
from tests.dispatch.rows import device, event, meter, recipients, schedule


@pytest.mark.django_db(transaction=True)
def test_the_chart_of_a_live_event_loads_and_stays(desk):
    now = timezone.now()
    one = meter()
    live = event(
        to=recipients(one), energy_kw=90, start=now - timedelta(hours=1), end=now + timedelta(hours=1)
    )
    battery = device(one)
    schedule(battery, live)
    moments = [now - timedelta(minutes=minute) for minute in range(90)]
    record_many([DeviceReading(battery.pk, at, Decimal(-90)) for at in moments], now=now)

    page = desk(f"/events/{live.pk}/")
    drawing = page.locator("#measured img")
    expect(drawing).to_be_visible()
    expect(drawing).to_have_js_property("complete", value=True)
    drawing.evaluate("image => { image.dataset.mark = 'the same' }")
    page.locator("#event").evaluate("old => { old.dataset.mark = 'old' }")
    expect(page.locator("#event[data-mark]")).to_have_count(0)
    expect(drawing).to_have_attribute("data-mark", "the same")
    page.locator("#measured summary").click()
    expect(page.locator("#measured-table")).to_contain_text("1 of 1")
