"""What stands around every page: links with counts, who is signed in, the LIVE stripe."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Count, DecimalField, F, Q, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from devices.models import Device, ScheduleSegment, ScheduleState
from devices.proof_models import ProofState
from dispatch.models import (
    ChangesSeen,
    DispatchEvent,
    EventRevision,
    Override,
    RecipientMember,
    RevisionKind,
    TestKind,
)
from dispatch.reading import words
from dispatch.reading.alerts import open_count
from dispatch.reading.attention import needs_of
from dispatch.reading.naming import owner_of, with_names
from dispatch.reading.overlaps import count_overlaps
from dispatch.reading.proofs import devices_running
from dispatch.reading.zones import page_zone, zone_words
from meters.models import Meter

UNSEEN_BEFORE = timedelta(days=1)
POWER = DecimalField(max_digits=16, decimal_places=3)
SAME_LINE = {"/programs/": ("/programs/", "/seasons/")}
"""Pages that stand behind one line of the rail."""


@dataclass(frozen=True, slots=True)
class Link:
    """One line of the rail."""

    path: str
    name: str
    icon: str
    count: int = 0
    is_urgent: bool = False
    is_current: bool = False


@dataclass(frozen=True, slots=True)
class Stripe:
    """The LIVE stripe: the largest event of this minute and how many others run."""

    event_id: int
    title: str
    window: str
    utc: str
    ends_in: str
    ends_at: str
    confirmed: int
    verified: int
    provable: int
    devices: int
    confirmed_kw: Decimal
    asked_kw: Decimal | None
    to_check: int
    others: int
    elapsed_percent: str


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything base.html shows around a page."""

    links: tuple[tuple[Link, ...], ...]
    tabs: tuple[Link, ...]
    need_count: int
    stripe: Stripe | None
    person: str
    role: str
    zone: tzinfo
    zone_words: str
    clock: str
    now: datetime


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `frame`, read only by pages that use it."""
    return {"frame": SimpleLazyObject(lambda: read_frame(request, now=timezone.now()))}


def read_frame(request: HttpRequest, *, now: datetime) -> Frame:
    """Read counts and the stripe. A constant number of queries."""
    zone = page_zone(request)
    user: Any = request.user
    counts = _counts(request, now=now)
    links = _links(counts, path=request.path, is_admin=user.has_perm("dispatch.administer"))
    everything = {link.path: link for group in links for link in group}
    return Frame(
        links=links,
        tabs=tuple(everything[path] for path in ("/", "/calendar/", "/events/")),
        need_count=counts["/"],
        stripe=read_stripe(now=now, zone=zone),
        person=user.get_full_name() or user.get_username(),
        role=role_of(user),
        zone=zone,
        zone_words=zone_words(zone),
        clock=now.astimezone(zone).strftime("%H:%M %Z"),
        now=now,
    )


def role_of(user: Any) -> str:
    """Say what a user may do: Viewer, Operator or Admin."""
    if user.has_perm("dispatch.administer"):
        return "Admin"
    return "Operator" if user.has_perm("dispatch.operate") else "Viewer"


def _counts(request: HttpRequest, *, now: datetime) -> dict[str, int]:
    """Count what the links show. One query a count, the list of needs besides."""
    return {
        "/": len(needs_of(request, now=now)),
        "/alerts/": open_count(),
        "/overlaps/": count_overlaps(now=now),
        "/changes/": unseen_changes(request.user, now=now),
        "/meters/": Meter.objects.filter(archived_at__isnull=True).count(),
        "/devices/": Device.objects.count(),
        "/overrides/": Override.objects.filter(
            ended_at__isnull=True, starts_at__lte=now, ends_at__gt=now
        ).count(),
    }


def seen_at(user: Any, *, now: datetime) -> datetime:
    """Up to when a user has looked at the changes; a day ago for someone who never did."""
    seen = ChangesSeen.objects.filter(user_id=user.pk).values_list("seen_at", flat=True).first()
    return seen or now - UNSEEN_BEFORE


def unseen_changes(user: Any, *, now: datetime) -> int:
    """Count revisions that changed an event since the user last looked."""
    changed = EventRevision.objects.exclude(kind=RevisionKind.CREATED)
    return changed.filter(received_at__gt=seen_at(user, now=now)).count()


def _links(counts: dict[str, int], *, path: str, is_admin: bool) -> tuple[tuple[Link, ...], ...]:
    """Build the rail: what is going on, what there is, the admin."""
    rows = (
        (
            ("/", "Control room", "home"),
            ("/calendar/", "Calendar", "calendar"),
            ("/events/", "Events", "bolt"),
            ("/overlaps/", "Overlaps", "layers"),
            ("/changes/", "Changes", "history"),
            ("/notifications/", "Notifications", "inbox"),
        ),
        (
            ("/meters/", "Meters", "gauge"),
            ("/groups/", "Groups", "groups"),
            ("/devices/", "Devices", "device"),
            ("/commands/", "Commands", "terminal"),
            ("/alerts/", "Alerts", "warn"),
            ("/overrides/", "Overrides", "pause"),
            ("/policies/", "Policies", "clock"),
            ("/tests/", "Tests", "flask"),
        ),
        (
            ("/actions/", "Required actions", "actions"),
            ("/programs/", "Programs", "layers"),
            ("/participation/", "Participation", "repeat"),
            ("/onboarding/", "Onboarding", "plus"),
            ("/leap/", "Leap", "link"),
        ),
        (
            ("/certification/", "Certification", "signal"),
            *((("/scenarios/", "Strategies", "eye"),) if settings.IS_DEMO else ()),
        ),
        (("/admin/", "Admin", "gear"),) if is_admin else (),
    )
    return tuple(
        tuple(
            Link(
                path=href,
                name=name,
                icon=icon,
                count=counts.get(href, 0),
                is_urgent=href in {"/", "/alerts/"},
                is_current=path == href if href == "/" else path.startswith(SAME_LINE.get(href, (href,))),
            )
            for href, name, icon in group
        )
        for group in rows
        if group
    )


def read_stripe(*, now: datetime, zone: tzinfo) -> Stripe | None:
    """Read the stripe in at most two queries. Integration tests move nothing and do not show."""
    live = DispatchEvent.objects.filter(is_cancelled=False, starts_at__lte=now, ends_at__gt=now)
    events = list(
        with_names(live.exclude(test=TestKind.INTEGRATION)).order_by(
            "is_voluntary", F("energy_kw").desc(nulls_last=True), "id"
        )[:100]
    )
    if not events:
        return None
    event = events[0]
    answers = delivering(event.recipients_id, now=now)
    elapsed = (now - event.starts_at) / (event.ends_at - event.starts_at)
    return Stripe(
        event_id=event.pk,
        title=f"{owner_of(event).name} · {words.programs(event.programs)}",
        window=words.window(event.starts_at, event.ends_at, zone=zone),
        utc=words.window_utc(event.starts_at, event.ends_at, zone=zone),
        ends_in=words.length(event.ends_at - now),
        ends_at=words.clock(event.ends_at, zone=zone),
        confirmed=answers["confirmed"],
        verified=answers["verified"],
        provable=answers["provable"],
        devices=answers["devices"],
        confirmed_kw=answers["confirmed_kw"] or Decimal(0),
        asked_kw=event.energy_kw,
        to_check=answers["devices"] - answers["fine"] + event.unmapped_meters,
        others=len(events) - 1,
        elapsed_percent=f"{elapsed * 100:.1f}",
    )


def delivering(recipients_id: int, *, now: datetime) -> dict[str, Any]:
    """Count the devices of these recipients that should move now, and those proven to. One query.

    `fine` are those that confirmed it and do nothing else.
    """
    named = RecipientMember.objects.filter(recipients_id=recipients_id).values("meter_id")
    devices = Device.objects.filter(meters__meter_id__in=named).values("id")
    moving = ScheduleSegment.objects.filter(
        schedule__superseded_at__isnull=True, starts_at__lte=now, ends_at__gt=now, device_id__in=devices
    ).exclude(mode="IDLE")
    is_confirmed = Q(schedule__state=ScheduleState.ACKNOWLEDGED)
    power_kw = Coalesce("target_kw", "device__rated_power_kw", output_field=POWER)
    deviates = Q(device_id__in=devices_running(ProofState.DEVIATES))
    return moving.aggregate(
        devices=Count("id"),
        fine=Count("id", filter=is_confirmed & ~deviates),
        verified=Count("id", filter=Q(device_id__in=devices_running(ProofState.PROVEN))),
        provable=Count("id", filter=Q(device_id__in=devices_running())),
        confirmed=Count("id", filter=is_confirmed),
        confirmed_kw=Sum(power_kw, filter=is_confirmed),
    )
