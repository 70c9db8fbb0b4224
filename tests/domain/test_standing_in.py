"""Rule 7 where devices give less than their share: the others of the event stand in for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.domain.schedule import Mode, Segment
from dispatch.domain.envelope import Request
from dispatch.domain.events import Window, to_kw, to_watts
from dispatch.domain.fleet import Fleet, FleetPlan, plan_fleet
from dispatch.domain.lacking import lacks
from dispatch.domain.overruling import Action
from dispatch.domain.plans import DevicePlan, Traits, UnservedSlice
from dispatch.domain.roster import Absence, MeterFacts, Roster
from dispatch.domain.terms import Hours, Limits, Terms
from tests.domain.asks import NOW, ask, at, hours, lanes, ruling
from tests.domain.test_planning_properties import many

HOUR = timedelta(hours=1)
ONE = ask("a", 16, 19, "6")


def under(**limits: object) -> Terms:
    return Terms("UTC", Limits("Tired v1", **limits))  # type: ignore[arg-type]


def dark(start: int, end: int, **more: object) -> Terms:
    return under(blackouts=(Hours(time(start), time(end)),), **more)


def fleet(rated_kw: list[int], *events, **more) -> Fleet:
    """Device 1 behind meter m1, and so on, all of them asked."""
    numbers = range(1, len(rated_kw) + 1)
    meters = {f"m{number}": MeterFacts(f"m{number}", (number,)) for number in numbers}
    devices = {number: Traits(kw * 1000) for number, kw in zip(numbers, rated_kw, strict=True)}
    return Fleet(events, {1: sorted(meters)}, meters, devices, **more)


def plan(of: Fleet) -> FleetPlan:
    return plan_fleet(of, device_ids=list(of.devices), now=NOW)


STANDING_IN = {
    "for a blackout": (
        fleet([5, 5], ONE, terms={1: dark(17, 18)}),
        [
            ["16-17 curtail 3 a", "18-19 curtail 3 a"],
            ["16-17 curtail 3 a", "17-18 curtail 5 a", "18-19 curtail 3 a"],
        ],
        {"a": 1_000},
    ),
    "by rated power, until all are full": (
        fleet([6, 4, 2], ONE, terms={1: under(a_day=2 * HOUR)}),
        [
            ["16-18 curtail 3 a"],
            ["16-18 curtail 2 a", "18-19 curtail 4 a"],
            ["16-18 curtail 1 a", "18-19 curtail 2 a"],
        ],
        {"a": 0},
    ),
    "for two, each in its time": (
        fleet([6, 6, 6], ONE, terms={1: dark(16, 17), 2: dark(16, 18)}),
        [
            ["17-18 curtail 3 a", "18-19 curtail 2 a"],
            ["18-19 curtail 2 a"],
            ["16-17 curtail 6 a", "17-18 curtail 3 a", "18-19 curtail 2 a"],
        ],
        {"a": 0},
    ),
    "for one who is held and one who drops": (
        fleet([6, 6, 6], ONE, terms={1: dark(16, 17)}, rulings={2: (ruling(Action.HOLD, 16, 18),)}),
        [
            ["17-18 curtail 3 a", "18-19 curtail 2 a"],
            ["18-19 curtail 2 a"],
            ["16-17 curtail 6 a", "17-18 curtail 3 a", "18-19 curtail 2 a"],
        ],
        {"a": 0},
    ),
    "for one who fails, and keeps its own": (
        fleet([5, 5], ONE, failing=frozenset([1])),
        [["16-19 curtail 3 a"], ["16-19 curtail 5 a"]],
        {"a": 1_000},
    ),
    "for one who fails, though it drops a part": (
        fleet([5, 5], ONE, failing=frozenset([1]), terms={1: dark(17, 18)}),
        [["16-17 curtail 3 a", "18-19 curtail 3 a"], ["16-19 curtail 5 a"]],
        {"a": 1_000},
    ),
    "for one who fails beside one who drops": (
        fleet([8, 8, 8], ONE, failing=frozenset([1]), terms={2: dark(17, 18)}),
        [
            ["16-17 curtail 2 a", "17-18 curtail 3 a", "18-19 curtail 2 a"],
            ["16-17 curtail 3 a", "18-19 curtail 3 a"],
            ["16-17 curtail 3 a", "17-18 curtail 6 a", "18-19 curtail 3 a"],
        ],
        {"a": 0},
    ),
    "in none of it when all fail": (
        fleet([5, 5], ONE, failing=frozenset([1, 2])),
        [["16-19 curtail 3 a"], ["16-19 curtail 3 a"]],
        {"a": 6_000},
    ),
    "but what was chosen stays, though its share would have grown": (
        fleet(
            [5, 5],
            ask("a", 16, 17, "4"),
            ask("b", 18, 19, "4.4"),
            terms={1: under(a_day=HOUR), 2: dark(16, 17)},
        ),
        [["18-19 curtail 2.2 b"], ["18-19 curtail 2.2 b"]],
        {"a": 4_000, "b": 0},
    ),
    "not for what a person forces": (
        fleet(
            [5, 5],
            ONE,
            terms={1: under(a_day=9 * HOUR)},
            rulings={1: (ruling(Action.FORCE, 16, 19, watts=1_000),)},
        ),
        [["16-19 curtail 1"], ["16-19 curtail 3 a"]],
        {"a": 0},
    ),
    "not in an event that asks for the maximum": (
        fleet([5, 5], ask("a", 16, 19, None, cap=""), terms={1: dark(17, 18)}, failing=frozenset([2])),
        [["16-17 curtail max a", "18-19 curtail max a"], ["16-19 curtail max a"]],
        {"a": None},
    ),
}


@pytest.mark.parametrize(("of", "expected", "short"), STANDING_IN.values(), ids=STANDING_IN.keys())
def test_others_stand_in(of, expected, short):
    result = plan(of)
    assert [lanes(result.plans[number]) for number in of.devices] == expected
    names = {event.event_id: event.leap_event_id for event in of.events}
    assert {names[pk]: numbers.shortfall_watts for pk, numbers in result.numbers.items()} == short


def test_what_is_over_is_short_no_more():
    of = fleet([5, 5], ONE, terms={1: dark(16, 17)})
    shortfalls = [
        plan_fleet(of, device_ids=[1, 2], now=at(hour)).numbers[ONE.event_id].shortfall_watts
        for hour in (16.5, 17.5)
    ]
    assert shortfalls == [1_000, 0]


def segment(start: float, end: float, kw: str | None) -> Segment:
    return Segment(
        at(start),
        at(end),
        Mode.CURTAIL,
        Decimal(kw) if kw else None,
        "",
        is_commitment=True,
        leap_event_ids=(),
        reason="",
    )


A, B = ask("a", 16, 18), ask("b", 17, 19)
LACKS = {
    "nothing": ([Request(A, 8_000, A.window)], [segment(16, 18, "8")], [], []),
    "more than asked": ([Request(A, 8_000, A.window)], [segment(16, 18, None)], [], []),
    "a part": (
        [Request(A, 8_000, A.window)],
        [segment(16, 17, "8"), segment(17, 18, "5")],
        [],
        ["a 17-18 8000 5000"],
    ),
    "the end": ([Request(A, 8_000, A.window)], [segment(16, 17.5, "8")], [], ["a 17.5-18 8000 0"]),
    "what is refused while another is served": (
        [Request(A, 8_000, A.window), Request(B, 9_000, B.window)],
        [segment(16, 17, "8"), segment(17, 19, "8")],
        [UnservedSlice(A.event_id, Window(at(17), at(18)), "No.")],
        ["a 17-18 8000 0", "b 17-19 9000 8000"],
    ),
    "the maximum is no number": ([Request(A, None, A.window)], [], [], []),
}


@pytest.mark.parametrize(("requests", "segments", "unserved", "expected"), LACKS.values(), ids=LACKS.keys())
def test_what_a_plan_leaves_of_shares(requests, segments, unserved, expected):
    names = {A.event_id: "a", B.event_id: "b"}
    found = lacks(requests, DevicePlan(tuple(segments), unserved=tuple(unserved)))
    assert [
        f"{names[event_id]} {hours(window.start)}-{hours(window.end)} {share} {watts}"
        for event_id, window, share, watts in found
    ] == expected


def test_who_gives_less_gives_that_and_the_others_the_rest():
    of = fleet([6, 6, 6], ONE)
    roster = Roster(sorted(of.meters), meters=of.meters, devices=of.devices, rulings={})
    (early, late) = roster.slices(ONE, [Absence(Window(at(17), at(20)), frozenset([1]), 500)])
    assert roster.allocate(6_000, during=early) == ((2_000, 2_000, 2_000), 0)
    assert roster.allocate(6_000, during=late) == ([2_000, 2_750, 2_750], 0)


@st.composite
def limited(draw) -> Fleet:
    """A few devices asked for one number, or for two in turn; some are held, limited, or fail."""
    events = [ask("a", 16, 19, energy_kw=to_kw(draw(st.integers(1, 40_000))))]
    if draw(st.booleans()):
        events.append(ask("b", 20, 22, energy_kw=to_kw(draw(st.integers(1, 40_000)))))
    rated = draw(st.lists(st.integers(0, 12), min_size=2, max_size=5))
    numbers = st.integers(1, len(rated))
    away = st.tuples(st.integers(15, 20), st.integers(1, 3)).map(
        lambda hour: dark(hour[0], hour[0] + hour[1])
    )
    few = st.integers(1, 4).map(lambda quarters: under(a_day=quarters * HOUR / 2, rest=HOUR))
    held = st.tuples(st.integers(15, 20), st.integers(1, 3)).map(
        lambda hour: (ruling(Action.HOLD, hour[0], hour[0] + hour[1]),)
    )
    return fleet(
        rated,
        *events,
        terms=draw(st.dictionaries(numbers, st.one_of(away, few))),
        rulings=draw(st.dictionaries(numbers, held)),
        failing=frozenset(draw(st.sets(numbers, max_size=2))),
    )


def delivered(of: Fleet, result: FleetPlan) -> dict[float, int]:
    """Watts by quarter-hour, of devices that take their schedules."""
    quarters = [16 + number / 4 for number in range(24)]
    segments = [
        each for pk, of_device in result.plans.items() if pk not in of.failing for each in of_device.segments
    ]
    return {
        hour: sum(
            to_watts(each.target_kw or Decimal(0)) for each in segments if each.start <= at(hour) < each.end
        )
        for hour in quarters
    }


@many
@given(limited())
def test_shares_and_the_shortfall_are_the_request(of):
    result = plan(of)
    given_watts = delivered(of, result)
    for event in of.events:
        mine = [
            watts for hour, watts in given_watts.items() if event.window.start <= at(hour) < event.window.end
        ]
        asked = int(event.energy_kw * 1000)
        assert max(mine) <= asked
        assert asked - min(mine) == result.numbers[event.event_id].shortfall_watts


@many
@given(limited(), st.integers(1, 12), st.booleans(), st.integers(15, 20))
def test_one_more_device_never_lowers_what_the_fleet_delivers(of, kw, is_limited, hour):
    """As long as what limits a device does not depend on its share."""
    of = replace(of, terms={pk: terms for pk, terms in of.terms.items() if terms.limits.blackouts})
    number = len(of.devices) + 1
    larger = replace(
        of,
        recipients={1: [*of.recipients[1], f"m{number}"]},
        meters={**of.meters, f"m{number}": MeterFacts(f"m{number}", (number,))},
        devices={**of.devices, number: Traits(kw * 1000)},
        terms={**of.terms, **({number: dark(hour, hour + 2)} if is_limited else {})},
    )
    before, after = delivered(of, plan(of)), delivered(larger, plan(larger))
    assert all(after[each] >= before[each] for each in before)


@many
@given(limited())
def test_a_failing_device_is_told_what_it_would_be_if_none_failed(of):
    whole = plan(replace(of, failing=frozenset()))
    assert all(plan(of).plans[pk] == whole.plans[pk] for pk in of.failing)
