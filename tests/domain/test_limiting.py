"""Rule 4: what runs under a policy's limits, as tables; and against every possible choice of small cases."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import product
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.domain.events import Window
from dispatch.domain.limiting import QUARTER, Ask, Slot, cut_atoms, limit, windows_of
from dispatch.domain.overruling import Action
from dispatch.domain.running import choose
from dispatch.domain.terms import Hours, Limits, Terms
from tests.domain.asks import ask, at, hours, lanes, plan_one, ruling

HOUR = timedelta(hours=1)
CASES = int(os.environ.get("BRUTE_FORCE_CASES", "2000"))
VOLUNTARY: dict[str, Any] = {"is_voluntary": True}
HOME = Limits("Home battery v3", longest_run=4 * HOUR, rest=HOUR, a_day=4 * HOUR)


def terms(*, zone: str = "UTC", ran: tuple[tuple[float, float], ...] = (), **limits: object) -> Terms:
    windows = tuple(Window(at(start), at(end)) for start, end in ran)
    return Terms(zone, Limits("Home battery v3", **limits), ran=windows)  # type: ignore[arg-type]


def told(plan) -> list[str]:
    return [f"{hours(each.window.start)}-{hours(each.window.end)} {each.reason}" for each in plan.unserved]


RUNS = {
    "all that fits": ({"a_day": 4 * HOUR}, [ask("a", 17, 20)], ["17-20 discharge 8 a"]),
    "the best four of six hours": (
        {"longest_run": 4 * HOUR, "rest": 3 * HOUR},
        [ask("a", 14, 17, "5"), ask("b", 17, 20, "9")],
        ["16-17 discharge 5 a", "17-20 discharge 9 b"],
    ),
    "the first of equal hours": ({"a_day": 2 * HOUR}, [ask("a", 14, 20)], ["14-16 discharge 8 a"]),
    "a commitment before more kWh of a voluntary event": (
        {"a_day": HOUR},
        [ask("a", 14, 15, "90", **VOLUNTARY), ask("b", 17, 18, "1", rank=3)],
        ["17-18 discharge 1 b"],
    ),
    "the better rank before more kWh": (
        {"events_a_day": 1, "rest": HOUR},
        [ask("a", 10, 14, "90", rank=2), ask("b", 17, 18, "1")],
        ["17-18 discharge 1 b"],
    ),
    "the better rank of two commitments, whatever a voluntary event beside one has": (
        {"a_day": HOUR},
        [ask("a", 14, 15, "9", rank=3), ask("b", 14, 15, "90", **VOLUNTARY), ask("c", 17, 18, "1", rank=2)],
        ["17-18 discharge 1 c"],
    ),
    "kWh of commitments before more of a voluntary event beside one": (
        {"a_day": HOUR},
        [ask("a", 14, 15, "1"), ask("b", 14, 15, None, rank=3, **VOLUNTARY), ask("c", 17, 18, "2")],
        ["17-18 discharge 2 c"],
    ),
    "two commitments in an hour before one": (
        {"a_day": HOUR},
        [ask("a", 14, 15, "5"), ask("b", 17, 18, "4"), ask("c", 17, 18, "4", rank=1)],
        ["17-18 discharge 4 b+c"],
    ),
    "two runs keep their rest": (
        {"rest": 2 * HOUR},
        [ask("a", 14, 15), ask("b", 16, 18, "7")],
        ["14-15 discharge 8 a", "17-18 discharge 7 b"],
    ),
    "touching dispatches are one event": (
        {"events_a_day": 1},
        [ask("a", 14, 15), ask("b", 15, 16, "9"), ask("c", 18, 19, "7")],
        ["14-15 discharge 8 a", "15-16 discharge 9 b"],
    ),
    "every day anew": (
        {"a_day": HOUR},
        [ask("a", 22, 26)],
        ["22-23 discharge 8 a", "24-25 discharge 8 a"],
    ),
    "a day of the site": (
        {"a_day": HOUR, "zone": "America/Los_Angeles"},  # whose day ends at 7:00 UTC
        [ask("a", 5, 9)],
        ["5-6 discharge 8 a", "7-8 discharge 8 a"],
    ),
    "nothing in a blackout": (
        {"blackouts": (Hours(time(15), time(16)),)},
        [ask("a", 14, 17)],
        ["14-15 discharge 8 a", "16-17 discharge 8 a"],
    ),
    "nothing too small": (
        {"ignore_below_watts": 500},
        [ask("a", 14, 15, "0.4"), ask("b", 15, 16, "0.5")],
        ["15-16 discharge 0.5 b"],
    ),
    "nothing before the notice has passed": (
        {"notice": HOUR},
        [ask("a", 14, 16, heard_at=at(13.5)), ask("b", 17, 18, heard_at=at(17))],
        ["14.5-16 discharge 8 a"],
    ),
}


@pytest.mark.parametrize(("limits", "events", "expected"), RUNS.values(), ids=RUNS.keys())
def test_what_runs_is_the_best_within_the_limits(limits, events, expected):
    assert lanes(plan_one(events, terms=terms(**limits))) == expected


TOLD = {
    "hours a day": (
        {"a_day": 4 * HOUR},
        [ask("cca", 12, 16, rank=2), ask("elrp", 18, 19, **VOLUNTARY)],
        ["18-19 Dropped: 4 h a day are used by cca (rank 2). Policy Home battery v3."],
    ),
    "longest run": (
        {"longest_run": 2 * HOUR, "rest": HOUR},
        [ask("cca", 12, 14), ask("elrp", 14, 15, rank=2)],
        ["14-15 Dropped: 2 h in a run are used by cca (rank 1). Policy Home battery v3."],
    ),
    "events a day": (
        {"events_a_day": 1},
        [ask("cca", 12, 14), ask("elrp", 18, 19, rank=2)],
        ["18-19 Dropped: 1 event a day is used by cca (rank 1). Policy Home battery v3."],
    ),
    "events a day, into the next day": (
        {"events_a_day": 1},
        [ask("cca", 12, 14), ask("elrp", 23, 25, rank=2)],
        ["23-24 Dropped: 1 event a day is used by cca (rank 1). Policy Home battery v3."],
    ),
    "rest": (
        {"rest": HOUR},
        [ask("cca", 12, 14), ask("elrp", 14.5, 15, rank=2)],
        ["14.5-15 Dropped: it rests 1 h between runs beside cca (rank 1). Policy Home battery v3."],
    ),
    "blackout": (
        {"blackouts": (Hours(time(22), time(6), frozenset({0})),)},  # Monday night into the day of the tests
        [ask("cca", 5, 7)],
        ["5-6 Dropped: nothing runs at this time of its day. Policy Home battery v3."],
    ),
    "too small": (
        {"ignore_below_watts": 500},
        [ask("cca", 12, 13, "0.1")],
        ["12-13 Dropped: 0.1 kW is below the 0.5 kW from which it moves. Policy Home battery v3."],
    ),
    "notice": (
        {"notice": 1.5 * HOUR},
        [ask("cca", 12, 14, heard_at=at(11))],
        [
            "12-12.5 Dropped: it needs 1.5 h of notice and was told at 2026-07-21 11:00Z. "
            "Policy Home battery v3."
        ],
    ),
}


@pytest.mark.parametrize(("limits", "events", "expected"), TOLD.values(), ids=TOLD.keys())
def test_what_does_not_run_says_which_limit_and_what_uses_it(limits, events, expected):
    assert told(plan_one(events, terms=terms(**limits))) == expected


def test_a_device_of_unknown_power_drops_the_voluntary_event_too():
    events = [ask("a", 14, 15, None, cap="x", **VOLUNTARY), ask("b", 17, 18, None, cap="x")]
    assert lanes(plan_one(events, terms=terms(a_day=HOUR), rated_watts=0)) == ["17-18 discharge max b"]


def test_what_ran_earlier_today_counts():
    plan = plan_one([ask("a", 17, 20)], terms=terms(a_day=4 * HOUR, ran=((10, 12.5),)), now=at(13))
    assert lanes(plan) == ["17-18.5 discharge 8 a"]
    assert told(plan) == [
        "18.5-20 Dropped: 4 h a day are used by what ran earlier and a (rank 1). Policy Home battery v3."
    ]


def test_a_run_in_progress_keeps_its_beginning_and_its_end():
    limits = {"longest_run": 2 * HOUR, "rest": 4 * HOUR}
    before = plan_one([ask("a", 17, 20)], terms=terms(**limits), now=at(13))
    during = plan_one([ask("a", 17, 20)], terms=terms(**limits, ran=((17, 17.6),)), now=at(17.6))
    assert lanes(during) == lanes(before) == ["17-19 discharge 8 a"]


def test_a_forced_run_is_not_dropped_but_counts():
    rulings = (ruling(Action.FORCE, 10, 13, watts=5000),)
    plan = plan_one([ask("a", 17, 20)], terms=terms(a_day=2 * HOUR), rulings=rulings)
    assert lanes(plan) == ["10-13 discharge 5"]


def test_a_dropped_overlap_says_why_of_both():
    events = [ask("a", 17, 18), ask("b", 17, 18, "9", rank=2), ask("c", 12, 16, "50")]
    plan = plan_one(events, terms=Terms("UTC", HOME))
    (overlap,) = plan.overlaps
    reason = "Dropped: 4 h a day are used by c (rank 1). Policy Home battery v3."
    assert (overlap.served, overlap.reason) == ((), reason)
    assert overlap.not_served == (("a", reason), ("b", reason))


SPRING, AUTUMN, ORDINARY = (datetime(2026, *day, tzinfo=UTC) for day in ((3, 8), (11, 1), (7, 1)))
NIGHTS = {
    # night in Los Angeles, blackout, hours in UTC
    "an hour that does not exist": (SPRING, ("01:00", "04:00"), (9, 11)),
    "an hour that comes twice": (AUTUMN, ("01:00", "04:00"), (8, 12)),
    "an ordinary night": (ORDINARY, ("01:00", "04:00"), (8, 11)),
    "the missing hour itself": (SPRING, ("02:00", "03:00"), None),
    "within the missing hour": (SPRING, ("02:15", "02:45"), None),
    "until a time that does not exist": (SPRING, ("01:30", "02:30"), (9.5, 10)),
    "from a time that does not exist": (SPRING, ("02:15", "03:15"), (10, 10.25)),
    "from the missing hour's end": (SPRING, ("03:00", "03:30"), (10, 10.5)),
    "until the hour that comes twice": (AUTUMN, ("00:30", "01:00"), (7.5, 9)),
}


@pytest.mark.parametrize(("day", "blackout", "expected"), NIGHTS.values(), ids=NIGHTS.keys())
def test_blackout_follows_the_local_clock_on_nights_of_change(day, blackout, expected):
    start, end = map(time.fromisoformat, blackout)
    span = Window(day + 7 * HOUR, day + 20 * HOUR)
    found = windows_of(
        [Hours(start, end, frozenset({day.weekday()}))], span=span, zone=ZoneInfo("America/Los_Angeles")
    )
    assert [((each.start - day) / HOUR, (each.end - day) / HOUR) for each in found] == (
        [expected] if expected else []
    )


@pytest.mark.parametrize(("day", "long"), [((2026, 3, 8), 23), ((2026, 11, 1), 25)])
def test_day_of_change_has_its_own_length(day, long):
    zone = ZoneInfo("America/Los_Angeles")
    midnight = datetime(*day, tzinfo=zone).astimezone(UTC)
    slot = Slot(Window(midnight, midnight + 30 * HOUR), 1000, (Ask(True, 1, 1000),), ("a",))
    limits = Limits("x", a_day=22 * HOUR)
    outcomes = limit([slot], limits=limits, zone="America/Los_Angeles", now=midnight - HOUR)
    runs = [each.window for each in outcomes if not each.reason]
    again = next(window.start for window in runs if window.start >= midnight + 22 * HOUR)
    assert again == midnight + long * HOUR


def test_no_choice_of_small_cases_is_better():
    """CASES random ones; the environment's BRUTE_FORCE_CASES asks for more."""
    random = Random(4)  # noqa: S311 -- cases, not secrets
    for number in range(CASES):
        slots, under, now = _case(random)
        atoms = _atoms(slots, under, now)
        chosen = choose(atoms, limits=under.limits)
        best = max(
            (_worth(atoms, slots, choice), choice)
            for choice in product(*[(True, False) if atom.must is None else (atom.must,) for atom in atoms])
            if _keeps(atoms, choice, under.limits)
        )
        assert _keeps(atoms, chosen, under.limits), number
        assert (_worth(atoms, slots, chosen), tuple(chosen)) == best, number


@pytest.mark.parametrize("seed", range(40))
def test_what_runs_runs_again_when_only_it_is_asked_and_each_refusal_has_a_reason(seed):
    slots, under, now = _case(Random(seed))  # noqa: S311 -- cases, not secrets
    outcomes = _limit(slots, under, now)
    parts = [(each.window, each.slot) for each in outcomes]
    assert _joined(parts) == [(slot.window, number) for number, slot in enumerate(slots)]
    kept = [replace(slots[each.slot], window=each.window) for each in outcomes if not each.reason]
    assert not any(each.reason for each in _limit(kept, under, now))


def test_a_long_row_at_odd_minutes_keeps_the_limits_and_uses_the_hours():
    """Too long for the best choice of all: what is worth most is followed, which is bounded."""
    length = timedelta(minutes=11)
    slots = [
        _slot(at(0) + n * length, at(0) + (n + 1) * length, [Ask(n % 2 == 0, n % 10, n % 9 + 1)], name=str(n))
        for n in range(400)
    ]
    limits = Limits("Any v1", longest_run=2 * HOUR, a_day=4 * HOUR, events_a_day=6, rest=QUARTER)
    atoms = _atoms(slots, Terms("UTC", limits), at(-1))
    chosen = choose(atoms, limits=limits)
    assert _keeps(atoms, chosen, limits)
    used = Counter({atom.day: timedelta() for atom in atoms})
    for atom, runs in zip(atoms, chosen, strict=True):
        used[atom.day] += atom.length * runs
    *whole_days, _ = used.values()
    assert min(whole_days) > 3.75 * HOUR


ASKS = st.builds(Ask, st.booleans(), st.integers(1, 3), st.integers(1, 9000))


@st.composite
def limited(draw):
    """Slices of whole quarter-hours over two days, and limits."""
    slots, start = [], at(0)
    for name in range(draw(st.integers(1, 8))):
        start += draw(st.integers(0, 24)) * QUARTER
        end = start + draw(st.integers(1, 24)) * QUARTER
        asks = draw(st.lists(ASKS, min_size=1, max_size=3))
        slots.append(_slot(start, end, asks, name=str(name)))
        start = end
    run = draw(st.one_of(st.none(), st.integers(1, 16)))
    limits = Limits(
        "Any v1",
        longest_run=run and run * QUARTER,
        a_day=draw(st.one_of(st.none(), st.integers(1, 32).map(lambda number: number * QUARTER))),
        events_a_day=draw(st.one_of(st.none(), st.integers(1, 3))),
        rest=draw(st.integers(1 if run else 0, 12)) * QUARTER,
    )
    return slots, Terms(draw(st.sampled_from(["UTC", "America/Los_Angeles", "Asia/Kathmandu"])), limits)


@settings(max_examples=150)
@given(limited())
def test_limits_are_never_exceeded_and_cost_no_commitment_for_a_voluntary_event(case):
    slots, under = case
    now = at(-1)
    atoms = _atoms(slots, under, now)
    chosen = choose(atoms, limits=under.limits)
    assert _keeps(atoms, chosen, under.limits)
    committed = [
        replace(slot, asks=asks)
        for slot in slots
        if (asks := tuple(ask for ask in slot.asks if ask.is_commitment))
    ]
    alone = _atoms(committed, under, now)
    best = _worth(alone, committed, choose(alone, limits=under.limits))
    assert _worth(atoms, slots, chosen)[: len(best)] >= best


def _slot(start: datetime, end: datetime, asks: list[Ask], *, name: str) -> Slot:
    return Slot(Window(start, end), max(ask.watts for ask in asks), tuple(asks), (name,))


def _joined(parts: list[tuple[Window, int]]) -> list[tuple[Window, int]]:
    """Put together the parts of each slot."""
    joined: list[tuple[Window, int]] = []
    for window, number in parts:
        if joined and joined[-1][1] == number and joined[-1][0].end == window.start:
            window = Window(joined.pop()[0].start, window.end)
        joined.append((window, number))
    return joined


def _atoms(slots, under, now):
    return cut_atoms(slots, limits=under.limits, zone=ZoneInfo(under.zone), ran=under.ran, now=now)


def _limit(slots, under, now):
    return limit(slots, limits=under.limits, zone=under.zone, ran=under.ran, now=now)


def _case(random: Random) -> tuple[list[Slot], Terms, datetime]:
    """A few slices of quarter-hours around midnight, with limits that hurt."""
    slots: list[Slot] = []
    start = at(22) + timedelta(minutes=random.choice([0, 5]))
    now = start + timedelta(minutes=random.choice([-30, 0, 20]))
    ran = (Window(now - HOUR, now - timedelta(minutes=random.choice([0, 15]))),)
    while (total := sum((one.window.end - one.window.start for one in slots), timedelta())) < 1.75 * HOUR:
        start += timedelta(minutes=random.choice([0, 0, 15, 40]))
        end = start + min(timedelta(minutes=random.choice([15, 20, 30, 45])), 2 * HOUR - total)
        asks = [
            Ask(random.random() < 0.5, random.randint(1, 2), random.choice([1, 1000, 2500]))
            for _ in range(random.choice([1, 1, 2]))
        ]
        slots.append(_slot(start, end, asks, name=str(len(slots))))
        start = end
    minutes = [None, 15, 30, 45, 60]
    run, day = (None if (one := random.choice(minutes)) is None else one * HOUR / 60 for _ in range(2))
    limits = Limits(
        "Case v1",
        longest_run=run,
        a_day=day,
        events_a_day=random.choice([None, 1, 2]),
        rest=timedelta(minutes=random.choice([15, 30, 45] if run else [0, 30])),
    )
    return slots, Terms(random.choice(["UTC", "Europe/Berlin"]), limits, ran=random.choice([(), ran])), now


def _worth(atoms, slots, choice) -> list[float]:
    """kWh by class, the best class first."""
    classes: dict[tuple[bool, int], int] = {}
    for atom, runs in zip(atoms, choice, strict=True):
        if atom.slot is None:
            continue
        for each in slots[atom.slot].asks:
            key = (not each.is_commitment, each.rank)
            energy = each.watts * int((atom.window.end - atom.window.start).total_seconds())
            classes[key] = classes.get(key, 0) + energy * runs
    return [classes[key] for key in sorted(classes)]


def _keeps(atoms, choice, limits) -> bool:
    """Say whether what is free in a choice keeps the limits, in the plainest words."""
    runs: list[list[int]] = []
    for index, on in enumerate(choice):
        if not on:
            continue
        if runs and runs[-1][-1] == index - 1 and atoms[index - 1].window.end == atoms[index].window.start:
            runs[-1].append(index)
        else:
            runs.append([index])
    used: dict[int, timedelta] = {}
    begun: dict[int, int] = {}
    earlier = None
    for run in runs:
        day = atoms[run[0]].day
        begun[day] = begun.get(day, 0) + 1
        length = timedelta()
        is_free = atoms[run[0]].must is None
        if is_free and earlier and atoms[run[0]].window.start - earlier < limits.rest:
            return False
        if is_free and limits.events_a_day and begun[day] > limits.events_a_day:
            return False
        for index in run:
            atom = atoms[index]
            length += atom.length
            used[atom.day] = used.get(atom.day, timedelta()) + atom.length
            if atom.must is None and (
                (limits.longest_run and length > limits.longest_run)
                or (limits.a_day and used[atom.day] > limits.a_day)
            ):
                return False
        earlier = atoms[run[-1]].window.end
    return True
