"""Stage: what people and files say of devices → rows. Writes `Device`; asks for plans."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from devices.mapping import replace_meters
from devices.models import Device


def register_devices(*, wanted: Mapping[str, Mapping[str, Any]], now: datetime) -> tuple[int, int]:
    """Create or change devices: `{external_id: fields}`, all or none, in a constant number of statements.

    A field `meters` is the whole list of the device's meters; without it the mapping stays.
    Returns how many were created and how many were changed.
    """
    fields = {name: {k: v for k, v in given.items() if k != "meters"} for name, given in wanted.items()}
    meters = {name: given["meters"] for name, given in wanted.items() if "meters" in given}
    with transaction.atomic():
        known = {device.external_id: device for device in Device.objects.filter(external_id__in=wanted)}
        created = Device.objects.bulk_create(
            Device(external_id=name, plan_requested_at=now, **fields[name])
            for name in wanted
            if name not in known
        )
        touched = {"plan_requested_at"}
        for name, device in known.items():
            device.plan_requested_at = now
            for field, value in fields[name].items():
                setattr(device, field, value)
                touched.add(field)
        Device.objects.bulk_update(known.values(), sorted(touched), batch_size=200)
        by_name = known | {device.external_id: device for device in created}
        replace_meters(
            wanted={by_name[name].pk: [meter.pk for meter in rows] for name, rows in meters.items()}, now=now
        )
    return len(created), len(known)
