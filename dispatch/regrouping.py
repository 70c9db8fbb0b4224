"""Stage, after planning: when a device comes to be in another market group, have it planned again.

What a group's override reaches is cut into plans by membership. A group's policy holds for a whole plan, for
those who are in the group as it is made: so the plan is made anew at the moment at which that changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from django.db.models import Case, DateTimeField, Value, When

from devices.models import Device
from dispatch.lookups import batches, links_of
from dispatch.policy_models import PolicyAssignment, PolicyScope
from dispatch.rulings import FOR_EVER, group_members
from meters.among import Ids


def ask_at_turns(device_ids: Collection[int], *, now: datetime) -> None:
    """Have devices planned again as they join or leave a group that has a policy.

    One statement where no group has one. A device that asks already keeps its request: its next plan ends
    here, too.
    """
    groups = PolicyAssignment.objects.filter(scope=PolicyScope.MARKET_GROUP).values_list("target", flat=True)
    targets = set(groups)
    if not targets or not device_ids:
        return
    turns: defaultdict[datetime, set[int]] = defaultdict(set)
    for device_id, turn in _next_turns(device_ids, groups=targets, now=now).items():
        turns[turn].add(device_id)
    cases = [When(pk__among=Ids(ids), then=Value(turn)) for turn, ids in turns.items()]
    asking = sorted(device_id for ids in turns.values() for device_id in ids)
    for batch in batches(asking):
        idle = Device.objects.filter(pk__among=Ids(batch), plan_requested_at__isnull=True).order_by("pk")
        held = idle.select_for_update(no_key=True).values_list("pk", flat=True)
        Device.objects.filter(pk__among=Ids(held)).update(
            plan_requested_at=Case(*cases, output_field=DateTimeField())
        )


def _next_turns(
    device_ids: Collection[int], *, groups: Collection[str], now: datetime
) -> dict[int, datetime]:
    """Return when each device next joins or leaves one of the groups by any of its meters."""
    meters: dict[str, datetime] = {}
    for members in group_members(groups, now=now).values():
        for meter_id, within in members:
            coming = [at for at in (within.start, within.end) if now < at < FOR_EVER] if within else []
            if coming:
                meters[meter_id] = min(*coming, meters.get(meter_id, coming[0]))
    planned = frozenset(device_ids)
    found: dict[int, datetime] = {}
    for meter_id, device_id in links_of(meter_ids=meters):
        if device_id in planned:
            found[device_id] = min(meters[meter_id], found.get(device_id, meters[meter_id]))
    return found
