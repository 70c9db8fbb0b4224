"""Devices: what each is to do, what was asked of it, what it was told, and whether it answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from django.core.paginator import Page
from django.db.models import Case, CharField, Count, Exists, OuterRef, Prefetch, Q, QuerySet, Value, When
from django.http import QueryDict

from devices.domain.proving import Verdict
from devices.drivers import capabilities_of
from devices.models import (
    Command,
    Device,
    DeviceKind,
    DeviceSchedule,
    MeterDevice,
    ScheduleSegment,
    ScheduleState,
    SegmentMode,
    SimulatedDevice,
)
from devices.queries import is_ahead
from dispatch.domain import sentences
from dispatch.models import Overlap, OverrideAction, OverrideScope
from dispatch.policy_models import ResponsePolicy
from dispatch.reading import alerts, commands, words
from dispatch.reading.command_words import Standing
from dispatch.reading.device_lanes import DeviceLanes, read_lanes
from dispatch.reading.listing import Filter, Tab, chosen, drop_down, ordering, page_of, tabs
from dispatch.terms import nearest_policies
from dispatch.unserved import undone_by
from meters.models import Meter

STANDING_TABS = {
    "": "All",
    "confirmed": "Confirmed",
    "waiting": "Waiting",
    "failed": "Failed",
    "offline": "Offline",
    "unmapped": "Without a meter",
}
WISHES = {"commitments": "Commitments only", "all": "Voluntary, too"}
SORTS = {"name": "name", "rated": "rated_power_kw", "seen": "last_seen_at", "version": "schedule_version"}
MODE_WORDS = {
    SegmentMode.CURTAIL: "Curtail",
    SegmentMode.DISCHARGE: "Discharge",
    SegmentMode.EXPORT: "Export",
    SegmentMode.IDLE: "Idle",
}
STATE_VERDICTS = {
    ScheduleState.PENDING: "plain",
    ScheduleState.SENT: "warn",
    ScheduleState.ACKNOWLEDGED: "plain",  # it took it, which proves nothing yet
    ScheduleState.FAILED: "bad",
}
PROOF_WORDS = {
    None: ("plain", "Awaited"),
    Verdict.AWAITED: ("plain", "Awaited"),
    Verdict.PROVEN: ("ok", "Verified"),
    Verdict.DEVIATES: ("bad", "Deviates"),
    Verdict.UNKNOWN: ("warn", "Not known"),
}
REFUSALS_SHOWN = 20
SEAM = timedelta(minutes=1)  # between a plan and the next, made while it ran
COMMANDS_SHOWN = 15


def _current(**where: Any) -> QuerySet[DeviceSchedule]:
    return DeviceSchedule.objects.filter(device_id=OuterRef("pk"), superseded_at__isnull=True, **where)


def with_standing(devices: QuerySet[Device]) -> QuerySet[Any]:
    """Add `standing`: unmapped, offline, failed, waiting (told but not confirmed) or confirmed.

    Set-points that wait for their time keep nobody waiting.
    """
    told = [ScheduleState.PENDING, ScheduleState.SENT]
    return devices.annotate(
        standing=Case(
            When(~Exists(MeterDevice.objects.filter(device_id=OuterRef("pk"))), then=Value("unmapped")),
            When(is_online=False, then=Value("offline")),
            When(Exists(_current(state=ScheduleState.FAILED)), then=Value("failed")),
            When(Exists(_current(state__in=told).exclude(is_ahead())), then=Value("waiting")),
            default=Value("confirmed"),
            output_field=CharField(),
        )
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One device in the list."""

    id: int
    name: str
    external_id: str
    kind: str
    driver: str
    rated_power_kw: Decimal
    meters: tuple[tuple[str, str], ...]
    is_online: bool
    last_seen_at: datetime | None
    doing: str
    is_moving: bool
    version: int
    state: str
    verdict: str


@dataclass(frozen=True, slots=True)
class DeviceList:
    """The list with what stands above it."""

    counts: dict[str, int]
    total: int
    tabs: tuple[Tab, ...]
    filters: tuple[Filter, ...]
    search: str
    page: Page[Any]
    rows: tuple[Row, ...]


def read_list(query: QueryDict, *, now: datetime, zone: tzinfo) -> DeviceList:
    """Read one page of devices. A constant number of queries, whatever the page holds."""
    standing = chosen(query, "standing", allowed=STANDING_TABS)
    filters = _filters(query)
    found = _found(query, filters)
    counted = dict(with_standing(found).values_list("standing").annotate(count=Count("id")).order_by())
    shown = with_standing(found).filter(standing=standing) if standing else with_standing(found)
    order = ordering(query, offered=SORTS, default="name")
    page = page_of(_with_schedule(shown, now=now).order_by(*order), number=query.get("page", ""))
    total = sum(counted.values())
    return DeviceList(
        counts=counted,
        total=total,
        tabs=tabs(STANDING_TABS, current=standing, counts={"": total, **counted}),
        filters=filters,
        search=query.get("q", "").strip(),
        page=page,
        rows=tuple(_row(device, now=now, zone=zone) for device in page),
    )


def export_rows(query: QueryDict) -> QuerySet[Device]:
    """Give the devices the list shows, all pages of them, for a file."""
    standing = chosen(query, "standing", allowed=STANDING_TABS)
    found = with_standing(_found(query, _filters(query)))
    shown = found.filter(standing=standing) if standing else found
    return shown.select_related("site").prefetch_related("meters").order_by("external_id")


def _filters(query: QueryDict) -> tuple[Filter, ...]:
    """Build the drop-downs; the drivers in use take one query."""
    drivers = {
        name: name for name in Device.objects.values_list("driver", flat=True).distinct().order_by("driver")
    }
    kinds = {value.lower(): str(label) for value, label in DeviceKind.choices}
    kind, driver = chosen(query, "kind", allowed=kinds), chosen(query, "driver", allowed=drivers)
    wish = chosen(query, "wish", allowed=WISHES)
    return (
        drop_down("kind", label="Kind", everything="All kinds", options=kinds, current=kind),
        drop_down("driver", label="Driver", everything="All drivers", options=drivers, current=driver),
        drop_down("wish", label="Wish", everything="Any wish", options=WISHES, current=wish),
    )


def _found(query: QueryDict, filters: tuple[Filter, ...]) -> QuerySet[Device]:
    """Filter devices by search, kind, driver and their customer's wish."""
    found = Device.objects.all()
    search = query.get("q", "").strip()
    if search:
        found = found.filter(
            Q(external_id__icontains=search) | Q(name__icontains=search) | Q(site__name__icontains=search)
        )
    picked = {each.name: choice.key for each in filters for choice in each.choices if choice.is_chosen}
    if "kind" in picked:
        found = found.filter(kind=picked["kind"].upper())
    if "driver" in picked:
        found = found.filter(driver=picked["driver"])
    if "wish" in picked:
        found = found.filter(commitments_only=picked["wish"] == "commitments")
    return found


def _with_schedule(devices: QuerySet[Any], *, now: datetime) -> QuerySet[Any]:
    """Bring meters, the current schedule and what is left of it along. Three queries in all."""
    left = ScheduleSegment.objects.filter(Q(ends_at__gt=now) | Q(recover_until__gt=now)).order_by("starts_at")
    current = DeviceSchedule.objects.filter(superseded_at__isnull=True)
    return devices.prefetch_related(
        Prefetch("meters", queryset=Meter.objects.order_by("name", "id"), to_attr="known_meters"),
        Prefetch("schedules", queryset=current, to_attr="current_schedules"),
        Prefetch("current_schedules__segments", queryset=left, to_attr="segments_left"),
    )


def _row(device: Any, *, now: datetime, zone: tzinfo) -> Row:
    schedule = device.current_schedules[0] if device.current_schedules else None
    segments = schedule.segments_left if schedule else []
    first = segments[0] if segments else None
    is_moving = bool(first and first.starts_at <= now < first.ends_at and first.mode != SegmentMode.IDLE)
    return Row(
        id=device.pk,
        name=str(device),
        external_id=device.external_id,
        kind=device.get_kind_display(),
        driver=device.driver,
        rated_power_kw=device.rated_power_kw,
        meters=tuple((meter.meter_id, str(meter)) for meter in device.known_meters),
        is_online=device.is_online,
        last_seen_at=device.last_seen_at,
        doing=doing(first, now=now, zone=zone),
        is_moving=is_moving,
        version=schedule.version if schedule else 0,
        state=schedule.get_state_display() if schedule else "",
        verdict=STATE_VERDICTS[ScheduleState(schedule.state)] if schedule else "plain",
    )


def doing(segment: ScheduleSegment | None, *, now: datetime, zone: tzinfo) -> str:
    """Say what a device does now or next: "Discharge 9.6 kW until 18:00"."""
    if segment is None:
        return "Nothing is asked of it."
    if segment.recover_until and segment.ends_at <= now:
        return f"Recovers until {words.clock(segment.recover_until, zone=zone)}."
    mode = SegmentMode(segment.mode)
    power = "" if mode is SegmentMode.IDLE else f" {words.power(segment.target_kw)}"
    until = words.clock(segment.ends_at, zone=zone)
    if segment.starts_at <= now:
        return f"{MODE_WORDS[mode]}{power} until {until}."
    at = words.day_clock(segment.starts_at, now=now, zone=zone)
    if segment.precondition_from and segment.precondition_from <= now:
        return f"Pre-conditions until {at}, then {MODE_WORDS[mode].lower()}{power} until {until}."
    return f"{MODE_WORDS[mode]}{power} from {at} to {until}."


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One stretch of the schedule, with its reason."""

    starts_at: datetime
    ends_at: datetime
    mode: str
    is_idle: bool
    target_kw: Decimal | None
    is_commitment: bool
    cap: str
    reason: str
    is_now: bool
    precondition_from: datetime | None
    ramp_seconds: int | None
    recover_until: datetime | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A stretch of an event that this device does not serve, and why."""

    event_id: int
    leap_event_id: str
    name: str
    starts_at: datetime
    ends_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Proof:
    """The latest word on whether a device did what it was told."""

    tone: str
    words: str
    text: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class DeviceDetail:
    """A device with its lanes, its schedule, its commands and what it holds.

    `no_reserve`: why its policy cannot plan its energy, empty where it can or does not.
    """

    device: Device
    row: Row
    lanes: DeviceLanes
    segments: tuple[SegmentRow, ...]
    acknowledged_at: datetime | None
    policy: ResponsePolicy | None
    no_reserve: str
    made_under: str
    commands: tuple[commands.Row, ...]
    command_count: int
    proof: Proof | None
    no_proof: str
    overlaps: tuple[Overlap, ...]
    refusals: tuple[Refusal, ...]
    simulated: SimulatedDevice | None
    alerts: tuple[alerts.Row, ...]

    @property
    def open_count(self) -> int:
        """Count the commands that are still to be done."""
        return sum(row.is_open for row in self.commands)

    @property
    def lease(self) -> Standing | None:
        """Give the set-point that it holds now."""
        return next((row.standing for row in self.commands if row.standing.lease), None)

    @property
    def is_held(self) -> bool:
        """Say whether a person holds this very device."""
        held = (OverrideAction.HOLD, OverrideScope.DEVICE)
        return any((each.action, each.scope) == held for each in self.lanes.in_force)


def read_detail(device_id: int, *, now: datetime, zone: tzinfo) -> DeviceDetail:
    """Read everything about a device; a constant number of queries.

    Raises:
        Device.DoesNotExist: there is no such device.
    """
    found = Device.objects.filter(pk=device_id).select_related("site", "simulated")
    device: Any = _with_schedule(found, now=now).get()
    schedule = device.current_schedules[0] if device.current_schedules else None
    told = Command.objects.filter(device=device)
    newest = commands.open_first(commands.with_attempts(told), now=now)[:COMMANDS_SHOWN]
    policy = nearest_policies([device], now=now).get(device.pk)
    rows = commands.rows_of(list(newest), now=now, zone=zone)
    return DeviceDetail(
        device=device,
        row=_row(device, now=now, zone=zone),
        lanes=read_lanes(device, meters=device.known_meters, now=now, zone=zone),
        segments=tuple(_segment(each, now=now) for each in schedule.segments_left) if schedule else (),
        acknowledged_at=schedule.acknowledged_at if schedule else None,
        policy=policy,
        no_reserve=_no_reserve(device, policy),
        made_under=schedule.policy if schedule else "",
        commands=rows,
        command_count=told.count(),
        proof=_latest_proof(rows),
        no_proof=_no_proof(device),
        overlaps=tuple(device.overlaps.filter(ends_at__gt=now).order_by("starts_at")[:10]),
        refusals=_refusals(device, now=now),
        simulated=getattr(device, "simulated", None),
        alerts=alerts.standing_of(device.pk),
    )


def _latest_proof(rows: Iterable[commands.Row]) -> Proof | None:
    """Find the latest word on what the device is told now, else on what it was told before."""
    known = [row for row in rows if row.evidence.at]
    latest = max(known, key=lambda row: (row.is_open, row.evidence.at or row.created_at), default=None)
    if latest is None:
        return None
    tone, said = PROOF_WORDS[latest.evidence.verdict]
    return Proof(tone=tone, words=said, text=f"{latest.what}: {latest.evidence.text}", at=latest.evidence.at)


def _no_proof(device: Device) -> str:
    if device.power_at or capabilities_of(device.driver).reads_back:
        return "none yet"
    return "It never said its power and cannot be asked, so nothing can be proven."


def _no_reserve(device: Device, policy: ResponsePolicy | None) -> str:
    is_planned = policy and policy.plans_energy and device.kind == DeviceKind.BATTERY
    if not is_planned or (device.energy_capacity_kwh and device.rated_power_kw):
        return ""
    return sentences.no_reserve(is_capacity_known=bool(device.energy_capacity_kwh))


def _segment(segment: ScheduleSegment, *, now: datetime) -> SegmentRow:
    mode = SegmentMode(segment.mode)
    return SegmentRow(
        starts_at=segment.starts_at,
        ends_at=segment.ends_at,
        mode=MODE_WORDS[mode],
        is_idle=mode is SegmentMode.IDLE,
        target_kw=segment.target_kw,
        is_commitment=segment.is_commitment,
        cap=segment.cap,
        reason=segment.reason,
        is_now=segment.starts_at <= now,
        precondition_from=segment.precondition_from,
        ramp_seconds=segment.ramp_seconds,
        recover_until=segment.recover_until,
    )


def _refusals(device: Device, *, now: datetime) -> tuple[Refusal, ...]:
    """Read what it leaves undone; stretches that all but touch are one where the reason is the same."""
    found: list[Refusal] = []
    latest: dict[tuple[int, str], int] = {}
    for row in undone_by(device.pk, since=now - timedelta(days=1)):
        known = latest.get((row.event_id, row.reason))
        if known is not None and found[known].ends_at >= row.starts_at - SEAM:
            found[known] = replace(found[known], ends_at=max(found[known].ends_at, row.ends_at))
            continue
        latest[row.event_id, row.reason] = len(found)
        found.append(
            Refusal(
                event_id=row.event_id,
                leap_event_id=row.event.leap_event_id,
                name=words.programs(row.event.programs),
                starts_at=row.starts_at,
                ends_at=row.ends_at,
                reason=row.reason,
            )
        )
    return tuple(found[:REFUSALS_SHOWN])
