"""Stage: what people, files and devices say of devices → rows. Writes `Device`; asks for plans."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from devices.mapping import replace_meters
from devices.models import Device

CHARGE: Final = frozenset({"state_of_charge_percent", "state_of_charge_at"})
"""What is said of a battery from time to time; whether it bears on the plan is weighed first."""


def register_devices(*, wanted: Mapping[str, Mapping[str, Any]], now: datetime) -> tuple[int, int]:
    """Create or change devices: `{external_id: fields}`, all or none, in a constant number of statements.

    A field `meters` is the whole list of the device's meters; without it the mapping stays. A state of charge
    without its time is of now.
    Returns how many were created and how many were changed.
    """
    fields = {name: _fields(given, now=now) for name, given in wanted.items()}
    meters = {name: given["meters"] for name, given in wanted.items() if "meters" in given}
    with transaction.atomic():
        known = {device.external_id: device for device in Device.objects.filter(external_id__in=wanted)}
        created = Device.objects.bulk_create(
            Device(external_id=name, plan_requested_at=now, **fields[name])
            for name in wanted
            if name not in known
        )
        touched = {"plan_requested_at", "weigh_requested_at"}
        for name, device in known.items():
            setattr(device, asking(wanted[name]), now)
            for field, value in fields[name].items():
                setattr(device, field, value)
                touched.add(field)
        Device.objects.bulk_update(known.values(), sorted(touched), batch_size=200)
        by_name = known | {device.external_id: device for device in created}
        replace_meters(
            wanted={by_name[name].pk: [meter.pk for meter in rows] for name, rows in meters.items()}, now=now
        )
    return len(created), len(known)


def asking(given: Collection[str]) -> str:
    """Return the field by which a device asks once the given fields were written."""
    return "weigh_requested_at" if given and CHARGE.issuperset(given) else "plan_requested_at"


def _fields(given: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return what is written on a device's own row."""
    fields = {name: value for name, value in given.items() if name != "meters"}
    if "state_of_charge_percent" in fields:
        is_said = fields["state_of_charge_percent"] is not None
        fields["state_of_charge_at"] = (fields.get("state_of_charge_at") or now) if is_said else None
    return fields
