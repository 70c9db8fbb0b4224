"""Small makers of Leap's bodies; each fills in what a test does not care about."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

PAYLOADS = Path(__file__).parent / "payloads"
METER = "dd21c76c-7126-4ef7-b0a6-f190fad300b2"
OTHER_METER = "ee21c76c-7126-4ef7-b0a6-f190fad300b2"
GROUP = "9d1a7aae-24e5-455f-91e9-e0f5f145f2ae"
EVENT = "f4cfced0-16f4-4fb7-b72e-5ff939ae541e"
OTHER_EVENT = "a6d4bbde-36ee-401f-92b8-c58aa17aa71d"
NOW = datetime(2026, 7, 14, 20, 0, tzinfo=UTC)
"""When the tests happen; `timeslot` begins four hours later."""


def at(minutes: float) -> datetime:
    """Minutes from NOW."""
    return NOW + timedelta(minutes=minutes)


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def timeslot(event_id: str = EVENT, *, level: str = "meter", without: str = "", **changes) -> dict:
    """A timeslot of 10 kW from four to five hours after NOW, with changes."""
    slot = {
        "meter_event_id" if level == "meter" else "market_group_event_id": event_id,
        "start_time": text(at(240)),
        "end_time": text(at(300)),
        "cancelled": False,
        "performance_compensation_cap": "up-to-site-load",
        "priority": 2,
        "is_voluntary": False,
        "dispatch_event_types": ["day-ahead"],
        "programs": ["CCA"],
        "energy_kw": 10,
        "nomination_kw": 11,
    } | changes
    slot.pop(without, None)
    return slot


def meter_body(*slots: dict, meter: object = METER, **top) -> dict:
    """A meter-level notification of one meter."""
    return {"meter_dispatches": [{"meter_id": meter, "timeslots": list(slots or [timeslot()])}], **top}


def group_body(*slots: dict, group: object = GROUP, meters: object = (METER, OTHER_METER), **top) -> dict:
    """A group-level notification of one market group."""
    slots = slots or (timeslot(level="group"),)
    dispatch = {"market_group_id": group, "meter_ids": meters, "timeslots": list(slots)}
    return {"group_dispatches": [dispatch], **top}


def body(*slots: dict, **top) -> bytes:
    """The bytes of a meter-level notification."""
    return as_bytes(meter_body(*slots, **top))


def as_bytes(document: object) -> bytes:
    return json.dumps(document).encode()


def payload(name: str) -> bytes:
    """The bytes of one of the examples of Leap's documents."""
    return (PAYLOADS / f"{name}.json").read_bytes()
