"""What Leap's platform said of meters, beside the dispatches: the list, and one event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.paginator import Page
from django.db.models import Count, Q
from django.http import QueryDict

from dispatch.reading.listing import Tab, chosen, page_of, tabs
from dispatch.reading.notifications import pretty
from meters.among import Ids
from meters.domain.hints import named_in
from meters.models import PlatformEvent, PlatformEventStatus
from meters.sync_models import MeterSync, MeterToRead

LOOKED_FOR = timedelta(minutes=30)
"""For so long after an event a change is taken for what it hinted at."""
SYNCS_SHOWN = 3
STATUS_TABS = {
    "": "All",
    "received": "Received",
    "followed": "Followed",
    "quarantined": "Quarantined",
    "rejected": "Rejected",
}
VERDICTS = {
    PlatformEventStatus.RECEIVED: "plain",
    PlatformEventStatus.FOLLOWED: "ok",
    PlatformEventStatus.QUARANTINED: "bad",
    PlatformEventStatus.REJECTED: "bad",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One event, with how its status looks."""

    event: PlatformEvent
    verdict: str


@dataclass(frozen=True, slots=True)
class PlatformEventList:
    """The list with its tabs."""

    tabs: tuple[Tab, ...]
    search: str
    page: Page[Any]
    rows: tuple[Row, ...]


def row_of(event: PlatformEvent) -> Row:
    """Say how an event looks."""
    return Row(event=event, verdict=VERDICTS[PlatformEventStatus(event.status)])


def read_list(query: QueryDict) -> PlatformEventList:
    """Read one page of events, newest first, found by type or id. Three queries."""
    status, search = chosen(query, "status", allowed=STATUS_TABS), query.get("q", "").strip()
    found = PlatformEvent.objects.defer("body", "headers")
    if search:
        by_id = found.filter(webhook_event_id=search.lower())
        found = by_id | found.filter(event_type__icontains=search)
    counted = dict(found.order_by().values_list("status").annotate(count=Count("id")))
    counts = {key: counted.get(key.upper(), 0) for key in STATUS_TABS if key}
    shown = found.filter(status=status.upper()) if status else found
    page = page_of(shown.order_by("-received_at", "-id"), number=query.get("page", ""))
    return PlatformEventList(
        tabs=tabs(STATUS_TABS, current=status, counts={"": sum(counted.values()), **counts}),
        search=search,
        page=page,
        rows=tuple(row_of(event) for event in page),
    )


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of an event: how many meters still wait to be read, and the runs in which some changed."""

    named: int
    waiting: int
    syncs: tuple[MeterSync, ...]


def read_followed(event: PlatformEvent) -> Followed:
    """Read what came of an event for the meters that it names. Two queries, none for one not followed."""
    ids = named_in(bytes(event.body))
    if event.followed_at is None or not ids:
        return Followed(named=0, waiting=0, syncs=())
    # A run that was under way already as the event was followed may have read them, too.
    syncs = MeterSync.objects.filter(
        Q(finished_at__isnull=True) | Q(finished_at__gte=event.followed_at),
        changes__meter__meter_id__among=Ids(ids),
        started_at__lt=event.followed_at + LOOKED_FOR,
    )
    return Followed(
        named=len(ids),
        waiting=MeterToRead.objects.filter(meter_id__among=Ids(ids)).count(),
        syncs=tuple(syncs.distinct().order_by("pk")[:SYNCS_SHOWN]),
    )


def body_of(event: PlatformEvent) -> tuple[str, bool]:
    """Indent an event's body; say whether it had to be cut."""
    return pretty(bytes(event.body))
