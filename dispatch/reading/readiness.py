"""How ready coming events are: the segments in effect, by where their devices stand, in one query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, DecimalField, Exists, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from devices.drivers import capabilities_of
from devices.models import Command, CommandKind, CommandState, ScheduleSegment, ScheduleState, SegmentMode
from dispatch.domain.readiness import DeviceNow, Part, Readiness, Standing, readiness_of, standing_of
from dispatch.models import DispatchEvent
from dispatch.reading import words
from dispatch.reading.fleets import devices_behind

POWER = DecimalField(max_digits=16, decimal_places=3)
NO_DEVICE = "No device has it on its schedule."
SET_POINTS = "Set-points go out when the event begins and cannot be confirmed ahead"


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part with the events it serves."""

    leap_event_ids: frozenset[str]
    part: Part


def read_parts(
    *, start: datetime, end: datetime, device_ids: QuerySet[Any] | None = None
) -> tuple[PartRow, ...]:
    """Read what is to run in `[start, end)`, of all devices or of some. One query."""
    segments = ScheduleSegment.objects.filter(
        schedule__superseded_at__isnull=True, ends_at__gt=start, starts_at__lt=end
    )
    if device_ids is not None:
        segments = segments.filter(device_id__in=device_ids)
    held = Command.objects.filter(
        schedule=OuterRef("schedule"),
        kind=CommandKind.SETPOINT,
        starts_at=OuterRef("starts_at"),
        state=CommandState.ACKNOWLEDGED,
    )
    rows = (
        segments.exclude(mode=SegmentMode.IDLE)
        .annotate(
            is_failing=Q(device__failing_since__isnull=False) | Q(schedule__state=ScheduleState.FAILED),
            is_taken=Q(schedule__state=ScheduleState.ACKNOWLEDGED),
            is_set=Exists(held),
        )
        .values(
            "starts_at",
            "ends_at",
            "leap_event_ids",
            "device__driver",
            "device__is_online",
            "is_failing",
            "is_taken",
            "is_set",
        )
        .annotate(
            devices=Count("id"), kw=Sum(Coalesce("target_kw", "device__rated_power_kw", output_field=POWER))
        )
        .order_by()
    )
    return tuple(_part_row(row) for row in rows)


def _part_row(row: Mapping[str, Any]) -> PartRow:
    holds_schedule = capabilities_of(row["device__driver"]).holds_schedule
    standing = standing_of(
        DeviceNow(
            has_taken=row["is_taken"] if holds_schedule else row["is_set"],
            is_failing=row["is_failing"],
            is_online=row["device__is_online"],
            holds_schedule=holds_schedule,
        )
    )
    part = Part(
        start=row["starts_at"],
        end=row["ends_at"],
        standing=standing,
        is_heard=row["device__is_online"],
        devices=row["devices"],
        kw=row["kw"] or Decimal(0),
    )
    return PartRow(frozenset(row["leap_event_ids"]), part)


def of_events(
    rows: Iterable[PartRow],
    leap_event_ids: Iterable[str],
    *,
    asked_kw: Decimal | None,
    meters_without_device: int = 0,
) -> Readiness:
    """Sum up the parts that serve these events."""
    wanted = frozenset(leap_event_ids)
    parts = [row.part for row in rows if row.leap_event_ids & wanted]
    return readiness_of(parts, asked_kw=asked_kw, meters_without_device=meters_without_device)


def read_readiness(event: DispatchEvent) -> Readiness:
    """Read how ready one event is. One query."""
    behind = devices_behind(event.recipients_id)
    rows = read_parts(start=event.starts_at, end=event.ends_at, device_ids=behind)
    return of_events(
        rows,
        [event.leap_event_id],
        asked_kw=event.energy_kw,
        meters_without_device=event.unmapped_meters,
    )


@dataclass(frozen=True, slots=True)
class Cause:
    """What stands in the way, in words, with where it is mended."""

    icon: str
    kind: str
    text: str
    verb: str = ""
    href: str = ""


def causes_of(found: Readiness, *, event_id: int | None = None) -> tuple[Cause, ...]:
    """List what stands in the way of some devices, the gravest first."""
    there = f"&event={event_id}" if event_id else ""
    counts = found.counts
    listed = (
        ("bad", "bad", counts[Standing.FAILING], "failing", "See", f"/commands/?state=failed{there}"),
        ("no-signal", "bad", counts[Standing.OFFLINE], "offline", "See", "/devices/?standing=offline"),
        (
            "warn",
            "warn",
            counts[Standing.UNACKNOWLEDGED],
            "unacknowledged",
            "See",
            f"/commands/?state=sent{there}",
        ),
    )
    causes = [
        Cause(icon, kind, f"{count:,} {text}", verb, href)
        for icon, kind, count, text, verb, href in listed
        if count
    ]
    if found.meters_without_device:
        text = f"{words.counted(found.meters_without_device, one='meter')} without a device"
        causes.append(Cause("question", "warn", text, "Map", "/meters/?ready=no"))
    if found.unheard:
        causes.append(
            Cause(
                "no-signal", "quiet", f"{found.unheard:,} confirmed and offline now; they hold the schedule"
            )
        )
    return tuple(causes)


def cause_words(causes: Sequence[Cause]) -> str:
    """Write the causes as one sentence: "2 failing, 1 offline."; empty when there is none."""
    return f"{', '.join(cause.text for cause in causes)}." if causes else ""


def set_point_words(found: Readiness) -> str:
    """Say of which devices being online is all that can be known ahead; empty when of none."""
    count = found.counts[Standing.REACHABLE]
    if not count:
        return ""
    who = f"{words.counted(count, one='device')} {'counts' if count == 1 else 'count'}"
    return f"{SET_POINTS}: {who} as ready by being online."
