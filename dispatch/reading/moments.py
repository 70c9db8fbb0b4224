"""Reading a time that a person or a form wrote."""

from __future__ import annotations

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
