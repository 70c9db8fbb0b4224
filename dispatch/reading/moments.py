"""Reading a time that a person or a form wrote."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from django.utils.dateparse import parse_datetime

YEARS = range(2000, 2200)  # beyond them arithmetic with zones may leave what a date can hold


def read_moment(text: str, *, zone: tzinfo) -> datetime | None:
    """Return the UTC time that an ISO 8601 text means; without an offset it is the zone's. None for none.

    >>> read_moment("2026-08-25T16:55Z", zone=UTC), read_moment("2026-13-01", zone=UTC)
    (datetime.datetime(2026, 8, 25, 16, 55, tzinfo=datetime.timezone.utc), None)
    """
    try:
        moment = parse_datetime(text.strip())
    except ValueError:  # well formed, and in no calendar
        return None
    if moment is None or moment.year not in YEARS:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class AsOf:
    """The time a page is asked to show, past or to come; the present where none or no time is given.

    `local`: as a form's field holds it, in the page's zone.
    """

    at: datetime
    is_now: bool
    local: str = ""
    problem: str = ""


def read_as_of(asked: str, *, now: datetime, zone: tzinfo) -> AsOf:
    """Read the time that an address asks for."""
    if not asked.strip():
        return AsOf(at=now, is_now=True)
    at = read_moment(asked, zone=zone)
    if at is None:
        return AsOf(at=now, is_now=True, problem="That is no time; the members of now are shown.")
    return AsOf(at=at, is_now=False, local=f"{at.astimezone(zone):%Y-%m-%dT%H:%M}")
