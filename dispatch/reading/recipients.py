"""Who an event asks, meter by meter, and what stands between each and delivery."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Exists, OuterRef, Q, QuerySet

from devices.models import Command, CommandState, DeviceSchedule, MeterDevice, ScheduleSegment, ScheduleState
from devices.queries import is_ahead
from dispatch.models import DispatchEvent, Override, OverrideScope, RecipientMember
from dispatch.reading import words
from meters.models import Meter

PER_PAGE = 25
UNSETTLED = (ScheduleState.PENDING, ScheduleState.SENT, ScheduleState.FAILED)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One meter of an event with its devices and one sentence."""

    meter_id: str
    name: str
    href: str
    devices: str
    nomination_kw: Decimal | None
    planned: str
    icon: str
    kind: str
    why: str
    verb: str = ""
    verb_href: str = ""


@dataclass(frozen=True, slots=True)
class Recipients:
    """One page of the table, with the counts of its tabs."""

    show: str
    gaps: int
    all: int
    rows: tuple[Recipient, ...]
    page: Page[Any]


def read_recipients(
    event: DispatchEvent, *, show: str, page: str | None, at: datetime, now: datetime
) -> Recipients:
    """Read the meters of an event; `show` is gaps or all. A constant number of queries."""
    members = RecipientMember.objects.filter(recipients_id=event.recipients_id).annotate(
        is_known=Exists(Meter.objects.filter(meter_id=OuterRef("meter_id"))),
        has_device=Exists(MeterDevice.objects.filter(meter__meter_id=OuterRef("meter_id"))),
        is_unsettled=Exists(_unsettled()),
    )
    is_gap = Q(is_known=False) | Q(has_device=False)
    if at == now:
        is_gap |= Q(is_unsettled=True)
    gaps = members.filter(is_gap).count()
    chosen = show if show in ("gaps", "all") else ("gaps" if gaps else "all")
    listed = members.filter(is_gap) if chosen == "gaps" else members
    shown = Paginator(listed.order_by("is_known", "has_device", "-is_unsettled", "meter_id"), PER_PAGE)
    found = shown.get_page(page)
    return Recipients(
        show=chosen,
        gaps=gaps,
        all=event.recipients.size,
        rows=tuple(_rows([member.meter_id for member in found.object_list], event=event, now=now)),
        page=found,
    )


def _unsettled() -> QuerySet[DeviceSchedule]:
    """Select the newest schedules of mapped devices that are not confirmed and should be by now."""
    current = DeviceSchedule.objects.filter(
        device__meter_devices__meter__meter_id=OuterRef("meter_id"),
        superseded_at__isnull=True,
        state__in=UNSETTLED,
    )
    return current.exclude(is_ahead())


def _rows(meter_ids: list[str], *, event: DispatchEvent, now: datetime) -> list[Recipient]:
    """Put words to one page of meters. Six queries."""
    meters = {meter.meter_id: meter for meter in Meter.objects.filter(meter_id__in=meter_ids)}
    devices = defaultdict(list)
    for link in MeterDevice.objects.filter(meter__meter_id__in=meter_ids).select_related("device", "meter"):
        devices[link.meter.meter_id].append(link.device)
    ids = {device.pk for found in devices.values() for device in found}
    schedules = DeviceSchedule.objects.filter(device_id__in=ids, superseded_at__isnull=True)
    states = {schedule.device_id: schedule for schedule in schedules.annotate(waits=is_ahead())}
    failed = Command.objects.filter(device_id__in=ids, state=CommandState.FAILED, expires_at__gt=now)
    causes = dict(failed.order_by("id").values_list("device_id", "detail"))
    planned = _planned(ids, event=event)
    opted = _overrides(now=now)
    return [
        _row(
            meter_id,
            meter=meters.get(meter_id),
            devices=devices[meter_id],
            states=states,
            causes=causes,
            planned=planned,
            opted=opted,
        )
        for meter_id in meter_ids
    ]


def _planned(device_ids: set[int], *, event: DispatchEvent) -> dict[int, Decimal | None]:
    """Give each device's greatest target while the event lasts; None is the maximum."""
    segments = ScheduleSegment.objects.filter(
        device_id__in=device_ids,
        schedule__superseded_at__isnull=True,
        starts_at__lt=event.ends_at,
        ends_at__gt=event.starts_at,
    )
    found: dict[int, Decimal | None] = {}
    for device_id, target in segments.values_list("device_id", "target_kw"):
        if target is None or (device_id in found and found[device_id] is None):
            found[device_id] = None
        else:
            found[device_id] = max(target, found.get(device_id) or Decimal(0))
    return found


def _overrides(*, now: datetime) -> dict[tuple[str, str], Override]:
    """Give the overrides in force on single meters and devices, by scope and target."""
    active = Override.objects.filter(
        scope__in=(OverrideScope.METER, OverrideScope.DEVICE),
        ended_at__isnull=True,
        starts_at__lte=now,
        ends_at__gt=now,
    )
    return {(override.scope, override.target): override for override in active}


def _row(
    meter_id: str,
    *,
    meter: Meter | None,
    devices: list[Any],
    states: dict[int, Any],
    causes: dict[int, str],
    planned: dict[int, Decimal | None],
    opted: dict[tuple[str, str], Override],
) -> Recipient:
    if meter is None:
        return Recipient(
            meter_id=meter_id,
            name="Unknown meter",
            href="",
            devices="none",
            nomination_kw=None,
            planned="–",
            icon="question",
            kind="warn",
            why="Leap names this meter and the portal does not know it.",
            verb="Bring it in",
            verb_href="/meters/",
        )
    icon, kind, why, verb, href = _sentence(meter, devices=devices, states=states, causes=causes, opted=opted)
    return Recipient(
        meter_id=meter_id,
        name=str(meter),
        href=f"/meters/{meter_id}/",
        devices=_devices_words(devices),
        nomination_kw=meter.nomination_kw,
        planned=_planned_words(devices, planned),
        icon=icon,
        kind=kind,
        why=why,
        verb=verb,
        verb_href=href,
    )


def _devices_words(devices: list[Any]) -> str:
    if not devices:
        return "none"
    if len(devices) == 1:
        return f"1 {devices[0].get_kind_display()}"
    return words.counted(len(devices), one="device")


def _planned_words(devices: list[Any], planned: dict[int, Decimal | None]) -> str:
    targets = [planned[device.pk] for device in devices if device.pk in planned]
    if not targets:
        return "–"
    if any(target is None for target in targets):
        return "maximum"
    return words.power(sum((target for target in targets if target is not None), Decimal(0)))


def _sentence(
    meter: Meter,
    *,
    devices: list[Any],
    states: dict[int, Any],
    causes: dict[int, str],
    opted: dict[tuple[str, str], Override],
) -> tuple[str, str, str, str, str]:
    """Say in one sentence whether a meter delivers: icon, kind, words, and a verb with its address."""
    own = f"/meters/{meter.meter_id}/"
    override = opted.get((OverrideScope.METER, meter.meter_id)) or next(
        (found for each in devices if (found := opted.get((OverrideScope.DEVICE, each.external_id)))), None
    )
    if override:
        text = f"{override.get_action_display()} until {override.ends_at:%d %b %H:%M} UTC by"
        return "pause", "quiet", f"{text} {override.created_by}: {override.reason}", "", ""
    if not devices:
        return "question", "warn", "No device is mapped to this meter.", "Map one", own
    failed = next((each for each in devices if each.pk in causes), None)
    if failed:
        cause = causes[failed.pk] or "The device refused the schedule."
        return "bad", "bad", cause, "See device", f"/devices/{failed.pk}/"
    held = [states[each.pk] for each in devices if each.pk in states]
    if not held:
        return "clock", "quiet", "Nothing is planned for its devices.", "", ""
    unconfirmed = [schedule for schedule in held if schedule.state != ScheduleState.ACKNOWLEDGED]
    waiting = [schedule for schedule in unconfirmed if not schedule.waits]
    if waiting:
        text = f"Version {waiting[0].version} {waiting[0].get_state_display().lower()}, not confirmed yet."
        return "warn", "warn", text, "See device", f"/devices/{waiting[0].device_id}/"
    offline = next((each for each in devices if not each.is_online), None)
    if offline:
        return (
            "warn",
            "warn",
            "Offline now, and told only when its time comes."
            if unconfirmed
            else "Confirmed, but the device is offline now.",
            "See device",
            f"/devices/{offline.pk}/",
        )
    if unconfirmed:
        return "clock", "quiet", "Set-points wait for their time.", "", ""
    return "tick", "ok", f"Confirmed, version {held[0].version}.", "", ""
