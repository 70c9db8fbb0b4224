"""Response policies: what each says in words, every version, and whom it is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count

from devices.models import Device
from dispatch.domain.policies import TEMPLATES, Strategy
from dispatch.policy_models import PolicyAssignment, PolicyScope, PolicyVersion, ResponsePolicy
from meters.models import MarketGroup, Meter

MOST_DEVICES = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One policy in the list."""

    id: int
    name: str
    version: int
    limits: tuple[str, ...]
    given: int


@dataclass(frozen=True, slots=True)
class Given:
    """Whom a policy is for: its scope, its target as stored and as people say it, and its page."""

    scope: str
    scope_name: str
    target: str
    name: str
    address: str
    address_of: str


@dataclass(frozen=True, slots=True)
class Version:
    """What the policy said under one version."""

    number: int
    changed_at: datetime
    changed_by: str
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """One policy. `more`: devices of their own beyond those shown."""

    id: int
    name: str
    version: int
    limits: tuple[str, ...]
    given: tuple[Given, ...]
    more: int
    versions: tuple[Version, ...]


def read_list() -> tuple[Row, ...]:
    """Read all policies. Two queries."""
    own = dict(
        Device.objects.exclude(policy="").values_list("policy").annotate(count=Count("pk")).order_by("policy")
    )
    policies = ResponsePolicy.objects.annotate(given=Count("assignments")).order_by("name")
    return tuple(
        Row(each.pk, each.name, each.version, in_words(each.content()), each.given + own.get(each.name, 0))
        for each in policies
    )


def templates() -> tuple[tuple[str, str], ...]:
    """Return the templates: (key, name)."""
    return tuple((key, str(content["name"])) for key, content in TEMPLATES.items())


def read_detail(policy_id: int) -> Detail:
    """Read everything about a policy. At most six queries.

    Raises:
        ResponsePolicy.DoesNotExist: there is no such policy.
    """
    policy = ResponsePolicy.objects.get(pk=policy_id)
    devices = Device.objects.filter(policy=policy.name)
    assignments = policy.assignments.order_by("scope", "target")
    versions = PolicyVersion.objects.filter(policy=policy).order_by("-number")
    return Detail(
        id=policy.pk,
        name=policy.name,
        version=policy.version,
        limits=in_words(policy.content()),
        given=(*_given(assignments), *map(_device, devices.order_by("external_id")[:MOST_DEVICES])),
        more=max(0, devices.count() - MOST_DEVICES),
        versions=tuple(
            Version(each.number, each.changed_at, each.changed_by, in_words(each.content))
            for each in versions
        ),
    )


def in_words(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what a policy allows, a line for each limit."""
    if content["strategy"] == Strategy.RESPOND_TO_ALL:
        return ("Responds to all.",)
    dark = ", ".join(content["blackouts"].split("\n"))
    said = (
        (content["longest_run_minutes"], "At most {} min in a run."),
        (content["rest_minutes"], "Rests {} min between runs."),
        (content["hours_a_day"] and f"{float(content['hours_a_day']):g}", "At most {} h a day."),
        (
            content["events_a_day"],
            "At most 1 event a day." if content["events_a_day"] == 1 else "At most {} events a day.",
        ),
        (dark, "Never at {}."),
        (content["notice_minutes"], "Needs {} min of notice."),
        (content["ignore_below_kw"] and f"{float(content['ignore_below_kw']):g}", "Ignores less than {} kW."),
    )
    return tuple(words.format(value) for value, words in said if value)


def _given(assignments: Iterable[PolicyAssignment]) -> list[Given]:
    """Name the targets. Two queries."""
    rows = list(assignments)
    ids = [row.target for row in rows]
    names = {each.meter_id: str(each) for each in Meter.objects.filter(meter_id__in=ids)}
    names |= {each.market_group_id: str(each) for each in MarketGroup.objects.filter(market_group_id__in=ids)}
    pages = {PolicyScope.METER: "dispatch:meter-detail", PolicyScope.MARKET_GROUP: "dispatch:group-detail"}
    return [
        Given(
            scope=row.scope,
            scope_name=row.get_scope_display(),
            target=row.target,
            name=names.get(row.target, row.target) or "Everything",
            address=pages.get(PolicyScope(row.scope), ""),
            address_of=row.target,
        )
        for row in rows
    ]


def _device(device: Device) -> Given:
    return Given(
        scope=PolicyScope.DEVICE,
        scope_name=PolicyScope.DEVICE.label,
        target=device.external_id,
        name=str(device),
        address="dispatch:device-detail",
        address_of=str(device.pk),
    )
