"""Response policies: made, changed and given by people. Asks for plans of the devices they reach."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F

from devices.models import Device
from dispatch.domain.policy_checks import InvalidPolicy, check
from dispatch.lookups import batches
from dispatch.overrides import OverrideRefused, find_target
from dispatch.planning import request_plan
from dispatch.policy_models import PolicyAssignment, PolicyScope, PolicyVersion, ResponsePolicy
from dispatch.rulings import Reach, devices_reached


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
            _plan_again(policy, own=policy.name, now=now)
        else:
            policy = _held(policy_id)
            if policy.content() == content:
                return policy
            _plan_again(policy, own=content["name"], now=now)
            ResponsePolicy.objects.filter(pk=policy.pk).update(**content, version=F("version") + 1)
            policy.refresh_from_db()
        PolicyVersion.objects.create(
            policy=policy,
            number=policy.version,
            content={
                key: float(said) if isinstance(said, Decimal) else said for key, said in content.items()
            },
            changed_at=now,
            changed_by=by,
        )
    return policy


def delete_policy(*, policy_id: int) -> None:
    """Delete a policy that nobody has.

    Raises:
        InvalidPolicy: somebody has it.
    """
    with transaction.atomic():
        policy = _held(policy_id)
        if policy.assignments.exists() or Device.objects.filter(policy=policy.name).exists():
            raise InvalidPolicy({"name": "Somebody is under this policy; take it away from everybody first."})
        policy.delete()


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
        request_plan(device_ids=devices_reached([Reach(scope, found)], now=now), now=now)


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
            request_plan(device_ids=devices_reached([Reach(scope, target)], now=now), now=now)


def devices_under(policies: Collection[ResponsePolicy], *, now: datetime) -> frozenset[int]:
    """Return the devices that any of the policies may be the nearest of. At most six statements."""
    given = PolicyAssignment.objects.filter(policy__in=policies).order_by("pk")
    named = Device.objects.filter(policy__in=[policy.name for policy in policies])
    reached = devices_reached([Reach(row.scope, row.target) for row in given], now=now)
    return reached | frozenset(named.values_list("pk", flat=True))


def _held(policy_id: int) -> ResponsePolicy:
    return ResponsePolicy.objects.select_for_update(no_key=True).get(pk=policy_id)


def _plan_again(policy: ResponsePolicy, *, own: str, now: datetime) -> None:
    """Ask for plans of all devices a policy may be the nearest of, and write its new name on its own ones.

    A device may name a policy before there is one.
    In this order: asking takes the devices in order of id, as everybody takes them.
    """
    named = frozenset(Device.objects.filter(policy__in={policy.name, own}).values_list("pk", flat=True))
    request_plan(device_ids=devices_under([policy], now=now) | named, now=now)
    for batch in batches(named):
        Device.objects.filter(pk__in=batch).update(policy=own)
