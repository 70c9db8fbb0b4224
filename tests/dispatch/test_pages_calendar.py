"""The calendar shows each request in its cell, and keeps a subscriber in step."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from icalendar import Calendar

from leapvpp.keys import create_api_key
from tests.dispatch.rows import NOW, at, event, group, meter, recipients


def cell(text: str, day: str) -> str:
    """The text of one day's cell in month and week."""
    found = re.search(rf'data-date="{day}">(.*?)(?=data-date=|</table>|class="agenda")', text)
    assert found, f"no cell for {day}"
    return found.group(1)


@pytest.mark.parametrize(
    ("zone", "day"), [("America/Los_Angeles", "2026-08-25"), ("UTC", "2026-08-26")], ids=["local", "utc"]
)
@pytest.mark.parametrize("view", ["month", "week"])
def test_an_event_stands_on_the_day_it_starts_in_the_zone(page, view, zone, day):
    event(group())
    text = page(f"/calendar/?view={view}&date={day}&tz={zone}")
    assert "4,000 kW" in cell(text, day)
    other = {"2026-08-25": "2026-08-26", "2026-08-26": "2026-08-25"}[day]
    assert "4,000 kW" not in cell(text, other)


def test_a_cancelled_event_is_struck_through_and_can_be_hidden(page):
    event(group(), is_cancelled=True)
    text = cell(page("/calendar/"), "2026-08-25")
    assert 'class="struck"' in text
    assert "is-cancelled" in text
    assert "4,000 kW" not in cell(page("/calendar/?cancelled=no"), "2026-08-25")


def test_hourly_timeslots_that_say_the_same_are_one_request(page):
    asked = group()
    for hour in range(3):
        event(asked, start=at(2 + hour), end=at(3 + hour))
    text = page("/calendar/?view=day&date=2026-08-25")
    assert "19:00–22:00" in text
    assert "1 request, 1 group" in text


def test_single_meters_asked_alike_are_bundled_when_they_are_many(page):
    for _ in range(7):
        event(energy_kw=10, to=recipients(meter()))
    text = page("/calendar/?view=day&date=2026-08-25")
    assert "Single meters" in text
    assert "70 kW" in text


def test_a_day_with_a_clock_change_says_so(page):
    assert "25-hour day" in page("/calendar/?view=day&date=2026-11-01&tz=America/Los_Angeles")
    assert "23-hour day" in page("/calendar/?view=week&date=2026-03-08&tz=America/Los_Angeles")


@pytest.mark.parametrize("query", ["date=nonsense", "date=9999-12-31", "view=year", "tz=Mars/Olympus", "tz="])
def test_an_address_that_makes_no_sense_shows_today(page, query):
    assert "August 2026" in page(f"/calendar/?{query}")


def entries(answer) -> list:
    return list(Calendar.from_ical(answer.content).walk("VEVENT"))


@pytest.mark.django_db
def test_the_subscription_needs_a_key(client):
    assert client.get("/calendar.ics").status_code == 401
    assert client.get("/calendar.ics?key=wrong").status_code == 401
    key = create_api_key(name="phone", role="viewer", now=timezone.now())
    assert client.get(f"/calendar.ics?key={key}").status_code == 200


def test_a_subscriber_learns_of_changes_cancellations_and_tests(client, now, db):
    asked = group()
    changed = event(asked, revision=3)
    event(asked, start=at(24), end=at(26), is_cancelled=True)
    event(asked, start=at(48), end=at(50), test="COMMUNICATION")
    key = create_api_key(name="phone", role="viewer", now=NOW)
    first, cancelled, test = entries(client.get(f"/calendar.ics?key={key}"))
    assert first["UID"] == f"group-{changed.leap_event_id}@leapvpp"
    assert (first["SEQUENCE"], first["STATUS"]) == (2, "CONFIRMED")
    assert first["DTSTART"].dt == datetime(2026, 8, 26, 0, tzinfo=UTC)
    assert first["DTEND"].dt - first["DTSTART"].dt == timedelta(hours=2)
    assert cancelled["STATUS"] == "CANCELLED"
    assert test["SUMMARY"].startswith("TEST ")
