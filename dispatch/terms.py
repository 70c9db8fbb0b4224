"""Policies → the terms each device is planned under. Reads policies, sites, memberships and what ran.

The number of statements does not depend on the number of rows, but for one more per ten thousand ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from devices.models import Device, DeviceKind, MeterDevice, ScheduleSegment, SegmentMode
from dispatch.domain.events import Window, to_watts
from dispatch.domain.terms import Battery, Policy, Terms
from dispatch.lookups import batches, columns_of, links_of
from dispatch.policy_models import PolicyAssignment, PolicyScope, ProgramPrice, ResponsePolicy
from dispatch.rulings import group_members

LOOK_BACK: Final = timedelta(days=2)
"""A local day is at most 25 hours long, and a run may have begun on the one before."""


def load_terms(devices: Sequence[Device], *, now: datetime) -> tuple[dict[int, Terms], dict[int, str]]:
    """Return the terms of the devices that have any, and the name and version of every device's policy.

    One statement where there is no policy.
    """
    nearest = nearest_policies(devices, now=now)
    values = {pk: policy.to_value() for pk, policy in {each.pk: each for each in nearest.values()}.items()}
    under = {pk: values[policy.pk] for pk, policy in nearest.items()}
    ran = _ran([pk for pk, each in under.items() if each.limits and each.limits.counts_runs], now=now)
    terms = terms_under(devices, under, ran=ran)
    return terms, {pk: str(policy) for pk, policy in nearest.items()}


def terms_under(
    devices: Sequence[Device], under: Mapping[int, Policy], *, ran: Mapping[int, tuple[Window, ...]]
) -> dict[int, Terms]:
    """Return the terms of the devices on whose plans anything bears, under the given policies."""
    nothing = Policy()
    some = [
        device for device in devices if under.get(device.pk, nothing) != nothing or device.commitments_only
    ]
    if not some:
        return {}
    zones, prices = zones_of(some), _prices()
    return {
        device.pk: _terms(
            device,
            under.get(device.pk, nothing),
            zone=zones[device.pk],
            ran=ran.get(device.pk, ()),
            prices=prices,
        )
        for device in some
    }


def _terms(
    device: Device,
    policy: Policy,
    *,
    zone: str,
    ran: tuple[Window, ...],
    prices: tuple[tuple[str, int], ...],
) -> Terms:
    """Put together what bears on one device; what does not is left out, so that devices share plans."""
    flexibility = policy.flexibility
    is_weighed = policy.storage or (flexibility and flexibility.below_percent is not None)
    return Terms(
        zone=zone,
        limits=policy.limits,
        storage=policy.storage,
        flexibility=flexibility,
        shape=policy.shape,
        battery=_battery(device) if is_weighed else None,
        commitments_only=device.commitments_only,
        prices=prices if flexibility and flexibility.comfort_price is not None else (),
        ran=ran,
    )


def _battery(device: Device) -> Battery | None:
    """Return what a storage device holds; None where its capacity is not known."""
    if device.kind != DeviceKind.BATTERY or not device.energy_capacity_kwh:
        return None
    return Battery(
        capacity_watt_hours=to_watts(device.energy_capacity_kwh),
        percent=device.state_of_charge_percent,
        at=device.state_of_charge_at,
    )


def _prices() -> tuple[tuple[str, int], ...]:
    """Return what programs pay, in cents per kWh."""
    rows = ProgramPrice.objects.order_by("program").values_list("program", "usd_per_kwh")
    return tuple((program, int(price * 100)) for program, price in rows)


def nearest_policies(devices: Sequence[Device], *, now: datetime) -> dict[int, ResponsePolicy]:
    """Return each device's policy: its own, else its meter's, its market group's, the fleet's.

    Of several that are equally near, the first by name.
    """
    policies = {policy.pk: policy for policy in ResponsePolicy.objects.order_by("name")}
    if not policies:
        return {}
    by_name = {policy.name: policy for policy in policies.values()}
    named = {device.pk: by_name[device.policy] for device in devices if device.policy in by_name}
    rows = PolicyAssignment.objects.all()
    given = {(row.scope, row.target): policies[row.policy_id] for row in rows}
    others = [device.pk for device in devices if device.pk not in named]
    if given and others:
        named |= _given(others, given, now=now)
    return named


def _given(
    device_ids: Collection[int], given: Mapping[tuple[str, str], ResponsePolicy], *, now: datetime
) -> dict[int, ResponsePolicy]:
    """Return the policies that devices have by their meters, their groups or the fleet."""
    meters: defaultdict[int, set[str]] = defaultdict(set)
    groups: defaultdict[str, set[str]] = defaultdict(set)
    if any(scope != PolicyScope.FLEET for scope, _ in given):
        for meter_id, device_id in links_of(device_ids=device_ids):
            meters[device_id].add(meter_id)
    if asked := {target for scope, target in given if scope == PolicyScope.MARKET_GROUP}:
        for group, members in group_members(asked, now=now).items():
            for meter_id, within in members:
                if within is None or within.start <= now < within.end:
                    groups[meter_id].add(group)
    found = {}
    for device_id in device_ids:
        mine = meters[device_id]
        near = (
            _first(given, PolicyScope.METER, mine)
            or _first(
                given, PolicyScope.MARKET_GROUP, {group for meter_id in mine for group in groups[meter_id]}
            )
            or given.get((PolicyScope.FLEET, ""))
        )
        if near:
            found[device_id] = near
    return found


def _first(
    given: Mapping[tuple[str, str], ResponsePolicy], scope: str, targets: Iterable[str]
) -> ResponsePolicy | None:
    found = [given[scope, target] for target in targets if (scope, target) in given]
    return min(found, key=lambda policy: policy.name, default=None)


def zones_of(devices: Sequence[Device]) -> dict[int, str]:
    """Return whose clock counts: the site's, else the first meter's by id, else UTC."""
    zones: dict[int, str] = {}
    behind = MeterDevice.objects.order_by("device_id", "-meter__meter_id")
    columns = ("device_id", "device__site__timezone", "meter__timezone")
    ids = [device.pk for device in devices]
    for device_id, of_site, of_meter in columns_of(
        ids, lambda some: behind.filter(device_id__in=some), columns
    ):
        zones[device_id] = of_site or of_meter
    return {pk: zones.get(pk, "UTC") for pk in ids}


def _ran(device_ids: Collection[int], *, now: datetime) -> dict[int, tuple[Window, ...]]:
    """Return when devices ran until now: their segments while the versions were in effect, merged."""
    columns = ("starts_at", "ends_at", "schedule__created_at", "schedule__superseded_at")
    windows: defaultdict[int, list[Window]] = defaultdict(list)
    moved = ScheduleSegment.objects.filter(ends_at__gt=now - LOOK_BACK, starts_at__lt=now)
    for batch in batches(device_ids):
        rows = moved.filter(device_id__in=batch).exclude(mode=SegmentMode.IDLE).order_by("starts_at")
        for device_id, start, end, since, until in rows.values_list("device_id", *columns):
            window = Window(max(start, since), min(end, until or now, now))
            if window.start < window.end:
                windows[device_id].append(window)
    return {device_id: _merged(found) for device_id, found in windows.items()}


def _merged(windows: Sequence[Window]) -> tuple[Window, ...]:
    merged: list[Window] = []
    for window in sorted(windows, key=lambda each: each.start):
        if merged and window.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return tuple(merged)
