"""Stage: platform events → meters to read again, groups to compare, steps of customers.

Reads events that were received and writes what became of each: FOLLOWED with its outcome in words, or
QUARANTINED with the reason. What an event says of meters is written nowhere: it only hints at what to read.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from meters.among import Ids
from meters.connecting import ConnectEvent, note_connect_events
from meters.domain.hints import (
    ConnectHint,
    GroupHint,
    Hint,
    Malformed,
    MetersHint,
    Window,
    read_hint,
    read_payload,
)
from meters.grouping import request_comparison
from meters.models import MarketGroupMembership, PlatformEvent, PlatformEventStatus
from meters.queue import wake_syncing
from meters.rereading import read_again

logger = logging.getLogger(__name__)

BATCH: Final = 500
MOST_BATCHES: Final = 40
"""Of one task; the dispatcher wakes the next one a second later."""
UNKNOWN: Final = "Type unknown to the portal; kept."
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)


def follow_waiting(*, now: datetime) -> str:
    """Follow the events that wait, batch by batch; return a word for the log."""
    followed = 0
    for _ in range(MOST_BATCHES):
        count = _follow_batch(now=now)
        followed += count
        if count < BATCH:
            break
    return f"{followed} platform events followed"


def _follow_batch(*, now: datetime) -> int:
    """Follow the oldest events, all of them or none. A constant number of statements."""
    with transaction.atomic():
        events, hints = _read_oldest()
        to_read = _meters_to_read(hints)
        kept = note_connect_events(
            [
                _connect_event(event, hint)
                for event in events
                if isinstance(hint := hints.get(event.pk), ConnectHint)
            ]
        )
        for event in events:
            _conclude(event, hints.get(event.pk), to_read.get(event.pk, frozenset()), kept, now=now)
        groups = {hint.market_group_id for hint in hints.values() if isinstance(hint, GroupHint)}
        request_comparison(groups, now=now)
        _ask(events, to_read, now=now)
        PlatformEvent.objects.bulk_update(events, ["status", "reason", "followed_at", "outcome"])
    return len(events)


def _read_oldest() -> tuple[list[PlatformEvent], dict[int, Hint]]:
    """Hold the oldest events that wait, and read what each hints at; few bodies are in memory at once."""
    waiting = PlatformEvent.objects.select_for_update(no_key=True).filter(status=PlatformEventStatus.RECEIVED)
    events: list[PlatformEvent] = []
    hints: dict[int, Hint] = {}
    for event in waiting.defer("headers").order_by("pk")[:BATCH].iterator(chunk_size=20):
        hint = _read(event)
        if hint is not None:
            hints[event.pk] = hint
        event.body = b""  # of the object alone: it was read, and is not written
        events.append(event)
    return events, hints


def _read(event: PlatformEvent) -> Hint | None:
    """Read what an event hints at; put one aside that does not say what it is about."""
    try:
        return read_hint(read_payload(bytes(event.body)))
    except Malformed as problem:
        event.status = PlatformEventStatus.QUARANTINED
        event.reason = str(problem)
        logger.warning("Platform event %s is put aside: %s", event.pk, problem)
        return None


def _meters_to_read(hints: Mapping[int, Hint]) -> dict[int, frozenset[str]]:
    """Return by event which meters to read: those it names, and of a group those held as its members."""
    members = _members_of({hint.window for hint in hints.values() if isinstance(hint, GroupHint)})
    found = {}
    for pk, hint in hints.items():
        if isinstance(hint, MetersHint):
            found[pk] = hint.meter_ids
        elif isinstance(hint, GroupHint):
            # Who left is not named any more, and has to be read all the same.
            found[pk] = hint.meter_ids | members[hint.window]
    return found


def _members_of(windows: Collection[Window]) -> dict[Window, frozenset[str]]:
    """Return who is held as a member of a group at any time of a window; one statement."""
    by_group: dict[str, list[Window]] = defaultdict(list)
    for window in windows:
        by_group[window[0]].append(window)
    found: dict[Window, set[str]] = {window: set() for window in windows}
    rows = MarketGroupMembership.objects.filter(
        Q(ends_at__isnull=True)
        | Q(ends_at__gt=min((start or EARLIEST for _, start, _ in windows), default=LATEST)),
        group__market_group_id__among=Ids(by_group),
        starts_at__lt=max((end or LATEST for _, _, end in windows), default=EARLIEST),
    )
    said = rows.values_list("group__market_group_id", "meter__meter_id", "starts_at", "ends_at")
    for group_id, meter_id, starts_at, ends_at in said:
        for window in by_group[group_id]:
            _, start, end = window
            if starts_at < (end or LATEST) and (ends_at or LATEST) > (start or EARLIEST):
                found[window].add(meter_id)
    return {window: frozenset(ids) for window, ids in found.items()}


def _connect_event(event: PlatformEvent, hint: ConnectHint) -> ConnectEvent:
    return ConnectEvent(
        partner_reference=hint.partner_reference,
        kind=hint.kind,
        status=hint.status,
        utility_name=hint.utility_name,
        webhook_event_id=event.webhook_event_id,
        received_at=event.received_at,
    )


def _conclude(
    event: PlatformEvent,
    hint: Hint | None,
    meter_ids: Collection[str],
    kept: Collection[str],
    *,
    now: datetime,
) -> None:
    """Say of an event what was done about it."""
    event.followed_at = now
    if event.status == PlatformEventStatus.QUARANTINED:
        return
    if isinstance(hint, ConnectHint) and hint.partner_reference not in kept:
        event.status = PlatformEventStatus.QUARANTINED
        event.reason = "The payload's partner_reference is too long, or holds a null character."
        return
    event.status = PlatformEventStatus.FOLLOWED
    if hint is None:
        event.outcome = UNKNOWN
    elif isinstance(hint, ConnectHint):
        event.outcome = "Noted with the connection of that refId."
    else:
        odd = hint.odd if isinstance(hint, GroupHint) else 0
        event.outcome = outcome_of(len(meter_ids), odd=odd, has_key=bool(settings.LEAP_API_KEY))


def outcome_of(count: int, *, odd: int, has_key: bool) -> str:
    """Say how many meters are read again.

    >>> outcome_of(1, odd=0, has_key=True), outcome_of(0, odd=2, has_key=True)
    ('1 meter is read again.', 'No meter is read again. 2 of the meter_ids are no UUIDs.')
    """
    if count == 0:
        words = ["No meter is read again."]
    elif not has_key:
        noun = "1 meter is" if count == 1 else f"{count:,} meters are"
        words = [f"{noun} to be read again, but cannot be until LEAP_API_KEY is set."]
    else:
        words = ["1 meter is read again." if count == 1 else f"{count:,} meters are read again."]
    if odd:
        words.append(f"{odd:,} of the meter_ids {'is no UUID' if odd == 1 else 'are no UUIDs'}.")
    return " ".join(words)


def _ask(events: Sequence[PlatformEvent], to_read: Mapping[int, Collection[str]], *, now: datetime) -> None:
    """Have the meters read, each once."""
    asking = [event for event in events if to_read.get(event.pk)]
    if not asking:
        return
    types = {event.event_type for event in asking}
    why = types.pop() if len(types) == 1 else "events of Leap's platform"
    read_again(frozenset[str]().union(*to_read.values()), why=why, now=now)
    if settings.LEAP_API_KEY:
        wake_syncing()
