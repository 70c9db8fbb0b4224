"""Response policies: made, changed and given by people. Asks for plans of the devices they reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F

from devices.models import Device
from dispatch.domain.policies import InvalidPolicy, check
from dispatch.overrides import OverrideRefused, find_target
from dispatch.planning import request_plan
from dispatch.policy_models import PolicyAssignment, PolicyScope, PolicyVersion, ResponsePolicy
from dispatch.rulings import devices_reached


@dataclass(frozen=True, slots=True)
class _Reach:
    """Whom an assignment is for."""

    scope: str
    target: str


def save_policy(
    *, policy_id: int | None, content: Mapping[str, Any], by: str, now: datetime
) -> ResponsePolicy:
    """Make a policy, or change one: a new version, under which the devices it reaches are planned again.

    What changes nothing makes no version.

    Raises:
        InvalidPolicy: it makes no sense, or another policy is called so.
    """
    content = {**content, "name": content["name"].strip()}
    check(content)
    with transaction.atomic():
        if ResponsePolicy.objects.filter(name=content["name"]).exclude(pk=policy_id or 0).exists():
            raise InvalidPolicy({"name": "Another policy is called so."})
        if policy_id is None:
            policy = ResponsePolicy.objects.create(**content)
        else:
            policy = ResponsePolicy.objects.select_for_update().get(pk=policy_id)
            if policy.content() == content:
                return policy
            Device.objects.filter(policy=policy.name).update(policy=content["name"])
            ResponsePolicy.objects.filter(pk=policy.pk).update(**content, version=F("version") + 1)
            policy.refresh_from_db()
        PolicyVersion.objects.create(
            policy=policy,
            number=policy.version,
            content={
                key: float(value) if isinstance(value, Decimal) else value for key, value in content.items()
            },
            changed_at=now,
            changed_by=by,
        )
        request_plan(device_ids=_reached_by(policy, now=now), now=now)
    return policy


def delete_policy(*, policy_id: int, now: datetime) -> None:
    """Take a policy away; the devices it reached are planned again under the next nearest."""
    with transaction.atomic():
        policy = ResponsePolicy.objects.select_for_update().get(pk=policy_id)
        reached = _reached_by(policy, now=now)
        Device.objects.filter(policy=policy.name).update(policy="")
        policy.delete()
        request_plan(device_ids=reached, now=now)


def assign_policy(*, policy_id: int, scope: str, target: str, now: datetime) -> None:
    """Give a policy to the fleet, a market group, a meter or a device, in place of the one it had.

    Raises:
        InvalidPolicy: nothing is called so.
    """
    if scope not in PolicyScope:
        raise InvalidPolicy({"scope": "A policy is for the fleet, a market group, a meter or a device."})
    try:
        found = find_target(scope, target)
    except OverrideRefused as refused:
        raise InvalidPolicy({"target": str(refused)}) from None
    with transaction.atomic():
        policy = ResponsePolicy.objects.get(pk=policy_id)
        if scope == PolicyScope.DEVICE:
            Device.objects.filter(external_id=found).update(policy=policy.name)
        else:
            PolicyAssignment.objects.update_or_create(scope=scope, target=found, defaults={"policy": policy})
        request_plan(device_ids=devices_reached([_Reach(scope, found)], now=now), now=now)


def unassign_policy(*, policy_id: int, scope: str, target: str, now: datetime) -> None:
    """Take a policy from whom it was given to; nothing happens where it no longer is."""
    with transaction.atomic():
        if scope == PolicyScope.DEVICE:
            named = ResponsePolicy.objects.filter(pk=policy_id).values("name")
            gone = Device.objects.filter(external_id=target, policy__in=named).update(policy="")
        else:
            rows = PolicyAssignment.objects.filter(policy_id=policy_id, scope=scope, target=target)
            gone, _ = rows.delete()
        if gone:
            request_plan(device_ids=devices_reached([_Reach(scope, target)], now=now), now=now)


def _reached_by(policy: ResponsePolicy, *, now: datetime) -> frozenset[int]:
    """Return the devices for which a policy may be the nearest."""
    given = [_Reach(row.scope, row.target) for row in policy.assignments.order_by("pk")]
    own = Device.objects.filter(policy=policy.name).values_list("pk", flat=True)
    return devices_reached(given, now=now) | frozenset(own)
