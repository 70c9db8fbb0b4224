"""Overrides → what they say about each device. Reads overrides, groups and recipients; writes nothing.

Whole windows are handed on, begun or not: a plan is cut where an override begins and ends, so that no clock
has to notice either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from django.db.models import Q

from devices.models import Device
from dispatch.domain.events import Window, to_watts
from dispatch.domain.fleet import LOOK_BACK
from dispatch.domain.overruling import Action, Ruling
from dispatch.domain.windows import joined
from dispatch.lookups import columns_of, links_of
from dispatch.models import DispatchEvent, Override, OverrideScope, RecipientSet
from meters.models import MarketGroupMembership

FOR_EVER = datetime.max.replace(tzinfo=UTC)

Members = Mapping[str, Collection[tuple[str, Window | None]]]
"""Per market group: Leap's meter ids with the time of membership; None is always."""


def load_rulings(devices: Sequence[Device], *, now: datetime) -> dict[int, tuple[Ruling, ...]]:
    """Return what overrides say about each of the devices, from a day ago on.

    A program's word is handed to every device: planning finds by their events whom it concerns.
    """
    overrides = list(Override.objects.filter(ends_at__gt=now - LOOK_BACK).order_by("pk"))
    groups = {each.target for each in overrides if each.scope == OverrideScope.MARKET_GROUP}
    members = group_members(groups, now=now) if groups else {}
    named = {each.target for each in overrides if each.scope == OverrideScope.METER}
    named |= {meter_id for of in members.values() for meter_id, _ in of}
    behind: defaultdict[str, list[int]] = defaultdict(list)
    for meter_id, device_id in links_of(meter_ids=named):
        behind[meter_id].append(device_id)
    loaded = {device.pk for device in devices}
    by_external_id = {device.external_id: device.pk for device in devices}
    found: defaultdict[int, dict[Ruling, None]] = defaultdict(dict)
    for override in overrides:
        for device_id, within in _reached(override, by_external_id, behind=behind, members=members):
            if device_id in loaded and (ruling := ruling_of(override, within=within)):
                found[device_id][ruling] = None
    return {device_id: tuple(rulings) for device_id, rulings in found.items()}


def group_members(groups: Collection[str], *, now: datetime) -> Members:
    """Return the meters of market groups: by membership, and those named by a live call of the group.

    The list in a call wins over our copy of the membership.
    """
    members: defaultdict[str, list[tuple[str, Window | None]]] = defaultdict(list)
    held: defaultdict[tuple[str, str], list[Window]] = defaultdict(list)
    current = MarketGroupMembership.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now - LOOK_BACK))
    rows = current.filter(group__market_group_id__in=groups).order_by("pk")
    for group, meter_id, start, end in rows.values_list(
        "group__market_group_id", "meter__meter_id", "starts_at", "ends_at"
    ):
        held[group, meter_id].append(Window(start, end or FOR_EVER))
    for (group, meter_id), windows in held.items():
        members[group] += [(meter_id, window) for window in joined(windows)]
    live = DispatchEvent.objects.filter(is_cancelled=False, ends_at__gt=now - LOOK_BACK)
    calls = live.filter(market_group_id__in=groups).order_by("market_group_id", "recipients_id")
    for group, meter_ids in calls.values_list("market_group_id", "recipients__meter_ids").distinct():
        members[group] += [(meter_id, None) for meter_id in meter_ids]
    return members


class Aimed(Protocol):
    """Something for the fleet, a program, a market group, a meter or a device: an override or a policy."""

    @property
    def scope(self) -> str: ...

    @property
    def target(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Reach:
    """A scope and a target that stand in no row of their own."""

    scope: str
    target: str


def devices_reached(aimed: Collection[Aimed], *, now: datetime) -> frozenset[int]:
    """Return the devices that overrides or policies, stored or not, may reach."""
    targets = {scope: {each.target for each in aimed if each.scope == scope} for scope in OverrideScope}
    if targets[OverrideScope.FLEET]:
        return frozenset(Device.objects.values_list("pk", flat=True))
    meter_ids = set(targets[OverrideScope.METER])
    if groups := targets[OverrideScope.MARKET_GROUP]:
        meter_ids |= {meter_id for named in group_members(groups, now=now).values() for meter_id, _ in named}
    if programs := targets[OverrideScope.PROGRAM]:
        meter_ids |= meters_called(programs, since=now - LOOK_BACK)
    devices = Device.objects.filter(external_id__in=targets[OverrideScope.DEVICE])
    behind = {device_id for _, device_id in links_of(meter_ids=meter_ids)}
    return frozenset(devices.values_list("pk", flat=True)) | behind


def meters_called(
    programs: Collection[str], *, since: datetime, until: datetime = FOR_EVER
) -> frozenset[str]:
    """Return Leap's ids of the meters that events of the programs name in a window, cancelled ones aside."""
    events = DispatchEvent.objects.filter(is_cancelled=False, ends_at__gt=since, starts_at__lt=until)
    # SQLite cannot look inside a JSON list; distinct kinds of events are few.
    kinds = events.order_by("recipients_id").values_list("recipients_id", "programs").distinct()
    sets = {recipients for recipients, mine in kinds if not set(programs).isdisjoint(mine)}
    found = columns_of(sets, lambda ids: RecipientSet.objects.filter(pk__in=ids), ("meter_ids",))
    return frozenset(meter_id for (meter_ids,) in found for meter_id in meter_ids)


def ruling_of(override: Override, *, within: Window | None = None) -> Ruling | None:
    """Return the value of an override within a window; None when nothing of it is left."""
    start, end = override.starts_at, min(override.ends_at, override.ended_at or override.ends_at)
    if within is not None:
        start, end = max(start, within.start), min(end, within.end)
    if start >= end:
        return None
    return Ruling(
        override_id=override.pk,
        action=Action[override.action],
        window=Window(start, end),
        who=override.created_by,
        why=override.reason,
        watts=None if override.target_kw is None else to_watts(override.target_kw),
        is_commitment_confirmed=override.is_commitment_confirmed,
        program=override.target if override.scope == OverrideScope.PROGRAM else "",
    )


def _reached(
    override: Override,
    devices: Mapping[str, int],
    *,
    behind: Mapping[str, Sequence[int]],
    members: Members,
) -> Iterable[tuple[int, Window | None]]:
    """Return the devices that an override reaches, and during which time if not always."""
    match override.scope:
        case OverrideScope.FLEET | OverrideScope.PROGRAM:
            return [(device_id, None) for device_id in devices.values()]
        case OverrideScope.DEVICE:
            return [(devices[override.target], None)] if override.target in devices else []
        case OverrideScope.METER:
            named: Collection[tuple[str, Window | None]] = [(override.target, None)]
        case _:
            named = members.get(override.target, [])
    return [(device_id, within) for meter_id, within in named for device_id in behind.get(meter_id, ())]
