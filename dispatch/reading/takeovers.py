"""Who takes over where a change lets an event go: what schedules did before it, against what they do after.

Read from schedules' versions, so it holds for any day past, and for a loser of any rule: one that was met
inside the winner, or that limits had dropped for it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from django.db.models import BigIntegerField, Count, F, Min, QuerySet, TextField, Value
from django.db.models.functions import Cast, Greatest, Least

from devices.models import ScheduleSegment
from dispatch.domain.events import Window
from dispatch.models import DispatchEvent, EventRevision, RevisionKind
from dispatch.reading import words

ANSWERED_WITHIN: Final = timedelta(hours=1)
"""A version made later than this after a change is some other change's doing."""

MOST: Final = 3
"""More lines than this say no more to anybody."""
_WINDOW: Final = ("start_time", "end_time")
_AFTER: Final = "device__schedules__segments__leap_event_ids"
_AFTER_START: Final = "device__schedules__segments__starts_at"


@dataclass(frozen=True, slots=True)
class Takeover:
    """Events that some devices serve from a time on in place of the changed one."""

    names: tuple[str, ...]
    devices: int
    at: datetime

    def text(self, *, zone: tzinfo) -> str:
        """Say it: "ELRP takes over on 14 devices from 17:00"."""
        names = " and ".join(self.names)
        verb = "takes" if len(self.names) == 1 else "take"
        devices = words.counted(self.devices, one="device")
        return f"{names} {verb} over on {devices} from {words.clock(self.at, zone=zone)}"


def read_takeovers(
    revisions: Sequence[EventRevision], *, leap_ids: Mapping[int, str]
) -> dict[int, tuple[Takeover, ...]]:
    """Return by revision who took over, most devices first. `leap_ids`: of events. At most two queries."""
    parts = [
        _let_go(each, leap_event_id=leap_ids[each.event_id])
        for each in revisions
        if each.kind != RevisionKind.CREATED and each.fields.keys() >= set(_WINDOW)
    ]
    if not parts:
        return {}
    rows = list(parts[0].union(*parts[1:], all=True))
    ids = {leap_id for row in rows for leap_id in row[_AFTER]}
    others: defaultdict[str, list[DispatchEvent]] = defaultdict(list)
    for event in DispatchEvent.objects.filter(leap_event_id__in=ids).order_by("pk") if ids else ():
        others[event.leap_event_id].append(event)
    by_revision: defaultdict[int, list[Any]] = defaultdict(list)
    for row in rows:
        by_revision[row["revision"]].append(row)
    return {
        each.pk: _told(by_revision[each.pk], _before(each), others)
        for each in revisions
        if each.pk in by_revision
    }


def _before(revision: EventRevision) -> Window:
    """Return the event's window before a change."""
    content = revision.fields | {field: pair[0] for field, pair in revision.changes.items()}
    return Window(*(datetime.fromisoformat(content[field]) for field in _WINDOW))


def _let_go(revision: EventRevision, *, leap_event_id: str) -> QuerySet[Any, Any]:
    """Count devices by what they do after a change where they served the event before it."""
    heard_at, window = revision.received_at, _before(revision)
    named = json.dumps(leap_event_id)  # with its quotes, so that no longer id holds it
    rows = ScheduleSegment.objects.filter(
        schedule__created_at__lt=heard_at,
        schedule__superseded_at__gte=heard_at,
        schedule__superseded_at__lte=heard_at + ANSWERED_WITHIN,
        starts_at__lt=window.end,
        ends_at__gt=Greatest(F("schedule__superseded_at"), window.start),
        device__schedules__version=F("schedule__version") + 1,
        device__schedules__segments__starts_at__lt=Least(F("ends_at"), window.end),
        device__schedules__segments__ends_at__gt=Greatest(F("starts_at"), window.start),
    )
    told = rows.annotate(before=Cast("leap_event_ids", TextField()), after=Cast(_AFTER, TextField()))
    groups = told.filter(before__contains=named).exclude(after__contains=named)
    return (
        groups.annotate(revision=Value(revision.pk, output_field=BigIntegerField()))
        .values("revision", "schedule__superseded_at", _AFTER)
        .annotate(devices=Count("device_id", distinct=True), begins=Min(Greatest("starts_at", _AFTER_START)))
        .order_by()
    )


def _told(
    rows: Iterable[Any], window: Window, others: Mapping[str, Sequence[DispatchEvent]]
) -> tuple[Takeover, ...]:
    """Name the events that meet the window let go, devices with the same ones counted together."""
    devices: Counter[tuple[str, ...]] = Counter()
    begins: dict[tuple[str, ...], datetime] = {}
    for row in rows:
        at = max(row["begins"], row["schedule__superseded_at"], window.start)
        names = tuple(
            dict.fromkeys(
                words.programs(event.programs)
                for leap_id in row[_AFTER]
                for event in others.get(leap_id, ())
                if event.starts_at < window.end and event.ends_at > at
            )
        )
        if names:
            devices[names] += row["devices"]
            begins[names] = min(begins.get(names, at), at)
    return tuple(Takeover(names, count, begins[names]) for names, count in devices.most_common(MOST))
