"""A portal as `up` runs it and a Leap that loses, doubles and shuffles what it says: they come to agree."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest

from leapvpp.leap.simulator.ledger import LedgerEvent
from leapvpp.leap.simulator.pusher import Faults
from leapvpp.leap.simulator.server import LeapSimulator
from leapvpp.leap.values import Level, Timeslot
from tests.processes.running import AS_INSTALLED, Portal, running_portal

EVENTS = 40
CHANGES = 200
SPEED = 300
"""An hour is twelve seconds: what is reordered within five minutes is so within one second."""


@pytest.fixture(scope="module")
def leap() -> Iterator[LeapSimulator]:
    faults = Faults(drop=1 / 3, duplicate=1 / 3, reorder=1.0)
    with LeapSimulator(api_key="simulator", speed=SPEED, seed=1, faults=faults) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def portal(leap, tmp_path_factory) -> Iterator[Portal]:
    environment = AS_INSTALLED | {
        "LEAP_API_BASE_URL": leap.url,
        "LEAP_API_KEY": "simulator",
    }
    with running_portal(tmp_path_factory.mktemp("portal"), **environment) as running:
        running.sign_in()
        yield running


def test_the_portal_ends_equal_to_the_ledger_whatever_is_lost_doubled_or_shuffled(leap, portal, capsys):
    leap.push_to(url=f"{portal.url}/webhooks/leap/dispatch/", header="x-api-key", key="key-one")
    for event in changes():
        leap.publish([event])
    assert leap.pusher.wait_until_idle(timeout=120)
    began = time.monotonic()
    told = {event.event_id: as_told(event) for event in leap.ledger.current()}
    while (differences := differing(held_by(portal), told)) and time.monotonic() < began + 150:
        time.sleep(0.5)
    seconds = time.monotonic() - began
    assert differences == []
    dropped = sum(delivery.outcome == "dropped" for delivery in leap.pusher.deliveries)
    assert dropped > CHANGES / 5
    with capsys.disabled():
        print(f"\n{CHANGES} changes, {dropped} never sent: agreed after {seconds:.1f} s")  # noqa: T201 - asked for


def test_certify_plays_scenarios_to_a_running_portal_and_leaves_nothing_behind(portal):
    names = ["extended-and-moved", "late-original", "pjm-capacity-ended-early", "test-events"]
    chosen = [word for name in names for word in ("--scenario", name)]
    said = portal.manage("certify", "--url", portal.url, *chosen)
    assert f"{len(names)} of {len(names)} scenarios" in said
    assert "certification-" not in str(portal.get("devices/"))


def changes() -> Iterator[LedgerEvent]:
    """Forty events, then changes of any of them, two hundred versions in all; each differs from the last."""
    chance = random.Random(7)  # noqa: S311 - to be repeated, not kept secret
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    events = [fresh(number, begin=begin) for number in range(EVENTS)]
    yield from events
    for _ in range(CHANGES - EVENTS):
        number = chance.randrange(EVENTS)
        slot = changed(events[number].timeslot, chance=chance)
        events[number] = msgspec.structs.replace(events[number], timeslot=slot)
        yield events[number]


def fresh(number: int, *, begin: datetime) -> LedgerEvent:
    meter_id = str(UUID(int=number % 8 + 1))
    start = begin + timedelta(hours=number // 8)
    slot = Timeslot(
        meter_event_id=str(UUID(int=1000 + number)),
        start_time=start,
        end_time=start + timedelta(hours=1),
        cancelled=False,
        energy_kw=Decimal(5),
        nomination_kw=Decimal(10),
        performance_compensation_cap="up-to-site-load",
        priority=2,
        is_voluntary=False,
        dispatch_event_types=("day-ahead",),
        programs=("CCA",),
    )
    return LedgerEvent(level=Level.METER, recipient_id=meter_id, meter_ids=(meter_id,), timeslot=slot)


def changed(slot: Timeslot, *, chance: random.Random) -> Timeslot:
    """Another power, another end, cancelled or meant after all."""
    options = {
        "energy_kw": (slot.energy_kw or 0) + Decimal(chance.randrange(1, 9)) / 10,
        "end_time": slot.end_time + timedelta(minutes=chance.choice([-5, 5, 15])),
        "cancelled": not slot.cancelled,
    }
    name = chance.choice(list(options))
    return msgspec.structs.replace(slot, **{name: options[name]})


def differing(held: dict[str, tuple], told: dict[str, tuple]) -> list[tuple]:
    return [(key, held.get(key), told.get(key)) for key in held | told if held.get(key) != told.get(key)]


def as_told(event: LedgerEvent) -> tuple:
    slot = event.timeslot
    return slot.start_time, slot.end_time, slot.cancelled, slot.energy_kw, True


def held_by(portal: Portal) -> dict[str, tuple]:
    """What the portal holds of every event, and that it is sure of it."""
    return {
        event["leap_event_id"]: (
            datetime.fromisoformat(event["start_time"]),
            datetime.fromisoformat(event["end_time"]),
            event["cancelled"],
            Decimal(str(event["energy_kw"])),
            event["confirmed"],
        )
        for event in portal.get("events/")
    }
