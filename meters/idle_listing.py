"""Leap's list of idle periods: the only writer of `IdlePeriod` rows and of when they were last read.

Read after everything that changes it, and hourly, as people change it in Leap's own portal too. An idle
period is taken back by its exact days alone, so these are kept as Leap lists them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from leapvpp.leap.client import LeapClient
from leapvpp.leap.errors import LeapError, LeapRefused, storable
from leapvpp.leap.meters import MeterEnrollment, MeterPage
from leapvpp.leap.participation import IdlePeriod, LeapParticipation
from meters.among import Ids
from meters.models import Meter
from meters.participation_models import IdleListing
from meters.participation_models import IdlePeriod as Row

logger = logging.getLogger(__name__)

EVERY: Final = timedelta(hours=1)
AGAIN_AFTER: Final = timedelta(minutes=10)
"""When a reading that failed is followed by the next."""

Listed = Mapping[str, Collection[IdlePeriod]]


class Reads(Protocol):
    """The part of Leap's client that shows how meters are enrolled. Raises LeapError."""

    def search_enrollments(
        self, *, modified_since: datetime | None = None, meter_ids: Collection[str] | None = None
    ) -> Iterator[MeterPage[MeterEnrollment]]:
        """Yield every page of enrollments."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Leap, to be told who takes part, and to be read."""

    told: LeapParticipation
    read: Reads


@contextmanager
def open_clients() -> Iterator[Connected]:
    """Connect to the configured Leap. Raises ValueError for an address or key that cannot work."""
    address, key = settings.LEAP_API_BASE_URL, settings.LEAP_API_KEY
    with (
        LeapParticipation(base_url=address, api_key=key) as told,
        LeapClient(base_url=address, api_key=key) as read,
    ):
        yield Connected(told=told, read=read)


def is_list_due(*, now: datetime) -> bool:
    """Say whether the list is to be read for its own sake; one question."""
    return not _fresh(now=now).exists()


def _fresh(*, now: datetime) -> QuerySet[IdleListing]:
    """Find the row of the list if it was tried lately enough."""
    went_well = Q(error="", tried_at__gt=now - EVERY)
    return IdleListing.objects.filter(went_well | Q(tried_at__gt=now - AGAIN_AFTER))


def read_list_if_due(
    *,
    clients: Callable[[], AbstractContextManager[Connected]] = open_clients,
    clock: Callable[[], datetime] = timezone.now,
) -> bool:
    """Read the list if nobody has lately; say whether that was so. What stops it is kept in words."""
    now = clock()
    if not is_list_due(now=now):
        return False
    IdleListing.objects.bulk_create([IdleListing(number=1)], ignore_conflicts=True)
    due = IdleListing.objects.exclude(pk__in=_fresh(now=now).values("pk"))
    if not due.update(tried_at=now):
        return False  # another worker reads it
    try:
        with clients() as leap:
            read_list(leap, now=clock())
    except (LeapError, ValueError) as error:
        logger.warning("The list of idle periods could not be read: %s", type(error).__name__)
        IdleListing.objects.update(error=storable(str(error))[:500])
    return True


def read_list(leap: Connected, *, meter_id: str | None = None, now: datetime) -> Listed:
    """Read Leap's idle periods, of one meter or of all, and keep them. Raises LeapError."""
    listed = _asked(leap, meter_id)
    with transaction.atomic():
        _store(listed, meter_id=meter_id)
        if meter_id is None:
            IdleListing.objects.update_or_create(
                number=1, defaults={"tried_at": now, "read_at": now, "error": ""}
            )
    return listed


def _asked(leap: Connected, meter_id: str | None) -> Listed:
    """Ask Leap; a meter that it does not know has no idle period."""
    try:
        return leap.told.list_idle_periods(meter_id)
    except LeapRefused as refusal:
        if meter_id is None or refusal.status != 404:
            raise
        return {}


def _store(listed: Listed, *, meter_id: str | None) -> None:
    """Put the rows in step with the list; meters that are unknown here have none."""
    rows = Row.objects.all() if meter_id is None else Row.objects.filter(meter__meter_id=meter_id)
    known = dict(Meter.objects.filter(meter_id__among=Ids(listed)).values_list("meter_id", "pk"))
    wanted = {
        (known[meter_id], each.start_date, each.end_date)
        for meter_id, periods in listed.items()
        if meter_id in known
        for each in periods
        if each.start_date <= each.end_date
    }
    stored = {
        (meter, first, last): pk
        for pk, meter, first, last in rows.values_list("pk", "meter_id", "starts_on", "ends_on")
    }
    Row.objects.filter(pk__among=Ids(pk for key, pk in stored.items() if key not in wanted)).delete()
    Row.objects.bulk_create(
        (
            Row(meter_id=pk, starts_on=first, ends_on=last)
            for pk, first, last in sorted(wanted - stored.keys())
        ),
        ignore_conflicts=True,
        batch_size=2000,
    )
