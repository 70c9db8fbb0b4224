"""All devices at once: live events and their recipients → a plan per device, numbers per event.

Rules 1 and 7 here, 4 in `limiting`, 9 in `levels`, the rest in `consolidation`. Events over for less than a
day are consolidated too, so that a segment merged from touching timeslots stays what it is while it runs.

Events that share a set of recipients share its roster, and devices with the same requests, rulings and
traits share one plan: the cost follows the number of distinct cases, not of devices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from dispatch.domain import sentences
from dispatch.domain.allocation import Allocation, Claim, Spreader, spread
from dispatch.domain.consolidation import DevicePlan, Traits, UnservedSlice, consolidate, still_to_come
from dispatch.domain.envelope import Request
from dispatch.domain.events import MAXIMUM, Event, Window, asked_watts, is_live
from dispatch.domain.levels import Policy, Shade, Shades, common_shades, lit, shade
from dispatch.domain.overruling import Ruling
from dispatch.domain.policies import Terms

LOOK_BACK: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """A meter known to the portal. `refusal`: why it is not dispatchable, empty when it is."""

    meter_id: str
    device_ids: tuple[int, ...]
    nomination_watts: int | None = None
    refusal: str = ""
    armed_until: datetime | None = None


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


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What the events of one set of recipients ask of a device. Equal ones are one object.

    `shades`: by event, where it is left to its twin at the other level; empty where none is.
    """

    recipients: int
    shares: tuple[int | None, ...] = ()
    armed_until: datetime | None = None
    shades: tuple[tuple[Shade, ...], ...] = ()
    refusal: str = ""


class Roster:
    """Who answers for a set of recipients: each device once, behind its first dispatchable meter.

    A device behind two meters of the set counts with one of them, so that its power is not promised
    twice. `device_ids` is in the order of the shares.
    """

    def __init__(self, meter_ids: Sequence[str], *, fleet: Fleet) -> None:
        """Find the devices of the meters, in order of meter id."""
        known = [fleet.meters[meter_id] for meter_id in sorted(meter_ids) if meter_id in fleet.meters]
        self.unmapped = len(meter_ids) - sum(1 for meter in known if meter.device_ids)
        self._homes: list[tuple[MeterFacts, tuple[int, ...]]] = []
        self._devices = fleet.devices
        self.armed_until: dict[int, datetime] = {}
        homed: set[int] = set()
        for meter in known:
            if meter.refusal:
                continue
            device_ids = tuple([device_id for device_id in meter.device_ids if device_id not in homed])
            homed.update(device_ids)
            self._homes.append((meter, device_ids))
            self._arm(meter)
        self.device_ids = [device_id for _, device_ids in self._homes for device_id in device_ids]
        self.refusals = {
            device_id: meter.refusal
            for meter in reversed(known)
            for device_id in meter.device_ids
            if device_id not in homed
        }

    def _arm(self, meter: MeterFacts) -> None:
        """Note how long a device may move for an integration test: as long as any of its meters."""
        if meter.armed_until is None:
            return
        for device_id in meter.device_ids:
            self.armed_until[device_id] = max(
                self.armed_until.get(device_id, meter.armed_until), meter.armed_until
            )

    def shaded(self, events: Sequence[Event], shades: Shades) -> dict[int, tuple[tuple[Shade, ...], ...]]:
        """Return the shades of devices that have any, by event; all dispatchable meters must be shaded."""
        if not any(event.event_id in shades for event in events):
            return {}
        meters_of: defaultdict[int, list[str]] = defaultdict(list)
        for meter, _ in self._homes:
            for device_id in meter.device_ids:
                meters_of[device_id].append(meter.meter_id)
        of_events = [shades.get(event.event_id, {}) for event in events]
        return {
            device_id: mine
            for device_id, meter_ids in meters_of.items()
            if any(
                mine := tuple(
                    [common_shades([each.get(meter_id, ()) for meter_id in meter_ids]) for each in of_events]
                )
            )
        }

    @cached_property
    def _claims(self) -> list[tuple[Claim, ...]]:
        """The devices' claims, meter by meter: by rated power."""
        claims = {device_id: Claim(watts, watts) for device_id, watts in self._rated.items()}
        return [tuple([claims[device_id] for device_id in device_ids]) for _, device_ids in self._homes]

    @cached_property
    def _rated(self) -> dict[int, int]:
        return {device_id: self._devices[device_id].rated_watts for device_id in self.device_ids}

    @cached_property
    def _is_one_each(self) -> bool:
        return all(len(device_ids) == 1 for _, device_ids in self._homes)

    @cached_property
    def _spreader(self) -> Spreader:
        """Spreads over the meters: by nomination (at least a watt of it), else by rated power."""
        claims = []
        for (meter, _), devices in zip(self._homes, self._claims, strict=True):
            limit = sum(claim.limit for claim in devices)
            weight = limit if meter.nomination_watts is None else max(meter.nomination_watts, 1)
            claims.append(Claim(weight, limit))
        return Spreader(claims)

    def allocate(self, total: int | None) -> tuple[Sequence[int | None], int | None]:
        """Return the devices' shares of an event's power, and what is short of it."""
        if total is MAXIMUM:
            return [MAXIMUM] * len(self.device_ids), None
        by_meter = self._spreader.spread(total)
        if self._is_one_each:
            return by_meter.shares, by_meter.shortfall
        return self._within_meters(by_meter), by_meter.shortfall

    def _within_meters(self, by_meter: Allocation) -> list[int]:
        """Spread each meter's share over its devices; equal cases are computed once."""
        done: dict[tuple[int, tuple[Claim, ...]], tuple[int, ...]] = {}
        shares: list[int] = []
        for case in zip(by_meter.shares, self._claims, strict=True):
            if case not in done:
                done[case] = spread(*case)
            shares += done[case]
        return shares


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
    for recipients, events in live.items():
        roster = Roster(fleet.recipients[recipients], fleet=fleet)
        _share(recipients, events, roster=roster, shades=shades, parts=parts, numbers=numbers)
    plans = _plan_distinct(parts, live, fleet=fleet, device_ids=device_ids, now=now)
    return FleetPlan(plans, numbers)


def _share(
    recipients: int,
    events: Sequence[Event],
    *,
    roster: Roster,
    shades: Shades,
    parts: defaultdict[int, list[_Part]],
    numbers: dict[int, EventNumbers],
) -> None:
    """Allocate the events of one set, and note each device's part."""
    allocated = {total: roster.allocate(total) for total in {asked_watts(event) for event in events}}
    columns = []
    for event in events:
        shares, shortfall = allocated[asked_watts(event)]
        columns.append(shares)
        numbers[event.event_id] = EventNumbers(roster.unmapped, shortfall)
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


def _plan_distinct(
    parts: Mapping[int, list[_Part]],
    live: Mapping[int, list[Event]],
    *,
    fleet: Fleet,
    device_ids: Collection[int],
    now: datetime,
) -> dict[int, DevicePlan]:
    """Plan each distinct case once and hand the plan to all its devices."""
    done: dict[tuple[object, ...], DevicePlan] = {}
    plans = {}
    for device_id in device_ids:
        traits, rulings = fleet.devices[device_id], fleet.rulings.get(device_id, ())
        mine = tuple(parts.get(device_id, ()))
        terms = fleet.terms.get(device_id)
        # The rated power bears on a plan only where a ruling may force it, or where limits weigh a maximum.
        rated = traits.rated_watts if rulings or terms else 0
        case = (mine, rulings, terms, traits.is_storage, traits.may_export, rated)
        if case not in done:
            plan = _plan_case(mine, live, rulings=rulings, traits=traits, terms=terms, now=now)
            done[case] = still_to_come(plan, now=now)
        plans[device_id] = done[case]
    return plans


def _plan_case(
    parts: Sequence[_Part],
    live: Mapping[int, list[Event]],
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
        for index, event in enumerate(live[part.recipients]):
            if part.refusal:
                refused.append(UnservedSlice(event.event_id, event.window, part.refusal))
                continue
            shades = part.shades[index] if part.shades else ()
            refused += [
                UnservedSlice(event.event_id, each.window, each.reason, is_shaded=True) for each in shades
            ]
            for window in lit(event.window, shades):
                asked = Request(event, part.shares[index], window)
                moved, still = _ask(asked, armed_until=part.armed_until)
                requests += moved
                refused += still
    plan = consolidate(requests, rulings=rulings, traits=traits, terms=terms, now=now)
    return replace(plan, unserved=(*plan.unserved, *refused)) if refused else plan


def _ask(asked: Request, *, armed_until: datetime | None) -> tuple[list[Request], list[UnservedSlice]]:
    """Return what of a request moves the device, and what does not."""
    if asked.watts == 0:
        return [], [UnservedSlice(asked.event.event_id, asked.window, sentences.no_share())]
    if asked.event.is_integration_test:
        return _test(asked.event, asked.watts, armed_until=armed_until)
    return [asked], []


def _test(
    event: Event, watts: int | None, *, armed_until: datetime | None
) -> tuple[list[Request], list[UnservedSlice]]:
    """Let an integration test move the device only until its meter's arming ends."""
    start, end = event.window.start, event.window.end
    turn = min(max(armed_until, start), end) if armed_until else start
    moved = [Request(event, watts, Window(start, turn))] if start < turn else []
    reason = sentences.not_armed(armed_until)
    still = [UnservedSlice(event.event_id, Window(turn, end), reason)] if turn < end else []
    return moved, still
