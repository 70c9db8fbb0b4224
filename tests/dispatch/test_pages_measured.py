"""Measured power on the pages: what is drawn, in which sign, and what is said where nothing is."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import ScheduleSegment
from devices.telemetry import DeviceReading, record_many
from dispatch.reading.measured import read_device_power, read_event_power
from meters.models import Meter
from tests.dispatch.rows import NOW, at, device, event, meter, recipients, schedule

UTC = at(0).tzinfo


def measure(row, *, usual, running, until=NOW, silent=()):
    """A reading a minute for two hours until now; the event began at 17:00, which is 0."""
    moments = [at(-1) + timedelta(minutes=minute) for minute in range(0, 1 + (until - at(-1)).seconds // 60)]
    record_many(
        [
            DeviceReading(row.pk, moment, Decimal(running if moment >= at(0) else usual))
            for moment in moments
            if not any(start <= moment < end for start, end in silent)
        ],
        now=until,
    )


@pytest.fixture
def served(now, db):
    """An event that a battery and a load serve with 100 kW each, one meter a device."""
    meters = [meter(), meter()]
    live = event(to=recipients(*meters), energy_kw=200)
    battery, load = (device(each) for each in meters)
    for row in (battery, load):
        schedule(row, live)
    ScheduleSegment.objects.filter(device=load).update(mode="CURTAIL", target_kw=30)
    ScheduleSegment.objects.filter(device=battery).update(mode="DISCHARGE", target_kw=100)
    return live, battery, load


def test_storage_delivers_what_it_gives_and_a_load_what_it_takes_less(served, page):
    live, battery, load = served
    measure(battery, usual=5, running=-90)
    measure(load, usual=80, running=50)
    power = read_event_power(live.pk, now=NOW, zone=UTC)
    plan, _, award, actual = power.plot.lines
    assert {kw for start, _, kw in actual.steps if start >= at(0)} == {Decimal(90 + 30)}
    assert {kw for start, _, kw in actual.steps if start < at(0)} == {Decimal(-5 + 0)}
    assert [kw for _, _, kw in plan.steps] == [130]
    assert (award.figure, actual.figure) == ("200 kW", "120 kW")
    assert power.plot.shaded == ((live.starts_at, live.ends_at),)
    assert any("in the quarter of an hour before its run" in note for note in power.notes)
    text = page(f"/events/{live.pk}/power/")
    assert "Delivered" in text and "2 of 2" in text
    assert f'hx-get="/events/{live.pk}/power/"' in page(f"/events/{live.pk}/")


def test_gaps_are_gaps_and_what_is_not_counted_is_said(served):
    live, battery, load = served
    measure(battery, usual=5, running=-90, silent=[(at(0.25), at(0.5))])
    measure(load, usual=80, running=50, silent=[(at(-1), at(0))])
    power = read_event_power(live.pk, now=NOW, zone=UTC)
    starts = [start for start, _, _ in power.plot.lines[3].steps if start >= at(0)]
    # Power holds for five minutes from the last reading before the silence.
    assert [start for start in starts if at(0.25) <= start < at(0.5)] == [
        at(0.25) + timedelta(minutes=minute) for minute in range(4)
    ]
    assert "1 of 2 devices are not counted: too little is measured." in power.notes


def test_a_device_is_drawn_as_it_is(served, page):
    _, battery, load = served
    measure(battery, usual=5, running=-90)
    measure(load, usual=80, running=50)
    drawn = read_device_power(battery.pk, now=NOW, zone=UTC).plot.lines
    assert [[kw for _, _, kw in line.steps] for line in drawn] == [[-100], [5, 5, 5, 5, -90, -90, -90]]
    drawn = read_device_power(load.pk, now=NOW, zone=UTC).plot.lines
    assert [[kw for _, _, kw in line.steps] for line in drawn] == [[50], [80, 80, 80, 80, 50, 50, 50]]
    text = page(f"/devices/{battery.pk}/power/", **{"HX-Request": "true"})
    assert "<html" not in text and f"/devices/{battery.pk}/power.svg?narrow" in text


@pytest.mark.parametrize("query", ["", "?narrow", "?tz=America/New_York"])
def test_the_drawing_stands_by_itself(served, page, client, query):
    _, battery, _ = served
    measure(battery, usual=5, running=-90)
    page("/")  # signs in
    answer = client.get(f"/devices/{battery.pk}/power.svg{query}")
    assert answer["Content-Type"] == "image/svg+xml"
    assert answer["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    root = ElementTree.fromstring(answer.content)  # noqa: S314 - our own
    tags = {one.tag.rpartition("}")[2] for one in root.iter()}
    assert "script" not in tags
    assert b"prefers-color-scheme" in answer.content
    label = "Actual" if "narrow" in query else "Actual −90 kW"
    assert f">{label}<".encode() in answer.content


def test_nothing_measured_is_said_and_strangers_are_sent_to_sign_in(served, page, client):
    live, battery, _ = served
    addresses = [f"/devices/{battery.pk}/power/", f"/events/{live.pk}/power/"]
    for address in (*addresses, *(each.replace("power/", "power.svg") for each in addresses)):
        assert client.get(address).status_code == 302
    assert "Nothing was measured yet" in page(addresses[0])
    assert client.get(f"/devices/{battery.pk}/power.svg").status_code == 404
    text = page(addresses[1])  # what was asked and what is planned is drawn all the same
    assert "nothing measured" in text and "Devices confirmed" in text and "Delivered</th>" not in text
    assert client.get(f"/events/{live.pk}/power.svg").status_code == 200
    assert client.get("/devices/0/power/").status_code == 404
    assert client.get("/events/0/power.svg").status_code == 404


def test_more_devices_ask_no_more_questions(served):
    live, battery, _ = served
    measure(battery, usual=5, running=-90)

    def statements():
        with CaptureQueriesContext(connection) as seen:
            read_event_power(live.pk, now=NOW, zone=UTC)
        return len(seen)

    few = statements()
    for each in Meter.objects.all():
        for _ in range(3):
            row = device(each)
            schedule(row, live)
            measure(row, usual=5, running=-90)
    assert statements() == few
