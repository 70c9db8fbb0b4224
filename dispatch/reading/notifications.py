"""What Leap said, exactly: the notifications as received, and what each timeslot led to."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page
from django.db.models import Count, Q, QuerySet
from django.http import QueryDict

from dispatch.models import DispatchNotification, ItemOutcome, NotificationItem, NotificationStatus, Source
from dispatch.reading import words
from dispatch.reading.listing import Filter, Tab, chosen, drop_down, page_of, tabs

STATUS_TABS = {
    "": "All",
    "received": "Received",
    "recorded": "Recorded",
    "quarantined": "Quarantined",
    "rejected": "Rejected",
}
OUTCOME_WORDS = {
    ItemOutcome.CREATED: "new",
    ItemOutcome.REVISED: "changed",
    ItemOutcome.REPEATED: "unchanged",
    ItemOutcome.SUSPECT: "unconfirmed",
    ItemOutcome.CONFIRMED: "confirmed",
    ItemOutcome.QUARANTINED: "quarantined",
}
VERDICTS = {
    NotificationStatus.RECEIVED: "plain",
    NotificationStatus.RECORDED: "ok",
    NotificationStatus.QUARANTINED: "bad",
    NotificationStatus.REJECTED: "bad",
}
OUTCOME_VERDICTS = {
    ItemOutcome.SUSPECT: "warn",
    ItemOutcome.QUARANTINED: "bad",
    ItemOutcome.REPEATED: "plain",
}
ITEMS_SHOWN = 100
PRETTY_LIMIT = 200_000


@dataclass(frozen=True, slots=True)
class Row:
    """One notification in the list."""

    id: int
    received_at: datetime
    source: str
    level: str
    status: str
    verdict: str
    summary: str
    repeats: str


@dataclass(frozen=True, slots=True)
class NotificationList:
    """The list with what stands above it."""

    tabs: tuple[Tab, ...]
    filters: tuple[Filter, ...]
    search: str
    page: Page[Any]
    rows: tuple[Row, ...]


def read_list(query: QueryDict) -> NotificationList:
    """Read one page of notifications, newest first. Four queries."""
    status = chosen(query, "status", allowed=STATUS_TABS)
    source = chosen(query, "source", allowed=[value.lower() for value in Source.values])
    search = query.get("q", "").strip()
    found = _found(search=search, source=source)
    counted = dict(found.values_list("status").annotate(count=Count("id")))
    counts = {key: counted.get(key.upper(), 0) for key in STATUS_TABS if key}
    shown = found.filter(status=status.upper()) if status else found
    page = page_of(
        shown.defer("body", "headers").order_by("-received_at", "-id"), number=query.get("page", "")
    )
    outcomes = _outcomes([notification.pk for notification in page])
    return NotificationList(
        tabs=tabs(STATUS_TABS, current=status, counts={"": sum(counted.values()), **counts}),
        filters=(
            drop_down(
                "source",
                label="Source",
                everything="All sources",
                options={value.lower(): str(label) for value, label in Source.choices},
                current=source,
            ),
        ),
        search=search,
        page=page,
        rows=tuple(_row(notification, outcomes[notification.pk]) for notification in page),
    )


def _found(*, search: str, source: str) -> QuerySet[DispatchNotification]:
    """Filter by source and by number, hash or an event's id."""
    found = DispatchNotification.objects.all()
    if source:
        found = found.filter(source=source.upper())
    if search:
        named = NotificationItem.objects.filter(leap_event_id=search.lower()).values("notification_id")
        wanted = Q(sha256__startswith=search.lower()) | Q(pk__in=named)
        if search.isdecimal() and len(search) < 18:
            wanted |= Q(pk=int(search))
        found = found.filter(wanted)
    return found


def _outcomes(ids: list[int]) -> dict[int, list[tuple[str, int]]]:
    """Count each notification's items by outcome. One query."""
    counted: dict[int, list[tuple[str, int]]] = defaultdict(list)
    rows = NotificationItem.objects.filter(notification_id__in=ids).values_list("notification_id", "outcome")
    for notification_id, outcome, count in rows.annotate(count=Count("id")).order_by("outcome"):
        counted[notification_id].append((outcome, count))
    return counted


def _row(notification: DispatchNotification, outcomes: list[tuple[str, int]]) -> Row:
    """Say in one line what a notification led to."""
    parts = [f"{count:,} {OUTCOME_WORDS.get(ItemOutcome(outcome), outcome)}" for outcome, count in outcomes]
    summary = notification.reason or ", ".join(parts)
    if not summary and notification.status == NotificationStatus.RECEIVED:
        summary = "Waits to be recorded."
    return Row(
        id=notification.pk,
        received_at=notification.received_at,
        source=notification.get_source_display(),
        level=notification.get_level_display() or "–",
        status=notification.get_status_display(),
        verdict=VERDICTS.get(NotificationStatus(notification.status), "plain"),
        summary=summary or "Names no timeslot.",
        repeats=words.counted(notification.repeat_count, one="repeat") if notification.repeat_count else "",
    )


@dataclass(frozen=True, slots=True)
class Item:
    """One timeslot and what it led to."""

    position: int
    leap_event_id: str
    event_id: int | None
    outcome: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotificationDetail:
    """One notification, its items a page at a time, its body indented where it is JSON."""

    id: int
    row: Row
    recorded_at: datetime | None
    sha256: str
    size: int
    headers: tuple[tuple[str, str], ...]
    page: Page[Any]
    items: tuple[Item, ...]
    body: str
    is_cut: bool
    earlier: int | None
    later: int | None


def read_detail(notification: DispatchNotification, *, page_number: str) -> NotificationDetail:
    """Read everything about a notification. Five queries at most."""
    items = notification.items.order_by("position")
    page = page_of(items, number=page_number, size=ITEMS_SHOWN)
    text, is_cut = pretty(bytes(notification.body))
    return NotificationDetail(
        id=notification.pk,
        row=_row(notification, _outcomes([notification.pk])[notification.pk]),
        recorded_at=notification.recorded_at,
        sha256=notification.sha256,
        size=len(notification.body),
        headers=tuple(sorted((name, str(value)) for name, value in notification.headers.items())),
        page=page,
        items=tuple(_item(item) for item in page),
        body=text,
        is_cut=is_cut,
        earlier=_beside("-id", id__lt=notification.pk),
        later=_beside("id", id__gt=notification.pk),
    )


def _beside(order: str, **where: int) -> int | None:
    return DispatchNotification.objects.filter(**where).order_by(order).values_list("pk", flat=True).first()


def _item(item: NotificationItem) -> Item:
    outcome = ItemOutcome(item.outcome)
    return Item(
        position=item.position + 1,
        leap_event_id=item.leap_event_id,
        event_id=item.event_id,
        outcome=item.get_outcome_display(),
        verdict=OUTCOME_VERDICTS.get(outcome, "ok"),
        reason=item.reason,
    )


def pretty(body: bytes) -> tuple[str, bool]:
    """Indent a body that is JSON, show any other as text; say whether it had to be cut.

    >>> pretty(b'{"a":1}')
    ('{\\n  "a": 1\\n}', False)
    """
    text = body.decode("utf-8", errors="replace")
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text[:PRETTY_LIMIT], len(text) > PRETTY_LIMIT
