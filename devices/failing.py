"""Which devices take no schedule at the moment, noted where the states of their schedules are written.

A device fails from the first current schedule that it refuses or does not answer until it acknowledges one;
its schedule stays what it is, and is still tried. To be offline alone is no failure. Reads
schedules; writes `failing_since`, `recovered_at` and that planning is asked, as others may have to stand in.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Case, Value, When

from devices.models import Device

SETTLES_WITHIN: Final = timedelta(seconds=5)
"""How long planning waits after the first failure, so that what fails together costs one plan."""

WAVERS_WITHIN: Final = timedelta(hours=1)
PATIENCE: Final = timedelta(minutes=15)
"""How long a device that recovers a second time within the hour must hold out to be planned with again."""


def note_failed(schedule_ids: Collection[int], *, now: datetime) -> None:
    """Note the devices whose current schedule is among those that failed now. Call inside a transaction."""
    found = Device.objects.filter(
        schedules__in=schedule_ids, schedules__superseded_at__isnull=True, failing_since__isnull=True
    )
    found.update(failing_since=now, plan_requested_at=now + SETTLES_WITHIN)


def note_acknowledged(schedule_ids: Collection[int], *, now: datetime) -> None:
    """Note the failing devices whose current schedule is among those acknowledged now. As above."""
    found = Device.objects.filter(
        schedules__in=schedule_ids, schedules__superseded_at__isnull=True, failing_since__isnull=False
    )
    wavers = When(recovered_at__gt=now - WAVERS_WITHIN, then=Value(now + PATIENCE))
    found.update(
        failing_since=None,
        recovered_at=now,
        plan_requested_at=Case(wavers, default=Value(now + SETTLES_WITHIN)),
    )
