"""What plans leave behind beside schedules: overlaps and the events' numbers.

Only what differs is written. Rows of what is over stay as history; one that runs and no longer holds is
ended now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Model, QuerySet

from devices.bulk import insert_rows
from dispatch.domain.events import to_kw
from dispatch.domain.fleet import EventNumbers
from dispatch.domain.plans import DevicePlan, OverlapSlice
from dispatch.lookups import batches
from dispatch.models import DispatchEvent, Overlap
from dispatch.unserved import events_unserved
from meters.among import Ids

Plans = Mapping[int, DevicePlan]
Key = tuple[Hashable, ...]
Content = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Table:
    """How slices of a device are kept: a unique key, and the content that may differ under it."""

    model: type[Model]
    key: tuple[str, ...]
    content: tuple[str, ...]


_OVERLAPS = _Table(
    Overlap,
    ("device_id", "starts_at"),
    ("ends_at", "event_ids", "leap_event_ids", "served", "not_served", "reason"),
)

_WORTH_A_STATEMENT = 50  # events with the same numbers
_NUMBERS = ("shortfall_kw", "unmapped_meters", "is_overlapping", "is_unserved")


def save_overlaps(plans: Plans, *, now: datetime) -> None:
    """Store where events meet on the planned devices."""
    content = {id(each): _overlap_content(each) for plan in _distinct(plans) for each in plan.overlaps}
    desired: dict[Key, Content] = {
        (device_id, each.window.start): content[id(each)]
        for device_id, plan in plans.items()
        for each in plan.overlaps
    }
    _replace(_OVERLAPS, desired, device_ids=plans, now=now)


def _distinct(plans: Plans) -> Iterable[DevicePlan]:
    return {id(plan): plan for plan in plans.values()}.values()


def _overlap_content(overlap: OverlapSlice) -> Content:
    return (
        overlap.window.end,
        [event.event_id for event in overlap.events],
        [event.leap_event_id for event in overlap.events],
        list(overlap.served),
        [{"leap_event_id": leap_event_id, "reason": reason} for leap_event_id, reason in overlap.not_served],
        overlap.reason,
    )


def _replace(
    table: _Table, desired: Mapping[Key, Content], *, device_ids: Collection[int], now: datetime
) -> None:
    """Make the rows of the devices that are not over equal to what is desired."""
    rows = table.model._default_manager
    held: dict[Key, Content] = {}
    stale: list[int] = []
    anew: list[int] = []
    for batch in batches(device_ids):
        found = rows.filter(device_id__among=Ids(batch), ends_at__gt=now)
        for pk, *values in found.values_list("pk", *table.key, *table.content):
            key = tuple(values[: len(table.key)])
            held[key] = tuple(values[len(table.key) :])
            if key not in desired:
                stale.append(pk)
            elif held[key] != desired[key] and _starts_at(key) >= now:
                anew.append(pk)
    for batch in batches(stale):
        rows.filter(pk__among=Ids(batch), starts_at__gte=now).delete()
        rows.filter(pk__among=Ids(batch)).update(ends_at=now)
    for batch in batches(anew):
        rows.filter(pk__among=Ids(batch)).delete()
    differing = {key: content for key, content in desired.items() if held.get(key) != content}
    _write(table, differing, now=now)


def _starts_at(key: Key) -> datetime:
    """Return when a slice begins, which its key ends with."""
    at = key[-1]
    assert isinstance(at, datetime)  # noqa: S101 - for mypy
    return at


def _write(table: _Table, differing: Mapping[Key, Content], *, now: datetime) -> None:
    """Store what begins later as new rows, and what runs in place of what was ended under the same key."""
    rows = table.model._default_manager
    columns = (*table.key, *table.content)
    insert_rows(
        table.model,
        columns,
        ((*key, *content) for key, content in differing.items() if _starts_at(key) >= now),
    )
    rows.bulk_create(
        (
            table.model(**dict(zip(columns, (*key, *content), strict=True)))
            for key, content in differing.items()
            if _starts_at(key) < now
        ),
        update_conflicts=True,
        unique_fields=table.key,
        update_fields=table.content,
    )


def save_numbers(numbers: Mapping[int, EventNumbers], *, replanned: Collection[int], now: datetime) -> None:
    """Store what every event gets. `replanned`: the events all of whose devices were planned."""
    events = [
        event
        for batch in batches(numbers.keys() | set(replanned))
        for event in _not_being_written(batch).only(*_NUMBERS, "starts_at", "is_cancelled")
    ]
    for batch in batches([event.pk for event in events if event.pk in replanned]):
        DispatchEvent.objects.filter(pk__among=Ids(batch)).update(
            planned_at=now, planned_recipients=F("recipients")
        )
    if not events:
        return
    overlapping = _overlapping(since=min(event.starts_at for event in events))
    unserved = events_unserved([event.pk for event in events])
    changed = []
    for event in events:
        before = [getattr(event, name) for name in _NUMBERS]
        _count(event, numbers.get(event.pk), overlapping=overlapping, unserved=unserved)
        if before != [getattr(event, name) for name in _NUMBERS]:
            changed.append(event)
    _write_numbers(changed)


def _write_numbers(events: Iterable[DispatchEvent]) -> None:
    """Store events' numbers. Where many have the same, as in a large body, one statement serves them all.

    A statement that names each row's own numbers takes about half a millisecond a row to build.
    """
    by_numbers: defaultdict[tuple[object, ...], list[DispatchEvent]] = defaultdict(list)
    for event in events:
        by_numbers[tuple([getattr(event, name) for name in _NUMBERS])].append(event)
    others = []
    for numbers, alike in by_numbers.items():
        if len(alike) < _WORTH_A_STATEMENT:
            others += alike
            continue
        for batch in batches([event.pk for event in alike]):
            DispatchEvent.objects.filter(pk__among=Ids(batch)).update(
                **dict(zip(_NUMBERS, numbers, strict=True))
            )
    DispatchEvent.objects.bulk_update(others, _NUMBERS, batch_size=500)


def _not_being_written(event_ids: Sequence[int]) -> QuerySet[DispatchEvent]:
    """Return events, but for those that another transaction is writing: it will ask for a plan itself.

    To wait for it could wait for ever, as it may wait for an event that planning holds.
    """
    events = DispatchEvent.objects.filter(pk__among=Ids(event_ids)).order_by("pk")
    return events.select_for_update(skip_locked=True, no_key=True)


def _count(
    event: DispatchEvent,
    numbers: EventNumbers | None,
    *,
    overlapping: Collection[int],
    unserved: Collection[int],
) -> None:
    """Set the numbers of an event; a cancelled one has none, one long over keeps what it had."""
    if event.is_cancelled:
        event.shortfall_kw, event.is_overlapping, event.is_unserved = None, False, False
    elif numbers is not None:
        watts = numbers.shortfall_watts
        event.shortfall_kw = None if watts is None else to_kw(watts)
        event.unmapped_meters = numbers.unmapped_meters
        event.is_overlapping = event.pk in overlapping
        event.is_unserved = event.pk in unserved


def _overlapping(*, since: datetime) -> set[int]:
    """Return the events that meet another anywhere, also on devices that were not planned now."""
    rows = Overlap.objects.filter(ends_at__gt=since).order_by("event_ids")
    return {event_id for ids in rows.values_list("event_ids", flat=True).distinct() for event_id in ids}
