"""Stage: what devices measured → readings, and what is known of the devices now.

Writes `Reading` and, of `Device`, its newest power, state of charge, whether it is online and when it was
last heard; a state of charge asks to be weighed. All set-based: a batch costs a constant number of statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction

from devices.models import Device
from devices.registering import register_devices
from devices.telemetry_models import Reading, ReadingMode

AHEAD_AT_MOST: Final = timedelta(minutes=1)
"""How far a device's clock may be ahead; a reading of the far future would hide all that follow."""

MOST_KW: Final = Decimal(1_000_000)
"""No single device takes or gives more: beyond it is a broken meter, not a measurement."""

MOST_KWH: Final = Decimal(100_000_000_000)


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """What one device measured at `at`: kW positive when it takes power from the grid, negative when it gives.

    `energy_kwh`: its counter, all taken minus all given; `mode`: what it says it does, or nothing.
    """

    device_id: int
    at: datetime
    power_kw: Decimal
    energy_kwh: Decimal | None = None
    state_of_charge_percent: Decimal | None = None
    mode: str = ""
    is_online: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """A reading that is not kept: its place in what was given, and why."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch: how many were stored, how many were known before, which were refused."""

    stored: int
    duplicates: int
    refused: tuple[Refused, ...] = ()


@transaction.atomic
def record_readings(readings: Sequence[DeviceReading], *, now: datetime) -> Recorded:
    """Store readings in any order, each once; the first of a device and millisecond stays.

    1. Refuse what cannot be: of no device, of another time, not a number.
    2. Store what is new.
    3. Note at the device what is newer than what is known of it.
    """
    ids = {reading.device_id for reading in readings}
    rows = Device.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    devices = {device.pk: device for device in rows}
    refused = []
    kept: dict[tuple[int, datetime], DeviceReading] = {}
    for index, reading in enumerate(readings):
        if reason := _why_refused(reading, devices=devices, now=now):
            refused.append(Refused(index, reason))
            continue
        at = reading.at.replace(microsecond=reading.at.microsecond // 1000 * 1000)
        kept.setdefault((reading.device_id, at), replace(reading, at=at))
    if not kept:
        return Recorded(0, 0, tuple(refused))
    moments = [at for _, at in kept]
    known = set(
        Reading.objects.filter(device_id__in=devices, at__gte=min(moments), at__lte=max(moments)).values_list(
            "device_id", "at"
        )
    )
    new = [reading for key, reading in kept.items() if key not in known]
    Reading.objects.bulk_create(
        Reading(
            device_id=reading.device_id,
            at=reading.at,
            power_kw=reading.power_kw,
            energy_kwh=reading.energy_kwh,
            state_of_charge_percent=reading.state_of_charge_percent,
            mode=reading.mode,
        )
        for reading in new
    )
    _note_newest(new, devices=devices, now=now)
    return Recorded(len(new), len(readings) - len(refused) - len(new), tuple(refused))


def _why_refused(reading: DeviceReading, *, devices: dict[int, Device], now: datetime) -> str:
    if reading.device_id not in devices:
        return "No such device."
    if reading.at > now + AHEAD_AT_MOST:
        return "It lies in the future."
    if not reading.power_kw.is_finite() or abs(reading.power_kw) > MOST_KW:
        return "The power is not a number that a device can have."
    energy = reading.energy_kwh
    if energy is not None and (not energy.is_finite() or abs(energy) > MOST_KWH):
        return "The energy is not a number that a counter can show."
    percent = reading.state_of_charge_percent
    if percent is not None and not (percent.is_finite() and 0 <= percent <= 100):
        return "The state of charge is not between 0 and 100 %."
    if reading.mode and reading.mode not in ReadingMode:
        return "The mode is not one of normal, curtail, discharge, export, idle."
    return ""


def _note_newest(new: Sequence[DeviceReading], *, devices: dict[int, Device], now: datetime) -> None:
    charges = {}
    moved = {}
    for reading in sorted(new, key=lambda reading: reading.at):
        device = devices[reading.device_id]
        if device.power_at is None or reading.at > device.power_at:
            device.power_kw, device.power_at = reading.power_kw, reading.at
            device.is_online, device.last_seen_at = reading.is_online, now
            moved[device.pk] = device
        known_at, percent = device.state_of_charge_at, reading.state_of_charge_percent
        if percent is not None and (known_at is None or reading.at > known_at):
            device.state_of_charge_at = reading.at
            charges[device.external_id] = {
                "state_of_charge_percent": percent,
                "state_of_charge_at": reading.at,
            }
    fields = ["power_kw", "power_at", "is_online", "last_seen_at"]
    Device.objects.bulk_update(moved.values(), fields, batch_size=200)
    if charges:
        register_devices(wanted=charges, now=now)
