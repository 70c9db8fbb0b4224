"""How events changed: revisions with each field before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from dispatch.models import DispatchEvent, EventRevision, RevisionKind, Source
from dispatch.reading import words
from dispatch.reading.looks import Look, look_of
from dispatch.reading.naming import Owner, owner_of, with_names
from dispatch.reading.takeovers import Takeover, read_takeovers

PER_PAGE = 30
FIELD_WORDS = {
    "start_time": "Start",
    "end_time": "End",
    "energy_kw": "Power",
    "nomination_kw": "Nomination",
    "cancelled": "Cancelled",
    "priority": "Priority",
    "is_voluntary": "Voluntary",
    "performance_compensation_cap": "Paid up to",
    "dispatch_event_types": "Event types",
    "programs": "Programs",
    "meter_ids": "Meters",
    "market_group_id": "Market group",
    "test": "Test",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One field before and after, in words."""

    field: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision, ready to show."""

    number: int
    kind: str
    kind_words: str
    received_at: datetime
    source: str
    is_found: bool  # by the search; its webhook never came
    changes: tuple[Change, ...]
    notification_id: int | None
    takeovers: tuple[str, ...] = ()  # who serves what the change let go


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A revision with the event it changed."""

    revision: Revision
    event: Any
    owner: Owner
    program: str
    look: Look
    window: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """All that the page of changes shows."""

    rows: tuple[ChangeRow, ...]
    page: Page[Any]
    seen_at: datetime
    new: int
    kinds: tuple[tuple[str, str], ...]
    kind: str
    scope: str


def revisions_of(
    rows: Sequence[EventRevision], *, leap_ids: Mapping[int, str], zone: tzinfo
) -> list[Revision]:
    """Turn stored revisions into words, with who took over. `leap_ids`: of events. Two queries."""
    found = read_takeovers(rows, leap_ids=leap_ids)
    return [_revision_of(row, found.get(row.pk, ()), zone=zone) for row in rows]


def _revision_of(row: EventRevision, takeovers: Sequence[Takeover], *, zone: tzinfo) -> Revision:
    return Revision(
        number=row.number,
        kind=row.kind,
        kind_words=RevisionKind(row.kind).label,
        received_at=row.received_at,
        source=Source(row.source).label.lower(),
        is_found=row.source == Source.POLL,
        changes=tuple(change_of(field, pair, zone=zone) for field, pair in row.changes.items()),
        notification_id=row.notification_id,
        takeovers=tuple(each.text(zone=zone) for each in takeovers),
    )


def change_of(field: str, pair: Any, *, zone: tzinfo) -> Change:
    """Say one changed field; a field without words keeps Leap's name."""
    old, new = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (None, pair)
    name = FIELD_WORDS.get(field, field.replace("_", " ").capitalize())
    return Change(field=name, old=value_words(field, old, zone=zone), new=value_words(field, new, zone=zone))


def value_words(field: str, value: Any, *, zone: tzinfo) -> str:
    """Say a field's value with its unit."""
    if field.endswith("_kw"):
        return _power(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    if field.endswith("_time") and (at := parse_datetime(str(value))):
        return words.moment(at, zone=zone)
    if field == "meter_ids" and isinstance(value, list):
        return words.counted(len(value), one="meter")
    if field == "performance_compensation_cap":
        return words.cap(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _power(value: Any) -> str:
    try:
        return words.power(None if value is None else Decimal(str(value)))
    except InvalidOperation:
        return str(value)


def read_changes(
    *, seen_at: datetime, kind: str, scope: str, page: str | None, now: datetime, zone: tzinfo
) -> Changes:
    """Read what moved: since the user last looked, or the last seven days. Five queries."""
    changed = EventRevision.objects.exclude(kind=RevisionKind.CREATED)
    new = changed.filter(received_at__gt=seen_at).count()
    since = seen_at if scope == "new" else now - timedelta(days=7)
    found = changed.filter(received_at__gt=since)
    if kind in RevisionKind.values:
        found = found.filter(kind=kind)
    shown = Paginator(found.order_by("-received_at", "-id"), PER_PAGE).get_page(page)
    rows = list(shown.object_list)
    events = _events(row.event_id for row in rows)
    leap_ids = {pk: event.leap_event_id for pk, event in events.items()}
    revisions = revisions_of(rows, leap_ids=leap_ids, zone=zone)
    return Changes(
        rows=tuple(
            _change_row(revision, events[row.event_id], seen_at=seen_at, now=now, zone=zone)
            for row, revision in zip(rows, revisions, strict=True)
        ),
        page=shown,
        seen_at=seen_at,
        new=new,
        kinds=tuple(choice for choice in RevisionKind.choices if choice[0] != RevisionKind.CREATED),
        kind=kind,
        scope=scope,
    )


def _events(ids: Any) -> dict[int, Any]:
    named: QuerySet[Any] = with_names(DispatchEvent.objects.filter(pk__in=set(ids)))
    return {event.pk: event for event in named}


def _change_row(
    revision: Revision, event: Any, *, seen_at: datetime, now: datetime, zone: tzinfo
) -> ChangeRow:
    window = words.window(event.starts_at, event.ends_at, zone=zone)
    return ChangeRow(
        revision=revision,
        event=event,
        owner=owner_of(event),
        program=words.programs(event.programs),
        look=look_of(event, now=now),
        window=f"{words.day(event.starts_at, zone=zone)}, {window}",
        is_new=revision.received_at > seen_at,
    )
