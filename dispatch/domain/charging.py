"""What a storage device holds: from the last it said, what it has delivered since, and what it recharges.

It recharges while it does not run and no commitment asks anything of it, whether it delivers or not: a
commitment's time is none to draw power from the grid. Energy is counted in whole numbers so fine that
nothing is ever rounded; so a plan made a minute later finds exactly the energy that the earlier one had
reckoned with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from dispatch.domain.events import Window
from dispatch.domain.overlaps import cut
from dispatch.domain.terms import Battery, Storage
from dispatch.domain.windows import micros

_PERCENT_OF_WATT_HOUR: Final = 36_000_000
"""A hundredth of a watt-hour, in watts times microseconds."""


@dataclass(frozen=True, slots=True)
class Tank:
    """A battery's marks. `unit` of their units are one watt for one microsecond.

    `inflow`: what a microsecond of recharging brings.
    """

    unit: int
    inflow: int
    lowest: int
    reserve: int
    highest: int

    def filled(self, level: int, length: int) -> int:
        """Return the level after microseconds of recharging: never above the highest."""
        return max(level, min(level + self.inflow * length, self.highest))

    def drained(self, level: int, watts: int, length: int) -> int:
        """Return the level after microseconds of delivering: a device stops by itself at the lowest."""
        return max(level - watts * length * self.unit, min(level, self.lowest))

    def needed(self, level: int, length: int) -> int:
        """Return the level that is enough before microseconds of recharging, for one after them."""
        return level if level > self.highest else max(level - self.inflow * length, 0)


def tank_of(battery: Battery, storage: Storage) -> Tank:
    """Return the marks of a battery under its policy."""
    unit = micros(storage.recharge) if storage.recharge else 1
    watt_hundredths = battery.capacity_watt_hours * _PERCENT_OF_WATT_HOUR
    span = storage.highest_percent - storage.lowest_percent
    return Tank(
        unit=unit,
        inflow=span * watt_hundredths if storage.recharge else 0,
        lowest=storage.lowest_percent * watt_hundredths * unit,
        reserve=max(storage.reserve_percent, storage.lowest_percent) * watt_hundredths * unit,
        highest=storage.highest_percent * watt_hundredths * unit,
    )


def stored(
    tank: Tank,
    battery: Battery,
    storage: Storage,
    *,
    busy: Iterable[Window],
    maximum_watts: int,
    zone: str,
    now: datetime,
) -> int:
    """Return what is stored now. `busy`: when commitments asked; `maximum_watts`: what a maximum delivers.

    What was said before yesterday, by the site's clock, counts no longer: then, as where nothing was said,
    the expected charge is taken for what was stored when yesterday began.
    """
    since, percent = _known(battery, storage, zone=ZoneInfo(zone), now=now)
    level = int(Fraction(percent) * battery.capacity_watt_hours * _PERCENT_OF_WATT_HOUR * tank.unit)
    items: list[tuple[Window, int | None]] = [(window, 0) for window in busy]
    items += [
        (each.window, maximum_watts if each.watts is None else each.watts) for each in battery.delivered
    ]
    for window, watts in in_span(items, since, now):
        length = micros(window.end - window.start)
        level = tank.filled(level, length) if watts is None else tank.drained(level, watts, length)
    return level


def in_span(
    items: Sequence[tuple[Window, int | None]], start: datetime, end: datetime
) -> list[tuple[Window, int | None]]:
    """Cut a time by what is in it: every part with the largest number of those there, None without any."""
    inside: list[tuple[Window, int | None]] = [
        (Window(max(window.start, start), min(window.end, end)), number)
        for window, number in items
        if max(window.start, start) < min(window.end, end)
    ]
    if start < end:
        inside.append((Window(start, end), None))
    return [
        (window, max((each for each in numbers if each is not None), default=None))
        for window, numbers in cut(inside)
    ]


def _known(battery: Battery, storage: Storage, *, zone: ZoneInfo, now: datetime) -> tuple[datetime, Fraction]:
    """Return from when on to reckon, and the percent then."""
    yesterday = now.astimezone(zone).date() - timedelta(days=1)
    since = datetime.combine(yesterday, time(), zone).astimezone(now.tzinfo)
    if battery.percent is None or battery.at is None or battery.at < since:
        return since, Fraction(storage.expected_percent)
    return min(battery.at, now), Fraction(battery.percent)
