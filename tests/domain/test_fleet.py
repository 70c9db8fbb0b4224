"""Rule 7: an event's kW over meters, a meter's over devices; and one plan for equal devices."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from dispatch.domain.allocation import Claim, spread
from dispatch.domain.fleet import Fleet, plan_fleet
from dispatch.domain.overruling import Action
from dispatch.domain.plans import Traits
from dispatch.domain.roster import MeterFacts
from tests.domain.asks import NOW, ask, lanes, ruling

SPREAD = {
    "by weight": (6_000, [(1, 9_000), (2, 9_000)], (2_000, 4_000)),
    "what is left goes to the first": (1_000, [(1, 900), (1, 900), (1, 900)], (334, 333, 333)),
    "the full one's rest goes to the others": (
        9_000,
        [(1, 1_000), (1, 9_000), (1, 9_000)],
        (1_000, 4_000, 4_000),
    ),
    "never above the limits": (9_000, [(1, 1_000), (5, 2_000)], (1_000, 2_000)),
    "no weight, no share": (9_000, [(0, 0), (1, 9_000)], (0, 9_000)),
    "nobody there": (9_000, [], ()),
}


@pytest.mark.parametrize(("total", "claims", "shares"), SPREAD.values(), ids=SPREAD.keys())
def test_power_is_spread_by_weight_within_limits(total, claims, shares):
    assert spread(total, [Claim(weight, limit) for weight, limit in claims]) == shares


def fleet(meters: dict[str, MeterFacts], rated_kw: dict[int, int], *events, meter_ids=None) -> Fleet:
    devices = {device_id: Traits(rated_watts=kw * 1000) for device_id, kw in rated_kw.items()}
    return Fleet(events, {1: meter_ids or sorted(meters)}, meters, devices)


def targets(of: Fleet) -> dict[int, list[str]]:
    plans = plan_fleet(of, device_ids=list(of.devices), now=NOW).plans
    return {device_id: lanes(plan) for device_id, plan in plans.items()}


def test_group_power_goes_by_nomination_then_by_rated_power():
    meters = {
        "m1": MeterFacts("m1", (1, 2), nomination_watts=6_000),
        "m2": MeterFacts("m2", (3,)),
    }
    assert targets(fleet(meters, {1: 4, 2: 8, 3: 3}, ask("a", 17, 18, "6"))) == {
        1: ["17-18 curtail 1.333 a"],
        2: ["17-18 curtail 2.667 a"],
        3: ["17-18 curtail 2 a"],
    }


def test_what_nobody_can_give_is_the_shortfall():
    meters = {"m1": MeterFacts("m1", (1,)), "m2": MeterFacts("m2", ())}
    plan = plan_fleet(fleet(meters, {1: 4}, ask("a", 17, 18, "6.5")), device_ids=[1], now=NOW)
    (numbers,) = plan.numbers.values()
    assert (numbers.shortfall_watts, numbers.unmapped_meters) == (2_500, 1)


def test_unknown_and_refusing_meters_take_no_share():
    meters = {"m1": MeterFacts("m1", (1,), refusal="The meter is idle."), "m2": MeterFacts("m2", (2,))}
    of = fleet(meters, {1: 10, 2: 10}, ask("a", 17, 18, "6"), meter_ids=["m0", "m1", "m2"])
    plan = plan_fleet(of, device_ids=[1, 2], now=NOW)
    assert lanes(plan.plans[2]) == ["17-18 curtail 6 a"]
    assert [each.reason for each in plan.plans[1].unserved] == ["The meter is idle."]
    assert next(iter(plan.numbers.values())).unmapped_meters == 1


def test_device_behind_two_meters_of_an_event_counts_once():
    meters = {"m1": MeterFacts("m1", (1,)), "m2": MeterFacts("m2", (1, 2))}
    assert targets(fleet(meters, {1: 10, 2: 10}, ask("a", 17, 18, "20"))) == {
        1: ["17-18 curtail 10 a"],
        2: ["17-18 curtail 10 a"],
    }


def test_device_behind_two_meters_with_an_event_each_takes_the_larger():
    meters = {"m1": MeterFacts("m1", (1,)), "m2": MeterFacts("m2", (1,))}
    events = (ask("a", 17, 18, "5"), ask("b", 17, 18, "7", recipients=2))
    of = Fleet(events, {1: ["m1"], 2: ["m2"]}, meters, {1: Traits(rated_watts=10_000)})
    assert targets(of) == {1: ["17-18 curtail 7 b+a"]}


def test_share_of_nothing_is_told():
    meters = {f"m{index}": MeterFacts(f"m{index}", (index,)) for index in (1, 2)}
    of = fleet(meters, {1: 10, 2: 10}, ask("a", 17, 18, "0.001"))
    plan = plan_fleet(of, device_ids=[1, 2], now=NOW)
    assert lanes(plan.plans[1]) == ["17-18 curtail 0.001 a"]
    assert plan.plans[2].segments == ()
    assert "share is 0 kW" in plan.plans[2].unserved[0].reason


OUT = {
    "held in between": (
        {1: [ruling(Action.HOLD, 17, 18)]},
        ["16-17 curtail 3 a", "18-19 curtail 3 a"],
        ["16-17 curtail 3 a", "17-18 curtail 5 a", "18-19 curtail 3 a"],
        1_000,
    ),
    "opted out of a commitment, confirmed": (
        {1: [ruling(Action.OPT_OUT, 16, 19, is_commitment_confirmed=True)]},
        [],
        ["16-19 curtail 5 a"],
        1_000,
    ),
    "opted out of what is voluntary alone": (
        {1: [ruling(Action.OPT_OUT, 16, 19)]},
        ["16-19 curtail 3 a"],
        ["16-19 curtail 3 a"],
        0,
    ),
    "its program held": (
        {1: [ruling(Action.HOLD, 16, 19, program="CCA")]},
        [],
        ["16-19 curtail 5 a"],
        1_000,
    ),
    "another program held": (
        {1: [ruling(Action.HOLD, 16, 19, program="ELRP")]},
        ["16-19 curtail 3 a"],
        ["16-19 curtail 3 a"],
        0,
    ),
    "both held, for a time together": (
        {1: [ruling(Action.HOLD, 16, 18)], 2: [ruling(Action.HOLD, 17, 19)]},
        ["18-19 curtail 5 a"],
        ["16-17 curtail 5 a"],
        6_000,
    ),
}


@pytest.mark.parametrize(("rulings", "one", "two", "short"), OUT.values(), ids=OUT.keys())
def test_the_others_give_what_one_who_is_out_cannot(rulings, one, two, short):
    meters = {"m1": MeterFacts("m1", (1,)), "m2": MeterFacts("m2", (2,))}
    of = fleet(meters, {1: 5, 2: 5}, ask("a", 16, 19, "6", programs=("CCA",)))
    of = replace(of, rulings={device_id: tuple(said) for device_id, said in rulings.items()})
    plan = plan_fleet(of, device_ids=[1, 2], now=NOW)
    assert (lanes(plan.plans[1]), lanes(plan.plans[2])) == (one, two)
    (numbers,) = plan.numbers.values()
    assert numbers.shortfall_watts == short


def test_equal_devices_share_one_plan():
    meters = {f"m{index}": MeterFacts(f"m{index}", (index,)) for index in range(100)}
    of = fleet(meters, dict.fromkeys(range(100), 10), ask("a", 17, 18, "500"), ask("b", 18, 19, "300.05"))
    plans = plan_fleet(of, device_ids=range(100), now=NOW).plans
    assert len({id(plan) for plan in plans.values()}) == 2  # half of them got a watt of the rest
    assert sum(plan.segments[1].target_kw for plan in plans.values()) == Decimal("300.05")
