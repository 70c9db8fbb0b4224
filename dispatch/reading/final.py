"""What devices will do, or were to do: the stored segments, summed over devices in one query; and another
for what is around them, pre-conditioning and recovery.

A schedule version was in effect from its creation until it was superseded; its segments are cut to that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from django.db.models import Count, DecimalField, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from devices.models import ScheduleSegment, ScheduleState
from devices.queries import segments_in_effect

FARTHEST = timedelta(hours=4)
"""The longest that a policy may have a device prepare or recover (`dispatch.domain.policy_checks`)."""
POWER = DecimalField(max_digits=16, decimal_places=3)


@dataclass(frozen=True, slots=True)
class FinalRow:
    """Devices that do the same thing for the same events in the same window, summed."""

    start: datetime
    end: datetime
    leap_event_ids: frozenset[str]
    devices: int
    confirmed: int
    kw: Decimal
    confirmed_kw: Decimal
    is_max: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A constant stretch of the final lane. `kw` counts a maximum as rated power."""

    start: datetime
    end: datetime
    kw: Decimal
    is_max: bool
    devices: int
    confirmed: int
    confirmed_kw: Decimal


@dataclass(frozen=True, slots=True)
class Around:
    """A window in which devices prepare for a run, or recover from one."""

    start: datetime
    end: datetime
    is_before: bool
    leap_event_ids: frozenset[str]


def read_final(
    *, start: datetime, end: datetime, device_ids: QuerySet[Any] | None = None
) -> tuple[FinalRow, ...]:
    """Read the segments in effect during `[start, end)`, of all devices or of some. One query."""
    segments = segments_in_effect(start=start, end=end)
    if device_ids is not None:
        segments = segments.filter(device_id__in=device_ids)
    is_confirmed = Q(schedule__state=ScheduleState.ACKNOWLEDGED)
    power_kw = Coalesce("target_kw", "device__rated_power_kw", output_field=POWER)
    rows = (
        segments.values("began", "stopped", "leap_event_ids")
        .annotate(
            devices=Count("id"),
            confirmed=Count("id", filter=is_confirmed),
            kw=Sum(power_kw),
            confirmed_kw=Sum(power_kw, filter=is_confirmed),
            maxima=Count("id", filter=Q(target_kw__isnull=True)),
        )
        .order_by("began", "stopped")
    )
    return tuple(
        FinalRow(
            start=row["began"],
            end=row["stopped"],
            leap_event_ids=frozenset(row["leap_event_ids"]),
            devices=row["devices"],
            confirmed=row["confirmed"],
            kw=row["kw"] or Decimal(0),
            confirmed_kw=row["confirmed_kw"] or Decimal(0),
            is_max=row["maxima"] > 0,
        )
        for row in rows
    )


def read_around(
    *, start: datetime, end: datetime, device_ids: QuerySet[Any] | None = None
) -> tuple[Around, ...]:
    """Read when devices prepare and recover in `[start, end)`, all of them or some. One query."""
    segments = ScheduleSegment.objects.filter(
        Q(precondition_from__lt=end, starts_at__gt=start) | Q(recover_until__gt=start, ends_at__lt=end),
        ends_at__gte=start - FARTHEST,
        starts_at__lte=end + FARTHEST,
    )
    if device_ids is not None:
        segments = segments.filter(device_id__in=device_ids)
    rows = segments.values_list(
        "precondition_from",
        "starts_at",
        "ends_at",
        "recover_until",
        "schedule__created_at",
        "schedule__superseded_at",
        "leap_event_ids",
    ).distinct()
    found = []
    for lead, first, last, tail, since, until, ids in rows:
        for is_before, begin, stop in ((True, lead, first), (False, last, tail)):
            if begin is None or stop is None:
                continue
            begin, stop = max(begin, since), min(stop, until or stop)
            if begin < stop:
                found.append(Around(begin, stop, is_before, frozenset(ids)))
    return tuple(found)


def spans_for(rows: Iterable[Around], *, leap_event_ids: Iterable[str] | None = None) -> tuple[Around, ...]:
    """Join windows that touch or overlap, of these events or of all; preparing and recovering apart."""
    wanted = None if leap_event_ids is None else frozenset(leap_event_ids)
    spans: list[Around] = []
    for row in sorted(rows, key=lambda each: (each.is_before, each.start)):
        if wanted is not None and not row.leap_event_ids & wanted:
            continue
        before = spans[-1] if spans else None
        if before and before.is_before == row.is_before and row.start <= before.end:
            spans[-1] = replace(before, end=max(before.end, row.end))
        else:
            spans.append(row)
    return tuple(spans)


def steps_for(rows: Iterable[FinalRow], *, leap_event_ids: Iterable[str] | None = None) -> tuple[Step, ...]:
    """Sum rows into steps, of these events or of all; equal neighbours merge."""
    wanted = None if leap_event_ids is None else frozenset(leap_event_ids)
    chosen = [row for row in rows if wanted is None or row.leap_event_ids & wanted]
    cuts = sorted({at for row in chosen for at in (row.start, row.end)})
    steps: list[Step] = []
    for start, end in pairwise(cuts):
        here = [row for row in chosen if row.start <= start and row.end >= end]
        if here:
            _append(steps, _sum(start, end, here))
    return tuple(steps)


def _sum(start: datetime, end: datetime, rows: list[FinalRow]) -> Step:
    return Step(
        start=start,
        end=end,
        kw=sum((row.kw for row in rows), Decimal(0)),
        is_max=any(row.is_max for row in rows),
        devices=sum(row.devices for row in rows),
        confirmed=sum(row.confirmed for row in rows),
        confirmed_kw=sum((row.confirmed_kw for row in rows), Decimal(0)),
    )


def _append(steps: list[Step], step: Step) -> None:
    """Add a step, or lengthen the one before when it touches and says the same."""
    before = steps[-1] if steps else None
    is_same = before is not None and (before.end, before.kw, before.is_max, before.devices) == (
        step.start,
        step.kw,
        step.is_max,
        step.devices,
    )
    if before is not None and is_same:
        steps[-1] = Step(
            start=before.start,
            end=step.end,
            kw=step.kw,
            is_max=step.is_max,
            devices=step.devices,
            confirmed=step.confirmed,
            confirmed_kw=step.confirmed_kw,
        )
    else:
        steps.append(step)


def peak(steps: Iterable[Step], *, start: datetime, end: datetime) -> Step | None:
    """Find the step of greatest power inside a window; the earliest of equals."""
    inside = [step for step in steps if step.start < end and step.end > start]
    return max(inside, key=lambda step: (step.kw, -step.start.timestamp()), default=None)
