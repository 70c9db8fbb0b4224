"""What holds for every plan, whatever is asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.domain.allocation import Claim, Spreader
from dispatch.domain.events import Window, is_live, to_kw
from dispatch.domain.fleet import Fleet, FleetPlan, plan_fleet
from dispatch.domain.levels import Policy
from dispatch.domain.overruling import Action
from dispatch.domain.plans import Traits
from dispatch.domain.roster import MeterFacts
from tests.domain.asks import NOW, ask, at, ruling

many = settings(deadline=None, derandomize=True, max_examples=80)

CAPS = st.sampled_from(["up-to-nomination", "up-to-site-load", "grid-exports-allowed", "new-one"])
METERS = ["m1", "m2", "m3", "m4", "unknown"]
KW = st.one_of(st.none(), st.integers(1, 40_000).map(to_kw))


@st.composite
def asks(draw, name):
    start = draw(st.integers(-2, 20))
    return ask(
        name,
        start,
        start + draw(st.integers(1, 4)),
        rank=draw(st.integers(1, 3)),
        energy_kw=draw(KW),
        nomination_kw=draw(KW),
        is_voluntary=draw(st.booleans()),
        cap=draw(CAPS),
        is_cancelled=draw(st.booleans()),
        is_integration_test=draw(st.booleans()),
        recipients=draw(st.integers(0, 2)),
        level=draw(st.sampled_from(["METER", "GROUP"])),
        programs=draw(st.sampled_from([(), ("CCA",), ("ELRP",), ("CCA", "ELRP")])),
    )


@st.composite
def rulings(draw):
    start = draw(st.integers(-2, 20))
    return ruling(
        draw(st.sampled_from(Action)),
        start,
        start + draw(st.integers(1, 5)),
        watts=draw(st.one_of(st.none(), st.integers(0, 50_000))),
        override_id=draw(st.integers(1, 5)),
        is_commitment_confirmed=draw(st.booleans()),
        program=draw(st.sampled_from(["", "", "CCA"])),
    )


@st.composite
def fleets(draw):
    events = [draw(asks(name)) for name in "abcdef"[: draw(st.integers(1, 6))]]
    devices = {
        number: Traits(draw(st.integers(0, 30_000)), draw(st.booleans()), draw(st.booleans()))
        for number in range(5)
    }
    meters = {
        meter_id: MeterFacts(
            meter_id,
            tuple(sorted(draw(st.sets(st.integers(0, 4), max_size=3)))),
            nomination_watts=draw(st.one_of(st.none(), st.integers(0, 20_000))),
            refusal=draw(st.sampled_from(["", "", "The meter is idle."])),
            armed_until=draw(st.one_of(st.none(), st.integers(0, 20).map(at))),
        )
        for meter_id in METERS[:-1]
    }
    recipients = {number: sorted(draw(st.sets(st.sampled_from(METERS), min_size=1))) for number in range(3)}
    ruled = {number: tuple(draw(st.lists(rulings(), max_size=2))) for number in range(5)}
    decided = st.dictionaries(st.sampled_from(["CCA", "ELRP"]), st.sampled_from(["METER", "GROUP"]))
    return Fleet(tuple(events), recipients, meters, devices, ruled, Policy(decided=draw(decided)))


def plan(fleet: Fleet) -> FleetPlan:
    return plan_fleet(fleet, device_ids=list(fleet.devices), now=NOW)


@many
@given(fleets(), st.randoms(use_true_random=False))
def test_order_of_arrival_does_not_matter(fleet, random):
    shuffled = list(fleet.events)
    random.shuffle(shuffled)
    assert _by_name(replace(fleet, events=_numbered(shuffled))) == _by_name(
        replace(fleet, events=_numbered(fleet.events))
    )


def _numbered(events):
    """Rows are numbered by arrival."""
    return tuple(replace(event, event_id=number) for number, event in enumerate(events))


def _by_name(fleet):
    """A plan without row numbers."""
    names = {event.event_id: event.leap_event_id for event in fleet.events}
    return {
        device_id: (
            of.segments,
            [(each.window, each.served, each.not_served, each.reason) for each in of.overlaps],
            {(names[each.event_id], each.window, each.reason) for each in of.unserved},
        )
        for device_id, of in plan(fleet).plans.items()
    }


@many
@given(fleets())
def test_cancelled_event_is_as_if_never_sent(fleet):
    standing = tuple(event for event in fleet.events if not event.is_cancelled)
    assert plan(replace(fleet, events=standing)) == plan(fleet)


@many
@given(fleets())
def test_segments_are_ordered_and_never_overlap_or_exceed_the_rated_power(fleet):
    for device_id, device_plan in plan(fleet).plans.items():
        segments = device_plan.segments
        assert all(one.end <= two.start for one, two in pairwise(segments))
        rated = to_kw(fleet.devices[device_id].rated_watts)
        assert all(
            each.start < each.end and (each.target_kw is None or each.target_kw <= rated) for each in segments
        )


@many
@given(fleets())
def test_every_slice_of_every_live_event_is_served_or_has_a_reason(fleet):
    for device_id, device_plan in plan(fleet).plans.items():
        behind = {meter.meter_id for meter in fleet.meters.values() if device_id in meter.device_ids}
        for event in fleet.events:
            if not is_live(event, now=NOW) or not behind.intersection(fleet.recipients[event.recipients]):
                continue
            told = [
                Window(max(each.start, event.window.start), min(each.end, event.window.end))
                for each in device_plan.segments
                if event.leap_event_id in each.leap_event_ids
            ]
            told += [each.window for each in device_plan.unserved if each.event_id == event.event_id]
            assert all(each.reason for each in device_plan.unserved)
            reached = max(event.window.start, NOW)
            for window in sorted(told, key=lambda window: window.start):
                assert window.start <= reached
                reached = max(reached, window.end)
            assert reached == event.window.end


@many
@given(fleets())
def test_choosing_a_level_leaves_no_device_idle(fleet):
    """Whenever a device moves with both levels acted upon, it moves with one: a twin stands in."""
    both = plan(replace(fleet, policy=Policy(), rulings={})).plans
    for device_id, device_plan in plan(replace(fleet, rulings={})).plans.items():
        assert _moving(both[device_id].segments) == _moving(device_plan.segments)


def _moving(segments):
    """The hours in which a device moves."""
    return {hour for hour in range(-3, 26) for each in segments if each.start <= at(hour) < each.end}


@many
@given(st.integers(0, 10**8), st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)), max_size=30))
def test_sums_are_conserved_exactly_within_limits(total, claims):
    allocation = Spreader([Claim(weight, limit) for weight, limit in claims]).spread(total)
    assert sum(allocation.shares) + allocation.shortfall == total
    assert all(0 <= share <= limit for share, (_, limit) in zip(allocation.shares, claims, strict=True))
    assert allocation.shortfall == max(0, total - sum(limit for _, limit in claims))


@many
@given(fleets(), st.integers(1, 200_000))
def test_devices_together_give_what_a_lone_event_asks(fleet, watts):
    lone = ask("z", 1, 2, recipients=0, energy_kw=to_kw(watts))
    result = plan(replace(fleet, events=(lone,), rulings={}))
    given_kw = sum((each.target_kw for of in result.plans.values() for each in of.segments), Decimal(0))
    assert given_kw + to_kw(result.numbers[lone.event_id].shortfall_watts) == to_kw(watts)


@many
@given(fleets(), st.integers(1, 200_000), st.booleans())
def test_what_is_short_in_the_worst_hour_is_the_shortfall_whoever_is_out(fleet, watts, is_voluntary):
    lone = ask("z", 1, 6, recipients=0, energy_kw=to_kw(watts), is_voluntary=is_voluntary, programs=("CCA",))
    out = {
        device_id: tuple(each for each in said if each.action is not Action.FORCE)
        for device_id, said in fleet.rulings.items()
    }
    result = plan(replace(fleet, events=(lone,), rulings=out))
    segments = [each for of in result.plans.values() for each in of.segments]
    given_kw = [
        sum((each.target_kw for each in segments if each.start <= at(hour) < each.end), Decimal(0))
        for hour in range(1, 6)
    ]
    assert to_kw(watts) - min(given_kw) == to_kw(result.numbers[lone.event_id].shortfall_watts)
    assert max(given_kw) <= to_kw(watts)
