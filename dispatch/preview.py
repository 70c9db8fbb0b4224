"""What a dispatch or a hold would lead to: planning's decision on planning's rows, before and after.

Loads once and plans twice. Stores and sends nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from devices.domain.schedule import Segment
from devices.models import Device
from dispatch.domain.belief import Source
from dispatch.domain.comparing import Comparison, EventChange, compare
from dispatch.domain.events import Event, Window
from dispatch.domain.fleet import Fleet, FleetPlan, plan_fleet
from dispatch.domain.plans import DevicePlan
from dispatch.domain.revisions import Test
from dispatch.intake.document import read_document
from dispatch.intake.payloads import Timeslot, read_timeslots
from dispatch.loading import Loaded, Seeds, load
from dispatch.lookups import batches
from dispatch.models import DispatchEvent, Override
from dispatch.rulings import devices_reached, ruling_of

MOST_TIMESLOTS: Final = 500
"""How many a preview looks at: somebody waits for the answer."""


class TooManyTimeslots(ValueError):
    """A body is too long to be tried; the message says so, in words fit to answer with."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What a device would not serve: Leap's id, the window, and why."""

    leap_event_id: str
    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class DevicePreview:
    """What one device would do from now on, under everything that is live and what is tried.

    `before`: what it is to do without what is tried. `is_changed`: it would do something else.
    """

    device_id: int
    external_id: str
    segments: tuple[Segment, ...]
    not_served: tuple[Undone, ...]
    before: tuple[Segment, ...]
    is_changed: bool


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """The devices a dispatch reaches, and the timeslots that cannot be used: (Leap's id, reason).

    `unmapped_meters`: how many of the meters named have no device. `is_as_if_armed`: an integration test is
    among them, shown as if its meters were armed; really it moves nothing unless they are. `comparison`: all
    of it beside what is planned now; `rated_watts` by device.
    """

    devices: tuple[DevicePreview, ...]
    problems: tuple[tuple[str, str], ...]
    unmapped_meters: int
    is_as_if_armed: bool
    comparison: Comparison
    rated_watts: Mapping[int, int]

    @property
    def events(self) -> tuple[EventChange, ...]:
        """Every live event on these devices, what is tried among them, those that change first."""
        return self.comparison.events


def preview(*, body: bytes, now: datetime) -> PlanPreview:
    """Return what a dispatch body would lead to.

    Raises:
        NotADocument: the body is not a JSON object.
        TooManyTimeslots: more than `MOST_TIMESLOTS` of it can be used.
    """
    slots = read_timeslots(read_document(body), source=Source.OPERATOR, now=now)
    usable = [slot for slot in slots if slot.fields]
    if len(usable) > MOST_TIMESLOTS:
        raise TooManyTimeslots(
            f"The body has {len(usable)} timeslots, and a preview looks at no more than {MOST_TIMESLOTS}. "
            "Try a part of it."
        )
    held = _held(usable)
    named = {meter_id for slot in usable for meter_id in slot.meter_ids}
    loaded = load(Seeds(frozenset(held.values()), frozenset(named)), now=now)
    fleet = _with_slots(loaded.fleet, usable, held=held, now=now)
    tests = [slot for slot in usable if slot.fields and slot.fields.test == Test.INTEGRATION]
    return _plan_as_if(
        loaded,
        fleet,
        armed={meter_id for slot in tests for meter_id in slot.meter_ids},
        problems=tuple((slot.leap_event_id, slot.problem) for slot in slots if slot.problem),
        named=named,
        now=now,
    )


def preview_event(*, event_id: int, now: datetime) -> PlanPreview:
    """Return what the devices of a stored event do, an integration test as if its meters were armed."""
    event = DispatchEvent.objects.select_related("recipients").get(pk=event_id)
    named = set(event.recipients.meter_ids)
    armed = named if event.test == Test.INTEGRATION else set()
    loaded = load(Seeds(event_ids=frozenset([event_id])), now=now)
    return _plan_as_if(loaded, loaded.fleet, armed=armed, problems=(), named=named, now=now)


def preview_override(*, override: Override, now: datetime) -> PlanPreview:
    """Return what an override that is not stored would lead to."""
    reached = devices_reached([override], now=now)
    loaded = load(Seeds(device_ids=reached), now=now)
    ruling = ruling_of(override)
    said = loaded.fleet.rulings
    ruled = {pk: (*said.get(pk, ()), ruling) for pk in reached} if ruling else {}
    fleet = replace(loaded.fleet, rulings={**said, **ruled})
    return _plan_as_if(loaded, fleet, armed=(), problems=(), named=(), now=now)


def _held(slots: Sequence[Timeslot]) -> dict[tuple[str, str], int]:
    """Return the events that the timeslots are about, as far as the portal knows them."""
    names = {(slot.level, slot.leap_event_id) for slot in slots}
    return {
        (level, leap_event_id): pk
        for batch in batches({leap_event_id for _, leap_event_id in names})
        for level, leap_event_id, pk in DispatchEvent.objects.filter(leap_event_id__in=batch).values_list(
            "level", "leap_event_id", "pk"
        )
        if (level, leap_event_id) in names
    }


def _with_slots(
    fleet: Fleet, slots: Sequence[Timeslot], *, held: Mapping[tuple[str, str], int], now: datetime
) -> Fleet:
    """Return the fleet as if the timeslots had been recorded. What is not stored has negative numbers."""
    events = {event.event_id: event for event in fleet.events}
    heard = {event.event_id: event.heard_at for event in fleet.events}
    recipients = dict(fleet.recipients)
    sets: dict[str, int] = {}
    for number, slot in enumerate(slots, start=1):
        if slot.fields is None:
            continue
        key = sets.setdefault(slot.fields.recipients, -number)
        recipients[key] = slot.meter_ids
        event_id = held.get((slot.level, slot.leap_event_id), -number)
        heard_at = heard.get(event_id, now)
        events[event_id] = _event_of(slot, event_id=event_id, recipients=key, heard_at=heard_at)
    return replace(fleet, events=tuple(events.values()), recipients=recipients)


def _event_of(slot: Timeslot, *, event_id: int, recipients: int, heard_at: datetime | None) -> Event:
    """Return the value of a timeslot that can be used."""
    fields = slot.fields
    if fields is None:
        raise ValueError(slot.problem)
    return Event(
        event_id=event_id,
        leap_event_id=slot.leap_event_id,
        recipients=recipients,
        window=Window(fields.starts_at, fields.ends_at),
        energy_kw=fields.energy_kw,
        nomination_kw=fields.nomination_kw,
        rank=fields.priority_rank,
        is_voluntary=fields.is_voluntary,
        cap=fields.cap,
        is_cancelled=fields.is_cancelled,
        is_integration_test=fields.test == Test.INTEGRATION,
        is_test=bool(fields.test),
        level=slot.level,
        programs=fields.programs,
        heard_at=heard_at,
    )


def _plan_as_if(
    loaded: Loaded,
    tried: Fleet,
    *,
    armed: Collection[str],
    problems: tuple[tuple[str, str], ...],
    named: Collection[str],
    now: datetime,
) -> PlanPreview:
    """Plan what is stored and what is tried, this with the given meters armed for as long as it lasts."""
    if armed:
        tried = _armed(tried, armed, now=now)
    before = plan_fleet(loaded.fleet, device_ids=loaded.device_ids, now=now)
    after = plan_fleet(tried, device_ids=loaded.device_ids, now=now)
    mapped = {meter_id for meter_id, meter in tried.meters.items() if meter.device_ids}
    comparison = compare(before, after, was=loaded.fleet, becomes=tried, now=now)
    return PlanPreview(
        devices=_devices(after, before=before, events=tried.events, comparison=comparison),
        problems=problems,
        unmapped_meters=len(set(named) - mapped),
        is_as_if_armed=bool(armed),
        comparison=comparison,
        rated_watts={pk: traits.rated_watts for pk, traits in tried.devices.items()},
    )


def _armed(fleet: Fleet, armed: Collection[str], *, now: datetime) -> Fleet:
    """Return the fleet with meters armed until the last of its events is over."""
    until = max((event.window.end for event in fleet.events), default=now)
    meters = {
        meter_id: replace(meter, armed_until=until) if meter_id in armed else meter
        for meter_id, meter in fleet.meters.items()
    }
    return replace(fleet, meters=meters)


def _devices(
    plan: FleetPlan, *, before: FleetPlan, events: Sequence[Event], comparison: Comparison
) -> tuple[DevicePreview, ...]:
    names = {event.event_id: event.leap_event_id for event in events}
    changed = {pk for case in comparison.cases if case.is_changed for pk in case.device_ids}
    rows = [
        row
        for batch in batches(plan.plans)
        for row in Device.objects.filter(pk__in=batch).values_list("external_id", "pk")
    ]
    return tuple(
        DevicePreview(
            device_id=pk,
            external_id=external_id,
            segments=plan.plans[pk].segments,
            not_served=_undone(plan.plans[pk], names=names),
            before=before.plans[pk].segments,
            is_changed=pk in changed,
        )
        for external_id, pk in sorted(rows)
    )


def _undone(plan: DevicePlan, *, names: Mapping[int, str]) -> tuple[Undone, ...]:
    return tuple(Undone(names[each.event_id], each.window, each.reason) for each in plan.unserved)
