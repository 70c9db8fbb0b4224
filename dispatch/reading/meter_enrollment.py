"""How one meter stands at Leap: its programs over time, what is asked for them, and whether it takes part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from dispatch.reading.actions import Item, item_of, owners, with_meter
from meters.domain.action_words import Advice, advice_on
from meters.domain.actions import Chance, Stretch, next_chance, preferences_ahead
from meters.enrollment_models import Enrollment, RequiredAction
from meters.models import EnrollmentStatus, MarketGroup, Meter, Participation
from meters.sync_models import MeterAtLeap

RESOLVED_SHOWN = 5
STATUS_KINDS = {
    EnrollmentStatus.ACTIVE: "ok",
    EnrollmentStatus.ELIGIBLE: "ok",
    EnrollmentStatus.PENDING: "warn",
    EnrollmentStatus.INELIGIBLE: "bad",
    EnrollmentStatus.NOT_PARTICIPATING: "plain",
}


@dataclass(frozen=True, slots=True)
class Status:
    """A word of Leap's and the chip it stands in; one unknown to us stands as it came."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One action with what to do about it."""

    item: Item
    advice: Advice
    party: str
    program: str
    delivery_period: str
    action_type: str
    action_code: str
    deadline_at: datetime | None
    is_missed: bool


@dataclass(frozen=True, slots=True)
class Period:
    """How the meter stands in one program for one delivery period."""

    program: str
    delivery_period: str
    starts_at: datetime
    ends_at: datetime | None
    status: Status
    market_group_id: str
    group: str
    chance: Chance | None
    open_actions: int


@dataclass(frozen=True, slots=True)
class Preference:
    """Whether the customer takes part for a while."""

    stretch: Stretch
    text: str
    is_now: bool


@dataclass(frozen=True, slots=True)
class MeterEnrollment:
    """All of it. `over`: how many periods are over and not listed; `heard_at`: None before any sync."""

    status: Status
    heard_at: datetime | None
    gone_at: datetime | None
    periods: tuple[Period, ...]
    over: int
    asked: tuple[Asked, ...]
    resolved: tuple[Asked, ...]
    preferences: tuple[Preference, ...]
    owners: tuple[Any, ...]
    has_key: bool


def read_meter_enrollment(meter: Meter, *, now: datetime) -> MeterEnrollment:
    """Read how a meter stands at Leap. Five queries."""
    said = MeterAtLeap.objects.filter(meter=meter).only("enrollment", "heard_at", "gone_at").first()
    actions = list(
        with_meter(RequiredAction.objects.filter(meter=meter)).order_by("party", "deadline_at", "pk")
    )
    rows = list(Enrollment.objects.filter(meter=meter).order_by("starts_at", "program", "delivery_period"))
    names = dict(
        MarketGroup.objects.filter(
            market_group_id__in={row.market_group_id for row in rows if row.market_group_id}
        ).values_list("market_group_id", "name")
    )
    waiting = [action for action in actions if action.resolved_at is None]
    done = sorted(
        (action for action in actions if action.resolved_at), key=lambda one: one.resolved_at, reverse=True
    )
    ahead = [row for row in rows if row.ends_at is None or row.ends_at > now]
    return MeterEnrollment(
        status=status_of(meter.enrollment_status),
        heard_at=said.heard_at if said else None,
        gone_at=said.gone_at if said else None,
        periods=tuple(_period(row, waiting, names=names, now=now) for row in ahead),
        over=len(rows) - len(ahead),
        asked=tuple(_asked(action, now=now) for action in sorted(waiting, key=_urgency)),
        resolved=tuple(_asked(action, now=now) for action in done[:RESOLVED_SHOWN]),
        preferences=_preferences(said.enrollment if said else {}, now=now),
        owners=tuple(owners()),
        has_key=bool(settings.LEAP_API_KEY),
    )


def status_of(word: str) -> Status:
    """Say a status as people do."""
    if word not in EnrollmentStatus.values:
        return Status("plain", word or "not said")
    known = EnrollmentStatus(word)
    return Status(STATUS_KINDS[known], str(known.label))


def _urgency(action: RequiredAction) -> tuple[object, ...]:
    is_dated = action.deadline_at is not None
    return (action.party != "PARTNER", not is_dated, action.deadline_at if is_dated else action.pk, action.pk)


def _period(row: Enrollment, waiting: list[Any], *, names: Mapping[str, str], now: datetime) -> Period:
    same = [
        one for one in waiting if (one.program, one.delivery_period) == (row.program, row.delivery_period)
    ]
    return Period(
        program=row.program,
        delivery_period=row.delivery_period,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        status=status_of(row.status),
        market_group_id=row.market_group_id if row.market_group_id in names else "",
        group=names.get(row.market_group_id) or row.market_group_id,
        chance=next_chance(row.deadlines, now=now),
        open_actions=len(same),
    )


def _asked(action: Any, *, now: datetime) -> Asked:
    return Asked(
        item=item_of(action),
        advice=advice_on(action.action_type),
        party=action.party,
        program=action.program,
        delivery_period=action.delivery_period,
        action_type=action.action_type,
        action_code=action.action_code,
        deadline_at=action.deadline_at,
        is_missed=action.deadline_at is not None and action.deadline_at <= now,
    )


def _preferences(body: object, *, now: datetime) -> tuple[Preference, ...]:
    ranges = body.get("participation_preferences") if isinstance(body, dict) else None
    labels = dict(Participation.choices)
    return tuple(
        Preference(
            stretch=stretch,
            text=str(labels.get(stretch.preference, stretch.preference) or "not said"),
            is_now=stretch.starts_at is not None and stretch.starts_at <= now,
        )
        for stretch in preferences_ahead(ranges, now=now)
    )
