"""What was known at a time in the past: an event's fields and the schedules in effect then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum

from devices.models import DeviceSchedule, ScheduleSegment, SegmentMode
from dispatch.history import recall
from dispatch.models import DispatchEvent
from dispatch.queries import EventStatus, status_of
from dispatch.reading import words
from dispatch.reading.devices import MODE_WORDS
from dispatch.reading.fleets import devices_behind
from dispatch.reading.ledger import in_effect
from dispatch.reading.moments import read_moment

MOST_STRETCHES = 12


@dataclass(frozen=True, slots=True)
class Stretch:
    """What devices were to do from when until when, as a schedule in effect then said."""

    window: str
    what: str
    who: str


@dataclass(frozen=True, slots=True)
class Then:
    """The answer: each field then and now, and the stretches; or a sentence why there is none.

    `local`: the time asked for as a form's field holds it, in the page's zone.
    """

    local: str = ""
    title: str = ""
    problem: str = ""
    fields: tuple[tuple[str, str, str], ...] = ()
    stretches: tuple[Stretch, ...] = ()


def event_then(event_id: int, *, asked: str, now: datetime, zone: tzinfo) -> Then:
    """Answer what was known of an event at the time asked for; `asked` as the address has it. Six queries."""
    at, problem = _time_of(asked, now=now, zone=zone)
    if at is None:
        return Then(problem=problem)
    local = f"{at.astimezone(zone):%Y-%m-%dT%H:%M}"
    event, known = (DispatchEvent.objects.select_related("recipients").get(pk=event_id) for _ in range(2))
    if not recall(known, at=at):
        return Then(local=local, problem="Nothing was known of this event then.")
    before, after = _fields(known, at=at, zone=zone), _fields(event, at=now, zone=zone)
    segments = ScheduleSegment.objects.filter(
        device_id__in=devices_behind(known.recipients_id),
        starts_at__lt=known.ends_at,
        ends_at__gt=known.starts_at,
    )
    return Then(
        local=local,
        title=f"As known at {words.moment(at, zone=zone)}",
        fields=tuple((label, text, after[label]) for label, text in before.items()),
        stretches=_stretches(segments, at=at, zone=zone),
    )


def device_then(device_id: int, *, asked: str, now: datetime, zone: tzinfo) -> Then:
    """Answer which schedule a device had at the time asked for. Two queries."""
    at, problem = _time_of(asked, now=now, zone=zone)
    if at is None:
        return Then(problem=problem)
    local = f"{at.astimezone(zone):%Y-%m-%dT%H:%M}"
    schedule = DeviceSchedule.objects.filter(in_effect(at), device_id=device_id).first()
    if schedule is None:
        return Then(local=local, problem="Nothing was known then of anything this device should do.")
    segments = ScheduleSegment.objects.filter(device_id=device_id, ends_at__gt=at)
    return Then(
        local=local,
        title=f"As known at {words.moment(at, zone=zone)}: Version {schedule.version}",
        stretches=_stretches(segments, at=at, zone=zone),
    )


def _time_of(asked: str, *, now: datetime, zone: tzinfo) -> tuple[datetime | None, str]:
    at = read_moment(asked, zone=zone)
    if at is None:
        return None, "That is no time."
    return (at, "") if at <= now else (None, "That time is yet to come.")


def _fields(event: DispatchEvent, *, at: datetime, zone: tzinfo) -> dict[str, str]:
    window = words.window(event.starts_at, event.ends_at, zone=zone)
    nomination_kw = event.nomination_kw
    return {
        "Status": str(EventStatus(status_of(event, now=at)).label),
        "Window": f"{words.day(event.starts_at, zone=zone)}, {window}",
        "Power": words.power(event.energy_kw),
        "Nomination": "none" if nomination_kw is None else words.power(nomination_kw),
        "Priority": str(event.priority_rank),
        "Paid up to": words.cap(event.cap),
        "Meters": f"{event.recipients.size:,}",
        "Programs": words.programs(list(event.programs)),
        "Revision": str(event.revision),
    }


def _stretches(segments: QuerySet[ScheduleSegment], *, at: datetime, zone: tzinfo) -> tuple[Stretch, ...]:
    """Gather the segments of the schedules in effect at a time. One query."""
    then: QuerySet[Any, Any] = segments.filter(
        Q(schedule__created_at__lte=at),
        Q(schedule__superseded_at__isnull=True) | Q(schedule__superseded_at__gt=at),
    ).values("starts_at", "ends_at", "mode", is_maximum=Q(target_kw__isnull=True))
    gathered = then.annotate(kw=Sum("target_kw"), devices=Count("device", distinct=True))
    return tuple(
        Stretch(
            window=f"{words.day(row['starts_at'], zone=zone)}, "
            f"{words.window(row['starts_at'], row['ends_at'], zone=zone)}",
            what=_what(row),
            who=words.counted(row["devices"], one="device"),
        )
        for row in gathered.order_by(F("starts_at"), F("ends_at"), F("mode"))[:MOST_STRETCHES]
    )


def _what(row: dict[str, Any]) -> str:
    mode = SegmentMode(row["mode"])
    if mode is SegmentMode.IDLE:
        return MODE_WORDS[mode]
    return f"{MODE_WORDS[mode]} {words.power(None if row['is_maximum'] else row['kw'])}"
