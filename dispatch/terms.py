"""Policies → the terms each device is planned under. Reads policies, sites, memberships and what ran.

The number of statements does not depend on the number of rows, but for one more per ten thousand ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from devices.models import Device, DeviceKind, MeterDevice, ScheduleSegment, SegmentMode
from dispatch.domain.events import Window, to_watts
from dispatch.domain.terms import Battery, Delivery, Past, Policy, Terms
from dispatch.lookups import batches, columns_of, links_of
from dispatch.policy_models import PolicyAssignment, PolicyScope, ProgramPrice, ResponsePolicy
from dispatch.rulings import group_members
from meters.among import Ids

LOOK_BACK: Final = timedelta(days=2, hours=1)
"""A local day is at most 25 hours long, and a run may have begun on the one before."""


def load_terms(devices: Sequence[Device], *, now: datetime) -> tuple[dict[int, Terms], dict[int, str]]:
    """Return the terms of the devices that have any, and the name and version of every device's policy.

    One statement where there is no policy.
    """
    nearest = nearest_policies(devices, now=now)
    values = {pk: policy.to_value() for pk, policy in {each.pk: each for each in nearest.values()}.items()}
    under = {pk: values[policy.pk] for pk, policy in nearest.items()}
    did = _delivered([pk for pk, each in under.items() if _counts(each)], now=now)
    pasts = _pasts([pk for pk, each in under.items() if each.shape], now=now)
    terms = terms_under(devices, under, did=did, pasts=pasts)
    return terms, {pk: str(policy) for pk, policy in nearest.items()}


def terms_under(
    devices: Sequence[Device],
    under: Mapping[int, Policy],
    *,
    did: Mapping[int, tuple[Delivery, ...]],
    pasts: Mapping[int, Past],
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
            did=did.get(device.pk, ()),
            past=pasts.get(device.pk, Past()),
            prices=prices,
        )
        for device in some
    }


def _counts(policy: Policy) -> bool:
    """Say whether what a device did until now bears on what it may do."""
    return bool(policy.storage or (policy.limits and policy.limits.counts_runs))


def devices_with_terms(devices: Sequence[Device], *, now: datetime) -> frozenset[int]:
    """Return which of the devices have any terms. One statement where there is no policy."""
    nearest = nearest_policies(devices, now=now)
    says_something = {policy.pk: policy.to_value() != Policy() for policy in nearest.values()}
    under = {pk for pk, policy in nearest.items() if says_something[policy.pk]}
    return frozenset(under.union(device.pk for device in devices if device.commitments_only))


def _terms(
    device: Device,
    policy: Policy,
    *,
    zone: str,
    did: tuple[Delivery, ...],
    past: Past,
    prices: tuple[tuple[str, int], ...],
) -> Terms:
    """Put together what bears on one device; what does not is left out, so that devices share plans."""
    flexibility = policy.flexibility
    counts_runs = policy.limits and policy.limits.counts_runs
    is_weighed = flexibility and flexibility.below_percent is not None
    return Terms(
        zone=zone,
        limits=policy.limits,
        storage=policy.storage,
        flexibility=flexibility,
        shape=policy.shape,
        battery=_battery(device, did=did) if policy.storage else None,
        commitments_only=device.commitments_only,
        charge_percent=device.state_of_charge_percent if is_weighed else None,
        prices=prices if flexibility and flexibility.comfort_price is not None else (),
        ran=_windows(did) if counts_runs else (),
        past=past,
    )


def _battery(device: Device, *, did: tuple[Delivery, ...]) -> Battery | None:
    """Return what a storage device holds; None where its capacity is not known."""
    if device.kind != DeviceKind.BATTERY or not device.energy_capacity_kwh:
        return None
    return Battery(
        capacity_watt_hours=to_watts(device.energy_capacity_kwh),
        percent=device.state_of_charge_percent,
        at=device.state_of_charge_at,
        delivered=did,
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
        ids, lambda some: behind.filter(device_id__among=Ids(some)), columns
    ):
        zones[device_id] = of_site or of_meter
    return {pk: zones.get(pk, "UTC") for pk in ids}


def _delivered(device_ids: Collection[int], *, now: datetime) -> dict[int, tuple[Delivery, ...]]:
    """Return what devices were to deliver until now."""
    return _in_effect(device_ids, F("starts_at"), F("ends_at"), now=now)


def _pasts(device_ids: Collection[int], *, now: datetime) -> dict[int, Past]:
    """Return when devices prepared until now, and since when those run or recover that do so now."""
    if not device_ids:
        return {}
    prepared = _in_effect(device_ids, F("precondition_from"), F("starts_at"), now=now)
    moved = _in_effect(device_ids, F("starts_at"), Coalesce("recover_until", "ends_at"), now=now)
    still = {
        pk: tuple(window for window in _windows(each) if window.end == now) for pk, each in moved.items()
    }
    return {pk: Past(_windows(prepared.get(pk, ())), still.get(pk, ())) for pk in {*prepared, *still}}


def _in_effect(
    device_ids: Collection[int], begins: Combinable, ends: Combinable, *, now: datetime
) -> dict[int, tuple[Delivery, ...]]:
    """Return a part of devices' segments until now, while the versions that say so were in effect, merged."""
    columns = ("begins", "ends", "schedule__created_at", "schedule__superseded_at", "target_kw")
    found: defaultdict[int, list[Delivery]] = defaultdict(list)
    moved = ScheduleSegment.objects.filter(ends_at__gt=now - LOOK_BACK).exclude(mode=SegmentMode.IDLE)
    in_effect = Q(schedule__superseded_at__isnull=True) | Q(schedule__superseded_at__gt=F("begins"))
    lately = moved.annotate(begins=begins, ends=ends).filter(
        in_effect, begins__lt=now, schedule__created_at__lt=F("ends")
    )
    for batch in batches(device_ids):
        rows = lately.filter(device_id__among=Ids(batch)).order_by("begins")
        for device_id, start, end, since, until, kw in rows.values_list("device_id", *columns):
            window = Window(max(start, since), min(end, until or now, now))
            if window.start < window.end:
                found[device_id].append(Delivery(window, None if kw is None else to_watts(kw)))
    return {device_id: _merged(each) for device_id, each in found.items()}


def _merged(deliveries: Sequence[Delivery]) -> tuple[Delivery, ...]:
    """Put together what touches and has the same power."""
    merged: list[Delivery] = []
    for each in sorted(deliveries, key=lambda each: each.window.start):
        latest = merged[-1] if merged else None
        if latest and each.window.start <= latest.window.end and each.watts == latest.watts:
            end = max(latest.window.end, each.window.end)
            merged[-1] = Delivery(Window(latest.window.start, end), each.watts)
        else:
            merged.append(each)
    return tuple(merged)


def _windows(deliveries: Sequence[Delivery]) -> tuple[Window, ...]:
    """Return when a device ran, whatever its power."""
    alike = [Delivery(each.window, None) for each in deliveries]
    return tuple(each.window for each in _merged(alike))
