"""Stage: what was measured and is too old goes. Deletes `Reading` and `PowerInterval`, nothing else.

Oldest first and a portion at a time, each in a transaction of its own: to be cut off, or to run twice, does
no harm. Begins only once there is about an hour's worth to take away, so that it is not always at it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet

from devices.telemetry_models import PowerInterval, Reading

NEIGHBOURS: Final = timedelta(hours=2)
"""For how long beyond its time all is kept: a late reading that is still taken needs its neighbours."""

EVERY: Final = timedelta(hours=1)
PORTION: Final = 5_000
RUN_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class _Kind:
    """Rows of one kind, and from when on they are kept."""

    rows: QuerySet[Any]
    field: str
    kept_from: datetime

    def older(self, than: datetime) -> QuerySet[Any]:
        """Return the rows of before a time."""
        return self.rows.filter(**{f"{self.field}__lt": than})


def is_waiting(*, now: datetime) -> bool:
    """Say whether there is enough to take away; three indexed questions."""
    return any(kind.older(kind.kept_from - EVERY).exists() for kind in _kinds(now=now))


def prune(*, now: datetime) -> int:
    """Take away what is too old, for a few seconds; return how many rows. What is left is woken again."""
    ends = time.monotonic() + RUN_SECONDS
    return sum(_portions(now=now, ends=ends))


def _portions(*, now: datetime, ends: float) -> Iterator[int]:
    for kind in _kinds(now=now):
        gone = PORTION
        while gone == PORTION and time.monotonic() < ends:
            oldest = kind.older(kind.kept_from).order_by(kind.field).values("pk")[:PORTION]
            gone, _ = kind.rows.filter(pk__in=oldest).delete()
            yield gone


def _kinds(*, now: datetime) -> tuple[_Kind, ...]:
    """Return what is pruned. Intervals stay at least as long as the readings that still change them."""
    readings = settings.READINGS_KEPT_DAYS

    def kept_from(days: int) -> datetime:
        return now - timedelta(days=max(days, readings)) - NEIGHBOURS

    intervals = PowerInterval.objects
    return (
        _Kind(Reading.objects.all(), "at", kept_from(readings)),
        _Kind(intervals.filter(minutes=1), "starts_at", kept_from(settings.MINUTES_KEPT_DAYS)),
        _Kind(intervals.filter(minutes=15), "starts_at", kept_from(settings.QUARTERS_KEPT_DAYS)),
    )
