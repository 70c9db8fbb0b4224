"""Rows for planning tests: events as recording leaves them, and what was decided as short lines."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from devices.models import Device, ScheduleSegment
from dispatch.domain.revisions import recipients_digest
from dispatch.models import DispatchEvent, Level, RecipientMember, RecipientSet
from dispatch.planning import plan_waiting
from meters.models import Meter
from tests.builders import NOW, at


def recipients(*meters: Meter | str) -> RecipientSet:
    """The set of these meters, known or only named."""
    meter_ids = sorted(each if isinstance(each, str) else each.meter_id for each in meters)
    row, is_new = RecipientSet.objects.get_or_create(
        digest=recipients_digest(tuple(meter_ids)),
        defaults={"meter_ids": meter_ids, "size": len(meter_ids)},
    )
    if is_new:
        RecipientMember.objects.bulk_create(
            RecipientMember(recipients=row, meter_id=each) for each in meter_ids
        )
    return row


def event(
    name: str, *meters: Meter | str, start: float = 60, end: float = 120, kw: str | None = "8", **fields
) -> DispatchEvent:
    """An event that waits to be planned; minutes from NOW."""
    values = {
        "level": Level.GROUP,
        "leap_event_id": name,
        "recipients": recipients(*meters),
        "starts_at": at(start),
        "ends_at": at(end),
        "energy_kw": None if kw is None else Decimal(kw),
        "priority_rank": 1,
        "is_voluntary": False,
        "cap": "up-to-nomination",
        "first_received_at": NOW,
        "changed_at": NOW,
        "plan_requested_at": NOW,
    }
    return DispatchEvent.objects.create(**values | fields)


def change(row: DispatchEvent, **fields) -> None:
    """Do to an event what recording does with a new revision."""
    DispatchEvent.objects.filter(pk=row.pk).update(**{"plan_requested_at": NOW} | fields)


def plan(minutes: float = 0) -> int:
    """Plan at minutes from NOW."""
    return plan_waiting(now=at(minutes))


def lanes(device: Device) -> list[str]:
    """The current schedule: minutes from NOW, kW, events."""
    rows = ScheduleSegment.objects.filter(device=device, schedule__superseded_at__isnull=True)
    return [
        f"{_minutes(row.starts_at)}-{_minutes(row.ends_at)} {_kw(row.target_kw)} "
        + "+".join(row.leap_event_ids)
        for row in rows.order_by("starts_at")
    ]


def _kw(target_kw: Decimal | None) -> str:
    return "max" if target_kw is None else f"{target_kw.normalize():f}"


def _minutes(time) -> str:
    return f"{(time - NOW) / timedelta(minutes=1):g}"
