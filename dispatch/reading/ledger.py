"""How far an event's schedule has come, and why devices do what they do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Coalesce

from devices.models import (
    Command,
    CommandState,
    DeviceSchedule,
    ScheduleSegment,
    ScheduleState,
)
from devices.proof_models import ProofState
from devices.queries import is_ahead
from dispatch.models import DispatchEvent, TestKind, Unserved
from dispatch.reading import words
from dispatch.reading.proofs import latest_run_state
from dispatch.unserved import BY_DEVICE, COUNTS

MOST_CAUSES = 3
MOST_REASONS = 6


@dataclass(frozen=True, slots=True)
class Ledger:
    """Devices by how far they have come with the schedule in effect; each counts once, where it is farthest.

    `deviates`: of those acknowledged, they do something else. `provable`: some proof was begun of them.
    `ahead`: of those waiting, set-points whose time has not come.
    """

    planned: int
    waiting: int
    ahead: int
    sent: int
    acknowledged: int
    verified: int
    deviates: int
    provable: int
    failed: int
    latest: datetime | None
    causes: tuple[str, ...]

    @property
    def out(self) -> int:
        """Count the devices that were sent something."""
        return self.planned - self.waiting

    @property
    def taken(self) -> int:
        """Count the devices that took it, verified or not."""
        return self.acknowledged + self.verified


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of the list of reasons."""

    icon: str
    kind: str
    lead: str
    text: str


def in_effect(at: datetime) -> Q:
    """Match the schedules in effect at a time."""
    return Q(created_at__lte=at) & (Q(superseded_at__isnull=True) | Q(superseded_at__gt=at))


def read_ledger(event: DispatchEvent, *, device_ids: QuerySet[Any], at: datetime) -> Ledger:
    """Count the devices that move for an event, by how far they have come. Three queries.

    An integration test moves nobody but behind armed meters, whatever else the devices do meanwhile.
    """
    there = ScheduleSegment.objects.filter(
        schedule=OuterRef("pk"), starts_at__lt=event.ends_at, ends_at__gt=event.starts_at
    )
    if event.test == TestKind.INTEGRATION:
        named = there.annotate(events=Cast("leap_event_ids", TextField()))
        there = named.filter(events__contains=event.leap_event_id)
    proof = latest_run_state("device_id", start=event.starts_at, end=event.ends_at)
    schedules = DeviceSchedule.objects.filter(in_effect(at), Exists(there), device_id__in=device_ids)
    is_verified = Q(proof=ProofState.PROVEN)
    row = schedules.annotate(proof=Coalesce(proof, Value(""))).aggregate(
        planned=Count("id"),
        waiting=Count("id", filter=Q(state=ScheduleState.PENDING) & ~is_verified),
        ahead=Count("id", filter=is_ahead() & ~is_verified),
        sent=Count("id", filter=Q(state=ScheduleState.SENT) & ~is_verified),
        acknowledged=Count("id", filter=Q(state=ScheduleState.ACKNOWLEDGED) & ~is_verified),
        verified=Count("id", filter=is_verified),
        deviates=Count("id", filter=Q(proof=ProofState.DEVIATES)),
        provable=Count("id", filter=~Q(proof="")),
        failed=Count("id", filter=Q(state=ScheduleState.FAILED) & ~is_verified),
    )
    latest = schedules.order_by("-created_at").values_list("created_at", flat=True).first()
    failed = Command.objects.filter(schedule__in=schedules, state=CommandState.FAILED)
    causes = failed.values("detail").annotate(devices=Count("device", distinct=True)).order_by("-devices")
    return Ledger(
        **row,
        latest=latest,
        causes=tuple(
            f"{cause['devices']} × {cause['detail'] or 'no answer'}" for cause in causes[:MOST_CAUSES]
        ),
    )


def read_reasons(event: DispatchEvent, *, device_ids: QuerySet[Any], at: datetime) -> tuple[Reason, ...]:
    """List why the devices do what they do, and what is not served. Three queries."""
    reasons = [*_own_reasons(event)]
    segments = ScheduleSegment.objects.filter(
        Q(schedule__created_at__lte=at)
        & (Q(schedule__superseded_at__isnull=True) | Q(schedule__superseded_at__gt=at)),
        device_id__in=device_ids,
        starts_at__lt=event.ends_at,
        ends_at__gt=event.starts_at,
    ).exclude(reason="")
    unserved = Unserved.objects.filter(COUNTS, event_id=event.pk)
    for icon, kind, rows, device in (
        ("layers", "quiet", segments.values("reason"), "device"),
        ("layers", "quiet", unserved.filter(is_shaded=True).values("reason"), BY_DEVICE),
        ("warn", "warn", unserved.filter(is_shaded=False).values("reason"), BY_DEVICE),
    ):
        told = rows.annotate(devices=Count(device, distinct=True)).order_by("-devices", "reason")
        for row in told[:MOST_REASONS]:
            reasons.append(_reason(icon, kind, row["reason"], row["devices"]))
    return tuple(reasons)


def _own_reasons(event: DispatchEvent) -> list[Reason]:
    """Say what follows from the event's own fields."""
    kind = (
        Reason(
            "diamond-open", "quiet", "Voluntary.", f"Paid for what is delivered; rank {event.priority_rank}."
        )
        if event.is_voluntary
        else Reason(
            "diamond",
            "quiet",
            "A commitment.",
            f"It is served before what is voluntary; rank {event.priority_rank}.",
        )
    )
    found = [kind, Reason("device", "quiet", f"Paid up to {words.cap(event.cap)}.", _cap_text(event))]
    if event.unmapped_meters:
        lead = f"{words.counted(event.unmapped_meters, one='meter')} without a device."
        found.append(Reason("warn", "warn", lead, "Nothing there can deliver until one is mapped."))
    if event.shortfall_kw:
        lead = f"{words.power(event.shortfall_kw)} short of the award."
        found.append(Reason("warn", "warn", lead, "At the worst, those who take part are rated below it."))
    if event.test:
        found.append(
            Reason(
                "flask",
                "quiet",
                f"{event.get_test_display()}.",
                "Devices stay still unless a meter is armed."
                if event.test == TestKind.INTEGRATION
                else "Devices move as in a real event; it is not settled.",
            )
        )
    return found


def _cap_text(event: DispatchEvent) -> str:
    return {
        "up-to-nomination": "More than the nomination is not paid, so energy is kept.",
        "up-to-site-load": "Paid down to a net load of zero.",
        "grid-exports-allowed": "Paid beyond zero, where the site may export.",
    }.get(event.cap, "A word of Leap's that the portal does not know; it is kept.")


def _reason(icon: str, kind: str, text: str, devices: int) -> Reason:
    """Split a stored reason into its bold lead and the rest, with how many devices it holds for."""
    lead, dot, rest = text.partition(". ")
    lead = lead if lead.endswith(".") else f"{lead}."
    tail = f"{rest} " if dot else ""
    return Reason(icon, kind, lead, f"{tail}{words.counted(devices, one='device')}.")
