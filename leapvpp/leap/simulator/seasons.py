"""Delivery periods as Leap cuts them: how long a program's last, when they begin, by when to be ready.

Source: Leap's OpenAPI document "Meter Information API" 2.0.0, whose examples show monthly, summer and
half-year periods with one deadline or two a month.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MONTHS = {"CCA": 1, "ELRP": 1, "CEC-DSGS": 3, "ERCOT-ERS": 4, "PJM-CAPACITY": 12}
"""How many months a period lasts; half a year unless it stands here."""
FIRST_MONTH = {"CEC-DSGS": 2, "PJM-CAPACITY": 6, "ERCOT-ERS": 4}
"""A month in which one begins; May unless it stands here."""
PREFIXES = {"CCA": "CAISO-CCA", "ELRP": "CAISO-ELRP"}


@dataclass(frozen=True, slots=True)
class Period:
    """A delivery period `[start, end)` of a program, in UTC at local midnights."""

    name: str
    start: datetime
    end: datetime
    deadlines: tuple[tuple[datetime, datetime], ...]
    """By when all must be done, and from when the meter is active then."""

    def next_deadline(self, now: datetime) -> datetime:
        """Return the next deadline or, if all are over, the last."""
        ahead = [deadline for deadline, _ in self.deadlines if deadline > now]
        return ahead[0] if ahead else self.deadlines[-1][0]


def periods(program: str, *, zone: str, now: datetime) -> tuple[Period, Period]:
    """Return the period that now is in, and the next."""
    months = MONTHS.get(program, 6)
    today = now.astimezone(ZoneInfo(zone))
    number = today.year * 12 + today.month - 1
    begun = number - (number - FIRST_MONTH.get(program, 5) + 1) % months
    return (
        _period(program, begun, months=months, zone=zone),
        _period(program, begun + months, months=months, zone=zone),
    )


def _period(program: str, number: int, *, months: int, zone: str) -> Period:
    starts = [_first_of(number + each, zone=zone) for each in range(months + 1)]
    first, last = starts[0], starts[-2]
    name = f"{PREFIXES.get(program, program)}_{first:%Y_%b}"
    if months > 1:
        name += f"_{last:%b}" if last.year == first.year else f"_{last:%Y_%b}"
    if months == 1:
        deadlines = [
            (first - timedelta(days=2), first),
            (first + timedelta(days=12), first + timedelta(days=14)),
        ]
    else:
        deadlines = [(start - timedelta(days=16), start) for start in starts[:-1]]
    return Period(
        name=name.upper(),
        start=first.astimezone(UTC),
        end=starts[-1].astimezone(UTC),
        deadlines=tuple((one.astimezone(UTC), two.astimezone(UTC)) for one, two in deadlines),
    )


def _first_of(number: int, *, zone: str) -> datetime:
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=ZoneInfo(zone))
