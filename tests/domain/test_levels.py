"""Rule 9: what is asked at both levels is acted upon at one, and nothing is lost."""

from __future__ import annotations

import pytest

from dispatch.domain.belief import Source
from dispatch.domain.fleet import Fleet, plan_fleet
from dispatch.domain.levels import Arrival, Policy, Side, decide, yields_for
from dispatch.domain.plans import Traits
from dispatch.domain.roster import MeterFacts
from tests.domain.asks import NOW, ask, hours, lanes

GROUP = Policy(decided={"CCA": "GROUP", "DSGS": "GROUP"})
MIXED = Policy(decided={"CCA": "GROUP", "ELRP": "METER"})


def side(level: str, *programs: str, **fields) -> Side:
    return Side(level, programs or ("CCA",), **fields)


YIELDS = {
    "the level not acted upon": (side("METER"), side("GROUP"), GROUP, "CCA"),
    "the acted level": (side("GROUP"), side("METER"), GROUP, ""),
    "the same level": (side("METER"), side("METER"), GROUP, ""),
    "no common program": (side("METER"), side("GROUP", "DSGS"), GROUP, ""),
    "a program nobody decided": (side("METER", "NEW"), side("GROUP", "NEW"), GROUP, ""),
    "without programs": (Side("METER", ()), Side("GROUP", ()), GROUP, ""),
    "one of several programs in common": (side("METER", "CCA", "DSGS"), side("GROUP", "DSGS"), GROUP, "DSGS"),
    "another program acts at its own level": (side("METER", "CCA", "ELRP"), side("GROUP"), MIXED, ""),
    "both act, each for one program": (side("GROUP", "CCA", "ELRP"), side("METER", "CCA", "ELRP"), MIXED, ""),
    "the setting decides": (side("GROUP"), side("METER"), Policy("METER", {"CCA": "GROUP"}), "CCA"),
    "a test": (side("METER", is_test=True), side("GROUP"), GROUP, ""),
    "covered by a test": (side("METER"), side("GROUP", is_test=True), GROUP, ""),
    "a commitment by something voluntary": (side("METER"), side("GROUP", is_voluntary=True), GROUP, ""),
    "something voluntary by a commitment": (side("METER", is_voluntary=True), side("GROUP"), GROUP, "CCA"),
}


@pytest.mark.parametrize(("one", "twin", "policy", "program"), YIELDS.values(), ids=YIELDS.keys())
def test_event_yields_only_to_its_twin_at_the_acted_level(one, twin, policy, program):
    assert yields_for(one, twin, policy=policy) == program


METER_FIRST = {"CCA": "METER"}
DECIDES = {
    "the first of a program": ([("METER", "WEBHOOK", "CCA"), ("GROUP", "WEBHOOK", "CCA")], METER_FIRST),
    "only for undecided programs": (
        [("METER", "WEBHOOK", "CCA"), ("GROUP", "WEBHOOK", "CCA ELRP")],
        {"CCA": "METER", "ELRP": "GROUP"},
    ),
    "a webhook after a search": ([("GROUP", "POLL", "CCA"), ("METER", "WEBHOOK", "CCA")], METER_FIRST),
    "no search after a webhook": ([("METER", "WEBHOOK", "CCA"), ("GROUP", "POLL", "CCA")], METER_FIRST),
    "not what a person decided": ([("METER", "WEBHOOK", "HAND")], {}),
    "not what a webhook decided before": ([("METER", "WEBHOOK", "HELD")], {}),
}


@pytest.mark.parametrize(("arrivals", "decided"), DECIDES.values(), ids=DECIDES.keys())
def test_first_arrival_decides_the_level(arrivals, decided):
    held = decide([Arrival(1, side("GROUP", "HELD"), Source.WEBHOOK)], held={})
    held |= decide([Arrival(2, side("GROUP", "HAND"), Source.OPERATOR)], held={})
    found = decide(
        [
            Arrival(number, side(level, *programs.split()), Source(source))
            for number, (level, source, programs) in enumerate(arrivals)
        ],
        held=held,
    )
    assert {program: each.level for program, each in found.items()} == decided


def test_a_test_decides_nothing():
    assert decide([Arrival(1, side("METER", is_test=True), Source.WEBHOOK)], held={}) == {}


def group(name: str, start: float, end: float, kw: str, **fields):
    return ask(name, start, end, kw, level="GROUP", programs=("CCA",), recipients=1, **fields)


def meter(name: str, start: float, end: float, kw: str, *, of: int = 2, **fields):
    return ask(name, start, end, kw, level="METER", programs=("CCA",), recipients=of, **fields)


def planned(*events, acted: str, meters: dict[str, tuple[int, ...]] | None = None):
    """Plan two meters, a device of 20 kW each; recipients 1 both, 2 the first, 3 the second."""
    known = {each: MeterFacts(each, ids) for each, ids in (meters or {"m1": (1,), "m2": (2,)}).items()}
    devices = {
        device: Traits(20_000) for ids in (each.device_ids for each in known.values()) for device in ids
    }
    recipients = {1: ["m1", "m2"], 2: ["m1"], 3: ["m2"]}
    fleet = Fleet(events, recipients, known, devices, policy=Policy(decided={"CCA": acted}))
    return plan_fleet(fleet, device_ids=list(devices), now=NOW).plans


SERVED = {
    "the group only": ("GROUP", [group("g", 17, 19, "10"), meter("m", 17, 19, "8")], ["17-19 curtail 5 g"]),
    "the meter only": ("METER", [group("g", 17, 19, "10"), meter("m", 17, 19, "8")], ["17-19 curtail 8 m"]),
    "what the twin leaves": (
        "GROUP",
        [group("g", 17, 18, "10"), meter("m", 16, 19, "8")],
        ["16-17 curtail 8 m", "17-18 curtail 5 g", "18-19 curtail 8 m"],
    ),
    "between two twins": (
        "GROUP",
        [group("g", 16, 17, "10"), group("h", 18, 20, "12"), meter("m", 16, 19, "8")],
        ["16-17 curtail 5 g", "17-18 curtail 8 m", "18-20 curtail 6 h"],
    ),
    "another meter's twin": (
        "GROUP",
        [meter("n", 17, 19, "4", of=3), meter("m", 17, 19, "8")],
        ["17-19 curtail 8 m"],
    ),
    "a cancelled twin": (
        "GROUP",
        [group("g", 17, 19, "10", is_cancelled=True), meter("m", 17, 19, "8")],
        ["17-19 curtail 8 m"],
    ),
    "touching windows": (
        "GROUP",
        [group("g", 16, 17, "10"), meter("m", 17, 19, "8")],
        ["16-17 curtail 5 g", "17-19 curtail 8 m"],
    ),
}


@pytest.mark.parametrize(("acted", "events", "served"), SERVED.values(), ids=SERVED.keys())
def test_covered_slices_are_served_once(acted, events, served):
    plan = planned(*events, acted=acted)[1]
    assert lanes(plan) == served
    assert plan.overlaps == ()


def test_group_keeps_its_other_meters_and_their_shares():
    plans = planned(group("g", 17, 19, "10"), meter("m", 17, 19, "8"), acted="METER")
    assert lanes(plans[2]) == ["17-19 curtail 5 g"]
    assert plans[2].unserved == ()


def test_shaded_slice_is_listed_with_the_reason():
    (told,) = planned(group("g", 17, 18, "10"), meter("m", 16, 19, "8"), acted="GROUP")[1].unserved
    assert (hours(told.window.start), hours(told.window.end), told.is_shaded) == ("17", "18", True)
    assert told.reason == "Asked at group level too; CCA is acted upon at group level."


def test_device_behind_a_meter_without_twin_still_acts():
    both = {"m1": (1,), "m2": (1, 2)}
    plans = planned(group("g", 17, 19, "30"), meter("m", 17, 19, "8"), acted="METER", meters=both)
    assert lanes(plans[1]) == ["17-19 curtail 15 g+m"]
