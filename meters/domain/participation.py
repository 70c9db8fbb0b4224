"""Who is to rest, take part or leave from which day on → what Leap can be asked, and what will hold when.

Days are days of the meter's own clock, half-open windows are UTC. An idle period's last day is idle too.
Source: Leap, "Meter configuration", read 2026-08: idle days are local; a disenrollment must lie after today
and have a reason; of overlapping preferences the one that starts latest holds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from leapvpp.leap.meters import Preference, read_moment
from meters.domain.syncing import preference_at

DAY: Final = timedelta(days=1)
FARTHEST: Final = timedelta(days=5 * 366)
"""How far away a day may lie; what lies farther is a slip of the hand."""
LONGEST_REASON: Final = 500
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Kind(StrEnum):
    """What Leap is asked for. END_IDLE takes an idle period back, by its exact days."""

    IDLE = "IDLE"
    END_IDLE = "END_IDLE"
    PARTICIPATE = "PARTICIPATE"
    DISENROLL = "DISENROLL"


HAS_END: Final = frozenset({Kind.IDLE, Kind.END_IDLE})


@dataclass(frozen=True, slots=True, order=True)
class Days:
    """From a day to a day, the last one included; `None`: without an end."""

    first: date
    last: date | None = None

    def __str__(self) -> str:
        """Say it as people do."""
        if self.last is None:
            return f"from {_day(self.first)} on"
        return _day(self.first) if self.first == self.last else f"{_day(self.first)} – {_day(self.last)}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of Leap for some meters."""

    kind: Kind
    days: Days
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A meter as it is known. `is_listed`: whether Leap lists it; `None` while no sync has ever named it.

    `idle`: the idle periods that Leap lists; `None` while its list was never read.
    """

    meter_id: str
    timezone: str
    is_archived: bool = False
    is_listed: bool | None = True
    preferences: tuple[Preference, ...] = ()
    idle: frozenset[Days] | None = frozenset()


@dataclass(frozen=True, slots=True)
class Window:
    """`[starts_at, ends_at)` in UTC; `None`: without an end."""

    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of one meter found. With a `problem` it is not sent, and the problem says why."""

    meter_id: str
    problem: str = ""
    warnings: tuple[str, ...] = ()
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """What holds from a time on, until the next stretch."""

    starts_at: datetime
    kind: str


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """Return when a local day begins, in UTC; where the clock leaves midnight out, when it goes forward.

    >>> day_start(date(2026, 3, 9), ZoneInfo("America/Los_Angeles")).hour  # the night after the change
    7
    """
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def window_of(days: Days, zone: ZoneInfo) -> Window:
    """Return the local days as a window of UTC."""
    ends_at = None if days.last is None else day_start(days.last + DAY, zone)
    return Window(day_start(days.first, zone), ends_at)


def zone_called(name: str) -> ZoneInfo | None:
    """Return a zone by its IANA name, `None` for a name that is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return None


def last_chance(kind: Kind, days: Days, zone: ZoneInfo) -> datetime:
    """Return until when it makes sense to ask Leap: after that, what was wanted would come too late."""
    if kind is Kind.DISENROLL:  # on the day itself Leap refuses
        return day_start(days.first, zone)
    last = days.last if kind is Kind.END_IDLE and days.last else days.first
    return day_start(last + DAY, zone)


def check_asked(asked: Asked, *, today: date) -> dict[str, str]:
    """Return what is wrong whatever the meter, a sentence by the name of the field; empty when nothing is."""
    found: dict[str, str] = {}
    last = asked.days.last
    if asked.kind in HAS_END and last is None:
        found["ends_on"] = "Say on which day it ends."
    if asked.kind not in HAS_END and last is not None:
        found["ends_on"] = "Only an idle period has a last day."
    if last is not None and last < asked.days.first:
        found["ends_on"] = "The last day lies before the first."
    if abs(asked.days.first - today) > FARTHEST:
        found["starts_on"] = "This day is more than five years away."
    elif "ends_on" not in found and last is not None and last > today + FARTHEST:
        found["ends_on"] = "This day is more than five years away."
    if asked.kind is Kind.DISENROLL and not asked.reason.strip():
        found["reason"] = "Leap wants a reason for a disenrollment."
    if len(asked.reason) > LONGEST_REASON:
        found["reason"] = f"At most {LONGEST_REASON} characters."
    return found


def named_twice(meter_ids: Iterable[str]) -> tuple[str, ...]:
    """Return the meters that are named more than once; a request may name each once."""
    return tuple(sorted(one for one, times in Counter(meter_ids).items() if times > 1))


def check_meter(asked: Asked, meter: Standing, *, now: datetime) -> Finding:
    """Say whether Leap can be asked this for a meter, and if not, why not."""
    zone = zone_called(meter.timezone)
    if zone is None:
        return Finding(
            meter.meter_id, f"Its time zone {meter.timezone!r} is none, so its days are not known."
        )
    window = window_of(asked.days, zone)
    problem = _unreachable(meter) or _untimely(asked, today=now.astimezone(zone).date(), meter=meter)
    if not problem and (check := _PROBLEMS.get(asked.kind)):
        problem = check(asked, meter, window)
    if problem:
        return Finding(meter.meter_id, problem, window=window)
    return Finding(meter.meter_id, warnings=tuple(_warnings(asked, meter, window)), window=window)


def _unreachable(meter: Standing) -> str:
    if meter.is_archived:
        return "It is archived."
    if not _UUID.fullmatch(meter.meter_id):
        return "Its id is no UUID, so Leap would refuse the whole request."
    if meter.is_listed is False:
        return "Leap no longer lists it, and would leave it out without a word."
    return ""


def _untimely(asked: Asked, *, today: date, meter: Standing) -> str:
    """Refuse days that are over by the meter's clock."""
    first, last = asked.days.first, asked.days.last
    clock = f"there ({meter.timezone}) it is {_day(today)}"
    if asked.kind is Kind.DISENROLL and first <= today:
        return f"A disenrollment must begin after today, and {clock}."
    if asked.kind is Kind.END_IDLE:
        return f"The idle period is over: {clock}." if last is not None and last < today else ""
    return f"The first day is over: {clock}." if first < today else ""


def _idle_problem(asked: Asked, meter: Standing, window: Window) -> str:
    if _holds(meter.preferences, Kind.DISENROLL, window):
        return "It is disenrolled then, and an idle period might take that back. Let it participate first."
    if meter.idle is not None and asked.days in meter.idle:
        return "Leap lists this very idle period already."
    return ""


def _end_idle_problem(asked: Asked, meter: Standing, window: Window) -> str:
    if meter.idle is None:
        return ""
    if asked.days in meter.idle:
        return ""
    listed = ", ".join(str(each) for each in sorted(meter.idle))
    return f"Leap lists no idle period of exactly these days{f'; it lists {listed}' if listed else ''}."


def _disenroll_problem(asked: Asked, meter: Standing, window: Window) -> str:
    if preference_at(meter.preferences, at=window.starts_at) == Kind.DISENROLL:
        return "It is disenrolled by then already."
    return ""


_PROBLEMS: Final = {
    Kind.IDLE: _idle_problem,
    Kind.END_IDLE: _end_idle_problem,
    Kind.DISENROLL: _disenroll_problem,
}


def _warnings(asked: Asked, meter: Standing, window: Window) -> list[str]:
    """Say what does not stand in the way and is worth knowing."""
    found = []
    if meter.is_listed is None:
        found.append("No sync has named it yet; if Leap does not know it, Leap leaves it out without a word.")
    if meter.timezone == "UTC":
        found.append("Its clock is UTC here; where it is on another, its days begin at another hour.")
    held = stretches(meter.preferences, since=window.starts_at)
    if asked.kind is Kind.PARTICIPATE and all(each.kind == Kind.PARTICIPATE for each in held):
        found.append(
            "The last sync says that it participates from that day on anyway; asking changes nothing."
        )
    if asked.kind is Kind.IDLE:
        crossing = [each for each in sorted(meter.idle or ()) if _cross(each, asked.days)]
        found += [f"Overlaps the idle period {each}, which Leap replaces." for each in crossing]
    return found


def _cross(one: Days, other: Days) -> bool:
    return (other.last is None or one.first <= other.last) and (one.last is None or other.first <= one.last)


def _holds(preferences: Sequence[Preference], kind: str, window: Window) -> bool:
    """Say whether a kind holds at any time of a window."""
    held = stretches(preferences, since=window.starts_at)
    return any(
        each.kind == kind for each in held if window.ends_at is None or each.starts_at < window.ends_at
    )


def stretches(preferences: Sequence[Preference], *, since: datetime) -> tuple[Stretch, ...]:
    """Return what holds from a time on, stretch after stretch; "" where nothing is said."""
    texts = [text for each in preferences for text in (each.start_time, each.end_time)]
    moments = {moment for text in texts if (moment := read_moment(text)) is not None and moment > since}
    found: list[Stretch] = []
    for moment in [since, *sorted(moments)]:
        kind = preference_at(preferences, at=moment) or ""
        if not found or found[-1].kind != kind:
            found.append(Stretch(moment, kind))
    return tuple(found)


def preferences_after(asked: Asked, meter: Standing) -> tuple[Preference, ...]:
    """Return what a meter's preferences will be, once Leap has done what it is asked.

    Raises ``ValueError``: the meter's zone is none.
    """
    zone = zone_called(meter.timezone)
    if zone is None:
        raise ValueError(f"{meter.timezone} is no zone")
    window = window_of(asked.days, zone)
    kept = meter.preferences
    if asked.kind is Kind.END_IDLE:
        return tuple(each for each in kept if not is_period(each, window))
    if asked.kind is Kind.PARTICIPATE:
        # What begins later would hold again: Leap's word overrides it all.
        kept = tuple(
            each for each in kept if (start := read_moment(each.start_time)) and start < window.starts_at
        )
    new = Preference(
        participation_preference=asked.kind.value,
        start_time=window.starts_at.isoformat(),
        end_time=None if window.ends_at is None else window.ends_at.isoformat(),
    )
    return (*kept, new)


def is_period(preference: Preference, window: Window) -> bool:
    """Say whether a preference is the idle period of a window."""
    return (
        preference.participation_preference == Kind.IDLE
        and read_moment(preference.start_time) == window.starts_at
        and read_moment(preference.end_time) == window.ends_at
    )


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"
