"""Time as positions: an axis of 288 parts, its hours, its midnights, its now. Pure.

Parts are true time, so an hour is as wide on a night when the clock changes as on any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

PARTS = 288


@dataclass(frozen=True, slots=True)
class Tick:
    """An hour with its label in the zone and in UTC."""

    part: int
    label: str
    utc: str
    is_midnight: bool


@dataclass(frozen=True, slots=True)
class Axis:
    """`[start, end)` in a zone, cut into 288 parts."""

    start: datetime
    end: datetime
    zone: tzinfo

    def part(self, at: datetime) -> int:
        """Place a time, kept within the axis."""
        share = (at - self.start) / (self.end - self.start)
        return round(min(max(share, 0.0), 1.0) * PARTS)

    def place(self, start: datetime, end: datetime) -> tuple[int, int]:
        """Place a window: where it starts and how long it is, at least one part."""
        first = self.part(start)
        return min(first, PARTS - 1), max(self.part(end) - first, 1)

    def now(self, now: datetime) -> int | None:
        """Place the present; None when the axis does not show it."""
        return self.part(now) if self.start <= now < self.end else None

    def ticks(self, *, every: timedelta) -> tuple[Tick, ...]:
        """Label the local hours that `every` divides; when the clock changes, labels name the zone anew."""
        changes = self.start.astimezone(self.zone).utcoffset() != self.end.astimezone(self.zone).utcoffset()
        found: list[Tick] = []
        named = None if changes else self.start.astimezone(self.zone).tzname()
        at = self.start
        while at < self.end - every / 3:
            if self._is_round(at, every=every):
                name = at.astimezone(self.zone).tzname()
                found.append(self._tick(at, names_zone=name != named))
                named = name
            at += min(every, timedelta(hours=1))
        return tuple(found)

    def _is_round(self, at: datetime, *, every: timedelta) -> bool:
        local = at.astimezone(self.zone)
        return timedelta(hours=local.hour, minutes=local.minute) % every == timedelta()

    def _tick(self, at: datetime, *, names_zone: bool) -> Tick:
        local = at.astimezone(self.zone)
        utc = at.astimezone(UTC)
        is_midnight = local.hour == 0 and local.minute == 0
        label = f"{local:%H:%M %Z}" if names_zone else f"{local:%H:%M}"
        if is_midnight and self.end - self.start > timedelta(hours=36):
            label = f"{local:%a} {local.day}"
        return Tick(
            part=self.part(at),
            label=label,
            utc=f"{utc:%H}" if utc.minute == 0 else f"{utc:%H:%M}",
            is_midnight=is_midnight,
        )

    def midnights(self) -> tuple[int, ...]:
        """Place the local midnights inside the axis."""
        day = self.start.astimezone(self.zone).date() + timedelta(days=1)
        found = []
        while (at := midnight(day, zone=self.zone)) < self.end:
            found.append(self.part(at))
            day += timedelta(days=1)
        return tuple(found)


def midnight(day: date, *, zone: tzinfo) -> datetime:
    """Give the UTC instant at which a local day begins."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def hours_of(day: date, *, zone: tzinfo) -> int:
    """Count the hours of a local day: 24, or 23 and 25 when the clock changes."""
    length = midnight(day + timedelta(days=1), zone=zone) - midnight(day, zone=zone)
    return round(length / timedelta(hours=1))


def clock_note(day: date, *, zone: tzinfo) -> str:
    """Say when a day is longer or shorter than others; empty when it is not."""
    hours = hours_of(day, zone=zone)
    return "" if hours == 24 else f"{hours}-hour day"
