"""Stage: what devices measured → readings, energy by minute and quarter of an hour, and the newest of each.

Writes `Reading`, `PowerInterval` and, of `Device`, its newest power, state of charge, whether it is online
and when it was last heard; a state of charge asks to be weighed. A batch costs a constant number of
statements.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Final

from django.conf import settings
from django.db import transaction

from devices.bulk import insert_rows
from devices.domain import reports
from devices.domain.intervals import MINUTE, QUARTER, Between, Energy, Sample, changes
from devices.telemetry_models import Reading, ReadingMode
from devices.telemetry_rows import (
    EPOCH,
    Added,
    Known,
    Place,
    add_energy,
    lock_devices,
    milliseconds,
    neighbours,
    write_known,
)

AHEAD_AT_MOST: Final = timedelta(minutes=1)
"""How far a device's clock may be ahead; a reading of the far future would hide all that follow."""

LIVE: Final = timedelta(minutes=5)
"""How old a reading may be to be a sign of life; older ones were kept somewhere and come late."""

PORTION: Final = 1_000

MOST_KW: Final = Decimal(1_000_000)
"""No single device takes or gives more: beyond it is a broken meter, not a measurement."""

MOST_KWH: Final = Decimal(100_000_000_000)
"""No counter shows more."""


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """What one device measured at `at`: kW, positive when it takes power from the grid.

    `energy_kwh`: its counter, all taken minus all given; `mode`: what it says it does, or nothing.
    """

    device_id: int
    at: datetime
    power_kw: Decimal
    energy_kwh: Decimal | None = None
    state_of_charge_percent: Decimal | None = None
    mode: str = ""
    is_online: bool = True

    @classmethod
    def said_by(cls, device_id: int, said: reports.Reading) -> DeviceReading:
        """Return what a device said in a message as its reading."""
        return cls(
            device_id=device_id,
            at=said.at,
            power_kw=said.power_kw,
            energy_kwh=said.energy_kwh,
            state_of_charge_percent=said.state_of_charge_percent,
            mode=said.mode,
            is_online=said.is_online,
        )


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


_NOTHING = Energy(0, 0)


def record_many(readings: Sequence[DeviceReading], *, now: datetime) -> Recorded:
    """Store any number of readings, a portion after another, so that no device is locked for long.

    What is stored stays stored if a later portion fails: whoever sends all of it again gets duplicates.
    """
    stored = duplicates = 0
    refused: list[Refused] = []
    for first in range(0, len(readings), PORTION):
        portion = readings[first : first + PORTION]
        told = record_readings(portion, now=now)
        stored += told.stored
        duplicates += told.duplicates
        refused += [Refused(first + one.index, one.reason) for one in told.refused]
    return Recorded(stored, duplicates, tuple(refused))


@transaction.atomic
def record_readings(
    readings: Sequence[DeviceReading], *, now: datetime, tells_presence: bool = True
) -> Recorded:
    """Store readings in any order, each once, and the energy they give; of one millisecond the first stays.

    1. Refuse what cannot be: of no device, of another time, not a number.
    2. Store what is new.
    3. Add to the minutes and quarters of an hour what that changes (`devices.domain.intervals`).
    4. Note at the device what is newer than what is known of it. A reading of the last minutes is a sign of
    life, unless `tells_presence` is false.

    Devices are locked, so that no two at once take the same neighbours. Readings of the past may come as long
    as their neighbours are kept.
    """
    devices = lock_devices({reading.device_id for reading in readings})
    refused, kept = _sift(readings, devices=devices, now=now)
    between = neighbours([(one.device_id, one.at) for one in kept])
    new = [reading for reading, place in zip(kept, between, strict=True) if place is not None]
    if new:
        insert_rows(
            Reading,
            ("device_id", "at", "power_kw", "energy_kwh", "state_of_charge_percent", "mode"),
            (
                (one.device_id, one.at, one.power_kw, one.energy_kwh, one.state_of_charge_percent, one.mode)
                for one in new
            ),
        )
        _add_energy(new, [place for place in between if place is not None])
        _note_newest(new, devices=devices, tells_presence=tells_presence, now=now)
    return Recorded(len(new), len(readings) - len(refused) - len(new), tuple(refused))


def kept_since(*, now: datetime) -> datetime:
    """Return the time before which no reading is taken."""
    return now - timedelta(days=settings.READINGS_KEPT_DAYS)


def _sift(
    readings: Sequence[DeviceReading], *, devices: Container[int], now: datetime
) -> tuple[list[Refused], list[DeviceReading]]:
    """Part what is refused from what is kept: to the millisecond, once, by device and time."""
    refused: list[Refused] = []
    kept: dict[tuple[int, datetime], DeviceReading] = {}
    since = kept_since(now=now)
    for index, reading in enumerate(readings):
        if reason := _why_refused(reading, devices=devices, since=since, now=now):
            refused.append(Refused(index, reason))
            continue
        as_kept = _as_kept(reading)
        kept.setdefault((as_kept.device_id, as_kept.at), as_kept)
    return refused, [kept[key] for key in sorted(kept)]


def _as_kept(reading: DeviceReading) -> DeviceReading:
    """Return it with no more digits than are kept."""
    at = reading.at.astimezone(UTC)
    energy, percent = reading.energy_kwh, reading.state_of_charge_percent
    return replace(
        reading,
        at=at.replace(microsecond=at.microsecond // 1000 * 1000),
        power_kw=round(reading.power_kw, 3),
        energy_kwh=None if energy is None else round(energy, 3),
        state_of_charge_percent=None if percent is None else round(percent, 2),
    )


def _why_refused(reading: DeviceReading, *, devices: Container[int], since: datetime, now: datetime) -> str:
    if reading.device_id not in devices:
        return "No such device."
    if reading.at > now + AHEAD_AT_MOST:
        return "It lies in the future."
    if reading.at < since:
        return f"It is older than the {settings.READINGS_KEPT_DAYS} days for which readings are kept."
    if not _is_within(reading.power_kw, -MOST_KW, MOST_KW):
        return "The power is not a number that a device can have."
    if reading.energy_kwh is not None and not _is_within(reading.energy_kwh, -MOST_KWH, MOST_KWH):
        return "The energy is not a number that a counter can show."
    percent = reading.state_of_charge_percent
    if percent is not None and not _is_within(percent, Decimal(0), Decimal(100)):
        return "The state of charge is not between 0 and 100 %."
    if reading.mode and reading.mode not in ReadingMode:
        return f"The mode is none of {', '.join(ReadingMode.values)}."
    return ""


def _is_within(value: Decimal, least: Decimal, most: Decimal) -> bool:
    return value.is_finite() and least <= value <= most


def _add_energy(new: Sequence[DeviceReading], places: Sequence[Place]) -> None:
    """Add to intervals what new readings, ordered by device and time, change."""
    rows: list[Added] = []
    of_devices = groupby(zip(new, places, strict=True), key=lambda pair: pair[0].device_id)
    for device_id, pairs in of_devices:
        listed = list(pairs)
        changed = changes(_gaps(listed))
        for minutes, energies in ((1, changed.minutes), (QUARTER, changed.quarters)):
            charges = _charges([reading for reading, _ in listed], minutes=minutes)
            for number in energies.keys() | charges.keys():
                starts_at = EPOCH + timedelta(minutes=number * minutes)
                energy = energies.get(number, _NOTHING)
                measured = energy.watt_milliseconds, energy.covered_milliseconds
                charge = charges.get(number, (None, None))
                rows.append(Added(device_id, minutes, starts_at, *measured, *charge))
    add_energy(rows)


def _gaps(listed: Sequence[tuple[DeviceReading, Place]]) -> list[Between]:
    """Gather the new readings of a device that lie between the same two known ones."""
    gaps = []
    for (before, after), pairs in groupby(listed, key=lambda pair: pair[1]):
        gaps.append(Between(before, [_as_sample(reading) for reading, _ in pairs], after))
    return gaps


def _as_sample(reading: DeviceReading) -> Sample:
    energy = reading.energy_kwh
    watt_hours = None if energy is None else int(energy * 1000)
    return Sample(milliseconds(reading.at), int(reading.power_kw * 1000), watt_hours)


def _charges(readings: Iterable[DeviceReading], *, minutes: int) -> dict[int, tuple[Decimal, datetime]]:
    """Return the latest state of charge said in each interval, by its number."""
    found = {}
    for reading in readings:
        if reading.state_of_charge_percent is not None:
            number = milliseconds(reading.at) // (MINUTE * minutes)
            found[number] = reading.state_of_charge_percent, reading.at
    return found


def _note_newest(
    new: Sequence[DeviceReading], *, devices: Mapping[int, Known], tells_presence: bool, now: datetime
) -> None:
    """Write the newest of each device, for all devices in one statement."""
    rows = []
    for device_id, readings in groupby(new, key=lambda reading: reading.device_id):
        was, listed = devices[device_id], list(readings)
        known, newest = was, listed[-1]
        if was.power_at is None or newest.at > was.power_at:
            known = known._replace(power_kw=newest.power_kw, power_at=newest.at)
            if tells_presence and newest.at > now - LIVE:
                known = known._replace(is_online=newest.is_online, last_seen_at=now)
        charged = [one for one in listed if one.state_of_charge_percent is not None]
        charged_at = was.state_of_charge_at
        if charged and (charged_at is None or charged[-1].at > charged_at):
            known = known._replace(
                state_of_charge_percent=charged[-1].state_of_charge_percent,
                state_of_charge_at=charged[-1].at,
                weigh_requested_at=now,
            )
        if known != was:
            rows.append(known)
    write_known(rows)
