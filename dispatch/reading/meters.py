"""Can it be dispatched, and if not, why not: meters, with the devices and groups that decide it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from django.core.paginator import Page
from django.db.models import Count, Prefetch, Q, QuerySet, Sum
from django.http import QueryDict
from django.urls import reverse

from devices.models import Device, DeviceKind
from dispatch.domain.standing import BLOCKING, CAUSES, Code
from dispatch.models import DispatchEvent, Override
from dispatch.reading import words
from dispatch.reading.holds import hold_over
from dispatch.reading.listing import Filter, Tab, chosen, drop_down, ordering, page_of, tabs
from dispatch.reading.looks import Look, look_of
from dispatch.reading.meter_verdicts import Verdict, verdicts
from dispatch.reading.standing import (
    Present,
    able_kw,
    dispatchable_kw,
    present_memberships,
    read_present,
    with_cause,
    with_facts,
)
from meters.enrollment_models import Program
from meters.models import MarketGroup, MarketGroupMembership, Meter

READY_TABS = {"": "All", "yes": "Ready", "no": "Not ready", "archived": "Archived"}
SORTS = {"name": "name", "nomination": "nomination_kw", "region": "transmission_region"}
KIND_NOUNS = {
    DeviceKind.BATTERY: ("battery", "batteries"),
    DeviceKind.THERMOSTAT: ("thermostat", "thermostats"),
    DeviceKind.EV_CHARGER: ("charger", "chargers"),
    DeviceKind.HVAC: ("HVAC", "HVAC"),
    DeviceKind.WATER_HEATER: ("water heater", "water heaters"),
    DeviceKind.GENERATOR: ("generator", "generators"),
    DeviceKind.LOAD: ("load", "loads"),
}
EVENTS_SHOWN = 20
COMING_LOOKED_AT = 200
EVENTS_SINCE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Row:
    """One meter in the list."""

    id: int
    name: str
    meter_id: str
    groups: str
    programs: list[str]
    region: str
    devices: str
    nomination_kw: Decimal | None
    verdict: Verdict
    more: str
    is_armed: bool


@dataclass(frozen=True, slots=True)
class CauseCount:
    """How many meters have a cause before all others."""

    code: Code
    text: str
    count: int
    is_blocking: bool


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many meters stand how, what the ready ones are nominated for, and what could move now.

    `able_kw`: the rated power of the devices that could move now, each once.
    """

    total: int
    ready: int
    causes: tuple[CauseCount, ...]
    ready_kw: Decimal
    nominated_kw: Decimal
    able_kw: Decimal

    def count(self, *codes: Code) -> int:
        """Count the meters with one of these before all others."""
        return sum(each.count for each in self.causes if each.code in codes)

    @property
    def unmapped(self) -> int:
        """Count those without a device, for the bar."""
        return self.count(Code.NO_DEVICE)

    @property
    def silent(self) -> int:
        """Count those whose devices do not answer, for the bar."""
        return self.count(Code.OFFLINE, Code.FAILING, Code.NONE_ABLE)


@dataclass(frozen=True, slots=True)
class MeterList:
    """The list with what stands above it."""

    fleet: Fleet
    tabs: tuple[Tab, ...]
    filters: tuple[Filter, ...]
    search: str
    page: Page[Any]
    rows: tuple[Row, ...]


def read_list(query: QueryDict, *, now: datetime, zone: tzinfo) -> MeterList:
    """Read one page of meters. A constant number of queries, whatever the page holds.

    Why each meter cannot be dispatched is the dear question: it is asked once for all, to count them, again
    where a tab or a cause is chosen, and else only for the meters of the page.
    """
    show = chosen(query, "ready", allowed=READY_TABS)
    present = read_present(now=now)
    filters = _filters(query)
    found = _found(query, filters, now=now)
    sums = _sums(found, present=present)
    counted = {code: count for code, (count, _) in sums.items()}
    asked = chosen(query, "cause", allowed=list(Code))
    shown = _shown(found, show, asked, present=present)
    page = page_of(
        shown.order_by(*ordering(query, offered=SORTS, default="name")).values_list("pk", flat=True),
        number=query.get("page", ""),
        count=_tab_counts({asked: counted.get(asked, 0)} if asked else counted)[show],
    )
    is_everything = not query.get("q", "").strip() and not any(_is_chosen(each) for each in filters)
    return MeterList(
        fleet=_fleet(sums if is_everything else _sums(Meter.objects.all(), present=present), present=present),
        tabs=tabs(READY_TABS, current=show, counts=_tab_counts(counted)),
        filters=(*filters, _cause_filter(counted, asked=asked)),
        search=query.get("q", "").strip(),
        page=page,
        rows=_rows(list(page), present=present, zone=zone),
    )


def _rows(ids: Sequence[int], *, present: Present, zone: tzinfo) -> tuple[Row, ...]:
    """Read the meters of a page, in its order. Three queries."""
    meters = {meter.pk: meter for meter in _with_relations(Meter.objects.filter(pk__in=ids), present=present)}
    return tuple(_row(meters[pk], present=present, zone=zone) for pk in ids if pk in meters)


def _is_chosen(offered: Filter) -> bool:
    return any(choice.is_chosen and choice.key for choice in offered.choices)


def export_rows(query: QueryDict, *, now: datetime) -> QuerySet[Meter]:
    """Give the meters the list shows, all pages of them, for a file."""
    show = chosen(query, "ready", allowed=READY_TABS)
    asked = chosen(query, "cause", allowed=list(Code))
    found = _found(query, _filters(query), now=now)
    return _shown(found, show, asked, present=read_present(now=now)).order_by("name", "id")


def _cause_filter(counted: Mapping[str, int], *, asked: str) -> Filter:
    """Offer the causes that there are, and the one that is asked for, with how many have it first."""
    options = {
        code.value: f"{told.brief} ({counted.get(code, 0):,})".capitalize()
        for code, told in CAUSES.items()
        if counted.get(code) or code == asked
    }
    return drop_down("cause", label="Cause", everything="All causes", options=options, current=asked)


def _shown(meters: QuerySet[Meter], show: str, asked: str, *, present: Present) -> QuerySet[Any]:
    """Keep what a tab and a cause show; the first tab leaves the archived out."""
    if not show and not asked:
        return meters.filter(Q(archived_at__isnull=True) | Q(archived_at__gt=present.now))
    of_tab = _of_tab(with_cause(meters, present=present), show)
    return of_tab.filter(cause=asked) if asked else of_tab


def _filters(query: QueryDict) -> tuple[Filter, ...]:
    """Build the drop-downs from what there is. Three queries."""
    groups = {leap_id: name or leap_id for leap_id, name in _group_names()}
    programs = _distinct(
        MarketGroup.objects.values_list("program", flat=True).union(
            Program.objects.filter(first_heard_at__isnull=False).values_list("code", flat=True)
        )
    )
    regions = _distinct(Meter.objects.order_by().values_list("transmission_region", flat=True).distinct())
    options = (
        ("group", "Group", "All groups", groups),
        ("program", "Program", "All programs", programs),
        ("region", "Region", "All regions", regions),
    )
    return tuple(
        drop_down(
            name, label=label, everything=everything, options=of, current=chosen(query, name, allowed=of)
        )
        for name, label, everything, of in options
    )


def _group_names() -> Iterable[tuple[str, str]]:
    return MarketGroup.objects.order_by("name", "id").values_list("market_group_id", "name")


def _distinct(values: QuerySet[Any, str]) -> dict[str, str]:
    return {value: value for value in sorted(set(values)) if value}


def _found(query: QueryDict, filters: Sequence[Filter], *, now: datetime) -> QuerySet[Meter]:
    """Filter meters by search, group, program and region."""
    found = Meter.objects.all()
    search = query.get("q", "").strip()
    if search:
        found = found.filter(
            Q(name__icontains=search)
            | Q(partner_reference__icontains=search)
            | Q(meter_id__istartswith=search)
            | Q(site__name__icontains=search)
        )
    picked = {each.name: choice.key for each in filters for choice in each.choices if choice.is_chosen}
    if "group" in picked:
        members = present_memberships(now=now).filter(group__market_group_id=picked["group"])
        found = found.filter(pk__in=members.values("meter_id"))
    if "program" in picked:
        # The list is JSON; as text it is searched the same way on both databases.
        found = found.filter(programs__icontains=f'"{picked["program"]}"')
    if "region" in picked:
        found = found.filter(transmission_region=picked["region"])
    return found


def _of_tab(meters: QuerySet[Any], show: str) -> QuerySet[Any]:
    """Keep what a tab shows of meters with their cause; the first tab leaves the archived out."""
    if show == "yes":
        return meters.exclude(cause__in=BLOCKING)
    if show == "archived":
        return meters.filter(cause=Code.ARCHIVED)
    meters = meters.exclude(cause=Code.ARCHIVED)
    return meters.filter(cause__in=BLOCKING) if show == "no" else meters


def _tab_counts(counted: dict[str, int]) -> dict[str, int]:
    archived = counted.get(Code.ARCHIVED, 0)
    present = sum(counted.values()) - archived
    ready = sum(count for code, count in counted.items() if code not in BLOCKING)
    return {"": present, "yes": ready, "no": present - ready, "archived": archived}


def _sums(meters: QuerySet[Meter], *, present: Present) -> dict[str, tuple[int, Decimal]]:
    """Count meters by their gravest cause and sum their nominations. One query."""
    rows = with_cause(meters, present=present).order_by().values("cause")
    summed = rows.annotate(count=Count("id"), kw=Sum("nomination_kw"))
    return {row["cause"]: (row["count"], row["kw"] or Decimal(0)) for row in summed}


def _fleet(sums: Mapping[str, tuple[int, Decimal]], *, present: Present) -> Fleet:
    """Sum up the whole portfolio but for the archived. One query."""
    there = {code: each for code, each in sums.items() if code != Code.ARCHIVED}
    ready = [each for code, each in there.items() if code not in BLOCKING]
    return Fleet(
        total=sum(count for count, _ in there.values()),
        ready=sum(count for count, _ in ready),
        causes=cause_counts({code: count for code, (count, _) in there.items()}),
        ready_kw=sum((kw for _, kw in ready), Decimal(0)),
        nominated_kw=sum((kw for _, kw in there.values()), Decimal(0)),
        able_kw=dispatchable_kw(present=present),
    )


def cause_counts(counted: Mapping[str, int]) -> tuple[CauseCount, ...]:
    """Name what stands in meters' way with how many have it first, the gravest first."""
    return tuple(
        CauseCount(code, told.brief, count, code in BLOCKING)
        for code, told in CAUSES.items()
        if code != Code.READY and (count := counted.get(code.value, 0))
    )


def _with_relations(meters: QuerySet[Any], *, present: Present) -> QuerySet[Any]:
    """Bring facts, devices and present groups along. Two queries for any number of meters."""
    groups = present_memberships(now=present.now).select_related("group")
    return (
        with_facts(meters, present=present)
        .select_related("site")
        .prefetch_related(Prefetch("memberships", queryset=groups, to_attr="present_memberships"))
    )


def _row(meter: Any, *, present: Present, zone: tzinfo) -> Row:
    groups = {membership.group for membership in meter.present_memberships}
    first, *others = verdicts(meter, present=present, zone=zone)
    return Row(
        id=meter.pk,
        name=str(meter),
        meter_id=meter.meter_id,
        groups=", ".join(sorted(str(group) for group in groups)) or "–",
        programs=meter.programs,
        region=meter.transmission_region,
        devices=device_words(meter.mapped_devices),
        nomination_kw=meter.nomination_kw,
        verdict=first,
        more=" ".join(each.text for each in others),
        is_armed=is_armed(meter, now=present.now),
    )


def is_armed(meter: Meter, *, now: datetime) -> bool:
    """Say whether an integration test would move this meter's devices."""
    return meter.test_armed_until is not None and meter.test_armed_until > now


def device_words(devices: Sequence[Device]) -> str:
    """Count devices by kind: "2 HVAC, 1 battery"; empty for none."""
    kinds = [device.kind for device in devices]
    counted = sorted(((kinds.count(kind), kind) for kind in set(kinds)), reverse=True)
    parts = []
    for count, kind in counted:
        one, many = KIND_NOUNS.get(DeviceKind(kind), ("device", "devices"))
        parts.append(words.counted(count, one=one, many=many))
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class MappedDevice:
    """One device behind a meter."""

    id: int
    name: str
    external_id: str
    kind: str
    rated_power_kw: Decimal
    is_online: bool
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Membership:
    """A meter's stay in a group, `[starts_at, ends_at)`, for a program's delivery period."""

    market_group_id: str
    group: str
    program: str
    delivery_period: str
    starts_at: datetime
    ends_at: datetime | None
    is_present: bool


@dataclass(frozen=True, slots=True)
class NamingEvent:
    """An event that names the meter."""

    id: int
    look: Look
    programs: list[str]
    starts_at: datetime
    ends_at: datetime
    energy_kw: Decimal | None


@dataclass(frozen=True, slots=True)
class MeterDetail:
    """A meter with what decides whether it can be dispatched."""

    meter: Meter
    verdicts: tuple[Verdict, ...]
    devices: tuple[MappedDevice, ...]
    rated_kw: Decimal
    able_kw: Decimal
    memberships: tuple[Membership, ...]
    events: tuple[NamingEvent, ...]
    is_armed: bool
    candidates: tuple[tuple[str, str], ...]


def read_detail(meter_id: str, *, now: datetime, zone: tzinfo) -> MeterDetail:
    """Read everything about a meter; ten queries, and up to three more where policies have blackouts.

    Raises:
        Meter.DoesNotExist: there is no such meter.
    """
    present = read_present(now=now)
    meter: Any = _with_relations(Meter.objects.filter(meter_id=meter_id), present=present).get()
    found = verdicts(meter, present=present, zone=zone)
    return MeterDetail(
        meter=meter,
        verdicts=(*found, *_coming(meter, now=now, zone=zone)),
        devices=tuple(_mapped(device) for device in meter.mapped_devices),
        rated_kw=sum((device.rated_power_kw for device in meter.mapped_devices), Decimal(0)),
        able_kw=able_kw(meter),
        memberships=_memberships(meter, now=now),
        events=latest_events(now=now, recipients__members__meter_id=meter.meter_id),
        is_armed=is_armed(meter, now=now),
        candidates=_candidates(),
    )


def _coming(meter: Any, *, now: datetime, zone: tzinfo) -> list[Verdict]:
    """Say which hold, opt-out or force begins next. One query."""
    rows = Override.objects.filter(starts_at__gt=now, ended_at__isnull=True).order_by("starts_at", "id")
    found = hold_over(
        list(rows[:COMING_LOOKED_AT]),
        meters=[meter.meter_id],
        groups=[membership.group.market_group_id for membership in meter.present_memberships],
        devices=[device.external_id for device in meter.mapped_devices],
    )
    if found is None:
        return []
    starts, ends = (words.day_clock(at, now=now, zone=zone) for at in (found.starts_at, found.ends_at))
    text = f"{found.get_action_display()} from {starts} until {ends} by {found.created_by}."
    href = reverse("dispatch:override-detail", args=[found.pk])
    return [Verdict("hold", text, href=href, verb="Open")]


def _mapped(device: Device) -> MappedDevice:
    return MappedDevice(
        id=device.pk,
        name=str(device),
        external_id=device.external_id,
        kind=device.get_kind_display(),
        rated_power_kw=device.rated_power_kw,
        is_online=device.is_online,
        last_seen_at=device.last_seen_at,
    )


def _memberships(meter: Meter, *, now: datetime) -> tuple[Membership, ...]:
    rows = (
        MarketGroupMembership.objects.filter(meter=meter).select_related("group").order_by("-starts_at", "id")
    )
    return tuple(
        Membership(
            market_group_id=row.group.market_group_id,
            group=str(row.group),
            program=row.program or row.group.program,
            delivery_period=row.delivery_period,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            is_present=row.starts_at <= now and (row.ends_at is None or row.ends_at > now),
        )
        for row in rows
    )


def latest_events(*, now: datetime, **named: str) -> tuple[NamingEvent, ...]:
    """Read the latest events of a meter or a group, coming ones first; `named` selects them. One query."""
    events = DispatchEvent.objects.filter(ends_at__gt=now - EVENTS_SINCE, **named)
    rows = events.order_by("-starts_at", "-id")[:EVENTS_SHOWN]
    return tuple(
        NamingEvent(
            id=row.pk,
            look=look_of(row, now=now),
            programs=row.programs,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            energy_kw=row.energy_kw,
        )
        for row in rows
    )


def _candidates() -> tuple[tuple[str, str], ...]:
    """Offer devices that no meter has yet, for the field in which one is typed."""
    free = Device.objects.filter(meter_devices__isnull=True).order_by("external_id")
    return tuple((device.external_id, str(device)) for device in free.only("external_id", "name")[:200])
