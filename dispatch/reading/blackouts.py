"""Which devices are in a blackout of their response policy: in SQL, for fleets of any size.

The nearest policy counts, as `dispatch.terms.nearest_policies` has it for planning: the device's own, its
meter's, its market group's, the fleet's; of several equally near the first by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import BigIntegerField, Case, Exists, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact, In

from devices.models import MeterDevice
from dispatch.domain.blackouts import dark_until
from dispatch.domain.events import Window
from dispatch.models import DispatchEvent, RecipientMember
from dispatch.policy_models import PolicyAssignment, PolicyScope, ResponsePolicy
from meters.grouping import in_effect
from meters.models import MarketGroupMembership, Meter, Site

NOTHING = Q(pk__in=[])


@dataclass(frozen=True, slots=True)
class Blackouts:
    """Who is in a blackout: (policy's row, zone) → until when; empty where nobody is."""

    now: datetime
    until: Mapping[tuple[int, str], datetime]
    policies: Sequence[ResponsePolicy] = ()
    targets: Mapping[tuple[int, str], Sequence[str]] = field(default_factory=dict)

    def condition(self, device: str = "") -> Q:
        """Say whether a device is in one; `device` is the way to it, such as "device__"."""
        if not self.until:
            return NOTHING
        policies: defaultdict[str, list[int]] = defaultdict(list)
        for pk, zone in self.until:
            policies[zone].append(pk)
        policy, zone_of = self.policy_of(device), zone_of_device(device)
        return reduce(
            or_, (Q(Exact(zone_of, zone)) & Q(In(policy, pks)) for zone, pks in sorted(policies.items()))
        )

    def policy_of(self, device: str = "") -> Case:
        """Choose the row of a device's nearest policy; 0 for none."""
        named = [When(**{f"{device}policy": each.name}, then=Value(each.pk)) for each in self.policies]
        behind = MeterDevice.objects.filter(device=_outer(device))
        by_meter = [
            When(Exists(behind.filter(meter__meter_id__in=ids)), then=Value(each.pk))
            for each in self.policies
            if (ids := self.targets.get((each.pk, PolicyScope.METER)))
        ]
        by_group = [
            When(Exists(behind.filter(_in_groups(ids, now=self.now))), then=Value(each.pk))
            for each in self.policies
            if (ids := self.targets.get((each.pk, PolicyScope.MARKET_GROUP)))
        ]
        fleet = (each.pk for each in self.policies if (each.pk, PolicyScope.FLEET) in self.targets)
        return Case(
            *named, *by_meter, *by_group, default=Value(next(fleet, 0)), output_field=BigIntegerField()
        )


def zone_of_device(device: str = "") -> Coalesce:
    """Choose whose clock counts, as `dispatch.terms.zones_of` does: the site's, else the first meter's."""
    first = MeterDevice.objects.filter(device=_outer(device)).order_by("meter__meter_id")
    return Coalesce(f"{device}site__timezone", Subquery(first.values("meter__timezone")[:1]), Value("UTC"))


def _outer(device: str) -> OuterRef:
    return OuterRef(f"{device.removesuffix('__')}_id" if device else "pk")


def _in_groups(group_ids: Sequence[str], *, now: datetime) -> Q:
    """Keep the meters in these groups now, and those that a live call of one of them names."""
    members = MarketGroupMembership.objects.filter(
        in_effect(now), group__market_group_id__in=group_ids, meter=OuterRef("meter")
    )
    live = DispatchEvent.objects.filter(is_cancelled=False, ends_at__gt=now, market_group_id__in=group_ids)
    called = RecipientMember.objects.filter(
        meter_id=OuterRef("meter__meter_id"), recipients__in=live.values("recipients")
    )
    return Q(Exists(members)) | Q(Exists(called))


def read_blackouts(*, now: datetime, window: Window | None = None) -> Blackouts:
    """Read who is in a blackout now, or in one that touches the window. One to four queries."""
    policies = list(ResponsePolicy.objects.order_by("name"))
    dark = {each.pk: each.to_value() for each in policies if each.blackouts}
    if not dark:
        return Blackouts(now=now, until={})
    targets: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for row in PolicyAssignment.objects.order_by("pk"):
        targets[row.policy_id, row.scope].append(row.target)
    zones = {"UTC"}
    for model in (Site, Meter):
        zones.update(model._default_manager.order_by().values_list("timezone", flat=True).distinct())
    span = window or Window(now, now + timedelta.resolution)
    until = dark_until(dark, zones=sorted(zones), window=span)
    return Blackouts(now=now, until=until, policies=policies, targets=targets)


def policy_and_end(blackouts: Blackouts, device: Any) -> tuple[ResponsePolicy, datetime]:
    """Return the policy of a device in a blackout and until when; the device was read with its facts."""
    until = blackouts.until[device.policy_pk, device.zone]
    return next(each for each in blackouts.policies if each.pk == device.policy_pk), until
