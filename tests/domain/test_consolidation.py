"""Rules 1, 2, 3 and 8 as tables: what is asked of one device → what it does, and why."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from dispatch.domain.overruling import Action
from tests.domain.asks import ask, at, hours, lanes, plan_one, ruling

OPEN: dict[str, Any] = {"cap": "grid-exports-allowed"}
VOLUNTARY = {"is_voluntary": True}

COMBINED = {
    "one event": ([ask("a", 17, 18)], ["17-18 discharge 8 a"]),
    "touching equal timeslots are one segment": (
        [ask("a", 17, 18), ask("b", 18, 19), ask("c", 19, 20)],
        ["17-20 discharge 8 a+b+c"],
    ),
    "touching unequal timeslots stay two": (
        [ask("a", 17, 18, "8"), ask("b", 18, 19, "9")],
        ["17-18 discharge 8 a", "18-19 discharge 9 b"],
    ),
    "a gap stays a gap": (
        [ask("a", 17, 18), ask("b", 19, 20)],
        ["17-18 discharge 8 a", "19-20 discharge 8 b"],
    ),
    "overlap takes the largest, not the sum": (
        [ask("a", 17, 19, "8", rank=1), ask("b", 18, 20, "10", rank=2)],
        ["17-18 discharge 8 a", "18-20 discharge 10 a+b"],
    ),
    "no number is the maximum and beats a number": (
        [ask("a", 17, 18, "8", rank=1), ask("b", 17, 18, None, rank=3)],
        ["17-18 discharge max a+b"],
    ),
    "no number under up-to-nomination is the nomination": (
        [ask("a", 17, 18, None, nomination_kw=Decimal("11"))],
        ["17-18 discharge 11 a"],
    ),
    "no number and a wider cap is the maximum though nominated": (
        [ask("a", 17, 18, None, nomination_kw=Decimal("11"), **OPEN)],
        ["17-18 discharge max a"],
    ),
    "never above the rated power": ([ask("a", 17, 18, "250")], ["17-18 discharge 100 a"]),
    "a cancelled event asks nothing": ([ask("a", 17, 18, is_cancelled=True)], []),
    "an event that is over asks nothing": ([ask("a", -2, 0)], []),
    "a running event is planned whole": ([ask("a", -1, 1)], ["-1-1 discharge 8 a"]),
}


@pytest.mark.parametrize(("events", "expected"), COMBINED.values(), ids=COMBINED.keys())
def test_events_are_combined_by_the_envelope(events, expected):
    assert lanes(plan_one(events)) == expected


MODES = {
    "a battery discharges": ({}, "up-to-site-load", "DISCHARGE"),
    "a battery exports where cap and site allow": ({"may_export": True}, "grid-exports-allowed", "EXPORT"),
    "a battery keeps to the site where the cap ends": ({"may_export": True}, "up-to-site-load", "DISCHARGE"),
    "a battery keeps to the site that may not export": ({}, "grid-exports-allowed", "DISCHARGE"),
    "anything else curtails": ({"is_storage": False, "may_export": True}, "grid-exports-allowed", "CURTAIL"),
}


@pytest.mark.parametrize(("traits", "cap", "mode"), MODES.values(), ids=MODES.keys())
def test_mode_follows_device_cap_and_site(traits, cap, mode):
    assert plan_one([ask("a", 17, 18, cap=cap)], **traits).segments[0].mode == mode


def test_overlap_is_told_with_order_cap_commitment_and_reason():
    events = [
        ask("award", 17, 18, "8", rank=2, cap="up-to-site-load"),
        ask("elrp", 17, 18, None, rank=3, **VOLUNTARY, **OPEN),
        ask("test", 17, 18, "10", rank=1),
    ]
    plan = plan_one(events)

    (segment,) = plan.segments
    assert (segment.target_kw, segment.cap, segment.is_commitment) == (None, "grid-exports-allowed", True)
    (overlap,) = plan.overlaps
    assert overlap.served == ("test", "award", "elrp")
    assert (
        overlap.reason
        == segment.reason
        == (
            "test (rank 1, 10 kW) and award (rank 2, 8 kW) are met inside elrp's maximum. "
            "test comes first: rank 1 before rank 2. "
            "Paid up to site load and exports (elrp)."
        )
    )


TOLD = {
    "one alone": (
        [ask("a", 17, 18, "2480.12", rank=2, programs=("NYISO-SCR", "CCA"))],
        "Serves SCR + CCA, rank 2, a commitment: its share of 2,480 kW.",
    ),
    "a stand-by call": (
        [ask("a", 17, 18, "0.04", programs=("CCA",))],
        "Serves CCA, rank 1, a commitment: its share of 0.04 kW.",
    ),
    "as much as it can": (
        [ask("a", 17, 18, None, rank=3, programs=("ELRP",), **VOLUNTARY, **OPEN)],
        "Serves ELRP, rank 3, voluntary: as much as it can.",
    ),
    "inside the larger share": (
        [ask("a", 17, 18, "8", programs=("CCA",)), ask("b", 17, 18, "9", rank=2, programs=("DLRP",))],
        "CCA (rank 1, 8 kW) is met inside DLRP's share (rank 2, 9 kW). "
        "CCA comes first: rank 1 before rank 2. Paid up to nomination.",
    ),
    "one program twice is told apart by start": (
        [ask("a", 16, 18, None, programs=("CCA",)), ask("b", 17, 18, rank=2, programs=("CCA",))],
        "CCA 17:00Z (rank 2, 8 kW) is met inside CCA 16:00Z's maximum. "
        "CCA 16:00Z comes first: rank 1 before rank 2. Paid up to nomination.",
    ),
    "one program twice at once is told apart by id": (
        [ask("a", 17, 18, programs=("CCA",)), ask("b", 17, 18, programs=("CCA",))],
        "CCA b (rank 1, 8 kW) is met inside CCA a's share (rank 1, 8 kW). "
        "CCA a comes first: the lower event id. Paid up to nomination.",
    ),
}


@pytest.mark.parametrize(("events", "reason"), TOLD.values(), ids=TOLD.keys())
def test_reason_names_programs_and_the_events_own_numbers(events, reason):
    (segment,) = plan_one(events).segments
    assert segment.reason.rpartition(" Then: ")[2] == reason


FIRST = {
    "rank": ([ask("b", 17, 18, "1", rank=1), ask("a", 16, 18, "9", rank=2)], "rank 1 before rank 2"),
    "commitment": (
        [ask("b", 17, 18, "1"), ask("a", 16, 18, "9", **VOLUNTARY)],
        "a commitment before a voluntary event",
    ),
    "larger": ([ask("b", 17, 18, None), ask("a", 16, 18, "9")], "the larger request"),
    "earlier": ([ask("b", 16, 18), ask("a", 17, 18)], "the earlier start"),
    "id": ([ask("b", 17, 18, event_id=9), ask("c", 17, 18, event_id=1)], "the lower event id"),
}


@pytest.mark.parametrize(("events", "because"), FIRST.values(), ids=FIRST.keys())
def test_ties_go_by_rank_commitment_size_start_and_id(events, because):
    overlap = plan_one(reversed(events)).overlaps[0]
    assert overlap.events[0].leap_event_id == "b"
    assert f"b comes first: {because}." in overlap.reason


def test_touching_events_are_no_overlap():
    assert plan_one([ask("a", 17, 18), ask("b", 18, 19)]).overlaps == ()


def test_unknown_cap_is_the_least_permissive():
    events = [ask("a", 17, 18, cap="up-to-the-moon"), ask("b", 17, 18, cap="up-to-nomination")]
    assert plan_one(events).segments[0].cap == "up-to-nomination"


RULED = {
    "hold stops a commitment": (
        [ruling(Action.HOLD, 17.5, 18)],
        ["17-17.5 discharge 8 a"],
        ["a 17.5-18 Held by ana"],
    ),
    "hold of its program": (
        [ruling(Action.HOLD, 17, 18, program="CCA")],
        [],
        ["a 17-18 Held by ana"],
    ),
    "force of its program runs with the program alone": (
        [ruling(Action.FORCE, 17, 20, watts=20_000, program="CCA")],
        ["17-18 discharge 20 a"],
        [],
    ),
    "override of another program": (
        [ruling(Action.HOLD, 17, 18, program="ELRP"), ruling(Action.FORCE, 17, 18, program="ELRP")],
        ["17-18 discharge 8 a"],
        [],
    ),
    "hold beats force": (
        [ruling(Action.FORCE, 17, 18), ruling(Action.HOLD, 17, 18, override_id=2)],
        [],
        ["a 17-18 Held by ana"],
    ),
    "opt-out does not break a commitment": ([ruling(Action.OPT_OUT, 17, 18)], ["17-18 discharge 8 a"], []),
    "confirmed opt-out breaks it": (
        [ruling(Action.OPT_OUT, 17, 18, is_commitment_confirmed=True)],
        [],
        ["a 17-18 Opted out by ana"],
    ),
    "a confirmed opt-out counts beside an unconfirmed one": (
        [
            ruling(Action.OPT_OUT, 17, 18),
            ruling(Action.OPT_OUT, 17, 18, override_id=2, is_commitment_confirmed=True),
        ],
        [],
        ["a 17-18 Opted out by ana"],
    ),
    "force sets the power": ([ruling(Action.FORCE, 17, 18, watts=20_000)], ["17-18 discharge 20 a"], []),
    "force without a number is the rated power": (
        [ruling(Action.FORCE, 17, 18)],
        ["17-18 discharge 100 a"],
        [],
    ),
    "force never exceeds the rated power": (
        [ruling(Action.FORCE, 17, 18, watts=900_000)],
        ["17-18 discharge 100 a"],
        [],
    ),
    "force below the request leaves it unserved": (
        [ruling(Action.FORCE, 17, 18, watts=5_000)],
        ["17-18 discharge 5"],
        ["a 17-18 The device is forced to 5 kW, below what"],
    ),
    "force runs without an event": (
        [ruling(Action.FORCE, 19, 20, watts=5_000)],
        ["17-18 discharge 8 a", "19-20 discharge 5"],
        [],
    ),
}


@pytest.mark.parametrize(("rulings", "expected", "unserved"), RULED.values(), ids=RULED.keys())
def test_a_persons_word_comes_last(rulings, expected, unserved):
    plan = plan_one([ask("a", 17, 18, programs=("CCA",))], rulings=tuple(rulings))
    assert lanes(plan) == expected
    told = [f"a {hours(each.window.start)}-{hours(each.window.end)} {each.reason}" for each in plan.unserved]
    assert len(told) == len(unserved)
    assert all(line.startswith(start) for line, start in zip(told, unserved, strict=True))


def test_opt_out_drops_only_what_is_voluntary():
    events = [ask("a", 17, 18, "8"), ask("b", 17, 18, "20", **VOLUNTARY)]
    plan = plan_one(events, rulings=(ruling(Action.OPT_OUT, 17, 18),))
    assert lanes(plan) == ["17-18 discharge 8 a"]
    assert plan.overlaps[0].not_served == (("b", "Opted out by ana: maintenance."),)
    assert "does not confirm" in plan.segments[0].reason


def test_programs_hold_leaves_the_other_program_of_the_slice():
    events = [ask("a", 17, 18, "20", programs=("CCA",)), ask("b", 17, 18, "8", programs=("ELRP",))]
    plan = plan_one(events, rulings=(ruling(Action.HOLD, 17, 18, program="CCA"),))
    assert lanes(plan) == ["17-18 discharge 8 b"]
    assert plan.overlaps[0].not_served == (("a", "Held by ana: maintenance."),)


ARMED = {
    "not armed": (None, []),
    "armed over the whole event": (20, ["17-19 discharge 8 t"]),
    "arming ends inside": (18, ["17-18 discharge 8 t"]),
    "arming ended before": (16, []),
}


@pytest.mark.parametrize(("until", "expected"), ARMED.values(), ids=ARMED.keys())
def test_integration_test_moves_only_an_armed_meter(until, expected):
    plan = plan_one(
        [ask("t", 17, 19, is_integration_test=True)],
        meter={"armed_until": None if until is None else at(until)},
    )
    assert lanes(plan) == expected
    served_until = plan.segments[-1].end if plan.segments else at(17)
    assert [(each.window.start, each.window.end) for each in plan.unserved] == (
        [] if served_until == at(19) else [(served_until, at(19))]
    )


def test_meter_that_is_not_dispatchable_moves_nothing_and_says_why():
    plan = plan_one([ask("a", 17, 18)], meter={"refusal": "The meter is archived."})
    assert plan.segments == ()
    assert [each.reason for each in plan.unserved] == ["The meter is archived."]


def test_merged_timeslots_have_one_reason():
    plan = plan_one([ask(f"e{hour:02}", hour, hour + 1, programs=("CCA",)) for hour in range(24)])
    assert [each.reason for each in plan.segments] == [
        "Serves CCA, rank 1, a commitment: its share of 8 kW, in each of 24 timeslots."
    ]


def test_running_segment_keeps_the_beginning_that_touching_timeslots_gave_it():
    events = [ask("a", -1, 0), ask("b", 0, 1), ask("c", -30, -26)]
    assert lanes(plan_one(events)) == ["-1-1 discharge 8 a+b"]
