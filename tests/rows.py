"""Rows of what Leap asked, as recording would have made them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from dispatch.models import DispatchEvent, Level, RecipientMember, RecipientSet


def recipients(meter_ids: Sequence[str]) -> RecipientSet:
    """The set of these meters, stored once."""
    digest = hashlib.sha256("\n".join(meter_ids).encode()).hexdigest()
    row, is_new = RecipientSet.objects.get_or_create(
        digest=digest, defaults={"meter_ids": list(meter_ids), "size": len(meter_ids)}
    )
    if is_new:
        RecipientMember.objects.bulk_create(
            RecipientMember(recipients=row, meter_id=meter_id) for meter_id in meter_ids
        )
    return row


def event(leap_event_id: str = "e1", *, meter_ids: Sequence[str] = (), **fields) -> DispatchEvent:
    """An event of the next hour, at meter level unless it names a group."""
    now = timezone.now()
    values = {
        "level": Level.GROUP if fields.get("market_group_id") else Level.METER,
        "starts_at": now + timedelta(hours=1),
        "ends_at": now + timedelta(hours=2),
        "priority_rank": 1,
        "is_voluntary": False,
        "cap": "up-to-nomination",
        "dispatch_event_types": ["standard"],
        "programs": ["CCA"],
        "first_received_at": now,
        "changed_at": now,
    } | fields
    return DispatchEvent.objects.create(
        leap_event_id=leap_event_id, recipients=recipients(meter_ids), **values
    )
