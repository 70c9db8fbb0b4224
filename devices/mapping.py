"""Which devices sit behind which meters: changed here, by the admin, the pages and the API alike.

Writes `MeterDevice`, and asks for a new plan through the rows of everyone touched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from devices.models import Device, MeterDevice
from meters.among import Ids
from meters.models import Meter

Pair = tuple[int, int]
"""The primary keys of a meter and of a device behind it."""


@dataclass(frozen=True, slots=True)
class MappingChange:
    """The pairs that were new, and those that are gone."""

    new: frozenset[Pair]
    gone: frozenset[Pair]

    @property
    def added(self) -> int:
        """Count the new pairs."""
        return len(self.new)

    @property
    def removed(self) -> int:
        """Count the pairs that are gone."""
        return len(self.gone)


@transaction.atomic
def change_mapping(
    *, add: Collection[Pair] = (), remove: Collection[Pair] = (), now: datetime
) -> MappingChange:
    """Add and remove pairs; the meters and devices of those that really change are planned again.

    Adding what is there, or removing what is not, changes nothing. A constant number of statements.
    """
    asked = {*add, *remove}
    rows = MeterDevice.objects.filter(
        meter_id__among=Ids({meter for meter, _ in asked}),
        device_id__among=Ids({device for _, device in asked}),
    )
    held = {(meter, device): pk for pk, meter, device in rows.values_list("pk", "meter_id", "device_id")}
    new = frozenset(set(add) - held.keys())
    gone = frozenset((set(remove) - set(add)) & held.keys())
    MeterDevice.objects.filter(pk__among=Ids(held[pair] for pair in gone)).delete()
    MeterDevice.objects.bulk_create(
        [MeterDevice(meter_id=meter, device_id=device) for meter, device in sorted(new)],
        ignore_conflicts=True,
    )
    request_plans(pairs=new | gone, now=now)
    return MappingChange(new=new, gone=gone)


@transaction.atomic
def replace_meters(*, wanted: Mapping[int, Collection[int]], now: datetime) -> MappingChange:
    """Make the meters of each device exactly those named: `{device: meters}`, primary keys."""
    held = MeterDevice.objects.filter(device_id__in=wanted).values_list("meter_id", "device_id")
    return change_mapping(
        add=[(meter, device) for device, meters in wanted.items() for meter in meters],
        remove=list(held),
        now=now,
    )


def request_plans(*, pairs: Collection[Pair], now: datetime) -> None:
    """Have everyone in the pairs planned again, devices before meters (`docs/locking.md`)."""
    if not pairs:
        return
    Device.objects.filter(pk__among=Ids({device for _, device in pairs})).update(plan_requested_at=now)
    Meter.objects.filter(pk__among=Ids({meter for meter, _ in pairs})).update(plan_requested_at=now)
