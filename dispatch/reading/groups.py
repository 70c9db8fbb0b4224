"""Market groups: who is in one, who was, and whether its devices are ready."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.paginator import Page
from django.db.models import Count, DateTimeField, Exists, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.http import QueryDict

from devices.models import Device
from dispatch.domain.standing import BLOCKING
from dispatch.models import DispatchEvent
from dispatch.reading.listing import Filter, chosen, drop_down, ordering, page_of
from dispatch.reading.members import History, Member, read_history, read_members
from dispatch.reading.meters import CauseCount, NamingEvent, cause_counts, latest_events
from dispatch.reading.out_of_step import Panel, groups_that_differ, of_group
from dispatch.reading.standing import Present, count_causes, dispatchable_kw, read_present, with_cause
from meters.grouping import in_effect
from meters.models import MarketGroup, MarketGroupMembership, Meter

STEPS = {"out": "Out of step with Leap", "unknown": "Called, no members held"}
SORTS = {"name": "name", "program": "program", "zone": "zone"}


@dataclass(frozen=True, slots=True)
class Row:
    """One market group in the list."""

    market_group_id: str
    name: str
    program: str
    zone: str
    meters: int
    ready: int
    devices: int
    online: int
    nominated_kw: Decimal
    next_at: datetime | None
    is_live: bool
    is_from_calls: bool
    is_out_of_step: bool


@dataclass(frozen=True, slots=True)
class GroupList:
    """The list."""

    search: str
    filters: tuple[Filter, ...]
    page: Page[Any]
    rows: tuple[Row, ...]


def _with_events(groups: QuerySet[MarketGroup], *, now: datetime) -> QuerySet[Any]:
    """Add when a group's next event begins and whether one is live."""
    events = DispatchEvent.objects.filter(market_group_id=OuterRef("market_group_id"), is_cancelled=False)
    coming = events.filter(starts_at__gt=now).order_by()
    earliest = coming.values("market_group_id").annotate(at=Min("starts_at")).values("at")
    return groups.annotate(
        next_at=Subquery(earliest, output_field=DateTimeField()),
        is_live=Exists(events.filter(starts_at__lte=now, ends_at__gt=now)),
        is_out_of_step=Exists(
            groups_that_differ("out", now=now).filter(event__market_group_id=OuterRef("market_group_id"))
        ),
    )


def read_list(query: QueryDict, *, now: datetime) -> GroupList:
    """Read one page of groups. Four queries."""
    search = query.get("q", "").strip()
    found = MarketGroup.objects.all()
    if search:
        found = found.filter(
            Q(name__icontains=search)
            | Q(program__icontains=search)
            | Q(zone__icontains=search)
            | Q(market_group_id__istartswith=search)
        )
    if step := chosen(query, "step", allowed=STEPS):
        found = found.filter(market_group_id__in=groups_that_differ(step, now=now))
    order = ordering(query, offered=SORTS, default="name")
    page = page_of(_with_events(found, now=now).order_by(*order), number=query.get("page", ""))
    ids = [group.pk for group in page]
    meters, devices = _meters_of(ids, present=read_present(now=now)), _devices_of(ids, now=now)
    return GroupList(
        search=search,
        filters=(
            drop_down(
                "step", label="In step with Leap", everything="All groups", options=STEPS, current=step
            ),
        ),
        page=page,
        rows=tuple(_row(group, meters.get(group.pk, {}), devices.get(group.pk, {})) for group in page),
    )


def _meters_of(ids: list[int], *, present: Present) -> dict[int, dict[str, Any]]:
    """Count each group's present meters, the ready ones, and sum their nominations. One query."""
    stays = MarketGroupMembership.objects.filter(in_effect(present.now), group_id__in=ids)
    members = with_cause(Meter.objects.filter(pk__in=stays.values("meter_id")), present=present)
    ready = members.exclude(cause__in=BLOCKING).values("pk")
    once = stays.order_by().values("group_id", "meter_id").annotate(first=Min("pk")).values("first")
    rows = MarketGroupMembership.objects.filter(pk__in=once).values("group_id").order_by()
    counted = rows.annotate(
        meters=Count("id"),
        ready=Count("id", filter=Q(meter__in=ready)),
        kw=Sum("meter__nomination_kw"),
    )
    return {row["group_id"]: dict(row) for row in counted}


def _devices_of(ids: list[int], *, now: datetime) -> dict[int, dict[str, Any]]:
    """Count the devices behind each group's present meters. One query."""
    rows = (
        MarketGroupMembership.objects.filter(in_effect(now), group_id__in=ids).values("group_id").order_by()
    )
    online = Q(meter__meter_devices__device__is_online=True)
    counted = rows.annotate(
        devices=Count("meter__meter_devices__device_id", distinct=True),
        online=Count("meter__meter_devices__device_id", distinct=True, filter=online),
    )
    return {row["group_id"]: dict(row) for row in counted}


def _row(group: Any, meters: dict[str, Any], devices: dict[str, Any]) -> Row:
    return Row(
        market_group_id=group.market_group_id,
        name=str(group),
        program=group.program,
        zone=group.zone,
        meters=meters.get("meters", 0),
        ready=meters.get("ready", 0),
        devices=devices.get("devices", 0),
        online=devices.get("online", 0),
        nominated_kw=meters.get("kw") or Decimal(0),
        next_at=group.next_at,
        is_live=group.is_live,
        is_from_calls=group.is_from_calls,
        is_out_of_step=group.is_out_of_step,
    )


@dataclass(frozen=True, slots=True)
class GroupDetail:
    """A group with who is in it at a time, how that came, and its events."""

    group: MarketGroup
    row: Row
    rated_kw: Decimal
    able_kw: Decimal
    causes: tuple[CauseCount, ...]
    page: Page[Any]
    members: tuple[Member, ...]
    history: History
    events: tuple[NamingEvent, ...]
    step: Panel | None


def read_detail(market_group_id: str, *, at: datetime, page_number: str, now: datetime) -> GroupDetail:
    """Read everything about a group, its members as of `at`. Some twenty queries, whatever is in it.

    Raises:
        MarketGroup.DoesNotExist: there is no such group.
    """
    group: Any = _with_events(MarketGroup.objects.filter(market_group_id=market_group_id), now=now).get()
    present = read_present(now=now)
    page, listed = read_members(group, at=at, present=present, page_number=page_number)
    meters, devices = _meters_of([group.pk], present=present), _devices_of([group.pk], now=now)
    members = MarketGroupMembership.objects.filter(in_effect(now), group=group).values("meter_id")
    row = _row(group, meters.get(group.pk, {}), devices.get(group.pk, {}))
    return GroupDetail(
        group=group,
        row=row,
        rated_kw=_rated(group, now=now),
        able_kw=dispatchable_kw(present=present, meter__in=members),
        causes=cause_counts(count_causes(Meter.objects.filter(pk__in=members), present=present)),
        page=page,
        members=listed,
        history=read_history(group, members=row.meters, now=now),
        events=latest_events(now=now, market_group_id=group.market_group_id),
        step=of_group(group.market_group_id, now=now),
    )


def _rated(group: MarketGroup, *, now: datetime) -> Decimal:
    """Sum the rated power behind the group's present meters, each device once."""
    members = MarketGroupMembership.objects.filter(in_effect(now), group=group).values("meter_id")
    behind = Device.objects.filter(pk__in=Device.objects.filter(meters__in=members).values("pk"))
    return behind.aggregate(kw=Sum("rated_power_kw"))["kw"] or Decimal(0)
