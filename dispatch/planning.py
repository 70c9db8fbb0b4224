"""Stage: what changed → device schedules. Reads rows that ask for a plan; writes plans' outcomes.

A row asks by `plan_requested_at`: an event that changed, a meter or a device that was mapped or armed, an
override that was made or ended, a device that began or ceased to fail. Nothing else starts a plan: what time
alone brings (an override's begin, an arming's end) is cut into the plan beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import OperationalError, transaction
from django.db.models import Manager, Model

from devices.failing import SETTLES_WITHIN
from devices.models import Device
from devices.scheduling import release, replace_schedules, withheld
from dispatch import queue
from dispatch.domain.fleet import plan_fleet
from dispatch.loading import Seeds, load
from dispatch.locking import Stage, try_turn
from dispatch.lookups import batches, columns_of
from dispatch.models import DispatchEvent, Override
from dispatch.outcomes import save_numbers, save_overlaps
from dispatch.regrouping import ask_at_turns
from dispatch.rulings import devices_reached
from dispatch.unserved import save_unserved
from dispatch.weighing import note_planned
from meters.among import Ids
from meters.models import Meter

logger = logging.getLogger(__name__)

ASKERS: Final[tuple[type[Model], ...]] = (DispatchEvent, Meter, Device, Override)
"""Rows that ask for a plan, each with `plan_requested_at`."""

Waiting = dict[type[Model], dict[int, datetime]]
Row = tuple[type[Model], int]


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

    One at a time: 0 also when another is planning. All in one transaction; should that fail, piece by piece,
    so that one row that cannot be planned keeps only those waiting that reach the same devices. A database
    that does not answer raises `OperationalError`.
    """
    try:
        return _plan(now=now)
    except OperationalError:
        raise
    except Exception:
        logger.exception("Planning everything at once failed; piece by piece now")
    rows = [(model, pk) for model, asked_at in _waiting(now=now).items() for pk in asked_at]
    return _plan_pieces(rows, now=now)


def _plan_pieces(rows: Sequence[Row], *, now: datetime) -> int:
    """Plan rows of which some cannot be planned: by halves, until those stand alone."""
    if len(rows) < 2:
        return 0
    planned = 0
    for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
        try:
            planned += _plan(only=frozenset(half), now=now)
        except OperationalError:
            raise
        except Exception as error:
            logger.warning("Planning failed for %s of the rows: %s", len(half), type(error).__name__)
            planned += _plan_pieces(half, now=now)
    return planned


def _plan(*, only: Collection[Row] | None = None, now: datetime) -> int:
    """Plan in one transaction, all that waits or `only` some of it.

    1. Read which rows wait. 2. Load what they reach. 3. Decide. 4. Replace schedules, overlaps, unserved
    slices and the events' numbers. 5. Let the rows go that did not ask again meanwhile, and the devices that
    an override withheld before 1.
    """
    with transaction.atomic():
        # Whoever plans already looks again when done; to wait for it would only tie up a worker.
        if not try_turn(Stage.PLANNING):
            return 0
        still = withheld()  # before what they are withheld for is read, so that nothing is released unheard
        waiting = _waiting(only=only, now=now)
        if not _is_due(waiting, now=now):
            release(still if only is None else ())
            return 0
        loaded = load(_seeds(waiting, now=now), now=now)
        plan = plan_fleet(loaded.fleet, device_ids=loaded.device_ids, now=now)
        desired = {device_id: each.segments for device_id, each in plan.plans.items()}
        replaced = replace_schedules(desired=desired, policies=loaded.policies, now=now)
        save_overlaps(plan.plans, now=now)
        save_unserved(plan.plans, now=now)
        numbers = {pk: each for pk, each in plan.numbers.items() if pk in loaded.counted_ids}
        save_numbers(numbers, replanned=loaded.event_ids, now=now)
        _let_go(waiting)
        ask_at_turns(plan.plans, now=now)
        release([pk for pk, device_id in still.items() if only is None or device_id in plan.plans])
    note_planned({pk: each for pk, each in loaded.fleet.terms.items() if pk in plan.plans})
    reasons = ", ".join(
        f"{len(ids)} {model._meta.verbose_name_plural}" for model, ids in waiting.items() if ids
    )
    logger.info(
        "Planned %s devices for %s: %s new schedules", len(plan.plans), reasons, len(replaced.changed)
    )
    return len(plan.plans)


def _waiting(*, only: Collection[Row] | None = None, now: datetime) -> Waiting:
    """Return the rows that ask for a plan, or `only` those of them, and when each asked.

    What began to fail a moment ago is taken along, though it does not ask yet; what asks for later is not.
    """
    waiting: Waiting = {}
    for model in ASKERS:
        rows = model._default_manager.filter(plan_requested_at__isnull=False).order_by("pk")
        if model is Device:
            rows = rows.filter(plan_requested_at__lte=now + SETTLES_WITHIN)
        asked_at = rows.values_list("pk", "plan_requested_at")
        waiting[model] = {pk: at for pk, at in asked_at if only is None or (model, pk) in only}
    return waiting


def _is_due(waiting: Waiting, *, now: datetime) -> bool:
    """Say whether any of the rows asks now."""
    return any(
        model is not Device or at <= now for model, asked_at in waiting.items() for at in asked_at.values()
    )


def _seeds(waiting: Waiting, *, now: datetime) -> Seeds:
    """Return what the rows' change is about."""
    meters = columns_of(waiting[Meter], lambda ids: Meter.objects.filter(pk__among=Ids(ids)), ("meter_id",))
    overrides = Override.objects.filter(pk__among=Ids(waiting[Override]))
    overruled = devices_reached(list(overrides), now=now) if waiting[Override] else frozenset()
    return Seeds(
        event_ids=frozenset(waiting[DispatchEvent]),
        meter_ids=frozenset(meter_id for (meter_id,) in meters),
        device_ids=frozenset(waiting[Device]) | overruled,
    )


def _let_go(waiting: Waiting) -> None:
    """Clear the requests that were answered.

    A row that asked again meanwhile, or that somebody is writing, keeps its request: to wait for it could
    wait for ever, as its writer may wait for a device that planning holds.
    """
    for model, asked_at in waiting.items():
        for batch in batches(asked_at):
            held = model._default_manager.filter(pk__among=Ids(batch)).order_by("pk")
            held = held.select_for_update(skip_locked=True, no_key=True)
            answered = [pk for pk, at in held.values_list("pk", "plan_requested_at") if at == asked_at[pk]]
            model._default_manager.filter(pk__among=Ids(answered)).update(plan_requested_at=None)


def _mark(rows: Manager[Any], ids: Collection[int], *, now: datetime) -> None:
    """Ask for a plan of the rows, taken in order of id as everybody takes them."""
    for batch in batches(sorted(ids)):
        found = rows.filter(pk__among=Ids(batch)).order_by("pk").select_for_update(no_key=True)
        rows.filter(pk__among=Ids(found.values_list("pk", flat=True))).update(plan_requested_at=now)
