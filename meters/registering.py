"""Stage: what people and files say of meters → rows. Writes `Meter`, and asks for plans through its rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from meters.models import Meter


def register_meters(*, wanted: Mapping[str, Mapping[str, Any]], now: datetime) -> tuple[int, int]:
    """Create or change meters: `{meter_id: fields}`, all or none, in a constant number of statements.

    Every meter named is planned again: what Leap asked of it before it was known counts now.
    Returns how many were created and how many were changed.
    """
    with transaction.atomic():
        known = {meter.meter_id: meter for meter in Meter.objects.filter(meter_id__in=wanted)}
        Meter.objects.bulk_create(
            Meter(meter_id=meter_id, plan_requested_at=now, **fields)
            for meter_id, fields in wanted.items()
            if meter_id not in known
        )
        touched = {"plan_requested_at", "updated_at"}
        for meter_id, meter in known.items():
            meter.plan_requested_at = meter.updated_at = now
            for name, value in wanted[meter_id].items():
                setattr(meter, name, value)
                touched.add(name)
        Meter.objects.bulk_update(known.values(), sorted(touched), batch_size=200)
    return len(wanted) - len(known), len(known)
