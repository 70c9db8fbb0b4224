"""A body to try the preview with, made of meters that are there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from django.db.models import Exists, OuterRef

from meters.grouping import in_effect
from meters.models import MarketGroup, MarketGroupMembership, Meter

METERS_SHOWN = 3
UNKNOWN = "abae2779-e392-4f00-b0cf-32e716204f78"


def example_body(*, now: datetime) -> str:
    """Write a body for the first market group and a few of its meters, an hour from now. Two queries."""
    present = MarketGroupMembership.objects.filter(in_effect(now))
    groups = MarketGroup.objects.filter(Exists(present.filter(group=OuterRef("pk"))))
    first = groups.order_by("name", "id").first()
    key = first.market_group_id if first else UNKNOWN
    members = Meter.objects.filter(Exists(present.filter(meter=OuterRef("pk"), group__market_group_id=key)))
    named = members.order_by("name", "id").values_list("meter_id", flat=True)[:METERS_SHOWN]
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    slot = {
        "market_group_event_id": str(uuid5(NAMESPACE_URL, f"example {key} {start:%Y-%m-%dT%H}")),
        "start_time": _text(start),
        "end_time": _text(start + timedelta(hours=1)),
        "cancelled": False,
        "performance_compensation_cap": "up-to-site-load",
        "priority": 2,
        "is_voluntary": False,
        "dispatch_event_types": ["day-ahead"],
        "programs": [first.program if first and first.program else "CCA"],
        "energy_kw": 25.0,
    }
    dispatch = {"market_group_id": key, "meter_ids": list(named) or [UNKNOWN], "timeslots": [slot]}
    return json.dumps({"group_dispatches": [dispatch]}, indent=2)


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
