"""All devices at once: live events and their recipients → a plan per device, numbers per event.

Rule 1 here, 4 in `limiting`, 7 in `roster`, 9 in `levels`, the rest in `consolidation`. Events over for
less than a day are consolidated too, so that a segment merged from touching timeslots stays what it is
while it runs.

Events that share a set of recipients share its roster, and devices with the same requests, rulings and
traits share one plan: the cost follows the number of distinct cases, not of devices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from dispatch.domain import sentences
from dispatch.domain.consolidation import DevicePlan, Traits, UnservedSlice, consolidate, still_to_come
from dispatch.domain.envelope import Request
from dispatch.domain.events import MAXIMUM, Event, Window, asked_watts, is_live
from dispatch.domain.levels import Policy, Shade, Shades, lit, shade
from dispatch.domain.overruling import Ruling
from dispatch.domain.roster import MeterFacts, Roster
from dispatch.domain.terms import Terms

LOOK_BACK: Final = timedelta(days=1)


@dataclass(frozen=True)
class Fleet:
    """Everything a plan is made of. `recipients`: the meter ids of each set, known to us or not."""

    events: Sequence[Event]
    recipients: Mapping[int, Sequence[str]]
    meters: Mapping[str, MeterFacts]
    devices: Mapping[int, Traits]
    rulings: Mapping[int, tuple[Ruling, ...]] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    terms: Mapping[int, Terms] = field(default_factory=dict)


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


class _Sliced(NamedTuple):
    """An event, cut where it is shared anew because others go out or come back."""

    event: Event
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What the events of one set of recipients ask of a device. Equal ones are one object.

    `shares`: by slice of every event, in order. `shades`: by event, where it is left to its twin at the
    other level; empty where none is.
    """

    recipients: int
    shares: tuple[int | None, ...] = ()
    armed_until: datetime | None = None
    shades: tuple[tuple[Shade, ...], ...] = ()
    refusal: str = ""


def plan_fleet(fleet: Fleet, *, device_ids: Collection[int], now: datetime) -> FleetPlan:
    """Plan the given devices under all live events, and count what every event gets."""
    live: defaultdict[int, list[Event]] = defaultdict(list)
    for event in sorted(fleet.events, key=lambda event: (event.leap_event_id, event.event_id)):
        if is_live(event, now=now - LOOK_BACK):
            live[event.recipients].append(event)
    shades = shade(
        [event for of in live.values() for event in of], recipients=fleet.recipients, policy=fleet.policy
    )
    parts: defaultdict[int, list[_Part]] = defaultdict(list)
    numbers: dict[int, EventNumbers] = {}
    asked: dict[int, list[_Sliced]] = {}
    for recipients, events in live.items():
        roster = Roster(
            fleet.recipients[recipients], meters=fleet.meters, devices=fleet.devices, rulings=fleet.rulings
        )
        asked[recipients] = _share(
            recipients, events, roster=roster, shades=shades, parts=parts, numbers=numbers
        )
    plans = _plan_distinct(parts, asked, fleet=fleet, device_ids=device_ids, now=now)
    return FleetPlan(plans, numbers)


def _share(
    recipients: int,
    events: Sequence[Event],
    *,
    roster: Roster,
    shades: Shades,
    parts: defaultdict[int, list[_Part]],
    numbers: dict[int, EventNumbers],
) -> list[_Sliced]:
    """Allocate the events of one set, and note each device's part."""
    sliced, columns = _allocate(events, roster=roster, numbers=numbers)
    armed = roster.armed_until if any(event.is_integration_test for event in events) else {}
    shaded = roster.shaded(events, shades)
    distinct: dict[object, _Part] = {}
    for device_id, mine in zip(roster.device_ids, zip(*columns, strict=True), strict=True):
        key = (mine, armed.get(device_id), shaded.get(device_id, ()))
        if key not in distinct:
            distinct[key] = _Part(recipients, *key)
        parts[device_id].append(distinct[key])
    for device_id, refusal in roster.refusals.items():
        parts[device_id].append(distinct.setdefault(refusal, _Part(recipients, refusal=refusal)))
    return sliced


def _allocate(
    events: Sequence[Event], *, roster: Roster, numbers: dict[int, EventNumbers]
) -> tuple[list[_Sliced], list[Sequence[int | None]]]:
    """Return the events' slices, and the devices' shares in each. An event is as short as its worst slice."""
    done: dict[tuple[int | None, frozenset[int]], tuple[Sequence[int | None], int | None]] = {}
    sliced, columns = [], []
    for event in events:
        total, slices, short = asked_watts(event), roster.slices(event), []
        for _, out in slices:
            if (total, out) not in done:
                done[total, out] = roster.allocate(total, out=out)
            shares, shortfall = done[total, out]
            columns.append(shares)
            short.append(shortfall or 0)
        sliced.append(_Sliced(event, tuple(window for window, _ in slices)))
        numbers[event.event_id] = EventNumbers(roster.unmapped, None if total is MAXIMUM else max(short))
    return sliced, columns


def _plan_distinct(
    parts: Mapping[int, list[_Part]],
    asked: Mapping[int, list[_Sliced]],
    *,
    fleet: Fleet,
    device_ids: Collection[int],
    now: datetime,
) -> dict[int, DevicePlan]:
    """Plan each distinct case once and hand the plan to all its devices."""
    done: dict[tuple[object, ...], DevicePlan] = {}
    plans = {}
    for device_id in device_ids:
        traits = fleet.devices[device_id]
        mine = tuple(parts.get(device_id, ()))
        rulings = _about(fleet.rulings.get(device_id, ()), mine, asked)
        terms = fleet.terms.get(device_id)
        # The rated power bears on a plan only where a ruling may force it, or where limits weigh a maximum.
        rated = traits.rated_watts if rulings or terms else 0
        case = (mine, rulings, terms, traits.is_storage, traits.may_export, rated)
        if case not in done:
            plan = _plan_case(mine, asked, rulings=rulings, traits=traits, terms=terms, now=now)
            done[case] = still_to_come(plan, now=now)
        plans[device_id] = done[case]
    return plans


def _about(
    rulings: tuple[Ruling, ...], parts: Sequence[_Part], asked: Mapping[int, list[_Sliced]]
) -> tuple[Ruling, ...]:
    """Leave out what is said about programs that ask nothing of the device."""
    if not any(ruling.program for ruling in rulings):
        return rulings
    programs = {
        program
        for recipients in {part.recipients for part in parts}
        for each in asked[recipients]
        for program in each.event.programs
    }
    return tuple(ruling for ruling in rulings if not ruling.program or ruling.program in programs)


def _plan_case(
    parts: Sequence[_Part],
    asked: Mapping[int, list[_Sliced]],
    *,
    rulings: tuple[Ruling, ...],
    traits: Traits,
    terms: Terms | None,
    now: datetime,
) -> DevicePlan:
    """Turn parts into requests and refusals, and consolidate them."""
    requests: list[Request] = []
    refused: list[UnservedSlice] = []
    for part in parts:
        shares = iter(part.shares)
        for index, (event, windows) in enumerate(asked[part.recipients]):
            if part.refusal:
                refused.append(UnservedSlice(event.event_id, event.window, part.refusal))
                continue
            shades = part.shades[index] if part.shades else ()
            refused += [
                UnservedSlice(event.event_id, each.window, each.reason, is_shaded=True) for each in shades
            ]
            for slice_, watts in _pieces(windows, shares):
                for window in lit(slice_, _clipped(shades, slice_)):
                    request = Request(event, watts, window)
                    moved, still = _ask(request, armed_until=part.armed_until)
                    requests += moved
                    refused += still
    plan = consolidate(requests, rulings=rulings, traits=traits, terms=terms, now=now)
    return replace(plan, unserved=(*plan.unserved, *refused)) if refused else plan


def _pieces(windows: Iterable[Window], shares: Iterator[int | None]) -> Iterable[tuple[Window, int | None]]:
    """Give an event's windows their shares, touching ones with equal shares as one."""
    for watts, alike in groupby(((window, next(shares)) for window in windows), key=itemgetter(1)):
        run = [window for window, _ in alike]
        yield Window(run[0].start, run[-1].end), watts


def _clipped(shades: Sequence[Shade], window: Window) -> list[Shade]:
    """Return what of shades lies in a window."""
    return [
        Shade(Window(start, end), each.reason)
        for each in shades
        if (start := max(each.window.start, window.start)) < (end := min(each.window.end, window.end))
    ]


def _ask(asked: Request, *, armed_until: datetime | None) -> tuple[list[Request], list[UnservedSlice]]:
    """Return what of a request moves the device, and what does not."""
    if asked.watts == 0:
        return [], [UnservedSlice(asked.event.event_id, asked.window, sentences.no_share())]
    if asked.event.is_integration_test:
        return _test(asked, armed_until=armed_until)
    return [asked], []


def _test(asked: Request, *, armed_until: datetime | None) -> tuple[list[Request], list[UnservedSlice]]:
    """Let an integration test move the device only until its meter's arming ends."""
    start, end = asked.window.start, asked.window.end
    turn = min(max(armed_until, start), end) if armed_until else start
    moved = [replace(asked, window=Window(start, turn))] if start < turn else []
    reason = sentences.not_armed(armed_until)
    still = [UnservedSlice(asked.event.event_id, Window(turn, end), reason)] if turn < end else []
    return moved, still
