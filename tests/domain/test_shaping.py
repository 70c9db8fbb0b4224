"""What comes before, at the beginning of and after a run, as tables; and what shaping never touches."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.domain.schedule import check_schedule
from dispatch.domain.events import Window
from dispatch.domain.fleet import plan_fleet
from dispatch.domain.overruling import Action
from dispatch.domain.terms import Hours, Limits, Past, Shape, Terms
from tests.domain.asks import NOW, ask, at, hours, plan_one, ruling
from tests.domain.test_planning_properties import fleets

HOUR = timedelta(hours=1)
COOLED = Shape("Smart thermostat v1", precondition=HOUR, recovery=HOUR / 2)
VOLUNTARY: dict[str, Any] = {"is_voluntary": True}


def terms(shape: Shape = COOLED, *, prepared=(), moved=(), **limits: Any) -> Terms:
    past = Past(*(tuple(Window(at(start), at(end)) for start, end in part) for part in (prepared, moved)))
    return Terms("UTC", Limits("limits", **limits) if limits else None, shape=shape, past=past)


def drawn(plan) -> list[str]:
    """The segments with what is around them: "16<17-18>18.5 ramp 300"."""
    return [
        (f"{hours(each.precondition_from)}<" if each.precondition_from else "")
        + f"{hours(each.start)}-{hours(each.end)}"
        + (f">{hours(each.recover_until)}" if each.recover_until else "")
        + (f" ramp {each.ramp_seconds}" if each.ramp_seconds else "")
        for each in plan.segments
    ]


AROUND = {
    "before and after a run": ({}, [ask("a", 17, 18)], ["16<17-18>18.5"]),
    "around a run, not around its segments": (
        {},
        [ask("a", 17, 18), ask("b", 18, 19, "9")],
        ["16<17-18", "18-19>19.5"],
    ),
    "pre-conditioning waits for the run before and wins over its recovery": (
        {},
        [ask("a", 17, 18), ask("b", 18.25, 19)],
        ["16<17-18", "18<18.25-19>19.5"],
    ),
    "pre-conditioning cuts off recovery": (
        {},
        [ask("a", 17, 18), ask("b", 19.25, 20)],
        ["16<17-18>18.25", "18.25<19.25-20>20.5"],
    ),
    "the next run cuts off recovery": (
        {"shape": Shape("s", recovery=HOUR)},
        [ask("a", 17, 18), ask("b", 18.5, 19)],
        ["17-18>18.5", "18.5-19>20"],
    ),
    "a ramp at the beginning of a run": (
        {"shape": Shape("s", ramp=HOUR / 4)},
        [ask("a", 17, 18), ask("b", 18, 19, "9")],
        ["17-18 ramp 900", "18-19"],
    ),
    "a ramp that is longer than the run": (
        {"shape": Shape("s", ramp=HOUR / 4)},
        [ask("a", 17, 17.125)],
        ["17-17.125 ramp 450"],
    ),
    "a ramp over the run's first segment": (
        {"shape": Shape("s", ramp=HOUR / 4)},
        [ask("a", 17, 17.125), ask("b", 17.125, 18, "9")],
        ["17-17.125 ramp 900", "17.125-18"],
    ),
    "not prepared in a blackout": (
        {"blackouts": (Hours(time(15), time(16, 30)),)},
        [ask("a", 17, 18)],
        ["16.5<17-18>18.5"],
    ),
    "a blackout until the run": (
        {"blackouts": (Hours(time(15), time(17)),)},
        [ask("a", 17, 18)],
        ["17-18>18.5"],
    ),
    "the way back leads through a blackout": (
        {"blackouts": (Hours(time(18), time(6)),)},
        [ask("a", 17, 19)],
        ["16<17-18>18.5"],
    ),
    "hours and rest count runs alone": (
        {"a_day": 2 * HOUR, "rest": 2 * HOUR},
        [ask("a", 14, 15), ask("b", 17, 18)],
        ["13<14-15>15.5", "16<17-18>18.5"],
    ),
}


@pytest.mark.parametrize(("under", "events", "expected"), AROUND.values(), ids=AROUND.keys())
def test_what_a_policy_puts_around_a_run(under, events, expected):
    plan = plan_one(events, terms=terms(**under))
    assert drawn(plan) == expected
    check_schedule(plan.segments)


SAID = {
    "held before": ([ruling(Action.HOLD, 10, 16.5)], ["16.5<17-20>20.5"]),
    "held from the middle on": ([ruling(Action.HOLD, 18, 30)], ["16<17-18"]),
    "held in the middle": ([ruling(Action.HOLD, 18, 19)], ["16<17-18", "19-20>20.5"]),
    "its program is held before": ([ruling(Action.HOLD, 10, 16.5, program="CCA")], ["16.5<17-20>20.5"]),
    "another program is held": ([ruling(Action.HOLD, 10, 16.5, program="ELRP")], ["16<17-20>20.5"]),
    "an opt-out that leaves commitments": ([ruling(Action.OPT_OUT, 10, 16.5)], ["16<17-20>20.5"]),
    "an opt-out that breaks commitments": (
        [ruling(Action.OPT_OUT, 10, 16.5, is_commitment_confirmed=True)],
        ["16.5<17-20>20.5"],
    ),
    "a forced run is a run": ([ruling(Action.FORCE, 22, 23)], ["16<17-20>20.5", "21<22-23>23.5"]),
    "a forced run after a hold": (
        [ruling(Action.FORCE, 22, 23), ruling(Action.HOLD, 20, 21.5)],
        ["16<17-20", "21.5<22-23>23.5"],
    ),
}


@pytest.mark.parametrize(("rulings", "expected"), SAID.values(), ids=SAID.keys())
def test_nothing_of_a_run_is_where_a_person_keeps_the_device_still(rulings, expected):
    plan = plan_one([ask("a", 17, 20, programs=("CCA",))], rulings=tuple(rulings), terms=terms())
    assert drawn(plan) == expected


AT = {
    "planned ahead": (15, {}, ["16<17-18>18.5"]),
    "heard when it should prepare": (16.5, {}, ["16.5<17-18>18.5"]),
    "prepares since it was heard": (16.5, {"prepared": [(16.25, 16.5)]}, ["16.25<17-18>18.5"]),
    "prepared once, and was stopped": (16.5, {"prepared": [(16, 16.25)]}, ["16.5<17-18>18.5"]),
    "heard when it should run": (17.5, {"moved": [(17, 17.5)]}, ["17-18>18.5"]),
    "runs, and prepared for it": (17.5, {"prepared": [(16.25, 17)]}, ["16.25<17-18>18.5"]),
    "ends just now": (18, {}, ["17-18>18.5"]),
    "recovers": (18.25, {"moved": [(17, 18.25)]}, ["17-18>18.5"]),
    "was told to end after it had": (18.25, {"moved": [(17.5, 18.25)]}, ["17-18>18.5"]),
    "is back to normal": (18.25, {"moved": [(17, 18)]}, []),
    "heard when it is over": (18.25, {}, []),
    "has recovered": (18.5, {"moved": [(17, 18.5)]}, []),
    "had not run, and runs anew since": (18.25, {"moved": [(18.1, 18.25)]}, []),
}


@pytest.mark.parametrize(("now", "past", "expected"), AT.values(), ids=AT.keys())
def test_what_is_under_way_goes_on_and_nothing_is_done_in_the_past(now, past, expected):
    assert drawn(plan_one([ask("a", 17, 18)], terms=terms(**past), now=at(now))) == expected


def test_reason_says_what_is_around_a_segment_and_nothing_where_nothing_is():
    shape = replace(COOLED, ramp=HOUR / 12)
    first, second, last = plan_one(
        [ask(name, 16 + n, 17 + n, f"{n}") for n, name in enumerate("abc", 1)], terms=terms(shape)
    ).segments
    assert first.reason == (
        "Serves a, rank 1, a commitment: its share of 1 kW. "
        "Prepares from 16:00Z; takes 5 min to its power. Policy Smart thermostat v1."
    )
    assert second.reason == "Serves b, rank 1, a commitment: its share of 2 kW."
    assert last.reason.endswith(" Back to normal by 20:30Z. Policy Smart thermostat v1.")


SHAPES = st.builds(
    Shape,
    st.just("s"),
    *[st.integers(0, most).map(lambda minutes: timedelta(minutes=minutes)) for most in (60, 240, 240)],
)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(fleets(), SHAPES, st.integers(-60, 600))
def test_shaping_changes_no_run_and_fills_nothing_twice(fleet, shape, minutes):
    now: datetime = NOW + timedelta(minutes=minutes)
    under = {number: Terms("UTC", shape=shape) for number in fleet.devices}
    plain = plan_fleet(fleet, device_ids=list(fleet.devices), now=now).plans
    shaped = plan_fleet(replace(fleet, terms=under), device_ids=list(fleet.devices), now=now).plans
    for number, plan in shaped.items():
        coming = [each for each in plan.segments if each.end > now]
        nothing = {"precondition_from": None, "ramp_seconds": None, "recover_until": None, "reason": ""}
        assert [replace(each, **nothing) for each in coming] == [
            replace(each, **nothing) for each in plain[number].segments
        ]
        check_schedule(plan.segments)
        assert all(one.over_at <= two.begins_at for one, two in pairwise(plan.segments))
        assert all(each.begins_at >= min(each.start, now) for each in plan.segments)
        assert plan.unserved == plain[number].unserved
