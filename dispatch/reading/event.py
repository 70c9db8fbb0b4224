"""One event's read: what was asked, who answers, why, how it changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from dispatch.domain.events import Window
from dispatch.domain.readiness import Readiness
from dispatch.models import DispatchEvent, EventRevision, RecipientMember, TestKind
from dispatch.preview import preview_event
from dispatch.queries import EventStatus, status_of
from dispatch.reading import words
from dispatch.reading.axis import Axis
from dispatch.reading.doubts import DoubtPanel, read_doubts
from dispatch.reading.final import read_around, read_final
from dispatch.reading.fleets import devices_behind, read_fleets
from dispatch.reading.lanes import Lanes, build_lanes
from dispatch.reading.ledger import Ledger, Reason, read_ledger, read_reasons
from dispatch.reading.levels import BothLevels, read_both_levels
from dispatch.reading.looks import Look, look_of
from dispatch.reading.meters import CauseCount, cause_counts
from dispatch.reading.naming import Owner, owner_of, with_names
from dispatch.reading.out_of_step import Panel, members_then, of_event
from dispatch.reading.plans import DeviceRow, device_rows
from dispatch.reading.readiness import Cause, causes_of, read_readiness, set_point_words
from dispatch.reading.recipients import Recipients, read_recipients
from dispatch.reading.requests import events_between, read_requests
from dispatch.reading.revisions import Revision, revisions_of
from dispatch.reading.standing import count_causes, dispatchable_kw, read_present
from meters.models import Meter

HOUR = timedelta(hours=1)
WOULD_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure under the title."""

    label: str
    text: str
    is_live: bool = False


@dataclass(frozen=True, slots=True)
class Would:
    """What an integration test would have devices do if its meters were armed."""

    rows: tuple[DeviceRow, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class Ready:
    """How far a coming event is ready, and what stands in the way.

    `meters`: the called meters of which nothing would move during the event, by cause; `could_kw`: what the
    others are rated for; `gap_kw`: what is asked beyond that, None for a maximum.
    """

    found: Readiness
    causes: tuple[Cause, ...]
    set_points: str
    meters: tuple[CauseCount, ...]
    could_kw: Decimal
    gap_kw: Decimal | None


@dataclass(frozen=True, slots=True)
class EventPage:
    """All that the page shows."""

    event: Any
    owner: Owner
    look: Look
    program: str
    title: str
    is_live: bool
    is_over: bool
    is_begun: bool
    facts: tuple[Fact, ...]
    lanes: Lanes
    ledger: Ledger
    ready: Ready | None
    reasons: tuple[Reason, ...]
    revisions: tuple[Revision, ...]
    recipients: Recipients
    doubts: tuple[DoubtPanel, ...]
    levels: BothLevels | None
    step: Panel | None
    members_then: int | None


def read_event(
    *, event_id: int, show: str, page: str | None, now: datetime, zone: tzinfo
) -> EventPage | None:
    """Read an event with everything about it; None when there is none. A constant number of queries."""
    event = with_names(DispatchEvent.objects.filter(pk=event_id)).first()
    if event is None:
        return None
    at = min(now, event.ends_at - timedelta(seconds=1))
    devices = devices_behind(event.recipients_id)
    axis = Axis(start=_floor(event.starts_at) - HOUR, end=_ceil(event.ends_at) + HOUR, zone=zone)
    rows = read_final(start=axis.start, end=axis.end, device_ids=devices)
    requests = read_requests(_sharing(event, axis), now=now, zone=zone)
    ledger = read_ledger(event, device_ids=devices, at=at)
    lanes = build_lanes(
        requests=requests,
        rows=rows,
        axis=axis,
        every=_every(axis),
        now=now,
        fleets=read_fleets(requests),
        around=read_around(start=axis.start, end=axis.end, device_ids=devices),
    )
    status = status_of(event, now=now)
    step = of_event(event, now=now)
    return EventPage(
        event=event,
        owner=owner_of(event),
        look=look_of(event, now=now),
        program=words.programs(event.programs),
        title=f"{owner_of(event).name}, {words.programs(event.programs)}",
        is_live=status == EventStatus.ACTIVE,
        is_over=event.ends_at <= now,
        is_begun=event.starts_at <= now,
        facts=tuple(_facts(event, ledger=ledger, status=status, now=now)),
        lanes=lanes,
        ledger=ledger,
        ready=_ready(event, step=step, now=now) if status == EventStatus.SCHEDULED else None,
        reasons=read_reasons(event, device_ids=devices, at=at),
        revisions=_revisions(event, zone=zone),
        recipients=read_recipients(event, show=show, page=page, at=at, now=now),
        doubts=read_doubts(event.pk, zone=zone),
        levels=read_both_levels(event),
        step=step,
        members_then=members_then(event),
    )


def _ready(event: DispatchEvent, *, step: Panel | None, now: datetime) -> Ready:
    found = read_readiness(event)
    causes = causes_of(found, event_id=event.pk)
    if step and step.kind == "warn":
        causes += (Cause("groups", "warn", "Group out of step with Leap", "See", "#out-of-step"),)
    meters, could_kw = _meters_in_the_way(event, now=now)
    return Ready(
        found=found,
        causes=causes,
        set_points=set_point_words(found),
        meters=meters,
        could_kw=could_kw,
        gap_kw=None if event.energy_kw is None else max(event.energy_kw - could_kw, Decimal(0)),
    )


def _meters_in_the_way(event: DispatchEvent, *, now: datetime) -> tuple[tuple[CauseCount, ...], Decimal]:
    """Count the called meters by what stands in their way during the event, and the kW that could move.

    Rated power, each device once. At most eight queries.
    """
    present = read_present(now=now, during=Window(event.starts_at, event.ends_at))
    named = RecipientMember.objects.filter(recipients_id=event.recipients_id).values("meter_id")
    counted = count_causes(Meter.objects.filter(meter_id__in=named), present=present)
    could_kw = dispatchable_kw(present=present, meter__meter_id__in=named)
    return tuple(each for each in cause_counts(counted) if each.is_blocking), could_kw


def read_would(event: DispatchEvent, *, now: datetime) -> Would | None:
    """Plan a coming or running integration test as if it were armed; None for any other event."""
    if event.test != TestKind.INTEGRATION or event.is_cancelled or event.ends_at <= now:
        return None
    devices = preview_event(event_id=event.pk, now=now).devices
    return Would(rows=device_rows(devices[:WOULD_SHOWN]), hidden=max(len(devices) - WOULD_SHOWN, 0))


def _sharing(event: DispatchEvent, axis: Axis) -> Any:
    """Select the events that reach any of the same meters near this one, itself among them."""
    mine = RecipientMember.objects.filter(recipients_id=event.recipients_id).values("meter_id")
    sets = RecipientMember.objects.filter(meter_id__in=mine).values("recipients_id")
    return events_between(axis.start, axis.end).filter(recipients_id__in=sets)


def _revisions(event: DispatchEvent, *, zone: tzinfo) -> tuple[Revision, ...]:
    rows = EventRevision.objects.filter(event_id=event.pk).order_by("-number")[:50]
    return tuple(revisions_of(list(rows), leap_ids={event.pk: event.leap_event_id}, zone=zone))


def _facts(event: Any, *, ledger: Ledger, status: str, now: datetime) -> list[Fact]:
    """Choose the figures: what was asked, how far it is, how long it lasts."""
    facts = [
        Fact("Award", words.power(event.energy_kw)),
        Fact("Nomination", words.power(event.nomination_kw) if event.nomination_kw is not None else "none"),
        Fact("Confirmed", f"{ledger.taken:,} of {ledger.planned:,}"),
        Fact("Paid up to", words.cap(event.cap)),
        Fact("Priority", str(event.priority_rank)),
    ]
    if event.shortfall_kw:
        facts.insert(1, Fact("Short of it", words.power(event.shortfall_kw)))
    if ledger.provable:
        confirmed = next(at for at, fact in enumerate(facts) if fact.label == "Confirmed")
        facts.insert(confirmed + 1, Fact("Verified", f"{ledger.verified:,} of {ledger.planned:,}"))
    if status == EventStatus.SCHEDULED:
        facts.append(Fact("Starts in", words.length(event.starts_at - now)))
    elif status == EventStatus.ACTIVE:
        facts.append(Fact("Ends in", words.length(event.ends_at - now), is_live=True))
    else:
        facts.append(Fact("Status", EventStatus(status).label))
    facts.append(Fact("Lasts", words.length(event.ends_at - event.starts_at)))
    return facts


def _every(axis: Axis) -> timedelta:
    hours = (axis.end - axis.start) / HOUR
    return HOUR if hours <= 8 else 2 * HOUR if hours <= 14 else 4 * HOUR if hours <= 36 else 24 * HOUR


def _floor(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _ceil(at: datetime) -> datetime:
    floor = _floor(at)
    return floor if floor == at else floor + HOUR
