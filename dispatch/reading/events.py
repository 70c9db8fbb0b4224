"""The list of events: filters of the address, counts of the tabs, one page of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, Q, QuerySet

from dispatch.models import DispatchEvent, TestKind
from dispatch.queries import EventStatus, of_program, with_status
from dispatch.reading import words
from dispatch.reading.looks import Look, look_of
from dispatch.reading.naming import Owner, owner_of, with_names
from meters.models import MarketGroup

PER_PAGE = 50
FLAGS = {
    "unmapped": ("Unmapped", Q(unmapped_meters__gt=0)),
    "overlapping": ("Overlapping", Q(is_overlapping=True)),
    "unserved": ("Not fully served", Q(is_unserved=True) | Q(shortfall_kw__gt=0)),
    "changed": ("Changed", Q(revision__gt=1)),
    "unconfirmed": ("Unconfirmed", Q(is_confirmed=False)),
}


@dataclass(frozen=True, slots=True)
class EventRow:
    """One line of the list."""

    event: Any
    look: Look
    owner: Owner
    program: str
    starts: str
    window: str
    utc: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab above the list."""

    key: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class EventList:
    """All that the page shows."""

    when: str
    tabs: tuple[Tab, ...]
    rows: tuple[EventRow, ...]
    page: Page[Any]
    programs: tuple[str, ...]
    filters: dict[str, str]
    flags: tuple[tuple[str, str, bool], ...]
    is_filtered: bool


def read_events(asked: Mapping[str, str], *, now: datetime, zone: tzinfo) -> EventList:
    """Read one page of events. A constant number of queries."""
    matching = filtered(DispatchEvent.objects.all(), asked, now=now)
    counts = matching.aggregate(
        upcoming=Count("id", filter=Q(starts_at__gt=now)),
        live=Count("id", filter=Q(starts_at__lte=now, ends_at__gt=now)),
        past=Count("id", filter=Q(ends_at__lte=now)),
    )
    when = asked.get("when", "")
    if when not in counts:
        when = "live" if counts["live"] else "upcoming" if counts["upcoming"] else "past"
    page = Paginator(_of_tab(matching, when=when, now=now), PER_PAGE).get_page(asked.get("page"))
    return EventList(
        when=when,
        tabs=tuple(Tab(key=key, name=key.capitalize(), count=count) for key, count in counts.items()),
        rows=tuple(_row(event, now=now, zone=zone) for event in page.object_list),
        page=page,
        programs=program_names(),
        filters={key: asked.get(key, "") for key in ("program", "status", "test", "q")},
        flags=tuple((key, name, asked.get(key) == "yes") for key, (name, _) in FLAGS.items()),
        is_filtered=any(asked.get(key) for key in ("program", "status", "test", "q", *FLAGS)),
    )


def filtered(
    events: QuerySet[DispatchEvent], asked: Mapping[str, str], *, now: datetime
) -> QuerySet[DispatchEvent]:
    """Keep the events that the address asks for; words it does not know are no filter."""
    status, test, program = (asked.get(key, "") for key in ("status", "test", "program"))
    if status.upper() in EventStatus.values:
        events = with_status(events, status=status.upper(), now=now)
    if test == "yes":
        events = events.exclude(test="")
    elif test == "no":
        events = events.filter(test="")
    elif test.upper() in TestKind.values:
        events = events.filter(test=test.upper())
    if program:
        events = of_program(events, program=program)
    for key, (_, rule) in FLAGS.items():
        if asked.get(key) == "yes":
            events = events.filter(rule)
    return _searched(events, asked.get("q", "").strip())


def _searched(events: QuerySet[DispatchEvent], text: str) -> QuerySet[DispatchEvent]:
    """Find by Leap's event id, market group id or the group's name."""
    if not text:
        return events
    groups = MarketGroup.objects.filter(name__icontains=text).values("market_group_id")
    return events.filter(
        Q(leap_event_id__startswith=text.lower())
        | Q(market_group_id=text.lower())
        | Q(market_group_id__in=groups)
    )


def _of_tab(events: QuerySet[DispatchEvent], *, when: str, now: datetime) -> QuerySet[Any]:
    named = with_names(events)
    if when == "upcoming":
        return named.filter(starts_at__gt=now).order_by("starts_at", "priority_rank", "id")
    if when == "live":
        return named.filter(starts_at__lte=now, ends_at__gt=now).order_by("ends_at", "priority_rank", "id")
    return named.filter(ends_at__lte=now).order_by("-ends_at", "priority_rank", "id")


def program_names() -> tuple[str, ...]:
    """List the programs that events were called for."""
    lists = DispatchEvent.objects.order_by().values_list("programs", flat=True).distinct()
    return tuple(sorted({name for names in lists for name in names}))


def _row(event: Any, *, now: datetime, zone: tzinfo) -> EventRow:
    return EventRow(
        event=event,
        look=look_of(event, now=now),
        owner=owner_of(event),
        program=words.programs(event.programs),
        starts=words.day(event.starts_at, zone=zone),
        window=words.window(event.starts_at, event.ends_at, zone=zone),
        utc=words.window_utc(event.starts_at, event.ends_at, zone=zone),
        notes=tuple(_notes(event)),
    )


def _notes(event: Any) -> list[str]:
    """Say what an operator should know before opening the event."""
    notes = []
    if event.unmapped_meters:
        notes.append(f"{words.counted(event.unmapped_meters, one='meter')} without a device")
    if event.shortfall_kw:
        notes.append(f"{words.power(event.shortfall_kw)} short")
    if event.is_unserved:
        notes.append("not fully served")
    if event.is_overlapping:
        notes.append("overlaps")
    if event.is_ended_early:
        notes.append("ended early")
    if event.revision > 1:
        notes.append(f"revision {event.revision}")
    return notes
