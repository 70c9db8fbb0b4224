"""All devices at once: live events and their recipients → a plan per device, numbers per event.

Rule 1 here, 4 in `limiting`, 7 in `roster`, 9 in `levels`, the rest in `consolidation`. Events over for
less than a day are consolidated too, so that a segment merged from touching timeslots stays what it is
while it runs.

Events that share a set of recipients share its roster, and devices with the same requests, rulings and
traits share one plan: the cost follows the number of distinct cases, not of devices. Batteries, each with a
charge of its own, share all steps before that charge counts (`steps`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from dispatch.domain.asking import Asking
from dispatch.domain.envelope import Request
from dispatch.domain.events import Event, Window, is_live
from dispatch.domain.lacking import Lack, lacks
from dispatch.domain.levels import Policy, Shades, shade
from dispatch.domain.overlaps import cut
from dispatch.domain.overruling import Ruling
from dispatch.domain.plans import DevicePlan, Traits, UnservedSlice, still_to_come
from dispatch.domain.roster import Absence, MeterFacts, Roster
from dispatch.domain.sharing import Call, Part, Shared, Sliced, parts_by_device, share, share_again
from dispatch.domain.steps import Steps
from dispatch.domain.stretches import Stretches
from dispatch.domain.terms import Terms

LOOK_BACK: Final = timedelta(days=1)


@dataclass(frozen=True)
class Fleet:
    """Everything a plan is made of. `recipients`: the meter ids of each set, known to us or not.

    `failing`: devices that take no schedule at the moment.
    """

    events: Sequence[Event]
    recipients: Mapping[int, Sequence[str]]
    meters: Mapping[str, MeterFacts]
    devices: Mapping[int, Traits]
    rulings: Mapping[int, tuple[Ruling, ...]] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    terms: Mapping[int, Terms] = field(default_factory=dict)
    failing: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class EventNumbers:
    """What allocation says of an event; no shortfall where it asks for the maximum."""

    unmapped_meters: int
    shortfall_watts: int | None


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Plans by device; many devices share one plan object."""

    plans: dict[int, DevicePlan]
    numbers: dict[int, EventNumbers]


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """What devices that fare alike are asked, the plan for it, and what of it they leave undone.

    `plan` is whole, `to_come` without what is over.
    """

    requests: tuple[Request, ...]
    plan: DevicePlan
    to_come: DevicePlan
    lacks: frozenset[Lack]


def plan_fleet(fleet: Fleet, *, device_ids: Collection[int], now: datetime) -> FleetPlan:
    """Plan the given devices under all live events, and count what every event gets.

    1. Share the power among all whom no person stops, and plan the devices that have terms: what they leave
    undone is settled. 2. Share again: the others give it, and what failing devices would. 3. Plan all devices
    by that, but failing ones as if none failed, so that they go on being told the same. Nothing is shared a
    third time: what is still undone is the events' shortfall.
    """
    calls, shades = _calls(fleet, now=now)
    first = [share(call, shades=shades) for call in calls]
    limited = _plan_devices(first, fleet=fleet, device_ids=fleet.terms, now=now)
    absences = _absences(limited)
    told = [share_again(each, shades=shades, absences=absences) for each in first]
    final = told
    if fleet.failing:
        final = [
            share_again(each, shades=shades, absences=_with_failing(absences, each.call, fleet.failing))
            for each in first
        ]
    failing = fleet.failing.intersection(device_ids)
    others = [device_id for device_id in device_ids if device_id not in failing]
    cases = _plan_devices(told, fleet=fleet, device_ids=failing, earlier=limited, now=now)
    cases |= _plan_devices(final, fleet=fleet, device_ids=others, earlier=limited, now=now)
    more = _left_beyond(cases, limited, failing=failing)
    return FleetPlan(
        plans={device_id: cases[device_id].to_come for device_id in device_ids},
        numbers={
            each.event.event_id: EventNumbers(
                shared.call.roster.unmapped, _shortfall(each, more[each.event.event_id], now=now)
            )
            for shared in final
            for each in shared.asked
        },
    )


def _calls(fleet: Fleet, *, now: datetime) -> tuple[list[Call], Shades]:
    """Return the live events by set of recipients, and where they are left to twins."""
    live: defaultdict[int, list[Event]] = defaultdict(list)
    for event in sorted(fleet.events, key=lambda event: (event.leap_event_id, event.event_id)):
        if is_live(event, now=now - LOOK_BACK):
            live[event.recipients].append(event)
    calls = [
        Call(
            tuple(events),
            Roster(
                fleet.recipients[recipients],
                meters=fleet.meters,
                devices=fleet.devices,
                rulings=fleet.rulings,
            ),
        )
        for recipients, events in live.items()
    ]
    events = [event for call in calls for event in call.events]
    return calls, shade(events, recipients=fleet.recipients, policy=fleet.policy)


def _absences(cases: Mapping[int, _Case]) -> dict[int, list[Absence]]:
    """Return, by event, which devices give less than their share, and when."""
    alike: defaultdict[_Case, list[int]] = defaultdict(list)
    for device_id, case in cases.items():
        alike[case].append(device_id)
    absences: defaultdict[int, list[Absence]] = defaultdict(list)
    for case, device_ids in alike.items():
        away = frozenset(device_ids)
        for lack in case.lacks:
            absences[lack.event_id].append(Absence(lack.window, away, lack.given))
    return absences


def _with_failing(
    absences: Mapping[int, Sequence[Absence]], call: Call, failing: Collection[int]
) -> Mapping[int, Sequence[Absence]]:
    """Add that failing devices of a call give nothing, for all of its events."""
    away = call.roster.members(failing)
    if not away:
        return absences
    return {
        event.event_id: [*absences.get(event.event_id, ()), Absence(event.window, away)]
        for event in call.events
    }


def _left_beyond(
    cases: Mapping[int, _Case], earlier: Mapping[int, _Case], *, failing: Collection[int]
) -> Mapping[int, Sequence[tuple[Window, int]]]:
    """Return, by event, the watts that devices leave undone beyond what is shared anew; negative is less."""
    pairs = Counter(
        (earlier[device_id], case)
        for device_id, case in cases.items()
        if device_id in earlier and device_id not in failing and case is not earlier[device_id]
    )
    more: defaultdict[int, list[tuple[Window, int]]] = defaultdict(list)
    for (before, after), count in pairs.items():
        for undone, sign in ((after.lacks - before.lacks, 1), (before.lacks - after.lacks, -1)):
            for lack in undone:
                more[lack.event_id].append((lack.window, sign * count * (lack.share - lack.given)))
    return more


def _shortfall(sliced: Sliced, more: Sequence[tuple[Window, int]], *, now: datetime) -> int | None:
    """Return how short an event is in the worst of its slices that are not over; else in its last."""
    short = [
        (each.window, watts)
        for each, watts in zip(sliced.slices, sliced.short, strict=True)
        if watts is not None
    ]
    if more:
        short = [(window, sum(watts)) for window, watts in cut([*short, *more])]
    to_come = [watts for window, watts in short if window.end > now] or [watts for _, watts in short[-1:]]
    return max(0, *to_come) if to_come else None


def _plan_devices(
    shared: Iterable[Shared],
    *,
    fleet: Fleet,
    device_ids: Collection[int],
    earlier: Mapping[int, _Case] = MappingProxyType({}),
    now: datetime,
) -> dict[int, _Case]:
    """Plan each distinct case once and hand it to all its devices.

    What a device left undone `earlier` stays undone; where it is asked the same again, its case stays.
    """
    if not device_ids:
        return {}
    parts, asking = parts_by_device(shared), Asking()
    stretches, steps = Stretches(now=now), Steps(now=now)
    done: dict[tuple[object, ...], _Case] = {}
    cases = {}
    for device_id in device_ids:
        traits = fleet.devices[device_id]
        mine = tuple(parts.get(device_id, ()))
        rulings = _about(fleet.rulings.get(device_id, ()), mine)
        terms = fleet.terms.get(device_id)
        before = earlier.get(device_id)
        # The rated power bears on a plan only where a ruling may force it, or where limits weigh a maximum.
        rated = traits.rated_watts if rulings or terms else 0
        key = (mine, rulings, terms, traits.is_storage, traits.may_export, rated, before)
        if key not in done:
            done[key] = _plan_case(
                *asking.requests(mine),
                rulings=rulings,
                traits=traits,
                terms=terms,
                before=before,
                stretches=stretches,
                steps=steps,
                now=now,
            )
        cases[device_id] = done[key]
    return cases


def _about(rulings: tuple[Ruling, ...], parts: Sequence[Part]) -> tuple[Ruling, ...]:
    """Leave out what is said about programs that ask nothing of the device."""
    if not any(ruling.program for ruling in rulings):
        return rulings
    programs = {program for part in parts for each in part.asked for program in each.event.programs}
    return tuple(ruling for ruling in rulings if not ruling.program or ruling.program in programs)


def _plan_case(
    requests: tuple[Request, ...],
    refused: Sequence[UnservedSlice],
    *,
    rulings: tuple[Ruling, ...],
    traits: Traits,
    terms: Terms | None,
    before: _Case | None,
    stretches: Stretches,
    steps: Steps,
    now: datetime,
) -> _Case:
    """Consolidate what is asked, and add what is refused beforehand."""
    if before and before.requests == requests:
        return before
    if terms:
        settled = before.plan.unserved if before else ()
        plan = steps.consolidate(requests, rulings=rulings, traits=traits, terms=terms, settled=settled)
    else:
        plan = stretches.consolidate(requests, rulings=rulings, traits=traits)
    undone = frozenset(lacks(requests, plan, rulings=rulings) if terms else ())
    plan = replace(plan, unserved=(*plan.unserved, *refused)) if refused else plan
    return _Case(requests, plan, still_to_come(plan, now=now), undone)
