"""Overrides: what people decided over the plan, and whom one would reach before it is added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.paginator import Page
from django.db.models import Case, Count, DecimalField, F, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce
from django.http import QueryDict

from devices.models import Device, MeterDevice, ScheduleSegment, SegmentMode
from dispatch.models import DispatchEvent, Override, OverrideAction, OverrideScope, RecipientMember
from dispatch.reading import words
from dispatch.reading.listing import Tab, chosen, page_of, tabs
from meters.models import MarketGroup, MarketGroupMembership, Meter

WHEN_TABS = {"": "Running", "coming": "Coming", "over": "Over"}
ACTION_VERDICTS = {OverrideAction.HOLD: "warn", OverrideAction.OPT_OUT: "plain", OverrideAction.FORCE: "ok"}
POWER = DecimalField(max_digits=16, decimal_places=3)


def with_state(overrides: QuerySet[Override], *, now: datetime) -> QuerySet[Any]:
    """Add `state`: running, coming or over."""
    return overrides.annotate(
        state=Case(
            When(Q(ended_at__isnull=False) | Q(ends_at__lte=now), then=Value("over")),
            When(starts_at__gt=now, then=Value("coming")),
            default=Value("running"),
        )
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One override."""

    id: int
    action: str
    verdict: str
    scope: str
    target: str
    href: tuple[str, str]
    starts_at: datetime
    ends_at: datetime
    target_kw: Decimal | None
    is_force: bool
    reason: str
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    ended_by: str
    may_end: bool


@dataclass(frozen=True, slots=True)
class OverrideList:
    """The list with its tabs."""

    tabs: tuple[Tab, ...]
    page: Page[Any]
    rows: tuple[Row, ...]


def read_list(query: QueryDict, *, now: datetime) -> OverrideList:
    """Read one page of overrides: running ones by their end, others newest first. Six queries."""
    when = chosen(query, "when", allowed=WHEN_TABS)
    everything = with_state(Override.objects.all(), now=now)
    counted = dict(everything.values_list("state").annotate(count=Count("id")).order_by())
    shown = everything.filter(state=when or "running")
    order = ("ends_at", "id") if when != "over" else ("-ends_at", "-id")
    page = page_of(shown.order_by(*order), number=query.get("page", ""))
    counts = {"": counted.get("running", 0), **{key: counted.get(key, 0) for key in WHEN_TABS if key}}
    return OverrideList(
        tabs=tabs(WHEN_TABS, current=when, counts=counts), page=page, rows=rows_of(list(page), now=now)
    )


def rows_of(overrides: list[Override], *, now: datetime) -> tuple[Row, ...]:
    """Name what overrides reach; three queries for any number of them."""
    names = _names(overrides)
    return tuple(
        Row(
            id=override.pk,
            action=override.get_action_display(),
            verdict=ACTION_VERDICTS[OverrideAction(override.action)],
            scope=override.get_scope_display(),
            target=names.get((override.scope, override.target), (override.target, ""))[0],
            href=(override.scope, names.get((override.scope, override.target), ("", ""))[1]),
            starts_at=override.starts_at,
            ends_at=override.ends_at,
            target_kw=override.target_kw,
            is_force=override.action == OverrideAction.FORCE,
            reason=override.reason,
            created_by=override.created_by,
            created_at=override.created_at,
            ended_at=override.ended_at,
            ended_by=override.ended_by,
            may_end=override.ended_at is None and override.ends_at > now,
        )
        for override in overrides
    )


def _names(overrides: list[Override]) -> dict[tuple[str, str], tuple[str, str]]:
    """Map (scope, target) to a name and the id its page is found under."""
    wanted = {scope: {o.target for o in overrides if o.scope == scope} for scope in OverrideScope}
    names: dict[tuple[str, str], tuple[str, str]] = {}
    for group in MarketGroup.objects.filter(market_group_id__in=wanted[OverrideScope.MARKET_GROUP]):
        names[OverrideScope.MARKET_GROUP, group.market_group_id] = (str(group), group.market_group_id)
    for meter in Meter.objects.filter(meter_id__in=wanted[OverrideScope.METER]):
        names[OverrideScope.METER, meter.meter_id] = (str(meter), meter.meter_id)
    for device in Device.objects.filter(external_id__in=wanted[OverrideScope.DEVICE]):
        names[OverrideScope.DEVICE, device.external_id] = (str(device), str(device.pk))
    return names


def name_of(*, scope: str, target: str) -> str:
    """Name what a scope and a target reach; the id itself where no row has it."""
    found = _names([Override(scope=scope, target=target)])
    return found.get((scope, target), (target, ""))[0]


def groups_offered() -> tuple[tuple[str, str], ...]:
    """Offer market groups by name, for the field in which an id is typed."""
    rows = MarketGroup.objects.order_by("name", "id")[:200]
    return tuple((group.market_group_id, str(group)) for group in rows)


@dataclass(frozen=True, slots=True)
class Forgone:
    """A commitment of `[starts_at, ends_at)` that would not be delivered in full: at the worst `kw` less."""

    event_id: int
    name: str
    starts_at: datetime
    ends_at: datetime
    kw: Decimal
    nominated_kw: Decimal | None


@dataclass(frozen=True, slots=True)
class Reach:
    """What an override would do before it is added.

    `nominated_kw`: of the meters behind the devices, where any is known. `forgone_kw` is the power of
    commitments that would not be delivered in the window, at its fullest; `commitments` how many devices
    give one up.
    """

    devices: int
    moving: int
    nominated_kw: Decimal | None
    commitments: int
    forgone_kw: Decimal
    forgone: tuple[Forgone, ...]


Load = tuple[datetime, datetime, Decimal]
"""Power from a time to a time."""


def read_reach(*, scope: str, target: str, starts_at: datetime, ends_at: datetime) -> Reach:
    """Count the devices an override reaches and the commitments they would give up. Five queries."""
    devices = devices_reached(scope=scope, target=target, starts_at=starts_at, ends_at=ends_at)
    segments = ScheduleSegment.objects.filter(
        schedule__superseded_at__isnull=True,
        starts_at__lt=ends_at,
        ends_at__gt=starts_at,
        device_id__in=devices.values("pk"),
    ).exclude(mode=SegmentMode.IDLE)
    if scope == OverrideScope.PROGRAM:
        segments = _serving(segments, program=target, starts_at=starts_at, ends_at=ends_at)
    program = target if scope == OverrideScope.PROGRAM else ""
    events = DispatchEvent.objects.filter(is_cancelled=False, starts_at__lt=ends_at, ends_at__gt=starts_at)
    committed = Q(is_commitment=True)
    summed = segments.aggregate(
        moving=Count("device_id", distinct=True),
        commitments=Count("device_id", distinct=True, filter=committed),
    )
    behind = MeterDevice.objects.filter(device_id__in=devices.values("pk"))
    nominated = Meter.objects.filter(pk__in=behind.values("meter_id")).aggregate(kw=Sum("nomination_kw"))
    alike = _alike(segments.filter(committed), starts_at=starts_at, ends_at=ends_at)
    return Reach(
        devices=devices.count(),
        moving=summed["moving"],
        nominated_kw=nominated["kw"],
        commitments=summed["commitments"],
        forgone_kw=fullest([load for loads in alike.values() for load in loads]),
        forgone=_forgone(alike, events.filter(is_voluntary=False), program=program),
    )


def _alike(
    segments: QuerySet[Any], *, starts_at: datetime, ends_at: datetime
) -> dict[tuple[str, ...], list[Load]]:
    """Sum up the power of segments in a window, by the events they serve; devices that fare alike as one."""
    power_kw = Coalesce(F("target_kw"), F("device__rated_power_kw"), output_field=POWER)
    rows = segments.order_by().values_list("leap_event_ids", "starts_at", "ends_at")
    found: defaultdict[tuple[str, ...], list[Load]] = defaultdict(list)
    for ids, start, end, kw in rows.annotate(kw=Sum(power_kw)):
        found[tuple(ids)].append((max(start, starts_at), min(end, ends_at), kw))
    return found


def fullest(loads: Iterable[Load]) -> Decimal:
    """Return the largest power that these add up to at any time."""
    turns = [turn for start, end, kw in loads if start < end for turn in ((start, kw), (end, -kw))]
    most = running = Decimal(0)
    for _, kw in sorted(turns):  # at one time what ends comes first, being negative
        running += kw
        most = max(most, running)
    return most


def _forgone(
    alike: Mapping[tuple[str, ...], Iterable[Load]], events: QuerySet[DispatchEvent], *, program: str
) -> tuple[Forgone, ...]:
    """Name the events that these segments serve, of a program's those of the program. One query."""
    loads: defaultdict[str, list[Load]] = defaultdict(list)
    for ids, mine in alike.items():
        for leap_id in ids:
            loads[leap_id] += mine
    columns = ("leap_event_id", "programs", "starts_at", "ends_at", "nomination_kw")
    return tuple(
        Forgone(
            event_id=event.pk,
            name=words.programs(event.programs),
            starts_at=event.starts_at,
            ends_at=event.ends_at,
            kw=kw,
            nominated_kw=event.nomination_kw,
        )
        for event in events.only(*columns).order_by("starts_at", "priority_rank", "pk")
        if event.leap_event_id in loads and (not program or program in event.programs)
        if (kw := fullest(_within(loads[event.leap_event_id], event=event)))
    )


def _within(loads: Iterable[Load], *, event: DispatchEvent) -> list[Load]:
    return [(max(start, event.starts_at), min(end, event.ends_at), kw) for start, end, kw in loads]


def _called(*, program: str, starts_at: datetime, ends_at: datetime) -> list[DispatchEvent]:
    """Find the events of a program that a window meets. SQLite cannot look inside a JSON list."""
    events = DispatchEvent.objects.filter(is_cancelled=False, starts_at__lt=ends_at, ends_at__gt=starts_at)
    return [event for event in events.only("leap_event_id", "programs") if program in event.programs]


def _serving(
    segments: QuerySet[Any], *, program: str, starts_at: datetime, ends_at: datetime
) -> QuerySet[Any]:
    """Keep the segments that serve an event of the program. Segments name many events in few ways."""
    called = {event.leap_event_id for event in _called(program=program, starts_at=starts_at, ends_at=ends_at)}
    ways = segments.order_by().values_list("leap_event_ids", flat=True).distinct()
    return segments.filter(leap_event_ids__in=[ids for ids in ways if not called.isdisjoint(ids)])


def devices_reached(*, scope: str, target: str, starts_at: datetime, ends_at: datetime) -> QuerySet[Device]:
    """Find the devices behind a scope; a group's are those of its members in the window."""
    if scope == OverrideScope.FLEET:
        return Device.objects.all()
    if scope == OverrideScope.DEVICE:
        return Device.objects.filter(external_id=target)
    if scope == OverrideScope.METER:
        return Device.objects.filter(meters__meter_id=target)
    if scope == OverrideScope.PROGRAM:
        called = [event.pk for event in _called(program=target, starts_at=starts_at, ends_at=ends_at)]
        behind = RecipientMember.objects.filter(recipients__events__in=called).values("meter_id")
        return Device.objects.filter(
            pk__in=MeterDevice.objects.filter(meter__meter_id__in=behind).values("device_id")
        )
    members = MarketGroupMembership.objects.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=starts_at),
        group__market_group_id=target,
        starts_at__lt=ends_at,
    )
    # The list of meters in a live call of the group counts beside our copy of its membership.
    named = RecipientMember.objects.filter(
        recipients__events__market_group_id=target,
        recipients__events__is_cancelled=False,
        recipients__events__ends_at__gt=starts_at,
    )
    meters = Meter.objects.filter(
        Q(pk__in=members.values("meter_id")) | Q(meter_id__in=named.values("meter_id"))
    )
    return Device.objects.filter(pk__in=MeterDevice.objects.filter(meter__in=meters).values("device_id"))
