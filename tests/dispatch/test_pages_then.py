"""What was known at a time, and what an unarmed integration test would do: asked of the pages."""

from __future__ import annotations

import pytest
import time_machine

from dispatch.models import DispatchEvent, Source
from dispatch.planning import plan_waiting
from dispatch.receiving import receive
from dispatch.recording import record_waiting
from tests.bodies import METER, as_bytes, at, meter_body, timeslot
from tests.builders import device, meter
from tests.people import person

pytestmark = pytest.mark.django_db


def hear(document: dict, *, minute: float) -> None:
    """Receive, record and plan a body at a minute after 20:00 UTC."""
    now = at(minute)
    receive(body=as_bytes(document), source=Source.WEBHOOK, received_at=now)
    record_waiting(now=now)
    plan_waiting(now=now)


@pytest.fixture
def show(client):
    """The text of a page at 20:10 UTC."""
    client.force_login(person("viewer"))

    def get(address: str) -> str:
        with time_machine.travel(at(10), tick=False):
            answer = client.get(address)
        assert answer.status_code == 200
        return " ".join(answer.text.split())

    return get


@pytest.fixture
def battery():
    return device(meter(meter_id=METER), rated_power_kw=50)


def test_event_and_device_show_what_was_known_at_a_time(show, battery):
    hear(meter_body(timeslot(energy_kw=11, nomination_kw=12)), minute=0)
    hear(meter_body(timeslot(energy_kw=23, nomination_kw=24)), minute=8)
    event = f"/events/{DispatchEvent.objects.get().pk}/?tz=UTC"
    battery_page = f"/devices/{battery.pk}/?tz=UTC"

    then = show(f"{event}&as_of=2026-07-14T20:05")
    assert '<b>11 kW</b></td><td class="t-line">now 23 kW</td>' in then
    assert '<b>1</b></td><td class="t-line">now 2</td>' in then
    assert "Curtail 11 kW" in then
    then = show(f"{battery_page}&as_of=2026-07-14T20:05")
    assert "Version 1" in then
    assert "Curtail 11 kW" in then

    for address in (event, battery_page):
        assert 'name="as_of"' in show(address)
        assert "Curtail 11 kW" not in show(address)
        assert "Nothing was known" in show(f"{address}&as_of=2026-07-14T19:55")
        assert "yet to come" in show(f"{address}&as_of=2026-07-14T20:55")
        assert "That is no time." in show(f"{address}&as_of=yesterday")


def test_an_integration_test_shows_what_it_would_do(show, battery):
    hear(meter_body(timeslot(), integration_test_notification=True), minute=0)
    event = f"/events/{DispatchEvent.objects.get().pk}/"
    text = show(event)
    assert "What it would do" in text
    assert battery.external_id in text
    assert "Curtail 10 kW" in text
    hear(meter_body(timeslot(cancelled=True), integration_test_notification=True), minute=2)
    assert "What it would do" not in show(event)


def test_a_real_event_has_no_would(show, battery):
    hear(meter_body(timeslot()), minute=0)
    assert "What it would do" not in show(f"/events/{DispatchEvent.objects.get().pk}/")
