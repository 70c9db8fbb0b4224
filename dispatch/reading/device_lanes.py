"""The lanes of one device: a row per request and per override, below them what it will do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from django.db.models import Q

from devices.models import Device
from dispatch.models import DispatchEvent, Override, OverrideAction, OverrideScope
from dispatch.reading import words
from dispatch.reading.axis import Axis, Tick
from dispatch.reading.final import read_around, read_final, spans_for, steps_for
from dispatch.reading.lanes import Aside, Final, place_asides, place_final
from dispatch.reading.looks import Look, State
from dispatch.reading.requests import Request, events_between, read_requests
from dispatch.unserved import undone_by
from meters.models import MarketGroup, Meter

SHOWN_BEFORE = timedelta(hours=2)
SHOWN_AT_LEAST = timedelta(hours=10)
SHOWN_AT_MOST = timedelta(hours=26)
NARROW = 16  # parts that a bar needs to hold a label, and for each of its signs so many more:
A_SIGN = 4.2
RIGHT_EDGE = 230  # parts from which that label stands before it
SETTLED = frozenset({State.CANCELLED, State.UNCONFIRMED, State.DONE})
VOLUNTARY = frozenset({State.VOLUNTARY, State.LIVE_VOLUNTARY})


@dataclass(frozen=True, slots=True)
class Lane:
    """One request or override with its bar."""

    look: Look
    name: str
    why: str
    href: str
    label: str
    part: int
    parts: int
    window: str
    utc: str

    @property
    def fits(self) -> bool:
        """Tell whether the label has room inside the bar."""
        return self.parts >= NARROW + A_SIGN * len(self.label)

    @property
    def is_left(self) -> bool:
        """Tell whether a label beside the bar stands before it."""
        return self.part + self.parts > RIGHT_EDGE


@dataclass(frozen=True, slots=True)
class DeviceLanes:
    """The picture: axis, rows, final lane. `in_force`: the overrides that rule the device now."""

    axis: Axis
    ticks: tuple[Tick, ...]
    midnights: tuple[int, ...]
    now: int | None
    lanes: tuple[Lane, ...]
    final: tuple[Final, ...]
    asides: tuple[Aside, ...]
    in_force: tuple[Override, ...]


def read_lanes(
    device: Device,
    *,
    meters: Sequence[Meter],
    now: datetime,
    zone: tzinfo,
    window: tuple[datetime, datetime] | None = None,
) -> DeviceLanes:
    """Read what is asked of a device around now, or in a window, and what it does. Ten queries."""
    meter_ids = [meter.meter_id for meter in meters]
    naming = DispatchEvent.objects.filter(recipients__members__meter_id__in=meter_ids).distinct()
    axis = Axis(start=window[0], end=window[1], zone=zone) if window else _axis(naming, now=now, zone=zone)
    asked = naming.filter(pk__in=events_between(axis.start, axis.end).values("pk"))
    requests = read_requests(asked, now=now, zone=zone)
    refused = _refusals(device, axis=axis)
    programs = {program for mine in asked.values_list("programs", flat=True) for program in mine}
    overrides = _overrides(device, meters=meters, programs=programs, axis=axis)
    alone = Device.objects.filter(pk=device.pk).values("pk")
    rows = read_final(start=axis.start, end=axis.end, device_ids=alone)
    around = read_around(start=axis.start, end=axis.end, device_ids=alone)
    return DeviceLanes(
        axis=axis,
        ticks=axis.ticks(every=_tick_every(axis)),
        midnights=axis.midnights(),
        now=axis.now(now),
        lanes=(
            *(_request_lane(request, axis=axis, refused=refused) for request in requests),
            *(_override_lane(override, axis=axis) for override in overrides),
        ),
        final=place_final(steps_for(rows), axis=axis, rated_kw=device.rated_power_kw),
        asides=place_asides(spans_for(around), axis=axis),
        in_force=tuple(override for override in overrides if _is_in_force(override, now=now)),
    )


def _axis(naming: Any, *, now: datetime, zone: tzinfo) -> Axis:
    """Show from two hours back to past the last end of the coming day, at least ten hours."""
    start = now.replace(minute=0, second=0, microsecond=0) - SHOWN_BEFORE
    near = naming.filter(ends_at__gt=now, starts_at__lt=start + SHOWN_AT_MOST)
    last = near.order_by("-ends_at").values_list("ends_at", flat=True).first()
    end = max(start + SHOWN_AT_LEAST, (last or start) + timedelta(hours=1))
    hours = -((start - min(end, start + SHOWN_AT_MOST)) // timedelta(hours=1))
    return Axis(start=start, end=start + timedelta(hours=hours), zone=zone)


def _tick_every(axis: Axis) -> timedelta:
    """Choose whole hours so that about six labels fit."""
    hours = (axis.end - axis.start) / timedelta(hours=1)
    return timedelta(hours=next(step for step in (1, 2, 3, 4, 6) if hours / step <= 7))


def _refusals(device: Device, *, axis: Axis) -> dict[int, str]:
    """Give one reason why this device does not serve an event somewhere, by event. One query."""
    rows = undone_by(device.pk, since=axis.start)
    return {row.event_id: row.reason for row in reversed(rows) if row.starts_at < axis.end}


def _why(request: Request, *, refused: Mapping[int, str]) -> str:
    """Say what this device makes of a request; what other devices make of it is told elsewhere."""
    if request.look.state in SETTLED:
        return request.why
    for event_id in request.event_ids:
        if event_id in refused:
            return f"Not all of it: {words.why_not(refused[event_id])}"
    kind = "voluntary" if request.look.state in VOLUNTARY else "commitment"
    if request.look.state is State.TEST:
        kind = "test"
    return f"Rank {request.rank}, {kind}"


def _request_lane(request: Request, *, axis: Axis, refused: Mapping[int, str]) -> Lane:
    part, parts = axis.place(request.start, request.end)
    return Lane(
        look=request.look,
        name=request.name,
        why=_why(request, refused=refused),
        href=request.href,
        label=f"{request.name} {request.power}",
        part=part,
        parts=parts,
        window=words.window(request.start, request.end, zone=axis.zone),
        utc=words.window_utc(request.start, request.end, zone=axis.zone),
    )


def _overrides(
    device: Device, *, meters: Sequence[Meter], programs: Collection[str], axis: Axis
) -> list[Override]:
    """Read the overrides that reach this device in the window; a program's where it is called. One query."""
    groups = MarketGroup.objects.filter(
        Q(memberships__ends_at__isnull=True) | Q(memberships__ends_at__gt=axis.start),
        memberships__meter__in=[meter.pk for meter in meters],
        memberships__starts_at__lt=axis.end,
    ).distinct()
    reached = (
        Q(scope=OverrideScope.FLEET)
        | Q(scope=OverrideScope.DEVICE, target=device.external_id)
        | Q(scope=OverrideScope.METER, target__in=[meter.meter_id for meter in meters])
        | Q(scope=OverrideScope.MARKET_GROUP, target__in=groups.values("market_group_id"))
        | Q(scope=OverrideScope.PROGRAM, target__in=programs)
    )
    rows = Override.objects.filter(reached, starts_at__lt=axis.end, ends_at__gt=axis.start)
    still = rows.filter(Q(ended_at__isnull=True) | Q(ended_at__gt=axis.start))
    return list(still.order_by("starts_at", "id"))


def _is_in_force(override: Override, *, now: datetime) -> bool:
    return override.ended_at is None and override.starts_at <= now < override.ends_at


def _override_lane(override: Override, *, axis: Axis) -> Lane:
    end = min(override.ends_at, override.ended_at) if override.ended_at else override.ends_at
    part, parts = axis.place(max(override.starts_at, axis.start), max(end, override.starts_at))
    what = override.get_action_display()
    power = f" {words.power(override.target_kw)}" if override.action == OverrideAction.FORCE else ""
    return Lane(
        look=Look(State.HOLD),
        name=what,
        why=f"By {override.created_by}: {override.reason}",
        href=f"/overrides/{override.pk}/",
        label=f"{what}{power}",
        part=part,
        parts=parts,
        window=words.window(override.starts_at, end, zone=axis.zone),
        utc=words.window_utc(override.starts_at, end, zone=axis.zone),
    )
