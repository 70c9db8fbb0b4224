"""Small makers of values and rows; each fills in what a test does not care about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from devices.domain.schedule import Mode, Segment
from devices.models import Device, MeterDevice
from meters.models import MarketGroup, MarketGroupMembership, Meter

NOW = datetime(2026, 7, 14, 20, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """Minutes from NOW."""
    return NOW + timedelta(minutes=minutes)


def segment(start: float, end: float, kw: str | None = "5", **fields) -> Segment:
    """A segment between two minutes from NOW; kw None is the maximum."""
    values: dict[str, Any] = {
        "mode": Mode.CURTAIL,
        "cap": "up-to-nomination",
        "is_commitment": True,
        "leap_event_ids": ("event-1",),
        "reason": "The only event here.",
    } | fields
    return Segment(start=at(start), end=at(end), target_kw=None if kw is None else Decimal(kw), **values)


def meter(**fields) -> Meter:
    """A meter Leap may dispatch."""
    return Meter.objects.create(**{"meter_id": str(uuid4())} | fields)


def device(*meters: Meter, **fields) -> Device:
    """A simulated device of 10 kW behind the meters."""
    row = Device.objects.create(
        **{"external_id": f"device-{uuid4().hex[:8]}", "rated_power_kw": Decimal("10")} | fields
    )
    MeterDevice.objects.bulk_create(MeterDevice(meter=one, device=row) for one in meters)
    return row


def group(*meters: Meter, since: datetime = datetime(2026, 1, 1, tzinfo=UTC), **fields) -> MarketGroup:
    """A market group with the meters in it since a time, open-ended."""
    row = MarketGroup.objects.create(**{"market_group_id": str(uuid4())} | fields)
    MarketGroupMembership.objects.bulk_create(
        MarketGroupMembership(group=row, meter=one, starts_at=since) for one in meters
    )
    return row
