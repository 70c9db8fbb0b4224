"""The meters, groups and devices that a scenario is played to, and their removal.

All of them are made up for one scenario and marked: meters by their partner reference, devices by their
external id. Nothing of them is Leap's, so removing them with all that was asked of them loses no fact.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import Q

from devices.models import Device, DeviceKind, MeterDevice
from dispatch.locking import Stage, take_turn
from dispatch.models import DispatchEvent, DispatchNotification, RecipientSet
from leapvpp.leap.simulator.scenario import Scenario
from meters.models import MarketGroup, MarketGroupMembership, Meter

MARK = "certification-"
RATED_KW = Decimal(100)
"""Every device's power: equal, so that a group's power is split equally, and beyond what is ever asked."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """What a scenario is played to. `recipients`: Leap's ids by the scenario's names."""

    recipients: Mapping[str, str]
    meter_ids: frozenset[str]
    device_by_meter: Mapping[str, int]

    def name_of(self, leap_id: str) -> str:
        """Return the scenario's name of a meter or group."""
        return next((name for name, known in self.recipients.items() if known == leap_id), leap_id)


@transaction.atomic
def build_portfolio(scenario: Scenario, *, label: str, now: datetime) -> Portfolio:
    """Make a meter with one simulated device for every meter of the scenario, and its groups."""
    members = _members_by_group(scenario)
    names = {event.meter for event in scenario.events if event.meter}.union(*members.values())
    meters = {
        name: Meter(
            meter_id=str(uuid4()),
            partner_reference=f"{MARK}{label}-{name}",
            name=f"Certification: {name}",
        )
        for name in sorted(names)
    }
    Meter.objects.bulk_create(meters.values())
    devices = {name: _device(name, label=label) for name in meters}
    Device.objects.bulk_create(devices.values())
    MeterDevice.objects.bulk_create(MeterDevice(meter=meters[name], device=devices[name]) for name in meters)
    groups = {
        name: MarketGroup(market_group_id=str(uuid4()), name=f"Certification: {name}", starts_at=now)
        for name in sorted(members)
    }
    MarketGroup.objects.bulk_create(groups.values())
    MarketGroupMembership.objects.bulk_create(
        MarketGroupMembership(group=group, meter=meters[name], starts_at=now)
        for group_name, group in groups.items()
        for name in sorted(members[group_name])
    )
    ids = {name: meter.meter_id for name, meter in meters.items()}
    return Portfolio(
        recipients=ids | {name: group.market_group_id for name, group in groups.items()},
        meter_ids=frozenset(ids.values()),
        device_by_meter={ids[name]: device.pk for name, device in devices.items()},
    )


def _members_by_group(scenario: Scenario) -> dict[str, set[str]]:
    """Return every group's meters, those among them that only a later step names."""
    group_by_event = {event.name: event.group for event in scenario.events if event.group}
    members: dict[str, set[str]] = {}
    for event in scenario.events:
        if event.group:
            members.setdefault(event.group, set()).update(event.meters)
    for step in scenario.steps:
        changed: Any = step.changes.get("meters", ())
        for name in step.events:
            if name in group_by_event:
                members[group_by_event[name]].update(changed)
    return members


def _device(name: str, *, label: str) -> Device:
    is_battery = "battery" in name
    return Device(
        external_id=f"{MARK}{label}-{name}",
        name=f"Certification: {name}",
        kind=DeviceKind.BATTERY if is_battery else DeviceKind.LOAD,
        driver="simulator",
        settings={"says_charge": False},
        rated_power_kw=RATED_KW,
        energy_capacity_kwh=RATED_KW * 24 if is_battery else None,
        may_export=is_battery,
    )


def is_anything_left() -> bool:
    """Say whether meters or devices of a run are still there."""
    meters = Meter.objects.filter(partner_reference__startswith=MARK)
    return meters.exists() or Device.objects.filter(external_id__startswith=MARK).exists()


@transaction.atomic
def remove_everything() -> int:
    """Delete every run's meters, groups and devices with all that was asked of them.

    Returns how many meters went. Recording and planning stand still meanwhile, so that neither writes
    about rows that go.
    """
    take_turn(Stage.RECORDING)
    take_turn(Stage.PLANNING)
    meters = Meter.objects.filter(partner_reference__startswith=MARK)
    meter_ids = set(meters.values_list("meter_id", flat=True))
    sets = set(RecipientSet.objects.filter(members__meter_id__in=meter_ids).values_list("id", flat=True))
    events = set(DispatchEvent.objects.filter(recipients__in=sets).values_list("id", flat=True))
    notifications = _notifications_about(events, meter_ids)
    DispatchEvent.objects.filter(id__in=events).delete()
    DispatchNotification.objects.filter(id__in=notifications).delete()
    RecipientSet.objects.filter(id__in=sets).delete()
    MarketGroup.objects.filter(meters__in=meters).delete()
    Device.objects.filter(external_id__startswith=MARK).delete()
    meters.delete()
    return len(meter_ids)


def _notifications_about(events: Collection[int], meter_ids: Collection[str]) -> set[int]:
    """Return the notifications that led to these events, and those not recorded that name the meters."""
    about = Q(items__event__in=events) | Q(revisions__event__in=events)
    found = set(DispatchNotification.objects.filter(about).values_list("id", flat=True))
    first = Meter.objects.filter(meter_id__in=meter_ids).order_by("created_at").first()
    if first is None:
        return found
    unlinked = DispatchNotification.objects.filter(received_at__gte=first.created_at, items__event=None)
    marks = [meter_id.encode() for meter_id in meter_ids]
    for pk, body in unlinked.values_list("id", "body").iterator():
        if any(mark in bytes(body) for mark in marks):
            found.add(pk)
    return found
