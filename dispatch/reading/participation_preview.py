"""What a request about participation would come to, before it is sent: per meter, in power, and in events."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from django.db.models import Count

from dispatch.models import DispatchEvent, RecipientMember, TestKind
from dispatch.reading import words
from dispatch.taking_part import GATE_FOR, GATED, Checked
from meters.among import Ids
from meters.domain.participation import Finding, Kind, preferences_after, stretches
from meters.participation_models import ParticipationKind

SHOWN: Final = 200
EVENTS_SHOWN: Final = 20
HOLDS: Final = {
    "PARTICIPATE": "participating",
    "IDLE": "idle",
    "DISENROLL": "disenrolled",
    "": "not said by Leap",
}


@dataclass(frozen=True, slots=True)
class Holding:
    """What holds from a time on; `None`: from now."""

    word: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One meter that is sent: its days in its own zone, what will hold when, and what is worth knowing."""

    meter_id: str
    name: str
    zone: tzinfo
    zone_name: str
    starts_at: datetime
    ends_at: datetime | None
    holds: tuple[Holding, ...]
    warnings: tuple[str, ...]
    nomination_kw: Decimal | None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One meter that is not sent, and why."""

    meter_id: str
    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class ComingEvent:
    """An event that names some of the meters in their days. Leap may still call them."""

    event_id: int
    name: str
    starts_at: datetime
    ends_at: datetime
    energy_kw: Decimal | None
    is_commitment: bool
    meters: int


@dataclass(frozen=True, slots=True)
class Preview:
    """All that is shown before sending. `seen`: what was shown, so that another thing is not sent."""

    kind: str
    verb: str
    days: str
    count: int
    rows: tuple[PreviewRow, ...]
    refused: tuple[RefusedRow, ...]
    refused_count: int
    twice: tuple[str, ...]
    warned: int
    nominated_kw: Decimal
    events: tuple[ComingEvent, ...]
    event_count: int
    commitments: int
    zones: tuple[str, ...]
    is_gated_kind: bool
    is_for_good: bool
    seen: str


VERBS: Final = {
    ParticipationKind.IDLE: "Let {} rest",
    ParticipationKind.END_IDLE: "End the idle period of {}",
    ParticipationKind.PARTICIPATE: "Let {} participate",
    ParticipationKind.DISENROLL: "Disenroll {}",
}


def read_preview(checked: Checked, *, now: datetime) -> Preview:
    """Say what a checked request would come to. Two queries."""
    sendable, kind = checked.sendable, ParticipationKind(checked.asked.kind)
    meters = {each.meter_id: checked.meter(each) for each in sendable}
    nominated = (meter.nomination_kw for meter in meters.values() if meter and meter.nomination_kw)
    events = _events(sendable, now=now)
    return Preview(
        kind=kind.label,
        verb=VERBS[kind].format(words.counted(len(sendable), one="meter")),
        days=str(checked.asked.days),
        count=len(sendable),
        rows=tuple(_row(checked, each, now=now) for each in sendable[:SHOWN]),
        refused=tuple(_refused(checked, each) for each in checked.refused[:SHOWN]),
        refused_count=len(checked.refused),
        twice=checked.twice,
        warned=sum(bool(each.warnings) for each in sendable),
        nominated_kw=sum(nominated, Decimal(0)),
        events=tuple(events[:EVENTS_SHOWN]),
        event_count=len(events),
        commitments=sum(each.is_commitment for each in events),
        zones=tuple(sorted({meter.timezone for meter in meters.values() if meter})),
        is_gated_kind=checked.asked.kind in GATED,
        is_for_good=checked.asked.kind is Kind.DISENROLL,
        seen=seen_of(checked),
    )


def seen_of(checked: Checked) -> str:
    """Return a digest of what is sent and for whom."""
    asked = checked.asked
    parts = [asked.kind.value, str(asked.days), *sorted(each.meter_id for each in checked.sendable)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _row(checked: Checked, finding: Finding, *, now: datetime) -> PreviewRow:
    stood = (checked.stood or {})[finding.meter_id]
    window = finding.window
    if window is None:
        raise ValueError("a meter that can be sent has a window")
    held = stretches(preferences_after(checked.asked, stood.standing), since=now)
    return PreviewRow(
        meter_id=finding.meter_id,
        name=str(stood.meter),
        zone=ZoneInfo(stood.meter.timezone),
        zone_name=stood.meter.timezone,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        holds=tuple(
            Holding(HOLDS.get(each.kind, each.kind.lower()), each.starts_at if place else None)
            for place, each in enumerate(held)
        ),
        warnings=finding.warnings,
        nomination_kw=stood.meter.nomination_kw,
    )


def _refused(checked: Checked, finding: Finding) -> RefusedRow:
    meter = checked.meter(finding)
    return RefusedRow(finding.meter_id, str(meter) if meter else finding.meter_id, finding.problem)


def _events(findings: tuple[Finding, ...], *, now: datetime) -> list[ComingEvent]:
    """Find the events that name any of the meters from the first day on to the last."""
    windows = [each.window for each in findings if each.window]
    if not windows:
        return []
    start = max(now, min(each.starts_at for each in windows))
    end = max(each.ends_at or each.starts_at + GATE_FOR for each in windows)
    live = DispatchEvent.objects.filter(is_cancelled=False, ends_at__gt=start, starts_at__lt=end).exclude(
        test=TestKind.INTEGRATION
    )
    named = RecipientMember.objects.filter(
        meter_id__among=Ids(each.meter_id for each in findings), recipients__in=live.values("recipients")
    )
    count: dict[int, int] = dict(
        named.order_by().values_list("recipients_id").annotate(meters=Count("meter_id"))
    )
    columns = ("programs", "starts_at", "ends_at", "energy_kw", "is_voluntary", "recipients_id")
    return [
        ComingEvent(
            event_id=event.pk,
            name=words.programs(event.programs),
            starts_at=event.starts_at,
            ends_at=event.ends_at,
            energy_kw=event.energy_kw,
            is_commitment=not event.is_voluntary,
            meters=count[event.recipients_id],
        )
        for event in live.filter(recipients__in=count).only(*columns).order_by("starts_at", "pk")
    ]
