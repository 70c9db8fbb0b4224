"""What a person wants to try: a drawn event, or a change to stored ones, as the body Leap would post.

So a what-if takes the same way as anything of Leap's, and can be copied out. Reads groups, meters and events;
writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from django.db.models import Q, QuerySet

from devices.models import Device
from dispatch.domain.revisions import as_utc_text
from dispatch.models import DispatchEvent, Level, OverrideScope, TestKind
from meters.grouping import in_effect
from meters.models import MarketGroup, MarketGroupMembership, Meter

NAMES_SAID = 5
_ID_FIELDS = {Level.METER: "meter_event_id", Level.GROUP: "market_group_event_id"}
_TEST_FIELDS = {TestKind.INTEGRATION: "integration_test", TestKind.COMMUNICATION: "communication_test"}

Body = dict[str, Any]


class WhatIfRefused(ValueError):
    """It cannot be tried; the message is one plain sentence for whoever asked."""


@dataclass(frozen=True, slots=True)
class Whom:
    """Who is meant: an override's scope with its target, by which name, and the program usual there."""

    scope: OverrideScope
    target: str
    name: str
    program: str = ""


class Change(StrEnum):
    """What may become of a stored event."""

    CANCEL = "cancel"
    END = "end"
    POWER = "power"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """An event that nobody asked for. `energy_kw` is power, None the maximum; times are aware."""

    starts_at: datetime
    ends_at: datetime
    energy_kw: Decimal | None
    nomination_kw: Decimal | None
    rank: int
    is_voluntary: bool
    cap: str
    program: str


def find_whom(typed: str, *, with_devices: bool = False) -> Whom:
    """Return the market group or meter (or device) that an id, a name or a part of a name means.

    At most two statements for each kind.

    Raises:
        WhatIfRefused: nothing is called so, or several are.
    """
    typed = typed.strip()
    exact = _named(typed, "iexact", with_devices=with_devices)
    found = exact or _named(typed, "icontains", with_devices=with_devices)
    if not found:
        raise WhatIfRefused(f"Nothing is called “{typed}”. Type a part of a name, or an id.")
    if len(found) > 1:
        names = [f"{each.name} ({each.target[:8]})" if exact else each.name for each in found[:NAMES_SAID]]
        more = " and others" if len(found) > NAMES_SAID else ""
        raise WhatIfRefused(f"Several are called so: {', '.join(names)}{more}. Type more of it, or the id.")
    return found[0]


def _named(typed: str, how: str, *, with_devices: bool) -> list[Whom]:
    """Find by name or, in full, by id; groups first, then meters, then devices."""
    most = NAMES_SAID + 1
    called = Q(**{f"name__{how}": typed})
    ids = [typed, typed.lower()] if how == "iexact" else []
    groups = MarketGroup.objects.filter(called | Q(market_group_id__in=ids)).order_by("name", "pk")
    meters = Meter.objects.filter(called | Q(meter_id__in=ids)).order_by("name", "pk")
    devices = Device.objects.filter(called | Q(external_id__in=ids)).order_by("name", "pk")
    return [
        *(
            Whom(OverrideScope.MARKET_GROUP, each.market_group_id, str(each), each.program)
            for each in groups[:most]
        ),
        *(
            Whom(OverrideScope.METER, each.meter_id, str(each), next(iter(each.programs), ""))
            for each in meters.only("meter_id", "name", "programs")[:most]
        ),
        *(
            Whom(OverrideScope.DEVICE, each.external_id, str(each))
            for each in (devices[:most] if with_devices else ())
        ),
    ]


def meters_of(whom: Whom, *, at: datetime) -> QuerySet[Any]:
    """Select Leap's ids of the meters that a group (at a time), a meter or a device means."""
    if whom.scope == OverrideScope.METER:
        return Meter.objects.filter(meter_id=whom.target).values_list("meter_id", flat=True)
    if whom.scope == OverrideScope.DEVICE:
        return Meter.objects.filter(meter_devices__device__external_id=whom.target).values_list(
            "meter_id", flat=True
        )
    members = MarketGroupMembership.objects.filter(in_effect(at), group__market_group_id=whom.target)
    return members.order_by("meter__meter_id").values_list("meter__meter_id", flat=True).distinct()


def drawn_body(whom: Whom, drawn: Drawn) -> Body:
    """Return the body in which Leap would ask for a drawn event. Its id follows from what it says.

    Raises:
        WhatIfRefused: the group has no meter at that time.
    """
    meter_ids = list(meters_of(whom, at=drawn.starts_at))
    if not meter_ids:
        raise WhatIfRefused(f"{whom.name} has no meter then. Choose another group, or a meter.")
    slot = {
        "start_time": as_utc_text(drawn.starts_at),
        "end_time": as_utc_text(drawn.ends_at),
        "cancelled": False,
        "performance_compensation_cap": drawn.cap,
        "priority": drawn.rank,
        "is_voluntary": drawn.is_voluntary,
        "dispatch_event_types": [],
        "programs": [drawn.program] if drawn.program else [],
        "energy_kw": _number(drawn.energy_kw),
        "nomination_kw": _number(drawn.nomination_kw),
    }
    level = Level.METER if whom.scope == OverrideScope.METER else Level.GROUP
    name = json.dumps([whom.target, slot], sort_keys=True)
    slot = {_ID_FIELDS[level]: str(uuid5(NAMESPACE_URL, f"what-if {name}")), **slot}
    return _body([(level, whom.target, meter_ids, [slot])])


def changed_body(
    event_ids: Sequence[int], change: Change, *, ends_at: datetime | None, energy_kw: Decimal | None
) -> Body:
    """Return the body in which Leap would change stored events that are one to people, as hourly slots are.

    To end them is to cancel those that begin later; the last one may end later than it does. Two statements.
    """
    events = DispatchEvent.objects.filter(pk__in=event_ids).prefetch_related("recipients")
    rows = list(events.order_by("starts_at", "pk"))
    last = max((row.ends_at for row in rows), default=None)
    asked: dict[tuple[str, str, int], tuple[str, str, list[str], list[Body]]] = {}
    for row in rows:
        key = (row.level, row.market_group_id, row.recipients_id)
        meter_ids = row.recipients.meter_ids
        target = row.market_group_id if row.level == Level.GROUP else next(iter(meter_ids), "")
        slots = asked.setdefault(key, (row.level, target, meter_ids, []))[3]
        slots.append(_slot(row) | _turned(row, change, ends_at=ends_at, energy_kw=energy_kw, last=last))
    return _body(asked.values())


def _turned(
    row: DispatchEvent,
    change: Change,
    *,
    ends_at: datetime | None,
    energy_kw: Decimal | None,
    last: datetime | None,
) -> Body:
    """Return what a change leaves of one event."""
    if change is Change.POWER:
        return {"energy_kw": _number(energy_kw)}
    if change is Change.CANCEL or ends_at is None or row.starts_at >= ends_at:
        return {"cancelled": True}
    is_later = row.ends_at == last and ends_at > row.ends_at
    return {"end_time": as_utc_text(ends_at)} if ends_at < row.ends_at or is_later else {}


def _slot(row: DispatchEvent) -> Body:
    """Return a stored event as Leap's timeslot."""
    test = {_TEST_FIELDS[TestKind(row.test)]: True} if row.test else {}
    return {
        _ID_FIELDS[Level(row.level)]: row.leap_event_id,
        "start_time": as_utc_text(row.starts_at),
        "end_time": as_utc_text(row.ends_at),
        "cancelled": row.is_cancelled,
        "performance_compensation_cap": row.cap,
        "priority": row.priority_rank,
        "is_voluntary": row.is_voluntary,
        "dispatch_event_types": row.dispatch_event_types,
        "programs": row.programs,
        "energy_kw": _number(row.energy_kw),
        "nomination_kw": _number(row.nomination_kw),
        **test,
    }


def _body(asked: Iterable[tuple[str, str, list[str], list[Body]]]) -> Body:
    """Return a body of (level, whom, meters, timeslots), in the lists that Leap has for each level."""
    body: Body = {}
    for level, target, meter_ids, slots in asked:
        if level == Level.GROUP:
            dispatch = {"market_group_id": target, "meter_ids": meter_ids, "timeslots": slots}
            body.setdefault("group_dispatches", []).append(dispatch)
        else:
            body.setdefault("meter_dispatches", []).append({"meter_id": target, "timeslots": slots})
    return body


def _number(kw: Decimal | None) -> float | None:
    return None if kw is None else float(kw)
