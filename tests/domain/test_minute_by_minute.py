"""The whole plan of a device without a policy, against a second one that knows only a minute at a time."""

from __future__ import annotations

from random import Random

import pytest

from devices.domain.schedule import Mode
from dispatch.domain.consolidation import consolidate
from dispatch.domain.envelope import Request
from dispatch.domain.events import to_kw
from dispatch.domain.overruling import Action, Ruling
from dispatch.domain.plans import DevicePlan, Traits
from tests.domain.asks import NOW, ask, at, ruling

STEP = 5  # minutes between any two things that happen
SPAN = 90
CAPS = ["new-one", "up-to-nomination", "up-to-site-load", "grid-exports-allowed"]


@pytest.mark.parametrize("seed", range(150))
def test_every_minute_is_as_when_it_is_decided_alone(seed):
    random = Random(seed)  # noqa: S311 -- cases, not secrets
    requests = [_request(name, random) for name in "abcde"[: random.randint(0, 5)]]
    rulings = [_ruling(number, random) for number in range(random.choice([0, 0, 1, 2, 3]))]
    traits = Traits(random.choice([0, 3000, 9000]), random.random() < 0.7, random.random() < 0.5)
    plan = consolidate(requests, rulings=rulings, traits=traits, now=NOW)
    for minute in range(0, SPAN, STEP):
        expected = _decide(requests, rulings, traits, minute)
        assert _read(plan, requests, minute) == expected, minute


def _request(name: str, random: Random) -> Request:
    start, end = _window(random)
    event = ask(
        name,
        start,
        end,
        rank=random.randint(1, 2),
        is_voluntary=random.random() < 0.5,
        cap=random.choice(CAPS),
        programs=random.choice([("CCA",), ("ELRP",), ("CCA", "ELRP")]),
    )
    return Request(event, random.choice([None, 2000, 3000, 9000]), event.window)


def _ruling(number: int, random: Random) -> Ruling:
    return ruling(
        random.choice(list(Action)),
        *_window(random),
        watts=random.choice([None, 2000, 5000]),
        override_id=number,
        is_commitment_confirmed=random.random() < 0.5,
        program=random.choice(["", "", "CCA", "PJM"]),
    )


def _window(random: Random) -> tuple[float, float]:
    start, end = sorted(random.sample(range(0, SPAN + STEP, STEP), 2))
    return start / 60, end / 60


def _read(plan: DevicePlan, requests: list[Request], minute: int) -> tuple[object, ...]:
    """What a plan says of a minute: what the device does, which events are served and which are not."""
    now = at(minute / 60)
    names = {each.event.event_id: each.event.leap_event_id for each in requests if _is_live(each, now)}
    left = {names[each.event_id] for each in plan.unserved if _is_live(each, now)}
    doing = [each for each in plan.segments if each.start <= now < each.end]
    overlaps = [each for each in plan.overlaps if _is_live(each, now)]
    assert len(doing) <= 1
    assert len(overlaps) == (len(names) > 1)
    for overlap in overlaps:
        assert {each.leap_event_id for each in overlap.events} == set(names.values())
        assert {name for name, _ in overlap.not_served} == left
        assert set(overlap.served) == set(names.values()) - left
    if not doing:
        return (None, set(), left)
    served = set(doing[0].leap_event_ids) & set(names.values())
    does = (doing[0].mode, doing[0].target_kw, doing[0].cap, doing[0].is_commitment)
    return (does, served - left, left)


def _is_live(thing, now) -> bool:
    return thing.window.start <= now < thing.window.end


def _decide(
    requests: list[Request], rulings: list[Ruling], traits: Traits, minute: int
) -> tuple[object, ...]:
    """Say the same of one minute alone, in the plainest words."""
    now = at(minute / 60)
    live = [each for each in requests if _is_live(each, now)]
    said = [each for each in rulings if _is_live(each, now)]
    kept = [each for each in live if not any(_stops(ruling, each) for ruling in said)]
    about = {program for each in kept for program in each.event.programs}
    forces = [
        each for each in said if each.action is Action.FORCE and (not each.program or each.program in about)
    ]
    is_still = any(each.action is not Action.FORCE and not each.program for each in said)
    watts = max((_watts(each.watts, traits) for each in kept), default=0)
    if forces and not is_still:
        first = min(forces, key=lambda each: each.override_id)
        watts = min(_watts(first.watts, traits), traits.rated_watts)
        kept = [each for each in kept if _watts(each.watts, traits) <= watts]
    left = {each.event.leap_event_id for each in live if each not in kept}
    served = {each.event.leap_event_id for each in kept}
    if not kept and not (forces and not is_still and watts):
        return (None, set(), left)
    is_maximum = any(each.watts is None for each in kept) and not (forces and not is_still)
    cap = max((each.event.cap for each in kept), key=CAPS.index, default="")
    does = (
        _mode(traits, cap),
        None if is_maximum else to_kw(watts),
        cap,
        any(not each.event.is_voluntary for each in kept),
    )
    return (does, served, left)


def _stops(ruling: Ruling, request: Request) -> bool:
    if ruling.program and ruling.program not in request.event.programs:
        return False
    if ruling.action is Action.OPT_OUT:
        return request.event.is_voluntary or ruling.is_commitment_confirmed
    return ruling.action is Action.HOLD


def _watts(watts: int | None, traits: Traits) -> int:
    """What a power means where none is named."""
    return traits.rated_watts if watts is None else watts


def _mode(traits: Traits, cap: str) -> Mode:
    if not traits.is_storage:
        return Mode.CURTAIL
    return Mode.EXPORT if cap == "grid-exports-allowed" and traits.may_export else Mode.DISCHARGE
