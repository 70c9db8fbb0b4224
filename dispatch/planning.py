"""Stage: what changed → device schedules. Reads rows that ask for a plan; writes plans' outcomes.

A row asks by `plan_requested_at`: an event that changed, a meter or a device that was mapped, armed, moved
or overruled. Nothing else starts a plan: what time alone brings (an override's begin, an arming's end) is cut
into the plan beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Manager

from devices.models import Device
from devices.scheduling import replace_schedules
from dispatch import queue
from dispatch.domain.fleet import plan_fleet
from dispatch.loading import Seeds, batches, load
from dispatch.locking import Stage, take_turn
from dispatch.models import DispatchEvent
from dispatch.outcomes import save_numbers, save_overlaps, save_unserved
from meters.models import Meter

logger = logging.getLogger(__name__)


def request_plan(
    *,
    event_ids: Collection[int] = (),
    device_ids: Collection[int] = (),
    meter_ids: Collection[int] = (),
    now: datetime,
) -> None:
    """Mark rows (by primary key) as to be planned anew, and wake planning."""
    with transaction.atomic():
        _mark(DispatchEvent.objects, event_ids, now=now)
        _mark(Device.objects, device_ids, now=now)
        _mark(Meter.objects, meter_ids, now=now)
        queue.wake_planning()


def plan_waiting(*, now: datetime) -> int:
    """Plan every device that a waiting row reaches, and return how many devices were planned.

    One transaction, one at a time. 1. Claim the waiting rows. 2. Load what they reach. 3. Decide.
    4. Replace schedules, overlaps, unserved slices and the events' numbers. 5. Let the rows go.
    """
    with transaction.atomic():
        take_turn(Stage.PLANNING)
        events = _claim(DispatchEvent.objects, "pk")
        meters = _claim(Meter.objects, "meter_id")
        devices = _claim(Device.objects, "pk")
        if not (events or devices or meters):
            return 0
        seeds = Seeds(frozenset(events), frozenset(meters.values()), frozenset(devices))
        loaded = load(seeds, now=now)
        plan = plan_fleet(loaded.fleet, device_ids=loaded.device_ids, now=now)
        replaced = replace_schedules(
            desired={device_id: each.segments for device_id, each in plan.plans.items()}, now=now
        )
        save_overlaps(plan.plans, now=now)
        save_unserved(plan.plans, now=now)
        save_numbers(plan.numbers, replanned=loaded.event_ids, now=now)
        _let_go(DispatchEvent.objects, events)
        _let_go(Meter.objects, meters)
        _let_go(Device.objects, devices)
    logger.info(
        "Planned %s devices for %s events, %s meters and %s devices that changed: %s new schedules",
        len(plan.plans),
        len(events),
        len(meters),
        len(devices),
        len(replaced.changed),
    )
    return len(plan.plans)


def _mark(rows: Manager[Any], ids: Collection[int], *, now: datetime) -> None:
    for batch in batches(ids):
        rows.filter(pk__in=batch).update(plan_requested_at=now)


def _claim(rows: Manager[Any], column: str) -> dict[int, Any]:
    """Take the rows that wait, by primary key. One that somebody is writing is left for the next pass."""
    waiting = rows.filter(plan_requested_at__isnull=False).order_by("pk")
    return dict(waiting.select_for_update(skip_locked=True, no_key=True).values_list("pk", column))


def _let_go(rows: Manager[Any], ids: Collection[int]) -> None:
    """Clear the requests; the rows are held, so nobody can have asked again since."""
    for batch in batches(ids):
        rows.filter(pk__in=batch).update(plan_requested_at=None)
