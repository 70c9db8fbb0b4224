"""The demo's portfolio as rows: sites, meters, devices, market groups and who was in them when."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.text import slugify

from devices.models import Device, MeterDevice, SimulatedDevice
from leapvpp.demo.at_leap import PLANS, hear_of, known_meter
from leapvpp.demo.onboarding import seed_onboarding
from leapvpp.demo.places import BUSINESSES, CATALOGUE, GROUPS, HOME_STREETS, REGIONS, Business, leap_id
from leapvpp.leap.simulator.seasons import Period, periods
from meters.models import MarketGroup, MarketGroupMembership, Meter, Site

SEED = 2026
ENROLLED = timedelta(days=120)  # how long ago the portfolio began
REGROUPED = timedelta(days=30)  # how long ago two meters changed their group

UNMAPPED, IDLE, ARCHIVED = "Laguna Hotel", "Tibbetts Arena", "Spraberry Gas Lift"
MOVED = {"Schuylkill Cold Storage": "pjm-nj", "Fishtown Makers Hall": "pjm-nj"}
FAULTS = {
    "harborside-logistics-chargers-1": "SILENT",
    "signal-hill-ice-cold-2": "REJECT",
    "bowery-residences-thermostat-2": "SILENT",
    "katy-steel-service-line-1": "REJECT",
    "12-elm-street-worcester-wall": "ERROR",
    "flushing-commons-hvac-2": "OFFLINE",
    "pacific-crest-mall-hvac-2": "LIES",
    "19-birch-lane-lowell-wall": "LIES",
    "26-maple-avenue-quincy-wall": "WEAK",
    "33-oak-terrace-salem-wall": "SOMEBODY_ELSE",
    "40-mill-road-worcester-wall": "STUCK",
}
"""What is wrong with some: they keep schedules from them, or take them and do something else."""

LOAD_TYPES = {
    "HVAC": "HVAC",
    "THERMOSTAT": "HVAC",
    "BATTERY": "BATTERY_STORAGE",
    "EV_CHARGER": "EV_CHARGING",
    "WATER_HEATER": "WATER_HEATING",
    "GENERATOR": "GENERATION",
    "LOAD": "MANUFACTURING",
}
"""Leap's word for what a device is."""


@dataclass(slots=True)
class Rows:
    """What is to be stored, in the order of its dependencies."""

    now: datetime
    draw: random.Random
    sites: list[Site] = field(default_factory=list)
    meters: list[Meter] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    links: list[MeterDevice] = field(default_factory=list)
    groups: dict[str, MarketGroup] = field(default_factory=dict)
    memberships: list[MarketGroupMembership] = field(default_factory=list)
    at_leap: list[dict[str, Any]] = field(default_factory=list)


def seed_demo(*, now: datetime) -> None:
    """Store the portfolio unless there is one: the same at each start but for its dates."""
    if Meter.objects.exists():
        return
    rows = Rows(now=now, draw=random.Random(SEED))  # noqa: S311 - to be repeated, not kept secret
    _add_groups(rows)
    for business in BUSINESSES:
        _add_business(rows, business)
    for number in range(24):
        _add_californian_home(rows, number)
    for number in range(18):
        _add_home(rows, number, region="ISONE", groups=("cs", "cps"))
    with transaction.atomic():
        _store(rows)
        seed_onboarding(now=now)


def _store(rows: Rows) -> None:
    Site.objects.bulk_create(rows.sites)
    hear_of(rows.at_leap, now=rows.now)
    complete_meters(rows.meters)
    _complete_groups(rows.groups.values())
    Device.objects.bulk_create(rows.devices)
    MeterDevice.objects.bulk_create(rows.links)
    MarketGroupMembership.objects.bulk_create(rows.memberships)
    SimulatedDevice.objects.bulk_create(
        SimulatedDevice(device=device, fault=FAULTS[device.external_id])
        for device in rows.devices
        if device.external_id in FAULTS
    )


def complete_meters(meters: Sequence[Meter]) -> None:
    """Give the meters of which the portal heard what is ours: names, sites, nominations."""
    ids = dict(Meter.objects.values_list("meter_id", "pk"))
    for meter in meters:
        meter.pk = ids[meter.meter_id]
        if meter.name == ARCHIVED:
            Meter.objects.filter(pk=meter.pk).update(archived_at=meter.archived_at)
    Meter.objects.bulk_update(meters, ["name", "site", "timezone", "nomination_kw", "plan_requested_at"])


def _complete_groups(groups: Collection[MarketGroup]) -> None:
    ids = dict(MarketGroup.objects.values_list("market_group_id", "pk"))
    for group in groups:
        group.pk = ids[group.market_group_id]
    MarketGroup.objects.bulk_update(groups, ["zone", "timezone", "starts_at"])


def _add_groups(rows: Rows) -> None:
    for plan in GROUPS:
        rows.groups[plan.key] = MarketGroup(
            market_group_id=leap_id(plan.key),
            name=plan.name,
            program=plan.program,
            zone=plan.zone,
            timezone=REGIONS[plan.region].timezone,
            starts_at=rows.now - ENROLLED,
        )


def _add_business(rows: Rows, business: Business) -> None:
    site = _site(rows, business.name, region=business.region, city=business.city)
    devices = [_device(rows, key, site=site, number=n) for n, key in enumerate(business.devices, start=1)]
    meter = _meter(rows, site=site, region=business.region, devices=devices, groups=business.groups)
    if business.name != UNMAPPED:
        rows.links += [MeterDevice(meter=meter, device=device) for device in devices]


def _add_home(rows: Rows, number: int, *, region: str, groups: Sequence[str]) -> tuple[Site, Device]:
    """Add a home whose battery is a meter of its own."""
    city = REGIONS[region].cities[number % len(REGIONS[region].cities)]
    streets = HOME_STREETS[region]
    address = f"{12 + 7 * number} {streets[number % len(streets)]}"
    site = _site(rows, f"{address}, {city}", region=region, city=city)
    battery = _device(rows, "wall", site=site)
    meter = _meter(rows, site=site, region=region, devices=[battery], groups=groups, is_device=True)
    rows.links.append(MeterDevice(meter=meter, device=battery))
    return site, battery


def _add_californian_home(rows: Rows, number: int) -> None:
    """Add a home; every third also has a utility meter, so that its battery is asked through both."""
    site, battery = _add_home(rows, number, region="CAISO", groups=("dsgs",))
    if number % 3 == 0:
        groups = ("cca-north", "elrp") if number % 2 else ("cca-south", "elrp")
        devices = [battery, _device(rows, "thermostat", site=site), _device(rows, "charger", site=site)]
        meter = _meter(rows, site=site, region="CAISO", devices=devices, groups=groups)
        rows.links += [MeterDevice(meter=meter, device=device) for device in devices]


def _site(rows: Rows, name: str, *, region: str, city: str) -> Site:
    site = Site(name=name, timezone=REGIONS[region].timezone, address=city)
    rows.sites.append(site)
    return site


def _device(rows: Rows, key: str, *, site: Site, number: int = 0) -> Device:
    plan = CATALOGUE[key]
    rated = Decimal(round(rows.draw.uniform(plan.least_kw, plan.most_kw) * 2)) / 2
    device = Device(
        external_id=slugify(f"{site.name} {key} {number or ''}"),
        name=f"{plan.name} at {site.name}",
        kind=plan.kind,
        driver="simulator",
        site=site,
        rated_power_kw=rated,
        energy_capacity_kwh=rated * Decimal(str(plan.hours)) if plan.hours else None,
        may_export=plan.may_export,
        last_seen_at=rows.now,
    )
    rows.devices.append(device)
    return device


def _meter(
    rows: Rows,
    *,
    site: Site,
    region: str,
    devices: Sequence[Device],
    groups: Sequence[str],
    is_device: bool = False,
) -> Meter:
    """Add a meter that nominates part of its devices' power, in its groups since the portfolio began."""
    number = len(rows.meters) + 1
    share = Decimal(rows.draw.randrange(55, 85)) / 100
    meter = Meter(
        meter_id=leap_id(f"{site.name} {'device' if is_device else 'utility'}"),
        partner_reference=f"{'DEV' if is_device else 'SITE'}-{number:04d}",
        name=f"{site.name} battery" if is_device else site.name,
        site=site,
        transmission_region=region,
        meter_type="DEVICE" if is_device else "UTILITY_METER",
        timezone=site.timezone,
        archived_at=rows.now - REGROUPED if site.name == ARCHIVED else None,
        nomination_kw=(share * sum(device.rated_power_kw for device in devices)).quantize(Decimal("0.1")),
    )
    rows.meters.append(meter)
    for key in groups:
        _join(rows, meter, key=key)
    rows.at_leap.append(
        known_meter(
            meter,
            groups=groups,
            city=site.address,
            load_type=LOAD_TYPES[devices[0].kind],
            is_idle=meter.name == IDLE,
            now=rows.now,
        )
    )
    return meter


def _join(rows: Rows, meter: Meter, *, key: str) -> None:
    """Put a meter into a group in the periods that are over; one that moved was in another before.

    In which it is now, and will be, the portal hears from Leap.
    """
    moved = rows.now - REGROUPED
    program = PLANS[key].program
    current, _ = periods(program, zone=meter.timezone, now=rows.now)
    at = rows.now - ENROLLED
    while (period := periods(program, zone=meter.timezone, now=at)[0]).start < current.start:
        group = MOVED.get(meter.name, key) if period.start < moved else key
        rows.memberships.append(_membership(rows.groups[group], meter, period, ends_at=period.end))
        at = period.end
    if meter.name in MOVED and current.start < moved:
        former = rows.groups[MOVED[meter.name]]
        rows.memberships.append(_membership(former, meter, current, ends_at=moved))


def _membership(
    group: MarketGroup, meter: Meter, period: Period, *, ends_at: datetime
) -> MarketGroupMembership:
    return MarketGroupMembership(
        group=group,
        meter=meter,
        program=group.program,
        delivery_period=period.name,
        starts_at=period.start,
        ends_at=ends_at,
    )
