"""Response policies: what each says in words, every version, and whom it is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count

from devices.models import Device
from dispatch.domain.policies import NOTHING
from dispatch.domain.policy_templates import TEMPLATES
from dispatch.domain.terms import Beyond, Discharge, Voluntary, WhenShort
from dispatch.policy_models import (
    PolicyAssignment,
    PolicyScope,
    PolicyVersion,
    ProgramPrice,
    ResponsePolicy,
)
from dispatch.reading import words
from meters.models import MarketGroup, Meter

MOST_DEVICES = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One policy in the list."""

    id: int
    name: str
    version: int
    strategies: tuple[str, ...]
    says: tuple[str, ...]
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
    says: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """One policy. `more`: devices of their own beyond those shown."""

    id: int
    name: str
    version: int
    strategies: tuple[str, ...]
    says: tuple[str, ...]
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
        Row(
            id=each.pk,
            name=each.name,
            version=each.version,
            strategies=each.to_value().strategies,
            says=in_words(each.content()),
            given=each.given + own.get(each.name, 0),
        )
        for each in policies
    )


def read_prices() -> tuple[ProgramPrice, ...]:
    """Read what programs pay. One query."""
    return tuple(ProgramPrice.objects.order_by("program"))


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
        strategies=policy.to_value().strategies,
        says=in_words(policy.content()),
        given=(*_given(assignments), *map(_device, devices.order_by("external_id")[:MOST_DEVICES])),
        more=max(0, devices.count() - MOST_DEVICES),
        versions=tuple(
            Version(each.number, each.changed_at, each.changed_by, in_words(each.content))
            for each in versions
        ),
    )


def in_words(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what a policy allows, a line for each thing; versions of old may not know every field."""
    content = {**NOTHING, **content}
    said = (*_limits(content), *_storage(content), *_flexibility(content), *_shape(content))
    lines = tuple(words.format(value) for value, words in said if value)
    return lines or ("Responds to all.",)


Said = tuple[tuple[object, str], ...]


def _limits(content: Mapping[str, Any]) -> Said:
    events = content["events_a_day"]
    return (
        (_length(content["longest_run_minutes"]), "At most {} in a run."),
        (_length(content["rest_minutes"]), "Rests {} between runs."),
        (_number(content["hours_a_day"]), "At most {} h a day."),
        (events, "At most 1 event a day." if events == 1 else "At most {} events a day."),
        (_listed(content["blackouts"]), "Never at {}."),
        (_length(content["notice_minutes"]), "Needs {} of notice."),
        (_number(content["ignore_below_kw"]), "Ignores less than {} kW."),
    )


def _storage(content: Mapping[str, Any]) -> Said:
    if not content["plans_energy"]:
        return ()
    charge = f"{content['lowest_percent']} and {content['highest_percent']}"
    recharge = _length(content["recharge_minutes"])
    return (
        (content["reserve_percent"], "Keeps a reserve of {} %."),
        (charge, "Plans its energy between {} %."),
        (content["expected_percent"], "Is taken to hold {} % where it does not say."),
        (recharge or "never", "Recharges in {}." if recharge else "Is taken to recharge {}."),
        (not content["may_export"], "Never exports."),
        (content["discharge"] == Discharge.FOLLOW_LOAD, "Follows the site's load where only that is paid."),
        (_number(content["expected_load_kw"]), "The load is taken to be {} kW."),
        (content["beyond_award"] == Beyond.UP_TO_CAP, "Gives more than the award as far as it is paid."),
        (content["when_short"] == WhenShort.SPREAD, "Short of energy, it gives less throughout."),
        (content["when_short"] == WhenShort.STOP, "Short of energy, it gives all and stops."),
    )


def _flexibility(content: Mapping[str, Any]) -> Said:
    if content["voluntary"] == Voluntary.SERVE:
        return ()
    kept = f"Reduces voluntary events to {content['keep_percent']} %"
    does = "Skips voluntary events" if content["voluntary"] == Voluntary.SKIP else kept
    below, hours, price = (
        content[name] for name in ("below_charge_percent", "voluntary_hours", "comfort_price")
    )
    if not (below or hours or price):
        return ((does, "{}."),)
    return (
        (below, f"{does} below {{}} % of charge."),
        (_listed(hours), f"{does} at {{}}."),
        (_number(price), f"{does} that pay less than {{}} $/kWh."),
    )


def _shape(content: Mapping[str, Any]) -> Said:
    return (
        (_length(content["ramp_minutes"]), "Takes {} to its full power."),
        (_length(content["precondition_minutes"]), "Prepares for {} before a run."),
        (_length(content["recovery_minutes"]), "Recovers for {} after a run."),
    )


def _number(value: Any) -> str:
    return f"{float(value):g}" if value else ""


def _listed(lines: str) -> str:
    return ", ".join(lines.replace("-", "–").split("\n"))


def _length(minutes: int | None) -> str:
    return words.length(timedelta(minutes=minutes)) if minutes else ""


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
