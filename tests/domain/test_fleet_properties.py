"""What holds for whole fleets with limits, overrides, both levels and shared meters, numbered at random."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest

from devices.domain.schedule import Segment, remaining
from dispatch.domain.events import Event, Window, is_live, to_kw, to_watts
from dispatch.domain.fleet import Fleet, FleetPlan, plan_fleet
from dispatch.domain.levels import Policy
from dispatch.domain.overlaps import cut
from dispatch.domain.overruling import Action, Ruling
from dispatch.domain.plans import DevicePlan, Traits
from dispatch.domain.roster import MeterFacts
from dispatch.domain.terms import (
    Battery,
    Beyond,
    Delivery,
    Discharge,
    Flexibility,
    Hours,
    Limits,
    Shape,
    Storage,
    Terms,
    Voluntary,
    WhenShort,
)
from tests.domain.asks import NOW, ask, at, ruling

NUMBERS = range(int(os.environ.get("RANDOM_FLEETS", "40")))
MINUTE = timedelta(minutes=1)
HOUR = 60 * MINUTE
METERS = ["m1", "m2", "m3", "m4"]
CAPS = ["up-to-nomination", "up-to-site-load", "grid-exports-allowed"]
PROGRAMS = [("CCA",), ("ELRP",), ("CCA", "ELRP")]


@cache
def fleet_of(number: int) -> Fleet:
    """Make a few devices behind up to three meters, what is asked of them, what people and policies say."""
    random = Random(number)  # noqa: S311 -- cases, not secrets
    return Fleet(
        events=tuple(_event(name, random) for name in "abcdefg"[: random.randint(1, 7)]),
        recipients={
            each: sorted(random.sample([*METERS, "unknown"], random.randint(1, 4))) for each in range(3)
        },
        meters={meter_id: _meter(meter_id, random) for meter_id in METERS},
        devices={
            each: Traits(
                random.choice([0, 500, 5_000, 10_000, 30_000]), random.random() < 0.5, random.random() < 0.5
            )
            for each in range(5)
        },
        rulings={
            each: tuple(_ruling(random) for _ in range(random.choice([0, 0, 1, 2]))) for each in range(5)
        },
        policy=Policy(decided=random.choice([{}, {"CCA": "GROUP"}, {"CCA": "METER", "ELRP": "GROUP"}])),
        terms={each: _terms(random) for each in range(5) if random.random() < 0.6},
    )


def _event(name: str, random: Random) -> Event:
    start = _quarters(random, -4, 80)
    kw = random.choice([None, "0.001", "0.4", "3", "12.5", "40"])
    return ask(
        name,
        start,
        start + _quarters(random, 1, 20),
        kw,
        rank=random.randint(1, 3),
        is_voluntary=random.random() < 0.5,
        cap=random.choice(CAPS),
        is_cancelled=random.random() < 0.1,
        is_integration_test=random.random() < 0.1,
        recipients=random.randrange(3),
        level=random.choice(["METER", "GROUP"]),
        programs=random.choice(PROGRAMS),
        heard_at=at(random.randint(-6, 6)),
    )


def _meter(meter_id: str, random: Random) -> MeterFacts:
    return MeterFacts(
        meter_id,
        tuple(sorted(random.sample(range(5), random.randint(0, 3)))),
        nomination_watts=random.choice([None, 0, 5_000, 20_000]),
        refusal=random.choice(["", "", "", "The meter is idle."]),
        armed_until=random.choice([None, at(9)]),
    )


def _ruling(random: Random) -> Ruling:
    start = _quarters(random, -4, 80)
    return ruling(
        random.choice(list(Action)),
        start,
        start + _quarters(random, 1, 20),
        watts=random.choice([None, 400, 8_000]),
        override_id=random.randint(1, 5),
        is_commitment_confirmed=random.random() < 0.5,
        program=random.choice(["", "", "CCA"]),
    )


def _terms(random: Random) -> Terms:
    run = random.choice([None, 1, 4, 8])
    limits = Limits(
        "Any v1",
        longest_run=None if run is None else run * HOUR / 4,
        a_day=random.choice([None, HOUR / 2, 3 * HOUR]),
        events_a_day=random.choice([None, 1, 2]),
        rest=random.choice([HOUR, 3 * HOUR]) if run else random.choice([0, 1]) * HOUR,
        notice=random.choice([0, 0, 1]) * HOUR,
        ignore_below_watts=random.choice([0, 1_000]),
        blackouts=random.choice([(), (Hours(time(6), time(9)),)]),
    )
    zone = random.choice(["UTC", "America/Los_Angeles"])
    return _with_more(Terms(zone, limits), Random(random.random()))  # noqa: S311 -- cases, not secrets


def _with_more(terms: Terms, random: Random) -> Terms:
    """Plan the energy, with or without limits, what is voluntary and what is around runs of some."""
    if random.random() < 0.7:
        battery = Battery(random.choice([2_000, 10_000, 40_000]))
        limits = random.choice([None, terms.limits])
        terms = replace(terms, limits=limits, storage=_storage(random), battery=battery)
    if random.random() < 0.3:
        action = random.choice([Voluntary.SKIP, Voluntary.REDUCE])
        hours = random.choice([(), (Hours(time(7), time(11)),)])
        terms = replace(terms, flexibility=Flexibility("Any v1", action, 50, hours=hours))
    if random.random() < 0.3:
        shape = Shape("Any v1", ramp=MINUTE, precondition=HOUR / 2, recovery=random.choice([0, 1]) * HOUR)
        terms = replace(terms, shape=shape)
    return terms


def _storage(random: Random) -> Storage:
    return Storage(
        "Any v1",
        reserve_percent=random.choice([0, 20]),
        highest_percent=random.choice([90, 100]),
        expected_percent=random.randint(0, 100),
        recharge=random.choice([None, 3 * HOUR, 8 * HOUR]),
        discharge=random.choice(list(Discharge)),
        expected_load_watts=random.choice([None, 3_000]),
        beyond=random.choice(list(Beyond)),
        when_short=random.choice(list(WhenShort)),
    )


def _quarters(random: Random, least: int, most: int) -> float:
    return random.randint(least, most) / 4


def plan(fleet: Fleet, *, now: datetime = NOW) -> FleetPlan:
    return plan_fleet(fleet, device_ids=list(fleet.devices), now=now)


def _without_force(fleet: Fleet) -> Fleet:
    """A person's force goes beyond limits."""
    said = {
        device_id: tuple(each for each in rulings if each.action is not Action.FORCE)
        for device_id, rulings in fleet.rulings.items()
    }
    return replace(fleet, rulings=said)


def _within_limits(fleet: Fleet) -> Fleet:
    """Leave out the devices of which the energy is planned: they serve a part of a quarter-hour too."""
    return replace(fleet, terms={key: each for key, each in fleet.terms.items() if not each.storage})


@pytest.mark.parametrize("number", NUMBERS)
def test_limits_are_never_exceeded(number):
    fleet = _without_force(fleet_of(number))
    plans = plan(fleet).plans
    for device_id, terms in fleet.terms.items():
        runs = _merged(Window(each.start, each.end) for each in plans[device_id].segments)
        if terms.limits:
            _check_limits(runs, terms.limits, zone=ZoneInfo(terms.zone))
            least = to_kw(terms.limits.ignore_below_watts)
            powers = [each.target_kw for each in plans[device_id].segments]
            assert all(power is None or power >= least for power in powers)


def _check_limits(runs: tuple[Window, ...], limits: Limits, *, zone: ZoneInfo) -> None:
    """Count minute by minute what of the limits is used."""
    used: defaultdict[object, timedelta] = defaultdict(timedelta)
    begun: defaultdict[object, int] = defaultdict(int)
    for run in runs:
        begun[run.start.astimezone(zone).date()] += 1
        for minute in range(int((run.end - run.start) / MINUTE)):
            local = (run.start + minute * MINUTE).astimezone(zone)
            used[local.date()] += MINUTE
            assert not any(each.start <= local.time() < each.end for each in limits.blackouts)
    assert all(run.end - run.start <= (limits.longest_run or run.end - run.start) for run in runs)
    assert all(length <= (limits.a_day or length) for length in used.values())
    assert all(count <= (limits.events_a_day or count) for count in begun.values())
    assert all(two.start - one.end >= limits.rest for one, two in pairwise(runs))


@pytest.mark.parametrize("number", NUMBERS)
def test_no_commitment_is_dropped_for_a_voluntary_event(number):
    fleet = _within_limits(_without_force(fleet_of(number)))
    committed = replace(fleet, events=tuple(each for each in fleet.events if not each.is_voluntary))
    both, alone = plan(fleet).plans, plan(committed).plans
    for device_id in fleet.devices:
        # With voluntary events between them commitments may touch, and be one run: so no more than as good.
        assert _served(both[device_id], committed.events) >= _served(alone[device_id], committed.events)


@pytest.mark.parametrize("number", NUMBERS)
def test_no_voluntary_event_costs_commitments_energy(number):
    fleet = _without_force(fleet_of(number))
    for device_id in (key for key, each in fleet.terms.items() if each.storage):
        traits = replace(fleet.devices[device_id], is_storage=True)
        lone = _alone(fleet, device_id, traits)
        whole = _given(plan(lone).plans[device_id], lone.events, traits.rated_watts)
        for event in fleet.events:
            if event.is_voluntary:
                rest = replace(lone, events=tuple(each for each in fleet.events if each is not event))
                assert whole >= _given(plan(rest).plans[device_id], lone.events, traits.rated_watts)


def _alone(fleet: Fleet, device_id: int, traits: Traits) -> Fleet:
    """A fleet of one device, of which events ask what it can."""
    meters = {
        key: replace(each, device_ids=tuple(set(each.device_ids) & {device_id}))
        for key, each in fleet.meters.items()
    }
    terms = {device_id: fleet.terms[device_id]}
    return replace(fleet, devices={device_id: traits}, meters=meters, terms=terms)


def _given(plan: DevicePlan, events: Iterable[Event], rated_watts: int) -> list[Decimal]:
    """kWh to come that a lone device gives to commitments, by rank, the best first."""
    items: list[tuple[Window, Event | Segment]] = [(each.window, each) for each in events]
    items += [(Window(each.start, each.end), each) for each in plan.segments]
    given = [Decimal(0)] * 3
    for window, live in cut(items):
        power = sum(
            (_power(each.target_kw, rated_watts) for each in live if isinstance(each, Segment)), Decimal(0)
        )
        hours = Decimal((window.end - max(window.start, NOW)) / MINUTE) / 60
        below = Decimal(0)
        for event in sorted((each for each in live if isinstance(each, Event)), key=lambda each: each.rank):
            if not event.is_voluntary and window.end > NOW and _is_served(plan, event, window.start):
                high = min(power, _power(event.energy_kw, rated_watts))
                given[event.rank - 1] += max(high - below, Decimal(0)) * hours
                below = max(below, high)
    return given


def _power(kw: Decimal | None, rated_watts: int) -> Decimal:
    return to_kw(rated_watts) if kw is None else kw


def _served(plan: DevicePlan, events: Iterable[Event]) -> list[int]:
    """Quarter-hours to come in which events are served, by rank, the best first."""
    served: defaultdict[int, int] = defaultdict(int)
    for event in events:
        served[event.rank] += sum(_is_served(plan, event, moment) for moment in _quarters_of(event))
    return [served[rank] for rank in (1, 2, 3)]


def _quarters_of(event: Event) -> list[datetime]:
    """The beginnings of an event's quarter-hours from now on."""
    start = max(event.window.start, NOW)
    return [start + number * HOUR / 4 for number in range(int((event.window.end - start) / HOUR * 4))]


def _is_served(plan: DevicePlan, event: Event, moment: datetime) -> bool:
    """Say whether a segment names the event, and no reason stands against it."""
    runs = any(
        each.start <= moment < each.end and event.leap_event_id in each.leap_event_ids
        for each in plan.segments
    )
    return runs and not _reasons(plan, event, moment)


def _reasons(plan: DevicePlan, event: Event, moment: datetime) -> set[str]:
    mine = [each for each in plan.unserved if each.event_id == event.event_id]
    return {each.reason for each in mine if each.window.start <= moment < each.window.end}


@pytest.mark.parametrize("number", NUMBERS)
def test_planned_again_later_without_news_the_rest_is_the_same(number):
    fleet = _without_shape(fleet_of(number))
    random = Random(number)  # noqa: S311 -- cases, not secrets
    held, now = plan(fleet), NOW
    assert plan(fleet) == held
    ran: defaultdict[int, tuple[Window, ...]] = defaultdict(tuple)
    delivered: defaultdict[int, list[Delivery]] = defaultdict(list)
    for _ in range(4):
        earlier, now = now, now + random.randint(1, 300) * MINUTE
        for device_id, each in held.plans.items():
            ran[device_id] = _merged([*ran[device_id], *_moved(each, earlier, now)])
            delivered[device_id] += _deliveries(each, earlier, now)
        terms = {
            key: replace(each, ran=ran[key], battery=_after(each.battery, delivered[key]))
            for key, each in fleet.terms.items()
        }
        again = plan(replace(fleet, terms=terms), now=now)
        for device_id, each in again.plans.items():
            before = held.plans[device_id]
            assert remaining(each.segments, now=now) == remaining(before.segments, now=now)
            assert _undone(each, now=now) == _undone(before, now=now)
        held = again


def _undone(plan: DevicePlan, *, now: datetime) -> dict[int, tuple[Window, ...]]:
    """When a plan leaves events undone from now on; of several limits in the way another may be named."""
    undone: defaultdict[int, list[Window]] = defaultdict(list)
    for each in plan.unserved:
        if each.window.end > now:
            undone[each.event_id].append(Window(max(each.window.start, now), each.window.end))
    return {event_id: _merged(windows) for event_id, windows in undone.items()}


def _without_shape(fleet: Fleet) -> Fleet:
    """What is under way keeps its shape by more than is told here."""
    return replace(fleet, terms={key: replace(each, shape=None) for key, each in fleet.terms.items()})


def _deliveries(plan: DevicePlan, start: datetime, end: datetime) -> Iterable[Delivery]:
    for each in plan.segments:
        if max(each.start, start) < min(each.end, end):
            watts = None if each.target_kw is None else to_watts(each.target_kw)
            yield Delivery(Window(max(each.start, start), min(each.end, end)), watts)


def _after(battery: Battery | None, delivered: Iterable[Delivery]) -> Battery | None:
    return battery and replace(battery, delivered=tuple(delivered))


def _moved(plan: DevicePlan, start: datetime, end: datetime) -> Iterable[Window]:
    """When a plan moved its device in a time."""
    for each in plan.segments:
        if max(each.start, start) < min(each.end, end):
            yield Window(max(each.start, start), min(each.end, end))


def _merged(windows: Iterable[Window]) -> tuple[Window, ...]:
    merged: list[Window] = []
    for each in sorted(windows, key=lambda window: window.start):
        if merged and each.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, each.end))
        else:
            merged.append(each)
    return tuple(merged)


@pytest.mark.parametrize("number", NUMBERS)
def test_neither_the_order_of_arrival_nor_of_anything_else_matters(number):
    fleet = fleet_of(number)
    random = Random(number)  # noqa: S311 -- cases, not secrets
    mixed = replace(
        fleet,
        events=_mixed(fleet.events, random),
        recipients={key: _mixed(each, random) for key, each in fleet.recipients.items()},
        meters=dict(_mixed(fleet.meters.items(), random)),
        devices=dict(_mixed(fleet.devices.items(), random)),
        rulings=dict(_mixed(fleet.rulings.items(), random)),
    )
    assert plan(mixed) == plan(fleet)


def _mixed(things, random: Random) -> tuple:
    mixed = list(things)
    random.shuffle(mixed)
    return tuple(mixed)


@pytest.mark.parametrize("number", NUMBERS)
def test_one_more_device_never_lowers_what_an_event_gets(number):
    fleet = replace(_without_force(fleet_of(number)), terms={})
    random = Random(number)  # noqa: S311 -- cases, not secrets
    behind = set(random.sample(METERS, random.randint(1, 3)))
    more = replace(
        fleet,
        devices={**fleet.devices, 5: Traits(random.choice([0, 700, 20_000]))},
        meters={
            key: replace(each, device_ids=(*each.device_ids, 5)) if key in behind else each
            for key, each in fleet.meters.items()
        },
    )
    before, after = plan(fleet), plan(more)
    for event in fleet.events:
        if event.energy_kw is not None and is_live(event, now=NOW):
            was, is_now = before.numbers[event.event_id], after.numbers[event.event_id]
            assert is_now.shortfall_watts <= was.shortfall_watts
            assert _least(after, event) >= _least(before, event)


def _least(result: FleetPlan, event: Event) -> Decimal:
    """What the devices that serve an event give of its power in the worst quarter-hour to come."""
    asked = event.energy_kw or Decimal(0)
    given = [
        sum(
            (
                asked if each.target_kw is None else each.target_kw
                for of in result.plans.values()
                for each in of.segments
                if each.start <= moment < each.end and event.leap_event_id in each.leap_event_ids
            ),
            Decimal(0),
        )
        for moment in _quarters_of(event)
    ]
    return min([*given, asked])


@pytest.mark.parametrize("number", NUMBERS)
def test_without_a_voluntary_event_commitments_get_as_much(number):
    fleet = replace(fleet_of(number), terms={})
    committed = [each for each in fleet.events if not each.is_voluntary]
    whole = plan(fleet)
    for event in fleet.events:
        if event.is_voluntary:
            rest = plan(replace(fleet, events=tuple(each for each in fleet.events if each is not event)))
            for device_id, each in rest.plans.items():
                assert _served(each, committed) >= _served(whole.plans[device_id], committed)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_hold_stops_its_device_and_nobody_goes_beyond_the_rated_power(number):
    fleet = fleet_of(number)
    held = Random(number).randrange(5)  # noqa: S311 -- cases, not secrets
    hold = ruling(Action.HOLD, 3, 9, override_id=9)
    result = plan(replace(fleet, rulings={**fleet.rulings, held: (*fleet.rulings[held], hold)}))
    for device_id, each in result.plans.items():
        rated = to_kw(fleet.devices[device_id].rated_watts)
        assert all(segment.target_kw is None or segment.target_kw <= rated for segment in each.segments)
    assert not any(each.start < at(9) and each.end > at(3) for each in result.plans[held].segments)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_slice_is_served_or_has_one_reason_under_limits_too(number):
    fleet = fleet_of(number)
    for device_id, each in plan(fleet).plans.items():
        behind = {meter.meter_id for meter in fleet.meters.values() if device_id in meter.device_ids}
        for event in fleet.events:
            if not is_live(event, now=NOW) or not behind.intersection(fleet.recipients[event.recipients]):
                continue
            for moment in _quarters_of(event):
                left = _reasons(each, event, moment)
                assert left or _is_served(each, event, moment), (event.leap_event_id, moment)
                assert all(len(reason) > 10 and "rests 0" not in reason for reason in left)
