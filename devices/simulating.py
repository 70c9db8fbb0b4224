"""Stage: simulated devices → what they measure.

Reads what each accepted; writes its condition and, through `devices.telemetry`, readings as any device
sends them. A fleet is stepped in batches of a constant number of statements, at whole and half minutes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import transaction

from devices.domain import physics
from devices.domain.following import Fault, Orders, read_orders
from devices.domain.machines import Machine, floor
from devices.domain.physics import Condition
from devices.models import Device, SimulatedDevice
from devices.telemetry import DeviceReading, record_readings
from devices.watching import claim_look

DRIVER: Final = "simulator"
AT_REST, MOVING = timedelta(minutes=1), timedelta(seconds=30)
"""How often a device says what it measures, and how often while it does something or is about to."""
CATCHES_UP_BY: Final = timedelta(minutes=5)
"""How far apart readings are after a pause."""
LONGEST_PAUSE: Final = timedelta(hours=6)
"""After a longer one a device begins anew: what it would have done is not made up."""
BATCH: Final = 200
READINGS_AT_ONCE: Final = 1_000
"""In one transaction: on SQLite nobody else writes meanwhile."""
READINGS_A_RUN: Final = 3_000
NEXT_RUN_AFTER: Final = timedelta(seconds=5)
LOOK: Final = "simulated devices"
SAYS_NOTHING: Final = frozenset({Fault.SILENT, Fault.OFFLINE})


@dataclass(frozen=True, slots=True)
class _Simulated:
    """A device: its rows, what it is, how it is, and what it follows."""

    device: Device
    row: SimulatedDevice
    machine: Machine
    condition: Condition
    orders: Orders


def step_devices(*, now: datetime) -> int:
    """Step the simulated devices that are due, up to the latest half minute, and return how many were.

    One worker at a time, and after so many readings it ends even if more is due: what is left is woken again.
    So a fleet that has a long past to tell keeps neither the workers nor the database from others.
    """
    if not claim_look(LOOK, again_at=now + NEXT_RUN_AFTER, now=now):
        return 0
    _add_missing(now=now)
    until = floor(now, MOVING)
    stepped = said = 0
    while said < READINGS_A_RUN:
        devices, readings = _step_batch(until=until, now=now)
        if not devices:
            break
        stepped += devices
        said += readings
    return stepped


@transaction.atomic
def look_back(*, since: datetime) -> int:
    """Have every simulated device that was not stepped since then begin at `since`; return how many do.

    What they measured from then on is written when they are next stepped.
    """
    _add_missing(now=since)
    rows = SimulatedDevice.objects.filter(device__driver=DRIVER)
    found = _read(_lock(list(rows.values_list("device_id", flat=True))), at=since)
    late = [each for each in found if each.condition.at <= since]
    for each in late:
        each.row.physics = physics.begin(
            each.machine, at=since, energy_kwh=each.condition.energy_kwh
        ).as_stored()
        each.row.due_at = since
    _write([each.row for each in late])
    return len(late)


def _add_missing(*, now: datetime) -> None:
    missing = Device.objects.filter(driver=DRIVER, simulated__isnull=True).values_list("pk", flat=True)
    SimulatedDevice.objects.bulk_create(
        [SimulatedDevice(device_id=pk, due_at=now) for pk in missing], ignore_conflicts=True
    )
    SimulatedDevice.objects.filter(device__driver=DRIVER, due_at__isnull=True).update(due_at=now)


@transaction.atomic
def _step_batch(*, until: datetime, now: datetime) -> tuple[int, int]:
    """Step one batch and return how many devices it had, and how many readings they gave."""
    due = SimulatedDevice.objects.filter(due_at__lte=now).order_by("due_at", "device_id")
    rows = _lock(_portion(due.values_list("device_id", "due_at")[:BATCH], now=now))
    still_due = [row for row in rows if row.due_at and row.due_at <= now]
    found = _read(still_due, at=until - AT_REST)
    readings: list[DeviceReading] = []
    for each in found:
        readings += _step(each, until=until)
    _write([each.row for each in found])
    if readings:
        record_readings(readings, now=now)
    offline = [each.device.pk for each in found if each.row.fault == Fault.OFFLINE and each.device.is_online]
    if offline:
        Device.objects.filter(pk__in=offline).update(is_online=False)
    return len(found), len(readings)


def _portion(due: Iterable[tuple[int, datetime | None]], *, now: datetime) -> list[int]:
    """Return the devices of one batch: fewer where they have a past to tell, so that no batch lasts long."""
    found: list[int] = []
    readings = 0
    for device_id, due_at in due:
        readings += 1 + ((now - due_at) // CATCHES_UP_BY if due_at else 0)
        if found and readings > READINGS_AT_ONCE:
            break
        found.append(device_id)
    return found


def _lock(device_ids: Collection[int]) -> list[SimulatedDevice]:
    """Return the rows of devices with the devices, but for those that somebody is writing; held.

    The devices first, as everywhere.
    """
    devices = Device.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
    held = {each.pk: each for each in devices.select_related("site").filter(pk__in=device_ids).order_by("pk")}
    rows = SimulatedDevice.objects.select_for_update(no_key=True).filter(device_id__in=held)
    found = list(rows.order_by("device_id"))
    for row in found:
        row.device = held[row.device_id]
    return found


def _read(rows: Sequence[SimulatedDevice], *, at: datetime) -> list[_Simulated]:
    """Return what rows say; a device that never was, or not for long, begins `at`."""
    return [_simulated(row, at=at) for row in rows]


def _simulated(row: SimulatedDevice, *, at: datetime) -> _Simulated:
    device = row.device
    machine = Machine(
        kind=device.kind,
        seed=physics.seed_of(device.external_id),
        rated_kw=float(device.rated_power_kw),
        capacity_kwh=float(device.energy_capacity_kwh) if device.energy_capacity_kwh else None,
        may_export=device.may_export,
        zone=_zone(device),
    )
    fault = Fault(row.fault) if row.fault else None
    orders = read_orders(row.message, since=row.accepted_at, fault=fault)
    return _Simulated(device, row, machine, _condition(row, machine=machine, at=at), orders)


def _condition(row: SimulatedDevice, *, machine: Machine, at: datetime) -> Condition:
    held = physics.read_condition(row.physics)
    if held is None:
        new = physics.begin(machine, at=at)
        percent = row.device.state_of_charge_percent
        return new if percent is None else physics.charged_to(machine, new, percent=float(percent))
    if at - held.at <= LONGEST_PAUSE:
        return held
    return physics.begin(machine, at=at, energy_kwh=held.energy_kwh)


def _zone(device: Device) -> tzinfo:
    try:
        return ZoneInfo(device.site.timezone) if device.site else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC  # no place of one device may keep all others from being stepped


def _step(one: _Simulated, *, until: datetime) -> list[DeviceReading]:
    """Let one device behave until then, note its condition and return what it says of it."""
    if one.device.driver != DRIVER:
        one.row.due_at = None
        return []
    condition, said = _as_charged(one, until=until), []
    for moment in _moments(condition.at, until):
        condition = physics.advance(one.machine, condition, one.orders, until=moment)
        said.append(_reading(one, condition))
    one.row.physics = condition.as_stored()
    one.row.due_at = _due_after(condition, one.orders)
    return [] if one.row.fault in SAYS_NOTHING else said


def _moments(since: datetime, until: datetime) -> Iterator[datetime]:
    """Give the times of what is said: now, and after a pause at every five minutes of it, too."""
    if until - since > 2 * AT_REST:
        moment = floor(since, CATCHES_UP_BY) + CATCHES_UP_BY
        while moment < until:
            yield moment
            moment += CATCHES_UP_BY
    if since < until:
        yield until


def _as_charged(one: _Simulated, *, until: datetime) -> Condition:
    """Return the device as it was; one of whose charge somebody said something since has that charge."""
    said_at, percent = one.device.state_of_charge_at, one.device.state_of_charge_percent
    if said_at is None or percent is None or not one.condition.at < said_at <= until or not _says_charge(one):
        return one.condition
    before = physics.advance(one.machine, one.condition, one.orders, until=said_at)
    return physics.charged_to(one.machine, before, percent=float(percent))


def _says_charge(one: _Simulated) -> bool:
    return one.device.settings.get("says_charge", True) is not False


def _reading(one: _Simulated, condition: Condition) -> DeviceReading:
    percent = physics.state_of_charge_percent(one.machine, condition) if _says_charge(one) else None
    return DeviceReading(
        device_id=one.device.pk,
        at=condition.at,
        power_kw=round(Decimal(condition.mean_kw), 3),
        energy_kwh=round(Decimal(condition.energy_kwh), 3),
        state_of_charge_percent=None if percent is None else round(Decimal(min(100, max(0, percent))), 2),
        mode=physics.said_mode(condition),
    )


def _due_after(condition: Condition, orders: Orders) -> datetime:
    """Return when a device says the next thing: sooner while it does something or is about to."""
    change = orders.changes_after(condition.at)
    is_moving = condition.doing.is_running or (change is not None and change <= condition.at + AT_REST)
    step = MOVING if is_moving else AT_REST
    return floor(condition.at, step) + step


def _write(rows: Sequence[SimulatedDevice]) -> None:
    SimulatedDevice.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["device"], update_fields=["physics", "due_at"]
    )
