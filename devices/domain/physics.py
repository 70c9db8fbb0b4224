"""How simulated devices of any kind (`devices.domain.machines`) go on from one moment to another. Pure.

What a device takes is decided at fixed times: at each whole minute, when its schedule says something else,
and when something in it is full, empty or over. In between the power holds, and what comes of it is worked
out in closed form. So how time is cut into steps makes no difference, and the same device at the same
time always does the same.

Power in kW is positive when it is taken from the grid, energy in kWh; times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zlib import crc32

import msgspec

from devices.domain.following import GRADUAL, NORMAL, Doing, Orders
from devices.domain.machines import TICK, Battery, Behaviour, Machine, behaviour_of, floor


@dataclass(frozen=True, slots=True)
class Condition:
    """A device at `at`. `power_kw` holds until the next decision, at the latest `until`.

    `energy_kwh`: what it took so far, less what it gave. `level`: kWh stored in a battery, kWh a car still
    needs, °C of a room or tank; else 0. `mean_kw`: what it says that it takes, which is over its cycle where
    it only switches on and off, else its power.
    """

    at: datetime
    power_kw: float
    energy_kwh: float
    level: float
    doing: Doing
    mean_kw: float
    until: datetime | None = None

    def as_stored(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        stored: dict[str, Any] = msgspec.to_builtins(self)
        return stored


def read_condition(stored: Mapping[str, Any]) -> Condition | None:
    """Return what `as_stored` made; None for what it did not, or not as it does now."""
    try:
        return msgspec.convert(stored, Condition)
    except msgspec.ValidationError:
        return None


def seed_of(external_id: str) -> int:
    """Return what makes the device of this id itself."""
    return crc32(external_id.encode())


def begin(machine: Machine, *, at: datetime, energy_kwh: float = 0.0) -> Condition:
    """Return a device that ran as usual until `at`."""
    level = behaviour_of(machine).usual_level(at)
    return _decide(machine, Condition(at, 0.0, energy_kwh, level, NORMAL, 0.0), doing=NORMAL)


def advance(machine: Machine, condition: Condition, orders: Orders, *, until: datetime) -> Condition:
    """Return the device at `until`, having followed its orders since `condition.at`."""
    behaviour = behaviour_of(machine)
    while condition.at < until:
        change = _next_change(behaviour, condition, orders)
        condition = _coast(behaviour, condition, to=min(change, until))
        if condition.at == change:
            doing = orders.doing(condition.at, before=condition.doing)
            condition = _decide(machine, condition, doing=doing)
    return condition


def state_of_charge_percent(machine: Machine, condition: Condition) -> float | None:
    """Return how full a battery is; None for what is none."""
    behaviour = behaviour_of(machine)
    return 100 * condition.level / behaviour.capacity_kwh if isinstance(behaviour, Battery) else None


def charged_to(machine: Machine, condition: Condition, *, percent: float) -> Condition:
    """Return the battery as full as somebody says that it is; what is none stays as it is."""
    behaviour = behaviour_of(machine)
    if not isinstance(behaviour, Battery):
        return condition
    charged = replace(condition, level=behaviour.capacity_kwh * percent / 100)
    return _decide(machine, charged, doing=condition.doing)


def said_mode(condition: Condition) -> str:
    """Return what the device says that it does: normal, curtail, discharge, export or idle."""
    return condition.doing.mode if condition.doing.is_running else "normal"


def _next_change(behaviour: Behaviour, condition: Condition, orders: Orders) -> datetime:
    at = condition.at
    step = GRADUAL if condition.doing.is_gradual else TICK
    times = [floor(at, step) + step]
    for each in (condition.until, orders.changes_after(at), behaviour.changes_after(at)):
        if each is not None:
            times.append(each)
    return min(times)


def _coast(behaviour: Behaviour, condition: Condition, *, to: datetime) -> Condition:
    hours = (to - condition.at).total_seconds() / 3600
    level = behaviour.passes_to(condition.level, condition.power_kw, start=condition.at, hours=hours)
    energy = condition.energy_kwh + condition.power_kw * hours
    return replace(condition, at=to, energy_kwh=energy, level=level)


def _decide(machine: Machine, condition: Condition, *, doing: Doing) -> Condition:
    made = behaviour_of(machine).decide(condition.level, doing, condition.at)
    mean = made.power_kw if made.mean_kw is None else made.mean_kw
    return Condition(
        condition.at, made.power_kw, condition.energy_kwh, made.level, doing, mean_kw=mean, until=made.until
    )
