"""When what came first is cancelled, moved, ended, held or left to its twin, the other takes over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dispatch.domain.events import Event, Window
from dispatch.domain.fleet import Fleet, plan_fleet
from dispatch.domain.levels import Policy
from dispatch.domain.overruling import Action, Ruling
from dispatch.domain.plans import DevicePlan, OverlapSlice, Traits
from dispatch.domain.roster import MeterFacts
from dispatch.domain.terms import Limits, Terms
from tests.domain.asks import ask, at, hours, lanes, ruling

FIRST = ask("first", 17, 19, "8", programs=("CCA",), level="METER")
OTHER = ask("other", 17, 20, "4", rank=2, programs=("ELRP",), level="METER")
TWIN = ask("twin", 17, 18, "3", programs=("CCA",), level="GROUP", recipients=2)
LATER = ask("later", 20, 22, "4", rank=2, programs=("ELRP",))
ONE_HOUR = Limits("Home v1", a_day=timedelta(hours=1))
ONE_EVENT = Limits("Home v1", events_a_day=1)


def plan_of(
    *events: Event,
    now: float = 16,
    limits: Limits | None = None,
    ran: tuple[float, ...] = (),
    rulings: Sequence[Ruling] = (),
) -> DevicePlan:
    """Plan a battery of 10 kW behind the meter that all of them name; CCA is acted upon at group level."""
    windows = (Window(at(ran[0]), at(ran[1])),) if ran else ()
    fleet = Fleet(
        events,
        {1: ["m1"], 2: ["m1"]},
        {"m1": MeterFacts("m1", (1,))},
        {1: Traits(10_000, is_storage=True)},
        {1: tuple(rulings)},
        Policy(decided={"CCA": "GROUP"}),
        {1: Terms("UTC", limits, ran=windows)} if limits else {},
    )
    return plan_fleet(fleet, device_ids=[1], now=at(now)).plans[1]


def moved(event: Event, start: float, end: float) -> Event:
    return replace(event, window=Window(at(start), at(end)))


ALONE = "Serves ELRP, rank 2, a commitment: its share of 4 kW."
INSIDE = "ELRP (rank 2, 4 kW) is met inside CCA's share (rank 1, 8 kW)."
HELD = "Held by ana: maintenance."
OUT = "Opted out by ana: maintenance."
SPARED = f"{ALONE} The opt-out by ana does not confirm that a commitment is broken, so it stays."

TAKES_OVER: dict[str, tuple[list[Event], dict[str, Any], list[str], list[str]]] = {
    # what is asked after the change, and what else there is; the segments, their first words, the overlaps
    "nothing has happened": (
        [FIRST, OTHER],
        {},
        [f"17-19 discharge 8 first+other: {INSIDE}", f"19-20 discharge 4 other: {ALONE}"],
        [f"17-19 first+other: {INSIDE}"],
    ),
    "cancelled before it began": (
        [replace(FIRST, is_cancelled=True), OTHER],
        {},
        [f"17-20 discharge 4 other: {ALONE}"],
        [],
    ),
    "ended early, heard of three minutes later": (
        [moved(FIRST, 17, 18), OTHER],
        {"now": 18.05},
        [f"18-20 discharge 4 other: {ALONE}"],
        [],
    ),
    "shortened before it began": (
        [moved(FIRST, 17, 18), OTHER],
        {},
        [f"17-18 discharge 8 first+other: {INSIDE}", f"18-20 discharge 4 other: {ALONE}"],
        [f"17-18 first+other: {INSIDE}"],
    ),
    "moved": (
        [moved(FIRST, 18, 20.5), OTHER],
        {},
        [f"17-18 discharge 4 other: {ALONE}", f"18-20.5 discharge 8 first+other: {INSIDE}"],
        [f"18-20 first+other: {INSIDE}"],
    ),
    "its program held": (
        [FIRST, OTHER],
        {"rulings": [ruling(Action.HOLD, 18, 22, program="CCA")]},
        [f"17-18 discharge 8 first+other: {INSIDE}", f"18-20 discharge 4 other: {ALONE}"],
        [f"17-18 first+other: {INSIDE}", f"18-19 other, not first ({HELD}): {ALONE}"],
    ),
    "the device held for a while": (
        [FIRST, OTHER],
        {"rulings": [ruling(Action.HOLD, 18.5, 19.5)]},
        [f"17-18.5 discharge 8 first+other: {INSIDE}", f"19.5-20 discharge 4 other: {ALONE}"],
        [
            f"17-18.5 first+other: {INSIDE}",
            f"18.5-19 nothing, not first ({HELD}), not other ({HELD}): {HELD}",
        ],
    ),
    "opted out of, as it is voluntary": (
        [replace(FIRST, is_voluntary=True), OTHER],
        {"rulings": [ruling(Action.OPT_OUT, 18, 22)]},
        [f"17-18 discharge 8 first+other: {INSIDE}", f"18-20 discharge 4 other: {SPARED}"],
        [f"17-18 first+other: {INSIDE}", f"18-19 other, not first ({OUT}): {SPARED}"],
    ),
    "left to its twin for an hour": (
        [FIRST, OTHER, TWIN],
        {},
        [
            "17-18 discharge 4 twin+other: CCA (rank 1, 3 kW) is met inside ELRP's share (rank 2, 4 kW).",
            f"18-19 discharge 8 first+other: {INSIDE}",
            f"19-20 discharge 4 other: {ALONE}",
        ],
        [
            "17-18 twin+other: CCA (rank 1, 3 kW) is met inside ELRP's share (rank 2, 4 kW).",
            f"18-19 first+other: {INSIDE}",
        ],
    ),
    "its twin cancelled": (
        [FIRST, OTHER, replace(TWIN, is_cancelled=True)],
        {},
        [f"17-19 discharge 8 first+other: {INSIDE}", f"19-20 discharge 4 other: {ALONE}"],
        [f"17-19 first+other: {INSIDE}"],
    ),
    "cancelled, where only one event a day is served": (
        [replace(FIRST, is_cancelled=True), LATER],
        {"limits": ONE_EVENT},
        [f"20-22 discharge 4 later: {ALONE}"],
        [],
    ),
    "ended early, which leaves half of the day's hour": (
        [moved(FIRST, 17, 17.5), LATER],
        {"limits": ONE_HOUR, "ran": (17, 17.5), "now": 17.5},
        [f"20-20.5 discharge 4 later: {ALONE}"],
        [],
    ),
    "held, which leaves half of the day's hour": (
        [FIRST, LATER],
        {
            "limits": ONE_HOUR,
            "ran": (17, 17.5),
            "now": 17.5,
            "rulings": [ruling(Action.HOLD, 17.5, 20)],
        },
        [f"20-20.5 discharge 4 later: {ALONE}"],
        [],
    ),
}


@pytest.mark.parametrize(("events", "under", "expected", "met"), TAKES_OVER.values(), ids=TAKES_OVER.keys())
def test_the_other_takes_over_from_that_moment_and_says_so(events, under, expected, met):
    plan = plan_of(*events, **under)
    said = [f"{lane}: {each.reason}" for lane, each in zip(lanes(plan), plan.segments, strict=True)]
    assert _begin_with(said, expected)
    assert _begin_with([_told(each) for each in plan.overlaps], met)


def _told(overlap: OverlapSlice) -> str:
    served = "+".join(overlap.served) or "nothing"
    left = "".join(f", not {name} ({why})" for name, why in overlap.not_served)
    return f"{hours(overlap.window.start)}-{hours(overlap.window.end)} {served}{left}: {overlap.reason}"


def _begin_with(lines: list[str], begins: list[str]) -> bool:
    return [line[: len(begin)] for line, begin in zip(lines, begins, strict=True)] == begins
