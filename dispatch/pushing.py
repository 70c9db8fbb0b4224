"""Whether Leap's posts reach us: a search that finds what no webhook brought says they do not.

Reads events and notifications; writes `PollState.found_unpushed_at`. Called inside recording's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Set
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import QuerySet

from dispatch.lookups import columns_of
from dispatch.models import DispatchEvent, DispatchNotification, PollState, RecipientSet, Source

PUSH_MAY_LAG = timedelta(minutes=2)
"""A search may see an event moments before its webhook comes; so late it is no sign of a broken push path."""
SILENT_FOR = timedelta(days=31)
"""A level that has brought no webhook for so long has none at Leap."""


class _Ask(NamedTuple):
    """What of an event says whether another is its twin."""

    starts_at: datetime
    ends_at: datetime
    programs: list[str]
    recipients_id: int


_ASK = ("starts_at", "ends_at", "programs", "recipients_id")


def note_unpushed(found: Mapping[str, Collection[int]], *, now: datetime) -> None:
    """Note, by level, the events that a search found. A level's first search finds all there is.

    Where webhooks come at the other level alone, an event that has its twin there was brought.
    """
    for state in PollState.objects.filter(level__in=found, answered_at__isnull=False):
        if not _is_told_at_other_level(state.level, found[state.level], now=now):
            PollState.objects.filter(pk=state.pk).update(found_unpushed_at=now)


def take_back(pushed_after: Mapping[str, datetime], *, pushed: Collection[str], now: datetime) -> None:
    """Take back a note whose webhook came all the same: then the push path works.

    `pushed_after`: by level, when a search found what a webhook brought just behind it. `pushed`: the
    levels at which webhooks brought something now, which may be the twins of what was noted.
    """
    for level, found_at in pushed_after.items():
        PollState.objects.filter(level=level, found_unpushed_at__gte=found_at).update(found_unpushed_at=None)
    for state in PollState.objects.filter(found_unpushed_at__gte=now - PUSH_MAY_LAG):
        if state.found_unpushed_at and set(pushed) - {state.level}:
            noted = DispatchEvent.objects.filter(level=state.level, changed_at=state.found_unpushed_at)
            event_ids = list(noted.values_list("pk", flat=True))
            if event_ids and _is_told_at_other_level(state.level, event_ids, now=now):
                PollState.objects.filter(pk=state.pk).update(found_unpushed_at=None)


def _is_told_at_other_level(level: str, event_ids: Collection[int], *, now: datetime) -> bool:
    mine = [_Ask(*row) for row in columns_of(event_ids, _events, _ASK)]
    others = DispatchEvent.objects.exclude(level=level).filter(
        starts_at__lt=max(one.ends_at for one in mine), ends_at__gt=min(one.starts_at for one in mine)
    )
    theirs = [_Ask(*row) for row in others.values_list(*_ASK)]
    if not theirs or not _is_silent(level, now=now):
        return False
    named = dict(columns_of({one.recipients_id for one in [*mine, *theirs]}, _sets, ("pk", "meter_ids")))
    at_meter: defaultdict[str, list[_Ask]] = defaultdict(list)
    for one in theirs:
        for meter_id in named[one.recipients_id]:
            at_meter[meter_id].append(one)
    return all(any(_twins(one, at_meter, meter_ids=named[one.recipients_id])) for one in mine)


def _twins(one: _Ask, at_meter: Mapping[str, list[_Ask]], *, meter_ids: Collection[str]) -> Iterator[bool]:
    """Say of each event that shares a meter whether it asks for the same program at the same time."""
    programs: Set[str] = set(one.programs)
    for meter_id in meter_ids:
        for other in at_meter.get(meter_id, ()):
            is_meanwhile = other.starts_at < one.ends_at and one.starts_at < other.ends_at
            yield is_meanwhile and not programs.isdisjoint(other.programs)


def _is_silent(level: str, *, now: datetime) -> bool:
    posts = DispatchNotification.objects.filter(received_at__gt=now - SILENT_FOR, source=Source.WEBHOOK)
    return not posts.filter(level=level).exists()


def _events(ids: Collection[int]) -> QuerySet[DispatchEvent]:
    return DispatchEvent.objects.filter(pk__in=ids)


def _sets(ids: Collection[int]) -> QuerySet[RecipientSet]:
    return RecipientSet.objects.filter(pk__in=ids)
