"""The calendar as a subscription: one entry per event, kept in step by UID and SEQUENCE."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from icalendar import Calendar, Event

from dispatch.models import DispatchEvent
from dispatch.reading import words
from dispatch.reading.naming import owner_of, with_names

BEFORE = timedelta(days=14)
AFTER = timedelta(days=92)
MOST = 5000


def read_feed(*, now: datetime, base_url: str) -> bytes:
    """Write the events of two weeks past and three months to come as iCalendar (RFC 5545). One query.

    A cancelled event stays in the file with STATUS:CANCELLED, so that a subscriber takes it out; a revision
    raises SEQUENCE. Times are UTC.
    """
    calendar = Calendar()
    calendar.add("prodid", "-//leapvpp//Dispatch desk//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", "Dispatches")
    calendar.add("refresh-interval;value=duration", "PT5M")
    events = DispatchEvent.objects.filter(ends_at__gt=now - BEFORE, starts_at__lt=now + AFTER)
    for event in with_names(events).order_by("starts_at", "id")[:MOST]:
        calendar.add_component(_entry(event, base_url=base_url))
    return calendar.to_ical()


def _entry(event: Any, *, base_url: str) -> Event:
    name = f"{words.programs(event.programs)} {words.power(event.energy_kw)}, {owner_of(event).name}"
    entry = Event()
    entry.add("uid", f"{event.level.lower()}-{event.leap_event_id}@leapvpp")
    entry.add("sequence", event.revision - 1)
    entry.add("dtstamp", event.changed_at)
    entry.add("dtstart", event.starts_at)
    entry.add("dtend", event.ends_at)
    entry.add("last-modified", event.changed_at)
    entry.add("summary", f"TEST {name}" if event.test else name)
    entry.add("status", _status(event))
    entry.add("categories", event.programs)
    entry.add("url", f"{base_url}/events/{event.pk}/")
    entry.add("description", _description(event))
    return entry


def _status(event: DispatchEvent) -> str:
    if event.is_cancelled:
        return "CANCELLED"
    return "CONFIRMED" if event.is_confirmed else "TENTATIVE"


def _description(event: Any) -> str:
    kind = "Voluntary" if event.is_voluntary else "Committed"
    lines = [
        f"{kind}, priority {event.priority_rank}, paid up to {words.cap(event.cap)}.",
        f"Leap's event {event.leap_event_id}, {words.counted(event.recipients.size, one='meter')}.",
    ]
    if event.test:
        lines.insert(0, f"{event.get_test_display()}.")
    return "\n".join(lines)
