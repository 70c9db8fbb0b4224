"""What the portal holds about a scenario's devices, read from its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from devices.models import Device, ScheduleSegment, SegmentMode
from dispatch.models import DispatchEvent
from dispatch.unserved import undone_by
from leapvpp.certification.expecting import Piece
from leapvpp.demo.showroom.rooms import BY_KEY
from leapvpp.demo.showroom.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class HeldRefusal:
    """A call, by name, that a device leaves undone in `[start, end)`."""

    call: str
    start: datetime
    end: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """By room what its device does, with the reasons, and leaves undone; by call what the group lacks."""

    pieces: Mapping[str, tuple[tuple[Piece, str], ...]]
    refusals: Mapping[str, tuple[HeldRefusal, ...]]
    shortfalls: Mapping[str, Decimal]


def read_held(scenario: Scenario, *, event_ids: Mapping[str, str], now: datetime) -> Held:
    """Read what is planned from now on; `event_ids`: Leap's ids of this play's calls, by name."""
    names = {event_id: name for name, event_id in event_ids.items()}
    events = DispatchEvent.objects.filter(leap_event_id__in=names)
    pieces: dict[str, tuple[tuple[Piece, str], ...]] = {}
    refusals: dict[str, tuple[HeldRefusal, ...]] = {}
    for key in scenario.rooms:
        device = Device.objects.get(external_id=BY_KEY[key].external_id)
        pieces[key] = _pieces(device, now=now)
        refusals[key] = tuple(
            HeldRefusal(names[row.event.leap_event_id], row.starts_at, row.ends_at, row.reason)
            for row in undone_by(device.pk, since=now)
            if row.event.leap_event_id in names
        )
    return Held(
        pieces=pieces,
        refusals=refusals,
        shortfalls={names[row.leap_event_id]: row.shortfall_kw or Decimal(0) for row in events},
    )


def _pieces(device: Device, *, now: datetime) -> tuple[tuple[Piece, str], ...]:
    rows = ScheduleSegment.objects.filter(
        device=device, schedule__superseded_at__isnull=True, ends_at__gt=now
    ).exclude(mode=SegmentMode.IDLE)
    return tuple(
        (Piece(row.starts_at, row.ends_at, row.target_kw), row.reason) for row in rows.order_by("starts_at")
    )
