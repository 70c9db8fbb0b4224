"""What the portal holds about a scenario's portfolio, read from its rows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from statistics import median

from django.db.models import Q, QuerySet

from devices.models import OPEN_COMMAND_STATES, Command, Device, DeviceSchedule, ScheduleSegment, SegmentMode
from dispatch.models import DispatchEvent, DispatchNotification, NotificationStatus, Override, Source
from leapvpp.certification.expecting import Piece
from leapvpp.certification.portfolio import Portfolio
from leapvpp.leap.simulator.pusher import Delivery

LOOK_EVERY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """An event as the portal holds it, in the words of Leap's ledger."""

    level: str
    leap_event_id: str
    market_group_id: str
    meter_ids: frozenset[str]
    start: datetime
    end: datetime
    cancelled: bool
    energy_kw: Decimal | None
    nomination_kw: Decimal | None
    priority: int
    is_voluntary: bool
    cap: str
    types: tuple[str, ...]
    programs: tuple[str, ...]
    test: str
    is_confirmed: bool
    revision: int


@dataclass(frozen=True, slots=True)
class HeldSchedule:
    """A device's current schedule. `accepted_version` is what the simulated device itself says."""

    version: int
    state: str
    accepted_version: int | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Timings:
    """Medians in seconds from the answered post to the row; None where nothing was to be done."""

    recorded: float | None = None
    planned: float | None = None
    acknowledged: float | None = None


def wait_until_settled(
    portfolio: Portfolio, *, deliveries: Collection[Delivery], timeout_seconds: float
) -> str:
    """Wait until everything delivered is recorded, planned and accepted; return what is still open, or ""."""
    deadline = time.monotonic() + timeout_seconds
    while waiting_for := _open_work(portfolio, deliveries=deliveries):
        if time.monotonic() > deadline:
            return waiting_for
        time.sleep(LOOK_EVERY_SECONDS)
    return ""


def _open_work(portfolio: Portfolio, *, deliveries: Collection[Delivery]) -> str:
    """Name what is not done yet, in the order of the stages: each hands over in one transaction."""
    hashes = {_hash(delivery) for delivery in deliveries if delivery.outcome == "delivered"}
    done = DispatchNotification.objects.filter(
        source=Source.WEBHOOK, sha256__in=hashes, repeated_at__isnull=True
    ).exclude(status=NotificationStatus.RECEIVED)
    if missing := len(hashes) - done.count():
        return f"{missing} of {len(hashes)} notifications are not recorded"
    found = DispatchNotification.objects.filter(source=Source.POLL)
    if found.filter(Q(status=NotificationStatus.RECEIVED) | Q(repeated_at__isnull=False)).exists():
        return "what the search found is not recorded"
    events = _events_of(portfolio)
    if unplanned := events.filter(plan_requested_at__isnull=False).count():
        return f"{unplanned} events are not planned"
    devices = Device.objects.filter(pk__in=portfolio.device_by_meter.values())
    asking = Q(plan_requested_at__isnull=False) | Q(weigh_requested_at__isnull=False)
    if unplanned := devices.filter(asking).count():
        return f"{unplanned} devices are not planned"
    if Override.objects.filter(plan_requested_at__isnull=False).exists():
        return "an override is not planned"
    commands = Command.objects.filter(device__in=portfolio.device_by_meter.values())
    if unsent := commands.filter(state__in=OPEN_COMMAND_STATES).count():
        return f"{unsent} commands are not acknowledged"
    return ""


def read_events(portfolio: Portfolio) -> tuple[HeldEvent, ...]:
    """Return every event that reaches the portfolio's meters, tests among them."""
    rows = _events_of(portfolio).select_related("recipients").order_by("starts_at", "leap_event_id")
    return tuple(_as_held(row) for row in rows)


def read_schedules(portfolio: Portfolio) -> dict[str, HeldSchedule]:
    """Return the current schedule of every device that has one, by the id of its meter."""
    device_ids = portfolio.device_by_meter.values()
    pieces: dict[int, list[Piece]] = {}
    segments = ScheduleSegment.objects.filter(
        device_id__in=device_ids, schedule__superseded_at__isnull=True
    ).exclude(mode=SegmentMode.IDLE)
    for segment in segments.order_by("device_id", "starts_at"):
        piece = Piece(segment.starts_at, segment.ends_at, segment.target_kw)
        pieces.setdefault(segment.device_id, []).append(piece)
    current = DeviceSchedule.objects.filter(device_id__in=device_ids, superseded_at__isnull=True)
    held = {
        device_id: HeldSchedule(version, state, accepted, tuple(pieces.get(device_id, ())))
        for device_id, version, state, accepted in current.values_list(
            "device_id", "version", "state", "device__simulated__accepted_version"
        )
    }
    return {
        meter_id: held[device_id]
        for meter_id, device_id in portfolio.device_by_meter.items()
        if device_id in held
    }


def measure(portfolio: Portfolio, *, deliveries: Sequence[Delivery]) -> Timings:
    """Return how long the portal took, over all events, from the last post about each."""
    answered = [each for each in deliveries if each.outcome == "delivered"]
    sent_by_hash = {_hash(each): each.attempts[-1].sent_at for each in reversed(answered)}
    notifications = DispatchNotification.objects.filter(source=Source.WEBHOOK, sha256__in=sent_by_hash)
    recorded = [
        at - sent_by_hash[sha256] for sha256, at in notifications.values_list("sha256", "recorded_at") if at
    ]
    answered.sort(key=lambda each: sent_by_hash[_hash(each)])
    sent_at = {event_id: sent_by_hash[_hash(each)] for each in answered for event_id in each.event_ids}
    rows = DispatchEvent.objects.filter(
        leap_event_id__in=sent_at, recipients__members__meter_id__in=portfolio.meter_ids
    ).values_list("leap_event_id", "planned_at", "recipients__members__meter_id")
    schedules = _answered_schedules(portfolio)
    planned: list[timedelta] = []
    acknowledged: list[timedelta] = []
    for leap_event_id, planned_at, meter_id in rows:
        sent = sent_at[leap_event_id]
        planned += [planned_at - sent] if planned_at else []
        later = (accepted_at for made_at, accepted_at in schedules.get(meter_id, ()) if made_at >= sent)
        acknowledged += [accepted_at - sent for accepted_at in islice(later, 1)]
    return Timings(_median(recorded), _median(planned), _median(acknowledged))


def _answered_schedules(portfolio: Portfolio) -> dict[str, list[tuple[datetime, datetime]]]:
    """Return when each version was made and accepted, in order, by the id of the device's meter."""
    meter_by_device = {device_id: meter_id for meter_id, device_id in portfolio.device_by_meter.items()}
    found: dict[str, list[tuple[datetime, datetime]]] = {}
    versions = DeviceSchedule.objects.filter(device_id__in=meter_by_device).order_by("version")
    for device_id, made_at, accepted_at in versions.values_list("device_id", "created_at", "acknowledged_at"):
        if accepted_at:
            found.setdefault(meter_by_device[device_id], []).append((made_at, accepted_at))
    return found


def _median(spans: Sequence[timedelta]) -> float | None:
    """Return the median of the spans in seconds; what was done before the last post is not counted."""
    seconds = [span.total_seconds() for span in spans if span >= timedelta(0)]
    return round(median(seconds), 3) if seconds else None


def _events_of(portfolio: Portfolio) -> QuerySet[DispatchEvent]:
    return DispatchEvent.objects.filter(recipients__members__meter_id__in=portfolio.meter_ids).distinct()


def _as_held(row: DispatchEvent) -> HeldEvent:
    return HeldEvent(
        level=row.level,
        leap_event_id=row.leap_event_id,
        market_group_id=row.market_group_id,
        meter_ids=frozenset(row.recipients.meter_ids),
        start=row.starts_at,
        end=row.ends_at,
        cancelled=row.is_cancelled,
        energy_kw=row.energy_kw,
        nomination_kw=row.nomination_kw,
        priority=row.priority_rank,
        is_voluntary=row.is_voluntary,
        cap=row.cap,
        types=tuple(row.dispatch_event_types),
        programs=tuple(row.programs),
        test=row.test,
        is_confirmed=row.is_confirmed,
        revision=row.revision,
    )


def _hash(delivery: Delivery) -> str:
    return hashlib.sha256(delivery.body).hexdigest()
