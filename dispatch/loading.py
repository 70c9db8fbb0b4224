"""Rows → the values planning decides on. Reads events, recipients, meters, devices, overrides.

The number of statements does not depend on the number of rows, but for one more per ten thousand ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from devices.models import Device, DeviceKind
from dispatch.domain.events import MAXIMUM, Event, Window, asked_watts, to_watts
from dispatch.domain.fleet import LOOK_BACK, Fleet
from dispatch.domain.plans import Traits
from dispatch.domain.roster import MeterFacts
from dispatch.levels import load_policy
from dispatch.lookups import batches, columns_of, links_of
from dispatch.models import DispatchEvent, RecipientMember, RecipientSet, TestKind
from dispatch.rulings import load_rulings
from dispatch.terms import devices_with_terms, load_terms
from meters.among import Ids
from meters.models import Meter
from meters.readiness import reason_not_dispatchable

_EVENT_COLUMNS = (
    "pk",
    "leap_event_id",
    "recipients_id",
    "starts_at",
    "ends_at",
    "energy_kw",
    "nomination_kw",
    "priority_rank",
    "is_voluntary",
    "cap",
    "is_cancelled",
    "test",
    "level",
    "programs",
    "first_received_at",
)
# All that `meters.readiness` looks at, too.
_METER_COLUMNS = (
    "meter_id",
    "nomination_kw",
    "archived_at",
    "enrollment_status",
    "participation",
    "test_armed_until",
)

_DEVICE_COLUMNS = (
    "external_id",
    "kind",
    "rated_power_kw",
    "may_export",
    "policy",
    "commitments_only",
    "energy_capacity_kwh",
    "state_of_charge_percent",
    "state_of_charge_at",
    "failing_since",
)
_RECIPIENT_COLUMNS = ("recipients_id", "planned_recipients_id")


@dataclass(frozen=True, slots=True)
class Seeds:
    """What changed: our events, Leap's meter ids, our devices."""

    event_ids: frozenset[int] = frozenset()
    meter_ids: frozenset[str] = frozenset()
    device_ids: frozenset[int] = frozenset()


@dataclass(slots=True)
class Loaded:
    """The values, which devices to plan, which events' devices are all among them, and policies' names.

    `counted_ids`: the events of which everything that bears on their numbers is here.
    """

    fleet: Fleet
    device_ids: set[int]
    event_ids: set[int]
    counted_ids: set[int]
    policies: dict[int, str]


@dataclass(slots=True)
class _Scope:
    """What the seeds reach."""

    meter_ids: set[str] = field(default_factory=set)
    device_ids: set[int] = field(default_factory=set)
    event_ids: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Around:
    """Everything live on some devices, and all who share it."""

    events: list[Event]
    recipients: dict[int, list[str]]
    meters: dict[str, MeterFacts]
    devices: list[Device]


def load(seeds: Seeds, *, now: datetime) -> Loaded:
    """Read everything needed to plan what the seeds reach.

    1. Changed meters and devices, overruled and failing ones too, change how the power of their events is
    shared: those events count as changed. 2. All devices of changed events are planned. Where some of them
    have terms, what they leave undone in other events with a number may change: so are all devices of those.
    3. Whatever else is live on the devices is read, with all who share it; and what names changed meters,
    though none of them may have a device. 4. Where others who share have terms, what they leave undone
    follows from all that is live on them: that is read as well, though they are not planned. There it ends,
    as what anybody leaves undone follows from the first sharing alone (`fleet.plan_fleet`).
    """
    scope = _reach(seeds, now=now)
    scope.device_ids |= _sharing_with_limited(scope.device_ids, now=now)
    around = _around(scope.device_ids, scope.meter_ids, now=now)
    counted = {event.event_id for event in around.events}
    limited = devices_with_terms(around.devices, now=now)
    if limited - scope.device_ids:
        around = _around(scope.device_ids | limited, scope.meter_ids, now=now)
    bearing = [device for device in around.devices if device.pk in scope.device_ids | limited]
    terms, policies = load_terms(bearing, now=now)
    fleet = Fleet(
        events=around.events,
        recipients=around.recipients,
        meters=around.meters,
        devices={device.pk: traits_of(device) for device in around.devices},
        rulings=load_rulings(around.devices, now=now),
        policy=load_policy(),
        terms=terms,
        failing=frozenset(device.pk for device in around.devices if device.failing_since),
    )
    planned = {device.pk for device in around.devices if device.pk in scope.device_ids}
    return Loaded(fleet, planned, scope.event_ids, counted, policies)


def _around(device_ids: Collection[int], meter_ids: Collection[str], *, now: datetime) -> _Around:
    """Read what is live on devices and on further meters, with all who share it."""
    behind = {meter_id for meter_id, _ in links_of(device_ids=device_ids)}
    events = _live_events(behind.union(meter_ids), now=now)
    recipients = recipients_of({event.recipients for event in events})
    meters = meters_of(behind.union(meter_ids, *recipients.values()), now=now)
    sharing = (meter.device_ids for meter in meters.values())
    return _Around(events, recipients, meters, devices_of(set(device_ids).union(*sharing)))


def _sharing_with_limited(device_ids: Collection[int], *, now: datetime) -> set[int]:
    """Return who shares an event with a number with any of the devices that have terms."""
    limited = devices_with_terms(devices_of(device_ids), now=now)
    if not limited:
        return set()
    behind = {meter_id for meter_id, _ in links_of(device_ids=limited)}
    sets = {event.recipients for event in _live_events(behind, now=now) if asked_watts(event) is not MAXIMUM}
    named = set[str]().union(*recipients_of(sets).values())
    return {device_id for _, device_id in links_of(meter_ids=named)}


def traits_of(device: Device) -> Traits:
    """Return what of a device bears on its plan."""
    return Traits(
        rated_watts=to_watts(device.rated_power_kw),
        is_storage=device.kind == DeviceKind.BATTERY,
        may_export=device.may_export,
    )


def _reach(seeds: Seeds, *, now: datetime) -> _Scope:
    """Follow the seeds to the devices that may have to do something else."""
    scope = _Scope(set(seeds.meter_ids), set(seeds.device_ids), set(seeds.event_ids))
    scope.meter_ids |= {meter_id for meter_id, _ in links_of(device_ids=seeds.device_ids)}
    scope.event_ids |= {event.event_id for event in _live_events(scope.meter_ids, now=now)}
    named = columns_of(
        scope.event_ids, lambda ids: DispatchEvent.objects.filter(pk__among=Ids(ids)), _RECIPIENT_COLUMNS
    )
    sets = {each for pair in named for each in pair if each is not None}
    scope.meter_ids = scope.meter_ids.union(*recipients_of(sets).values())
    scope.device_ids |= {device_id for _, device_id in links_of(meter_ids=scope.meter_ids)}
    return scope


def _live_events(meter_ids: Collection[str], *, now: datetime) -> list[Event]:
    """Return the events that name any of the meters, and are not cancelled and not long over."""
    live = Q(recipients__events__is_cancelled=False, recipients__events__ends_at__gt=now - LOOK_BACK)
    named = RecipientMember.objects.filter(live)
    sets = columns_of(
        meter_ids,
        lambda ids: named.filter(meter_id__among=Ids(ids)).distinct(),
        ("recipients_id",),
    )
    events = DispatchEvent.objects.filter(is_cancelled=False, ends_at__gt=now - LOOK_BACK)
    rows = columns_of(
        {pk for (pk,) in sets}, lambda ids: events.filter(recipients_id__among=Ids(ids)), _EVENT_COLUMNS
    )
    return [event_of(row) for row in rows]


def event_of(row: tuple[Any, ...]) -> Event:
    """Return the value of an event's columns, in the order of `_EVENT_COLUMNS`."""
    pk, leap_event_id, recipients, starts_at, ends_at, *fields = row
    energy_kw, nomination_kw, rank, is_voluntary, cap, is_cancelled, test, level, programs, heard_at = fields
    return Event(
        event_id=pk,
        leap_event_id=leap_event_id,
        recipients=recipients,
        window=Window(starts_at, ends_at),
        energy_kw=energy_kw,
        nomination_kw=nomination_kw,
        rank=rank,
        is_voluntary=is_voluntary,
        cap=cap,
        is_cancelled=is_cancelled,
        is_integration_test=test == TestKind.INTEGRATION,
        is_test=bool(test),
        level=level,
        programs=tuple(programs),
        heard_at=heard_at,
    )


def recipients_of(sets: Collection[int]) -> dict[int, list[str]]:
    """Return the meter ids of sets of recipients."""
    return dict(
        columns_of(sets, lambda ids: RecipientSet.objects.filter(pk__among=Ids(ids)), ("pk", "meter_ids"))
    )


def meters_of(meter_ids: Collection[str], *, now: datetime) -> dict[str, MeterFacts]:
    """Return the meters that the portal knows, with their devices in order."""
    devices: defaultdict[str, list[int]] = defaultdict(list)
    for meter_id, device_id in links_of(meter_ids=meter_ids):
        devices[meter_id].append(device_id)
    return {
        meter.meter_id: MeterFacts(
            meter_id=meter.meter_id,
            device_ids=tuple(devices[meter.meter_id]),
            nomination_watts=None if meter.nomination_kw is None else to_watts(meter.nomination_kw),
            refusal=reason_not_dispatchable(meter=meter, now=now),
            armed_until=meter.test_armed_until,
        )
        for batch in batches(meter_ids)
        for meter in Meter.objects.filter(meter_id__among=Ids(batch)).only(*_METER_COLUMNS)
    }


def devices_of(device_ids: Collection[int]) -> list[Device]:
    return [
        device
        for batch in batches(device_ids)
        for device in Device.objects.filter(pk__among=Ids(batch)).only(*_DEVICE_COLUMNS)
    ]
