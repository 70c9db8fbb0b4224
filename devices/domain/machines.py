"""What simulated devices are, kind by kind: batteries, rooms, tanks, chargers, generators and loads. Pure.

What wavers is worked out from the device and the time alone. Power in kW is positive when it is taken from
the grid, energy in kWh; times are UTC.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Protocol

from devices.domain.following import Doing

TICK: Final = timedelta(minutes=1)
EPOCH: Final = datetime(2020, 1, 1, tzinfo=UTC)
NOTHING_LEFT: Final = 1e-9
"""kWh below which there is none."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a device is. `zone`: whose day it has; `seed`: what makes it differ from others of its kind."""

    kind: str
    seed: int
    rated_kw: float
    capacity_kwh: float | None = None
    may_export: bool = False
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class Decision:
    """The level and the power from now on, and when that ends by itself."""

    level: float
    power_kw: float
    until: datetime | None = None
    mean_kw: float | None = None


class Behaviour(Protocol):
    """What differs between kinds."""

    def usual_level(self, at: datetime) -> float:
        """Return the level a device has that nobody asked anything of."""
        ...

    def passes_to(self, level: float, power_kw: float, *, start: datetime, hours: float) -> float:
        """Return the level after some hours at this power; nothing was decided in between."""
        ...

    def changes_after(self, at: datetime) -> datetime | None:
        """Return when something comes or goes that nobody asked for; None: nothing does."""
        ...

    def decide(self, level: float, doing: Doing, at: datetime) -> Decision:
        """Return what it does from `at` on."""
        ...


def floor(at: datetime, step: timedelta) -> datetime:
    """Return the latest whole step at a time."""
    return at - (at - EPOCH) % step


def _after(at: datetime, *, hours: float) -> datetime:
    """Return the first microsecond by which so much time has passed; never `at` itself."""
    return at + timedelta(microseconds=max(1, math.ceil(min(hours, 24) * 3.6e9)))


def _chance(seed: int, number: int) -> float:
    """Return a number from 0 to 1 that only these two decide.

    >>> _chance(1, 2) == _chance(1, 2) != _chance(1, 3)
    True
    """
    mixed = (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ (mixed >> 31)) % 1_000_003 / 1_000_003


def _noise(machine: Machine, at: datetime) -> float:
    """Return what wavers between -1 and 1: a slow part by quarters of an hour and a quick one by minutes."""
    minute = (at - EPOCH) // TICK
    place = minute % 15 / 15
    slow = _chance(machine.seed, minute // 15) * (1 - place) + _chance(machine.seed, minute // 15 + 1) * place
    return 1.6 * (slow - 0.5) + 0.4 * (_chance(machine.seed + 1, minute) - 0.5)


def _daily(machine: Machine, at: datetime, *, peak_hour: float) -> float:
    """Return the day's course where the device is: 1 at the hour of the peak, -1 twelve hours off."""
    local = at.astimezone(machine.zone)
    return math.cos((local.hour + local.minute / 60 - peak_hour) * math.pi / 12)


def _asked_kw(doing: Doing, *, most: float) -> float:
    """Return the power a segment asks for, in its direction, up to the most there is."""
    return doing.share * (most if doing.target_kw is None else min(doing.target_kw, most))


class _Load:
    """Takes its daily course, and less when curtailed, down to nothing."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def usual_level(self, at: datetime) -> float:
        return 0.0

    def passes_to(self, level: float, power_kw: float, *, start: datetime, hours: float) -> float:
        return level

    def changes_after(self, at: datetime) -> datetime | None:
        return None

    def decide(self, level: float, doing: Doing, at: datetime) -> Decision:
        usual = self._usual_kw(at)
        if not doing.is_running or doing.mode == "idle":
            return Decision(level, usual)
        return Decision(level, usual - _asked_kw(doing, most=usual))

    def _usual_kw(self, at: datetime) -> float:
        course = 0.86 + 0.05 * _daily(self.machine, at, peak_hour=14) + 0.02 * _noise(self.machine, at)
        return self.machine.rated_kw * course


class _Generator(_Load):
    """Stands by, and gives what it is asked for."""

    def decide(self, level: float, doing: Doing, at: datetime) -> Decision:
        if not doing.is_running or doing.mode == "idle":
            return Decision(level, self.machine.rated_kw * 0.004)  # it is kept warm
        wavers = 1 + 0.005 * _noise(self.machine, at)
        return Decision(level, -_asked_kw(doing, most=self.machine.rated_kw) * wavers)


class Battery:
    """Stores with losses, gives down to its reserve and charges again when nothing is asked."""

    EFFICIENCY = 0.95  # each way
    RESERVE, FULL, NEARLY_FULL = 0.1, 1.0, 0.9
    CHARGES_AT, TRICKLES_AT, WAITS_AT = 0.5, 0.15, 0.001  # of the rated power

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.capacity_kwh = machine.capacity_kwh or 2 * machine.rated_kw or 1.0

    def usual_level(self, at: datetime) -> float:
        return self.capacity_kwh * (0.7 + 0.25 * _chance(self.machine.seed, 0))

    def passes_to(self, level: float, power_kw: float, *, start: datetime, hours: float) -> float:
        return level + hours * self._flow(power_kw)

    def changes_after(self, at: datetime) -> datetime | None:
        return None

    def decide(self, level: float, doing: Doing, at: datetime) -> Decision:
        power = self._power(level, doing, at)
        flow = self._flow(power)
        if flow == 0:
            return Decision(level, power)
        part = self.FULL if self._is_nearly_full(level) else self.NEARLY_FULL
        bound = self.capacity_kwh * (part if flow > 0 else self.RESERVE)
        return Decision(level, power, _after(at, hours=(bound - level) / flow))

    def _power(self, level: float, doing: Doing, at: datetime) -> float:
        rated, left = self.machine.rated_kw, self.capacity_kwh - level
        waits = rated * self.WAITS_AT * (1 + 0.3 * _noise(self.machine, at))
        if doing.is_running and doing.mode != "idle":
            is_empty = level <= self.RESERVE * self.capacity_kwh + NOTHING_LEFT
            return waits if is_empty else -_asked_kw(doing, most=self._most(doing, at)) or waits
        if left <= NOTHING_LEFT or doing.mode == "idle":
            return waits
        return rated * (self.TRICKLES_AT if self._is_nearly_full(level) else self.CHARGES_AT)

    def _is_nearly_full(self, level: float) -> bool:
        return level >= self.NEARLY_FULL * self.capacity_kwh - NOTHING_LEFT

    def _most(self, doing: Doing, at: datetime) -> float:
        """Return the most it can give; where the grid gets nothing, as much as the site is taken to take."""
        if doing.mode != "discharge" or doing.target_kw is not None:
            return self.machine.rated_kw
        return self.machine.rated_kw * (0.7 + 0.15 * _daily(self.machine, at, peak_hour=18))

    def _flow(self, power_kw: float) -> float:
        """Return how fast the level changes; what keeps it awake is not stored."""
        if power_kw < 0:
            return power_kw / self.EFFICIENCY
        is_charging = power_kw > 2 * self.WAITS_AT * self.machine.rated_kw
        return power_kw * self.EFFICIENCY if is_charging else 0.0


class _Charger:
    """Cars come, need energy and leave, three times a day; curtailed, they take it later if they stay.

    One that comes in the middle of a run waits for its end: it was not there to take less than before.
    """

    ROUND = timedelta(hours=8)

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.first = EPOCH + _chance(machine.seed, 0) * self.ROUND

    def usual_level(self, at: datetime) -> float:
        comes_at, leaves_at, needs = self._session(at)
        if not comes_at <= at < leaves_at:
            return 0.0
        return max(0.0, needs - (at - comes_at) / timedelta(hours=1) * self.machine.rated_kw)

    def passes_to(self, level: float, power_kw: float, *, start: datetime, hours: float) -> float:
        return level - power_kw * hours

    def changes_after(self, at: datetime) -> datetime | None:
        comes_at, leaves_at, _ = self._session(at)
        if at < comes_at:
            return comes_at
        return leaves_at if at < leaves_at else self._session(at + self.ROUND)[0]

    def decide(self, level: float, doing: Doing, at: datetime) -> Decision:
        comes_at, leaves_at, needs = self._session(at)
        if at == comes_at:
            level = needs
        if level <= NOTHING_LEFT or not comes_at <= at < leaves_at:
            return Decision(0.0, 0.0)
        usual = self.machine.rated_kw * (0.96 + 0.02 * _noise(self.machine, at))
        power = usual
        if doing.is_running and doing.mode != "idle":
            waits = doing.since is not None and comes_at > doing.since
            power = usual * (1 - doing.share) if waits else usual - _asked_kw(doing, most=usual)
        return Decision(level, power, _after(at, hours=level / power) if power > 0 else None)

    def _session(self, at: datetime) -> tuple[datetime, datetime, float]:
        """Return when the car of this part of the day comes and leaves, and the kWh it needs."""
        number = (at - self.first) // self.ROUND
        begins = self.first + number * self.ROUND
        comes_at = begins + timedelta(minutes=int(30 * _chance(self.machine.seed + 2, number)))
        leaves_at = begins + timedelta(minutes=int(450 + 28 * _chance(self.machine.seed + 3, number)))
        return comes_at, leaves_at, self.machine.rated_kw * (4 + 2 * _chance(self.machine.seed + 4, number))


@dataclass(frozen=True, slots=True)
class _Place:
    """What a thermal device keeps warm or cool. °C and hours.

    `strain`: how far it would drift off by itself, and `swing`: how much that is more or less in a day;
    `reach`: what full power makes up for; `cycles`: whether it can only be on or off.
    """

    wanted_c: float
    is_heating: bool
    inertia_hours: float
    peak_hour: float
    cycles: bool
    strain: float = 9.0
    swing: float = 0.6
    reach: float = 11.0


class _Thermal:
    """Keeps a temperature; prepares beyond it, drifts when curtailed, and takes more until it is back."""

    GAIN = 0.4  # of the rated power for each degree off
    PREPARES_BY = 2.0
    CYCLE, TURN = timedelta(minutes=5), timedelta(seconds=10)

    def __init__(self, machine: Machine, place: _Place) -> None:
        self.machine = machine
        self.place = place
        self.sign = 1 if place.is_heating else -1

    def usual_level(self, at: datetime) -> float:
        return self.place.wanted_c

    def passes_to(self, level: float, power_kw: float, *, start: datetime, hours: float) -> float:
        if not self.machine.rated_kw:
            return level
        push = self.place.reach * power_kw / self.machine.rated_kw - self._strain(start)
        settles_at = self.place.wanted_c + self.sign * push
        return settles_at + (level - settles_at) * math.exp(-hours / self.place.inertia_hours)

    def changes_after(self, at: datetime) -> datetime | None:
        return None

    def decide(self, level: float, doing: Doing, at: datetime) -> Decision:
        duty = self._duty(level, doing, at)
        mean = duty * self.machine.rated_kw
        if not self.place.cycles:
            return Decision(level, mean)
        begins = floor(at - self._lag(), self.CYCLE) + self._lag()
        off_at = begins + round(duty * self.CYCLE / self.TURN) * self.TURN
        if at < off_at:
            return Decision(level, self.machine.rated_kw, off_at, mean_kw=mean)
        return Decision(level, 0.0, begins + self.CYCLE, mean_kw=mean)

    def _duty(self, level: float, doing: Doing, at: datetime) -> float:
        """Return the part of its power that it takes, from 0 to 1."""
        usual = self._strain(at) / self.place.reach
        beyond = self.PREPARES_BY if doing.mode == "prepare" else 0.0
        missing = self.sign * (self.place.wanted_c - level) + beyond
        duty = min(1.0, max(0.0, usual + self.GAIN * missing))
        if not doing.is_running or doing.mode == "idle" or not self.machine.rated_kw:
            return duty
        left = usual - _asked_kw(doing, most=usual * self.machine.rated_kw) / self.machine.rated_kw
        return min(duty, left + (1 - doing.share) * max(0.0, duty - usual))

    def _strain(self, at: datetime) -> float:
        course = _daily(self.machine, at, peak_hour=self.place.peak_hour)
        return self.place.strain + self.place.swing * course + 0.2 * _noise(self.machine, at)

    def _lag(self) -> timedelta:
        return self.machine.seed % 30 * self.TURN  # so that not all switch at once


_ROOM: Final = _Place(22.0, is_heating=False, inertia_hours=2, peak_hour=16, cycles=False)
_HOME: Final = _Place(23.0, is_heating=False, inertia_hours=3, peak_hour=17, cycles=True)
_TANK: Final = _Place(60.0, is_heating=True, inertia_hours=5, peak_hour=8, cycles=True)
_KINDS: Final[dict[str, Callable[[Machine], Behaviour]]] = {
    "BATTERY": Battery,
    "EV_CHARGER": _Charger,
    "GENERATOR": _Generator,
    "HVAC": lambda machine: _Thermal(machine, _ROOM),
    "THERMOSTAT": lambda machine: _Thermal(machine, _HOME),
    "WATER_HEATER": lambda machine: _Thermal(machine, _TANK),
}


@lru_cache(maxsize=4096)
def behaviour_of(machine: Machine) -> Behaviour:
    """Return how a device behaves."""
    return _KINDS.get(machine.kind, _Load)(machine)
