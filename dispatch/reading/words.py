"""How numbers and times are written for people. Pure; used by the reads and by the template tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from dispatch.domain.sentences import short

# Operators that Leap puts before a program's own name; the name alone is what people say.
OPERATOR_PREFIXES = frozenset(
    {
        "CAISO",
        "CEC",
        "CONED",
        "EVERSOURCE",
        "NATGRID",
        "RIE",
        "UNITIL",
        "NYISO",
        "ERCOT",
        "PJM",
        "PSEGLI",
        "MA_DOER",
    }
)
AMOUNT_BEFORE = re.compile(r"\d[\d.]* kW, (?=the largest request)")
AMOUNT_ALONE = re.compile(r": \d[\d.]* kW(\.|$)")
CAP_WORDS = {
    "up-to-nomination": "nomination",
    "up-to-site-load": "site load",
    "grid-exports-allowed": "site load and exports",
}


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
    """Write a time as seen from now: "in 18 min", "22 s ago"."""
    return f"in {length(at - now)}" if at > now else f"{length(now - at)} ago"


def clock(at: datetime, *, zone: tzinfo) -> str:
    """Write the time of day in a zone, without the zone's name."""
    return f"{at.astimezone(zone):%H:%M}"


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


def window_utc(start: datetime, end: datetime, *, zone: tzinfo) -> str:
    """Write `[start, end)` in UTC, with the date where it is not the date in the zone."""
    first, last = start.astimezone(UTC), end.astimezone(UTC)
    text = f"{first:%H:%M}–{last:%H:%M} UTC"
    if first.date() != start.astimezone(zone).date():
        text += f", {first.day} {first:%b}"
    return text


def short_program(program: str) -> str:
    """Drop the operator before a program's own name.

    >>> short_program("NYISO-SCR"), short_program("CCA")
    ('SCR', 'CCA')
    """
    operator, dash, name = program.partition("-")
    return name if dash and operator in OPERATOR_PREFIXES else program


def programs(names: list[str]) -> str:
    """Write an event's programs as people say them."""
    return " + ".join(short_program(name) for name in names) or "No program"


def with_programs(reason: str, programs_by_id: Mapping[str, str]) -> str:
    """Put programs in the place of the ids that planning's reasons name events by.

    >>> with_programs("Serves eecc2ddd.", {"eecc2ddd-01c6-427b-8290-b396c4ca7549": "ELRP"})
    'Serves ELRP.'
    """
    for leap_event_id, program in programs_by_id.items():
        reason = reason.replace(short(leap_event_id), program)
    return reason


def without_amounts(reason: str) -> str:
    """Take a device's own kW out of a reason, so that devices that fare alike read alike.

    >>> without_amounts("Serves ELRP (rank 3, voluntary): 13.5 kW.")
    'Serves ELRP (rank 3, voluntary).'
    """
    return AMOUNT_ALONE.sub(r"\1", AMOUNT_BEFORE.sub("", reason))


def cap(name: str) -> str:
    """Write up to where performance is paid; a word unknown to us as Leap wrote it."""
    return CAP_WORDS.get(name, name or "not said")


def counted(count: int, *, one: str, many: str = "") -> str:
    """Write a count with its noun.

    >>> counted(1, one="device"), counted(1200, one="device")
    ('1 device', '1,200 devices')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
