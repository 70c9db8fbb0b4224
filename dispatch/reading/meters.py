"""Can it be dispatched, and if not, why not: meters, with the devices and groups that decide it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from django.core.paginator import Page
from django.db.models import Case, CharField, Count, Exists, OuterRef, Prefetch, Q, QuerySet, Sum, Value, When
from django.http import QueryDict
from django.urls import reverse

from devices.models import Device, DeviceKind, MeterDevice
from dispatch.models import DispatchEvent, Override
from dispatch.reading import words
from dispatch.reading.holds import hold_over, running
from dispatch.reading.listing import Filter, Tab, chosen, drop_down, ordering, page_of, tabs
from dispatch.reading.looks import Look, look_of
from meters.models import MarketGroup, MarketGroupMembership, Meter, Participation
from meters.readiness import reason_not_dispatchable

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
MAP_PAGE = "dispatch:meter-detail"
OUT = [Participation.IDLE, Participation.DISENROLL]
EVENTS_SHOWN = 20
EVENTS_SINCE = timedelta(days=30)


def with_standing(meters: QuerySet[Meter], *, now: datetime) -> QuerySet[Any]:
    """Add `standing`: the first thing that decides whether a meter can be dispatched.

    ARCHIVED, NOT_TAKING_PART, NO_DEVICE, OFFLINE (mapped, but nothing answers) or READY.
    """
    mapped = MeterDevice.objects.filter(meter_id=OuterRef("pk"))
    return meters.annotate(
        standing=Case(
            When(archived_at__lte=now, then=Value("ARCHIVED")),
            When(participation__in=OUT, then=Value("NOT_TAKING_PART")),
            When(~Exists(mapped), then=Value("NO_DEVICE")),
            When(~Exists(mapped.filter(device__is_online=True)), then=Value("OFFLINE")),
            default=Value("READY"),
            output_field=CharField(),
        )
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a meter can be dispatched, in one sentence, with the one place where it is mended."""

    kind: str
    text: str
    href: str = ""
    verb: str = ""


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
    is_armed: bool


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many meters stand how, and what the ready ones are nominated for."""

    total: int
    ready: int
    without_device: int
    offline: int
    not_taking_part: int
    ready_kw: Decimal
    nominated_kw: Decimal


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
    """Read one page of meters. A constant number of queries, whatever the page holds."""
    show = chosen(query, "ready", allowed=READY_TABS)
    filters = _filters(query)
    found = _found(query, filters, now=now)
    counted = dict(with_standing(found, now=now).values_list("standing").annotate(count=Count("id")))
    order = ordering(query, offered=SORTS, default="name")
    shown = _of_tab(with_standing(found, now=now), show).order_by(*order)
    page = page_of(_with_relations(shown, now=now), number=query.get("page", ""))
    overrides = running(now=now)
    return MeterList(
        fleet=_fleet(now=now),
        tabs=tabs(READY_TABS, current=show, counts=_tab_counts(counted)),
        filters=filters,
        search=query.get("q", "").strip(),
        page=page,
        rows=tuple(_row(meter, overrides=overrides, now=now, zone=zone) for meter in page),
    )


def export_rows(query: QueryDict, *, now: datetime) -> QuerySet[Meter]:
    """Give the meters the list shows, all pages of them, for a file."""
    show = chosen(query, "ready", allowed=READY_TABS)
    return _of_tab(with_standing(_found(query, _filters(query), now=now), now=now), show).order_by(
        "name", "id"
    )


def _filters(query: QueryDict) -> tuple[Filter, ...]:
    """Build the drop-downs from what there is. Three queries."""
    groups = {leap_id: name or leap_id for leap_id, name in _group_names()}
    programs = _distinct(MarketGroup.objects.values_list("program", flat=True))
    regions = _distinct(Meter.objects.values_list("transmission_region", flat=True))
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
    return {value: value for value in sorted(set(values.distinct())) if value}


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
        members = _present(now=now).filter(group__market_group_id=picked["group"])
        found = found.filter(pk__in=members.values("meter_id"))
    if "program" in picked:
        # The list is JSON; as text it is searched the same way on both databases.
        found = found.filter(programs__icontains=f'"{picked["program"]}"')
    if "region" in picked:
        found = found.filter(transmission_region=picked["region"])
    return found


def _of_tab(meters: QuerySet[Any], show: str) -> QuerySet[Any]:
    """Keep what a tab shows of meters with their standing; the first tab leaves the archived out."""
    if show == "yes":
        return meters.filter(standing="READY")
    if show == "archived":
        return meters.filter(standing="ARCHIVED")
    meters = meters.exclude(standing="ARCHIVED")
    return meters.exclude(standing="READY") if show == "no" else meters


def _tab_counts(counted: dict[str, int]) -> dict[str, int]:
    archived, ready = counted.get("ARCHIVED", 0), counted.get("READY", 0)
    present = sum(counted.values()) - archived
    return {"": present, "yes": ready, "no": present - ready, "archived": archived}


def _fleet(*, now: datetime) -> Fleet:
    """Sum up the whole portfolio. One query."""
    present = with_standing(Meter.objects.all(), now=now).exclude(standing="ARCHIVED")
    rows = present.values("standing").annotate(count=Count("id"), kw=Sum("nomination_kw")).order_by()
    count = {row["standing"]: row["count"] for row in rows}
    power = {row["standing"]: row["kw"] or Decimal(0) for row in rows}
    return Fleet(
        total=sum(count.values()),
        ready=count.get("READY", 0),
        without_device=count.get("NO_DEVICE", 0),
        offline=count.get("OFFLINE", 0),
        not_taking_part=count.get("NOT_TAKING_PART", 0),
        ready_kw=power.get("READY", Decimal(0)),
        nominated_kw=sum(power.values(), Decimal(0)),
    )


def _present(*, now: datetime) -> QuerySet[MarketGroupMembership]:
    is_open = Q(ends_at__isnull=True) | Q(ends_at__gt=now)
    return MarketGroupMembership.objects.filter(is_open, starts_at__lte=now)


def _with_relations(meters: QuerySet[Any], *, now: datetime) -> QuerySet[Any]:
    """Bring devices and present groups along. Two queries for any number of meters."""
    present = _present(now=now)
    return meters.select_related("site").prefetch_related(
        Prefetch("memberships", queryset=present.select_related("group"), to_attr="present_memberships"),
        Prefetch("devices", queryset=Device.objects.order_by("name", "id"), to_attr="mapped_devices"),
    )


def _row(meter: Any, *, overrides: Sequence[Override], now: datetime, zone: tzinfo) -> Row:
    groups = [membership.group for membership in meter.present_memberships]
    return Row(
        id=meter.pk,
        name=str(meter),
        meter_id=meter.meter_id,
        groups=", ".join(str(group) for group in groups) or "–",
        programs=meter.programs,
        region=meter.transmission_region,
        devices=device_words(meter.mapped_devices),
        nomination_kw=meter.nomination_kw,
        verdict=verdicts(meter, overrides=overrides, now=now, zone=zone)[0],
        is_armed=is_armed(meter, now=now),
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


def verdicts(
    meter: Any, *, overrides: Sequence[Override], now: datetime, zone: tzinfo
) -> tuple[Verdict, ...]:
    """Give one sentence per cause why a meter cannot be dispatched, or the one that says it can."""
    found = []
    reason = reason_not_dispatchable(meter=meter, now=now)
    if reason:
        found.append(Verdict("plain" if meter.archived_at else "warn", f"Not ready: {_lower_first(reason)}"))
    if not meter.mapped_devices:
        found.append(
            Verdict(
                "warn",
                "Not ready: no device is mapped.",
                href=f"{reverse(MAP_PAGE, args=[meter.meter_id])}#map",
                verb="Map a device",
            )
        )
    found.extend(_offline(meter.mapped_devices, now=now, zone=zone))
    groups = [membership.group.market_group_id for membership in meter.present_memberships]
    hold = hold_over(
        overrides,
        meters=[meter.meter_id],
        groups=groups,
        devices=[device.external_id for device in meter.mapped_devices],
    )
    if hold:
        until = words.day_clock(hold.ends_at, now=now, zone=zone)
        text = f"{hold.get_action_display()} until {until} by {hold.created_by}."
        found.append(
            Verdict("hold", text, href=reverse("dispatch:override-detail", args=[hold.pk]), verb="Open")
        )
    return tuple(found) or (_ready(meter.mapped_devices),)


def _lower_first(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _offline(devices: Sequence[Device], *, now: datetime, zone: tzinfo) -> list[Verdict]:
    """Name the device that does not answer, or say how many do not."""
    silent = [device for device in devices if not device.is_online]
    if not silent:
        return []
    first = silent[0]
    if len(devices) == 1:
        seen = words.day_clock(first.last_seen_at, now=now, zone=zone) if first.last_seen_at else ""
        text = f"Not ready: the device is offline{f' since {seen}' if seen else ''}."
        return [
            Verdict("bad", text, href=reverse("dispatch:device-detail", args=[first.pk]), verb="See device")
        ]
    if len(silent) == len(devices):
        return [Verdict("bad", f"Not ready: all {len(devices)} devices are offline.")]
    text = f"Ready, {len(devices) - len(silent)} of {len(devices)} devices online."
    return [
        Verdict(
            "ok",
            text,
            href=reverse("dispatch:device-detail", args=[first.pk]),
            verb="See the one offline" if len(silent) == 1 else "",
        )
    ]


def _ready(devices: Sequence[Device]) -> Verdict:
    rated_kw = sum((device.rated_power_kw for device in devices), Decimal(0))
    return Verdict("ok", f"Ready, up to {words.power(rated_kw)}.")


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
    """A meter's stay in a group, `[starts_at, ends_at)`."""

    market_group_id: str
    group: str
    program: str
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
    memberships: tuple[Membership, ...]
    events: tuple[NamingEvent, ...]
    is_armed: bool
    candidates: tuple[tuple[str, str], ...]


def read_detail(meter_id: str, *, now: datetime, zone: tzinfo) -> MeterDetail:
    """Read everything about a meter; seven queries.

    Raises:
        Meter.DoesNotExist: there is no such meter.
    """
    meter: Any = _with_relations(Meter.objects.filter(meter_id=meter_id), now=now).get()
    return MeterDetail(
        meter=meter,
        verdicts=verdicts(meter, overrides=running(now=now), now=now, zone=zone),
        devices=tuple(_mapped(device) for device in meter.mapped_devices),
        rated_kw=sum((device.rated_power_kw for device in meter.mapped_devices), Decimal(0)),
        memberships=_memberships(meter, now=now),
        events=latest_events(now=now, recipients__members__meter_id=meter.meter_id),
        is_armed=is_armed(meter, now=now),
        candidates=_candidates(),
    )


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
            program=row.group.program,
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
