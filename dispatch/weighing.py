"""Stage: readings of the state of charge → devices that ask for a plan. Reads policies and what is live.

`devices` stores a reading and asks for it to be weighed; it knows no policy. Readings come often, so only one
that bears on the plan asks for another. The number of statements does not depend on the number of readings,
but for one more per ten thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from devices.models import Device, ScheduleSegment
from dispatch.domain.terms import Terms
from dispatch.domain.weighing import bears_on_plan
from dispatch.lookups import batches
from dispatch.models import DeviceUnserved
from dispatch.terms import nearest_policies
from meters.among import Ids


def weigh_readings(*, now: datetime) -> int:
    """Weigh every reading that waits, and return how many devices ask for a plan because of them.

    A device that somebody is writing keeps its reading for the next time: it may wait for one held here.
    """
    with transaction.atomic():
        waiting = Device.objects.filter(weigh_requested_at__isnull=False).order_by("pk")
        devices = list(waiting.select_for_update(skip_locked=True, no_key=True))
        if not devices:
            return 0
        asking = _bearing(devices, now=now)
        for batch in batches(asking):
            Device.objects.filter(pk__among=Ids(batch)).update(plan_requested_at=now)
        for batch in batches([device.pk for device in devices]):
            Device.objects.filter(pk__among=Ids(batch)).update(weigh_requested_at=None)
    return len(asking)


def _bearing(devices: Collection[Device], *, now: datetime) -> list[int]:
    """Return the devices, in order, whose plan would weigh another state of charge."""
    nearest = nearest_policies(list(devices), now=now)
    values = {policy.pk: policy.to_value() for policy in nearest.values()}
    bearing = [
        device.pk
        for device in devices
        if device.pk in nearest
        and bears_on_plan(
            device.planned_percent, device.state_of_charge_percent, policy=values[nearest[device.pk].pk]
        )
    ]
    asked = _asked(bearing, now=now)
    return [pk for pk in bearing if pk in asked]


def _asked(device_ids: Collection[int], *, now: datetime) -> set[int]:
    """Return the devices of which something is asked from now on: they serve it, or say why not."""
    current = ScheduleSegment.objects.filter(ends_at__gt=now, schedule__superseded_at__isnull=True)
    left = DeviceUnserved.objects.filter(until__isnull=True, unserved_set__slices__ends_at__gt=now)
    return {
        device_id
        for rows in (current, left)
        for batch in batches(device_ids)
        for device_id in rows.filter(device_id__among=Ids(batch))
        .values_list("device_id", flat=True)
        .distinct()
    }


def note_planned(terms: Mapping[int, Terms]) -> None:
    """Keep the state of charge that plans have weighed, where they did.

    By itself, once the plan is stored: within it, devices would be taken after their commands. What is lost
    here by a crash is weighed again.
    """
    weighed: dict[int, Decimal | None] = {}
    for device_id, each in terms.items():
        if each.storage and each.battery:
            weighed[device_id] = each.battery.percent
        elif each.flexibility and each.flexibility.below_percent is not None:
            weighed[device_id] = each.charge_percent
    for batch in batches(sorted(weighed)):
        with transaction.atomic():
            held = Device.objects.filter(pk__among=Ids(batch)).order_by("pk").select_for_update(no_key=True)
            noted = dict(held.values_list("pk", "planned_percent"))
            changed = [Device(pk=pk, planned_percent=weighed[pk]) for pk in noted if noted[pk] != weighed[pk]]
            Device.objects.bulk_update(changed, ["planned_percent"], batch_size=500)
