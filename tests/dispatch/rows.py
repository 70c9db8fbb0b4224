"""Small makers of rows for the pages: what planning and recording would have written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

from devices.models import Command, Device, DeviceSchedule, MeterDevice, ScheduleSegment
from dispatch.models import DispatchEvent, EventRevision, Overlap, RecipientMember, RecipientSet
from meters.models import MarketGroup, Meter

NOW = datetime(2026, 8, 26, 0, 42, tzinfo=UTC)  # Tuesday the 25th, 17:42 in California
NUMBERS = count(1)


def at(hours: float) -> datetime:
    """Hours from the full hour before NOW."""
    return NOW.replace(minute=0) + timedelta(hours=hours)


def meter(name: str = "", *, zone: str = "America/Los_Angeles") -> Meter:
    number = next(NUMBERS)
    return Meter.objects.create(
        meter_id=f"{number:08x}-0000-4000-8000-000000000000", name=name or f"Meter {number}", timezone=zone
    )


def device(*meters: Meter, rated: int = 100) -> Device:
    number = next(NUMBERS)
    made = Device.objects.create(
        external_id=f"dev-{number}", name=f"Device {number}", kind="BATTERY", rated_power_kw=rated
    )
    for each in meters:
        MeterDevice.objects.create(meter=each, device=made)
    return made


def group(name: str = "South Bay", *, zone: str = "America/Los_Angeles") -> MarketGroup:
    number = next(NUMBERS)
    return MarketGroup.objects.create(
        market_group_id=f"{number:08x}-1111-4000-8000-000000000000", name=name, zone="SLAP", timezone=zone
    )


def recipients(*meters: Meter) -> RecipientSet:
    ids = sorted(each.meter_id for each in meters)
    made = RecipientSet.objects.create(digest=f"set-{next(NUMBERS)}", meter_ids=ids, size=len(ids))
    RecipientMember.objects.bulk_create(RecipientMember(recipients=made, meter_id=each) for each in ids)
    return made


def event(asked: MarketGroup | None = None, *, start=None, end=None, to=None, **changes) -> DispatchEvent:
    """An event of 4,000 kW from 17:00 to 19:00 in California, with its first revision."""
    number = next(NUMBERS)
    fields = {
        "level": "GROUP" if asked else "METER",
        "leap_event_id": f"{number:08x}-2222-4000-8000-000000000000",
        "market_group_id": asked.market_group_id if asked else "",
        "recipients": to or recipients(),
        "starts_at": start or at(0),
        "ends_at": end or at(2),
        "energy_kw": Decimal(4000),
        "nomination_kw": Decimal(3900),
        "priority_rank": 1,
        "is_voluntary": False,
        "cap": "up-to-site-load",
        "dispatch_event_types": ["day-ahead"],
        "programs": ["CCA"],
        "first_received_at": at(-9),
        "changed_at": at(-9),
    }
    made = DispatchEvent.objects.create(**fields | changes)
    revision(made, number=1, kind="CREATED", received_at=at(-9))
    return made


def revision(of: DispatchEvent, *, number: int, kind: str, received_at=None, **changes) -> EventRevision:
    return EventRevision.objects.create(
        event=of,
        number=number,
        kind=kind,
        received_at=received_at or at(-1),
        source="WEBHOOK",
        changes=changes,
        digest=f"{of.pk}-{number}",
    )


def schedule(of: Device, *events: DispatchEvent, kw: int | None = 100, state: str = "ACKNOWLEDGED"):
    """A schedule with one segment from the first event's start to the last one's end, and its command."""
    made = DeviceSchedule.objects.create(device=of, version=1, created_at=at(-8), digest="d", state=state)
    start, end = min(each.starts_at for each in events), max(each.ends_at for each in events)
    ScheduleSegment.objects.create(
        schedule=made,
        device=of,
        starts_at=start,
        ends_at=end,
        mode="DISCHARGE",
        target_kw=kw,
        leap_event_ids=[each.leap_event_id for each in events],
        reason="The largest request covers the others.",
    )
    Command.objects.create(
        device=of,
        schedule=made,
        key=f"{of.pk}:1",
        created_at=at(-8),
        due_at=at(-8),
        expires_at=end,
        state=state,
        detail="Refused: an older version." if state == "FAILED" else "",
    )
    return made


def overlap(of: Device, *events: DispatchEvent, **changes) -> Overlap:
    start, end = max(each.starts_at for each in events), min(each.ends_at for each in events)
    ids = [each.leap_event_id for each in events]
    fields = {
        "device": of,
        "starts_at": start,
        "ends_at": end,
        "event_ids": [each.pk for each in events],
        "leap_event_ids": ids,
        "served": ids,
        "reason": "Both are served: the larger request covers the smaller.",
    }
    DispatchEvent.objects.filter(pk__in=[each.pk for each in events]).update(is_overlapping=True)
    return Overlap.objects.create(**fields | changes)


def portfolio(size: int) -> list[DispatchEvent]:
    """Groups with a live event and an overlapping one each, two devices, one of them failed."""
    made = []
    for number in range(size):
        asked = group(f"Group {number}")
        members = [meter(), meter(), meter()]
        to = recipients(*members)
        live = event(asked, to=to, unmapped_meters=1)
        other = event(
            asked, to=to, start=at(1), end=at(3), programs=["ELRP"], energy_kw=None, priority_rank=3
        )
        revision(live, number=2, kind="MODIFIED", energy_kw=[3600, 4000])
        good, bad = device(members[0]), device(members[1])
        schedule(good, live, other, kw=None)
        schedule(bad, live, other, state="FAILED")
        overlap(good, live, other)
        made.append(live)
    return made
