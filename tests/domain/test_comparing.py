"""Two plans side by side: what changes, what every event gets, and which commitments come and go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dispatch.domain.comparing import Comparison, compare
from dispatch.domain.events import Window
from dispatch.domain.fleet import Fleet, plan_fleet
from dispatch.domain.overruling import Action
from dispatch.domain.plans import Traits
from dispatch.domain.roster import MeterFacts
from dispatch.domain.terms import Past, Shape, Terms
from tests.domain.asks import NOW, ask, at, hours, ruling

METERS = {"m1": MeterFacts("m1", (1,)), "m2": MeterFacts("m2", (2,))}
DEVICES = {1: Traits(rated_watts=10_000), 2: Traits(rated_watts=4_000)}
A = ask("a", 17, 19, "7", programs=("A",))
B = ask("b", 18, 20, None, rank=2, programs=("B",))
ALIKE = ask("c", 17, 19, "7", rank=2)
HOLD = ruling(Action.HOLD, 18, 19)
NOT_A = ruling(Action.HOLD, 17, 18, program="A")


def fleet(*events, **rulings) -> Fleet:
    """Two meters of one set, each with its device; rulings as d1=, d2=."""
    said = {int(name[1]): (each,) for name, each in rulings.items()}
    return Fleet(events, {1: sorted(METERS)}, METERS, DEVICES, said)


def look(was: Fleet, becomes: Fleet, *, now=NOW) -> Comparison:
    before, after = (plan_fleet(each, device_ids=list(DEVICES), now=now) for each in (was, becomes))
    return compare(before, after, was=was, becomes=becomes, now=now)


def told(comparison: Comparison) -> list[str]:
    """What changes, as short lines: kW over time, devices, commitments, events."""
    power = [
        f"{hours(each.window.start)}-{hours(each.window.end)} {each.before / 1000:g}>{each.after / 1000:g}"
        for each in comparison.stretches
        if each.before != each.after
    ]
    devices = [pk for case in comparison.cases if case.is_changed for pk in case.device_ids]
    return [*power, f"devices {devices}", f"+{comparison.gained} -{comparison.dropped}"]


CASES = {
    "a new one": (fleet(), fleet(A), ["17-19 0>7", "devices [1, 2]", "+2 -0"]),
    "one over another counts once": (
        fleet(A),
        fleet(A, B),
        ["18-19 7>14", "19-20 0>14", "devices [1, 2]", "+2 -0"],
    ),
    "a cancelled one is not dropped": (
        fleet(A),
        fleet(replace(A, is_cancelled=True)),
        ["17-19 7>0", "devices [1, 2]", "+0 -0"],
    ),
    "a held device drops it, the other gives more": (
        fleet(A),
        fleet(A, d1=HOLD),
        ["18-19 7>4", "devices [1, 2]", "+0 -1"],
    ),
    "another rank changes no device": (fleet(A), fleet(replace(A, rank=3)), ["devices []", "+0 -0"]),
    "left undone either way is not dropped": (
        fleet(A, d1=HOLD),
        fleet(A, d1=HOLD),
        ["devices []", "+0 -0"],
    ),
    "nothing": (fleet(A), fleet(A), ["devices []", "+0 -0"]),
}


@pytest.mark.parametrize(("was", "becomes", "expected"), CASES.values(), ids=CASES.keys())
def test_what_changes_is_told(was, becomes, expected):
    assert told(look(was, becomes)) == expected


def test_an_event_gets_what_its_devices_do_while_they_serve_it():
    """Slices in which the device does the same are one segment, though one of them does not serve both."""
    fates = {each.event.leap_event_id: each.after for each in look(fleet(), fleet(A, ALIKE, d1=NOT_A)).events}
    assert (fates["a"].devices, fates["a"].watts, fates["a"].watt_seconds) == (2, 7_000, 11_000 * 3_600)
    assert fates["c"].watt_seconds == 16_000 * 3_600
    assert [each.devices for each in fates["a"].refusals] == [1]


def test_a_shortfall_is_told_before_and_after():
    (change,) = look(fleet(A), fleet(A, d1=HOLD)).events
    assert (change.before.shortfall_watts, change.after.shortfall_watts) == (0, 3_000)
    assert change.is_changed


def test_what_is_over_counts_no_more():
    ended = replace(A, window=replace(A.window, end=at(18)))
    comparison = look(fleet(A), fleet(ended), now=at(18))
    assert told(comparison)[0] == "18-19 7>0"


def test_who_only_recovers_gives_no_power():
    now = at(19.25)
    shape = Shape("Slow v1", recovery=timedelta(hours=1))
    recovering = Terms("UTC", shape=shape, past=Past(moved=(Window(at(17), now),)))
    was = replace(fleet(A), terms={1: recovering, 2: recovering})
    assert plan_fleet(was, device_ids=[1], now=now).plans[1].segments
    assert look(was, was, now=now).stretches == ()
