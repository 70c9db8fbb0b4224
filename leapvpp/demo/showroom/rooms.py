"""The showroom's portfolio: one device a site, each under a policy of its own. Nothing else asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import transaction

from devices.models import Device, MeterDevice
from dispatch.domain.policies import NOTHING
from dispatch.domain.policy_templates import TEMPLATES
from dispatch.policies import save_policy
from dispatch.policy_models import ResponsePolicy
from leapvpp.demo.at_leap import hear_of, known_meter
from leapvpp.demo.day import Recipient
from leapvpp.demo.places import leap_id
from leapvpp.demo.seeding import complete_meters
from leapvpp.leap.simulator.fleet import enrolled
from leapvpp.leap.simulator.seasons import periods
from leapvpp.leap.values import Level
from meters.models import MarketGroup, Meter, Site

MARK: Final = "showroom-"
"""Begins the external id of its devices and the reference of its meters."""
PACIFIC: Final = "America/Los_Angeles"
EASTERN: Final = "America/New_York"


@dataclass(frozen=True, slots=True)
class Room:
    """A site with one meter and one device. kW and kWh.

    `template` is its policy's; without one it answers everything.
    """

    key: str
    name: str
    kind: str
    rated_kw: int
    nomination_kw: int
    template: str
    energy_kwh: int | None = None
    may_export: bool = False
    zone: str = PACIFIC
    region: str = "CAISO"
    group: str = ""

    @property
    def external_id(self) -> str:
        """Name the device as its driver knows it."""
        return f"{MARK}{self.key}"

    @property
    def meter_id(self) -> str:
        """Return the meter's id in Leap."""
        return leap_id(self.external_id)

    @property
    def policy(self) -> str:
        """Name its policy."""
        return f"Showroom: {self.name}"


GROUP: Final = "yard"
GROUP_NAME: Final = "Showroom industrial yard"
ROOMS: Final = (
    Room("open-battery", "Battery that answers all", "BATTERY", 100, 80, "", 400, may_export=True),
    Room(
        "thermostat", "Smart thermostat", "THERMOSTAT", 4, 3, "smart-thermostat", zone=EASTERN, region="NYISO"
    ),
    Room(
        "commercial-battery",
        "Commercial battery",
        "BATTERY",
        100,
        80,
        "commercial-battery",
        200,
        may_export=True,
    ),
    Room(
        "export-battery", "Exporting battery", "BATTERY", 100, 80, "commercial-battery", 400, may_export=True
    ),
    Room("home-battery", "Home battery", "BATTERY", 10, 2, "home-battery", 27, may_export=True),
    Room("spread-battery", "Second home battery", "BATTERY", 10, 8, "home-battery", 27, may_export=True),
    Room("plant", "Plant", "LOAD", 300, 200, "curtailment"),
    Room("generator", "Generator", "GENERATOR", 250, 200, "generator", group=GROUP),
    Room("chargers", "EV chargers", "EV_CHARGER", 80, 50, "ev-charger", group=GROUP),
    Room("pumps", "Pumps", "LOAD", 150, 100, "curtailment", group=GROUP),
)
BY_KEY: Final = {room.key: room for room in ROOMS}


def seed_showroom(*, now: datetime) -> None:
    """Store what is missing of the showroom."""
    if Device.objects.filter(external_id__startswith=MARK).exists():
        return
    with transaction.atomic():
        for room in ROOMS:
            _save_policy(room, now=now)
        sites = {room.key: Site(name=_site_name(room), timezone=room.zone) for room in ROOMS}
        Site.objects.bulk_create(sites.values())
        meters = {room.key: _meter(room, site=sites[room.key]) for room in ROOMS}
        hear_of([_at_leap(room, meters[room.key], now=now) for room in ROOMS], now=now)
        complete_meters(list(meters.values()))
        devices = {room.key: _device(room, site=sites[room.key], now=now) for room in ROOMS}
        Device.objects.bulk_create(devices.values())
        MeterDevice.objects.bulk_create(MeterDevice(meter=meters[key], device=devices[key]) for key in meters)
        MarketGroup.objects.filter(market_group_id=leap_id(MARK + GROUP)).update(
            timezone=PACIFIC, starts_at=now
        )


def recipient(key: str) -> Recipient:
    """Return a room's meter, or the showroom's group, as a dispatch names it."""
    if key != GROUP:
        room = BY_KEY[key]
        return Recipient(Level.METER, room.meter_id, (room.meter_id,), Decimal(room.nomination_kw))
    members = [room for room in ROOMS if room.group]
    return Recipient(
        Level.GROUP,
        leap_id(MARK + GROUP),
        tuple(sorted(room.meter_id for room in members)),
        Decimal(sum(room.nomination_kw for room in members)),
    )


def _save_policy(room: Room, *, now: datetime) -> None:
    if ResponsePolicy.objects.filter(name=room.policy).exists():
        return
    content = {**NOTHING, **TEMPLATES.get(room.template, {}), "name": room.policy}
    save_policy(policy_id=None, content=content, by="the demo", now=now)


def _site_name(room: Room) -> str:
    return f"Showroom: {room.name}"


def _meter(room: Room, *, site: Site) -> Meter:
    return Meter(
        meter_id=room.meter_id,
        partner_reference=f"{MARK}{room.key}",
        name=_site_name(room),
        site=site,
        transmission_region=room.region,
        meter_type="UTILITY_METER",
        timezone=room.zone,
        nomination_kw=Decimal(room.nomination_kw),
    )


def _at_leap(room: Room, meter: Meter, *, now: datetime) -> dict[str, Any]:
    """Return what the demo's Leap holds of a room's meter: in the showroom's group, if in any."""
    body = known_meter(meter, groups=(), city="Oakland", load_type="OTHER", now=now)
    if room.group:
        group = {"market_group_id": leap_id(MARK + GROUP), "market_group_name": GROUP_NAME}
        both = periods("CCA", zone=PACIFIC, now=now)
        body["program_enrollment"] = [enrolled("CCA", period, "ACTIVE", **group) for period in both]
    return body


def _device(room: Room, *, site: Site, now: datetime) -> Device:
    return Device(
        external_id=room.external_id,
        name=f"{room.name} in the showroom",
        kind=room.kind,
        driver="simulator",
        settings={"says_charge": False},  # what it has is part of the scenario
        site=site,
        rated_power_kw=Decimal(room.rated_kw),
        energy_capacity_kwh=None if room.energy_kwh is None else Decimal(room.energy_kwh),
        may_export=room.may_export,
        policy=room.policy,
        last_seen_at=now,
    )
