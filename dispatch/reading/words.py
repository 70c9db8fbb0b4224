"""How numbers and times are written for people. Pure; used by the reads and by the template tags."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from dispatch.domain.programs import label_of
from dispatch.domain.sentences import cap_in_words

_UTC_CLOCK: Final = re.compile(r"(?<!\d )\b([01]\d|2[0-3]):([0-5]\d) UTC\b")
"""A time of day in a stored sentence; none that has its date before it."""


def number(value: Decimal | float | int) -> str:
    """Write a number with thousands separators, and one decimal only where it says something.

    >>> number(Decimal("4000.000")), number(Decimal("9.600")), number(Decimal("0.04"))
    ('4,000', '9.6', '0')
    """
    amount = Decimal(value)
    rounded = round(amount, 0 if abs(amount) >= 100 else 1)
    return f"{rounded:,.0f}" if rounded == rounded.to_integral_value() else f"{rounded:,.1f}"


def power_parts(value_kw: Decimal | None) -> tuple[str, str]:
    """Split power into figure and unit: kW below 10,000, MW above; None is the maximum.

    >>> power_parts(Decimal("13100")), power_parts(None)
    (('13.1', 'MW'), ('maximum', ''))
    """
    if value_kw is None:
        return "maximum", ""
    if abs(value_kw) >= 10_000:
        return number(value_kw / 1000), "MW"
    return number(value_kw), "kW"


def power(value_kw: Decimal | None) -> str:
    """Write power with its unit; None is the maximum."""
    return " ".join(part for part in power_parts(value_kw) if part)


def flow(value_kw: Decimal) -> str:
    """Say what a device takes from the grid, or gives it where that is negative.

    >>> flow(Decimal("3.2")), flow(Decimal("-9.6")), flow(Decimal(0))
    ('takes 3.2 kW', 'gives 9.6 kW', '0 kW')
    """
    if number(abs(value_kw)) == "0":
        return "0 kW"
    return f"{'takes' if value_kw > 0 else 'gives'} {power(abs(value_kw))}"


def energy(value_kwh: Decimal) -> str:
    """Write energy with its unit: kWh below 10,000, MWh above.

    >>> energy(Decimal("12500")), energy(Decimal("9.6"))
    ('12.5 MWh', '9.6 kWh')
    """
    is_large = abs(value_kwh) >= 10_000
    return f"{number(value_kwh / 1000)} MWh" if is_large else f"{number(value_kwh)} kWh"


def length(span: timedelta) -> str:
    """Write a length of time in the two units that matter.

    >>> length(timedelta(minutes=78)), length(timedelta(seconds=40)), length(timedelta(days=3, hours=2))
    ('1 h 18 min', '40 s', '3 days')
    """
    seconds = int(abs(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours // 24} days"


def relative(at: datetime, *, now: datetime) -> str:
    """Write a time as seen from now: "in 18 min", "22 s ago", "just now"."""
    if abs(at - now) < timedelta(seconds=1):
        return "just now"
    return f"in {length(at - now)}" if at > now else f"{length(now - at)} ago"


def clock(at: datetime, *, zone: tzinfo) -> str:
    """Write the time of day in a zone, without the zone's name."""
    return f"{at.astimezone(zone):%H:%M}"


def in_zone(text: str, *, near: datetime, zone: tzinfo) -> str:
    """Write each "12:30 UTC" in a sentence as the zone's time of day, of the instant nearest to `near`.

    >>> from zoneinfo import ZoneInfo
    >>> near = datetime(2026, 8, 26, 0, 42, tzinfo=UTC)
    >>> in_zone("Offline; its run began at 23:30 UTC.", near=near, zone=ZoneInfo("America/Los_Angeles"))
    'Offline; its run began at 16:30 PDT.'
    """

    def local(found: re.Match[str]) -> str:
        hour, minute = int(found[1]), int(found[2])
        same_day = near.astimezone(UTC).replace(hour=hour, minute=minute, second=0, microsecond=0)
        around = (same_day + timedelta(days=days) for days in (-1, 0, 1))
        nearest = min(around, key=lambda at: abs(at - near))
        return f"{nearest.astimezone(zone):%H:%M %Z}"

    return _UTC_CLOCK.sub(local, text)


def day(at: datetime, *, zone: tzinfo) -> str:
    """Write the date in a zone: "Tue 25 Aug"."""
    local = at.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b}"


def moment(at: datetime, *, zone: tzinfo) -> str:
    """Write date, time and zone: "Tue 25 Aug 17:42 PDT"."""
    return f"{day(at, zone=zone)} {at.astimezone(zone):%H:%M %Z}"


def day_clock(at: datetime, *, now: datetime, zone: tzinfo) -> str:
    """Write the time alone when it is today in the zone, else with its date."""
    if at.astimezone(zone).date() == now.astimezone(zone).date():
        return clock(at, zone=zone)
    return f"{day(at, zone=zone)} {clock(at, zone=zone)}"


def window(start: datetime, end: datetime, *, zone: tzinfo) -> str:
    """Write `[start, end)` as times of day; with both zones' names on a night when the clock changes."""
    first, last = start.astimezone(zone), end.astimezone(zone)
    opening = f"{first:%H:%M}" if first.tzname() == last.tzname() else f"{first:%H:%M %Z}"
    if first.date() == last.date():
        return f"{opening}–{last:%H:%M %Z}"
    if last - first < timedelta(days=1):
        return f"{opening}–{last:%H:%M %Z}"
    return f"{opening}–{day(end, zone=zone)} {last:%H:%M %Z}"


def times(start: datetime, end: datetime, *, zone: tzinfo) -> str:
    """Write `[start, end)` as times of day alone; the zones' names only where they differ."""
    first, last = start.astimezone(zone), end.astimezone(zone)
    if first.tzname() != last.tzname():
        return f"{first:%H:%M %Z}–{last:%H:%M %Z}"
    return f"{first:%H:%M}–{last:%H:%M}"


def window_brief(start: datetime, end: datetime, *, now: datetime, zone: tzinfo) -> str:
    """Write `[start, end)` as short as can be: the weekday only when it is not today."""
    text = times(start, end, zone=zone)
    local = start.astimezone(zone)
    return text if local.date() == now.astimezone(zone).date() else f"{local:%a} {text}"


def around(
    precondition_from: datetime | None,
    ramp_seconds: int | None,
    recover_until: datetime | None,
    *,
    zone: tzinfo,
) -> str:
    """Write what is around a segment: "pre-conditions from 16:00, ramps 5 min, recovers until 20:30"."""
    said = [
        f"pre-conditions from {clock(precondition_from, zone=zone)}" if precondition_from else "",
        f"ramps {length(timedelta(seconds=ramp_seconds))}" if ramp_seconds else "",
        f"recovers until {clock(recover_until, zone=zone)}" if recover_until else "",
    ]
    return ", ".join(filter(None, said))


def window_utc(start: datetime, end: datetime, *, zone: tzinfo) -> str:
    """Write `[start, end)` in UTC, with the date where it is not the date in the zone."""
    first, last = start.astimezone(UTC), end.astimezone(UTC)
    text = f"{first:%H:%M}–{last:%H:%M} UTC"
    if first.date() != start.astimezone(zone).date():
        text += f", {first.day} {first:%b}"
    return text


def programs(names: list[str]) -> str:
    """Write an event's programs as people say them."""
    return label_of(names) or "No program"


def cap(name: str) -> str:
    """Write up to where performance is paid; a word unknown to us as Leap wrote it."""
    return cap_in_words(name)


def why_not(reason: str) -> str:
    """Write a refusal's reason so that it can follow "not served:".

    >>> why_not("Dropped: no energy is left: reserve 20 %."), why_not("Held by Maya: tenant asked.")
    ('no energy is left: reserve 20 %.', 'held by Maya: tenant asked.')
    >>> why_not("CCA comes first.")
    'CCA comes first.'
    """
    reason = reason.removeprefix("Dropped: ").removeprefix("Skipped: ")
    return f"{reason[:1].lower()}{reason[1:]}" if reason[1:2].islower() else reason


def counted(count: int, *, one: str, many: str = "") -> str:
    """Write a count with its noun.

    >>> counted(1, one="device"), counted(1200, one="device")
    ('1 device', '1,200 devices')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
